package embedded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/fault"
	"defter/pkg/topology"
)

// known is a customer as an SDK knows one.
func (s *story) known(id string) customer { return customer{s, id, ""} }

// sends is an SDK sending a batch, which is accepted.
func (s *story) sends(messages ...m) {
	s.Helper()
	s.sdk().post("/v1/batch", m{"batch": messages}).expect(200).has("success", true)
}

// message makes a message; more fields follow in pairs.
func message(kind, userID string, fields ...any) m {
	message := m{"type": kind, "userId": userID, "messageId": unique("message")}
	for i := 0; i < len(fields); i += 2 {
		message[fields[i].(string)] = fields[i+1]
	}
	return message
}

func track(userID, event string, properties m) m {
	return message("track", userID, "event", event, "properties", properties)
}

// tracked are the names of the track events that were kept as they came, in order.
func (c customer) tracked() []string {
	c.Helper()
	var names []string
	for _, e := range c.pages(c.path("/events?limit=500&types=EventTracked"), "events") {
		names = append(names, fmt.Sprint(at(e["data"], "event")))
	}
	return names
}

// visitor is the stream of an anonymous visitor, as stored.
func (s *story) visitor(id string) map[string]string {
	s.Helper()
	return s.itemsWith(topology.Events, "VISITOR#"+id)
}

func (s *story) quarantined() map[string]string {
	s.Helper()
	return s.itemsWith(topology.Views, "QUARANTINE#")
}

// basic is an Authorization header.
func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestWriteKeys(t *testing.T) {
	s := begin(t)
	const noColon = "Basic ZGV2LXdyaXRlLWtleQ=="
	n := 0
	for _, call := range []struct {
		authorization, writeKey any
		status                  int
		slug                    string
	}{
		{basic(WriteKey, ""), nil, 200, ""},
		{noColon, nil, 200, ""},
		{strings.Replace(noColon, "Basic", "basic", 1), nil, 200, ""},
		{basic(WriteKey, "ignored"), nil, 200, ""},
		{"", WriteKey, 200, ""},
		{"Bearer some-token", WriteKey, 200, ""},
		{basic(WriteKey, ""), "another", 200, ""}, // the header counts
		{basic("another", ""), WriteKey, 401, "invalid-write-key"},
		{"", nil, 401, "no-write-key"},
		{"", "", 401, "no-write-key"},
		{"", "another", 401, "invalid-write-key"},
		{basic("", ""), nil, 401, "no-write-key"},
		{basic("", ""), WriteKey, 200, ""}, // which names nobody
		{basic(APIKey, ""), nil, 401, "invalid-write-key"},
		{"Bearer " + WriteKey, nil, 401, "no-write-key"},
		{"Bearer " + APIKey, nil, 401, "no-write-key"},
		{"Basic %%%", nil, 401, "no-write-key"},
	} {
		for _, path := range []string{"/v1/track", "/v1/batch"} {
			body := m{"userId": "u", "event": "Seen"}
			if path == "/v1/batch" {
				body = m{"batch": []m{track("u", "Seen", nil)}}
			}
			if call.writeKey != nil {
				body["writeKey"] = call.writeKey
			}
			a := s.with("Authorization", call.authorization.(string)).post(path, body)
			a.call += fmt.Sprint(" as ", call.authorization, " and ", call.writeKey)
			if call.status == 200 {
				a.expect(200).has("success", true)
				n++
			} else {
				a.refused(call.status, call.slug)
			}
		}
	}
	if got := len(s.known("u").tracked()); got != n {
		t.Errorf("%d events are stored, want %d", got, n)
	}
	// What is wrong with a body is for those with a key, wherever it is.
	s.with("Authorization", "").post("/v1/track", m{"writeKey": WriteKey}).refused(400, "invalid-event")
	s.with("Authorization", "").post("/v1/batch", m{"writeKey": WriteKey, "batch": []m{}}).refused(400, "empty-batch")
	s.with("Authorization", "").post("/v1/track", m{"writeKey": "another"}).refused(401, "invalid-write-key")
	s.with("Authorization", "").post("/v1/track", `{`).refused(401, "no-write-key")
}

func TestEveryEndpoint(t *testing.T) {
	s := begin(t)
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "text/plain", "text/plain;charset=UTF-8", ""} {
		c := s.known(unique("user"))
		sdk := s.sdk().with("Content-Type", contentType)
		traits := m{"email": email(unique("sdk")), "firstName": "Ada", "plan": "gold"}
		for kind, body := range map[string]m{
			"identify": {"userId": c.id, "traits": traits},
			"track":    {"userId": c.id, "event": "Song Played", "properties": m{"title": "Yellow"}},
			"page":     {"userId": c.id, "name": "Home", "properties": m{"url": "https://shop.example/", "title": "Home"}},
			"screen":   {"userId": c.id, "name": "Start"},
			"group":    {"userId": c.id, "groupId": "company-1", "traits": m{"name": "Analytical Engines"}},
			"alias":    {"userId": c.id, "previousId": "old-id"},
			"batch":    {"batch": []m{track(c.id, "Song Liked", nil), message("page", c.id)}},
		} {
			sdk.post("/v1/"+kind, body).expect(200).has("success", true)
		}
		got := map[string]int{}
		for _, e := range c.events() {
			got[e["type"].(string)]++
			if e["source"] != "server" || e["actor"] != "source:dev" {
				t.Errorf("%v came from %v, sent by %v", e["type"], e["source"], e["actor"])
			}
		}
		for eventType, n := range map[string]int{"CustomerCreated": 1, "EventTracked": 2, "PageViewed": 2, "ScreenViewed": 1, "GroupJoined": 1, "CustomerAliased": 1} {
			if got[eventType] != n {
				t.Errorf("%s: %d × %s, want %d", contentType, got[eventType], eventType, n)
			}
		}
		c.shown().expect(200).has("firstName", "Ada", "email", traits["email"], "attributes.plan", "gold", "groups.0", "company-1", "status", "active")
	}
}

func TestCommerceEvents(t *testing.T) {
	s := begin(t)
	c := s.known("shopper")
	product := m{"product_id": "p-1", "name": "Red shoes", "category": "shoes", "price": 19.999999999999996, "currency": "EUR", "quantity": 2}
	with := func(more m) m {
		all := m{}
		for _, fields := range []m{product, more} {
			for name, value := range fields {
				all[name] = value
			}
		}
		return all
	}
	s.sends(
		track(c.id, "Products Searched", m{"query": "red shoes", "results_count": 3}),
		track(c.id, "Product Viewed", product),
		track(c.id, "Product Added", with(m{"cart_id": "cart-1"})),
		track(c.id, "Product Removed", with(m{"cart_id": "cart-1"})),
		track(c.id, "Cart Viewed", m{"cart_id": "cart-1"}),
		track(c.id, "Checkout Started", m{"order_id": "o-1", "value": 40, "currency": "EUR", "products": []m{product}}),
		track(c.id, "Checkout Step Completed", m{"step": 2, "checkout_id": "co-1"}),
		track(c.id, "Order Completed", m{"order_id": "o-1", "total": 40.05, "currency": "EUR", "products": []m{product}}),
		track(c.id, "Order Completed", m{"order_id": "o-2", "revenue": "1000", "currency": "JPY"}),
		track(c.id, "Order Refunded", m{"order_id": "o-1", "total": 10.05, "currency": "EUR"}),
		track(c.id, "Order Cancelled", m{"order_id": "o-2"}),
		track(c.id, "Order Completed", m{"order_id": "o-3"}), // without an amount it is no order
	)
	want := []string{
		"CustomerCreated", "SearchPerformed", "ProductViewed", "CartCreated", "ItemAddedToCart", "ItemRemovedFromCart", "CartViewed", "CheckoutStarted", "CheckoutStepCompleted",
		"OrderPlaced", "PaymentSucceeded", "CustomerSegmentAdded", "OrderPlaced", "PaymentSucceeded", "EventTracked",
		"RefundCompleted", "OrderCancelled", // what is told of orders comes after them
	}
	events := c.events()
	if got := typesOf(events); !slices.Equal(got, want) {
		t.Errorf("events are %v, want %v", got, want)
	}
	for i, want := range map[int]m{
		1: {"query": "red shoes", "resultsCount": 3}, 2: {"productId": "p-1", "priceMinor": 2000, "currency": "EUR"}, 4: {"cartId": "cart-1", "quantity": 2},
		8: {"step": "payment", "stepNumber": 2}, 9: {"orderId": "o-1", "totalMinor": 4005, "items.0.priceMinor": 2000}, 12: {"totalMinor": 1000, "currency": "JPY"},
		15: {"amountMinor": 1005},
	} {
		for path, value := range want {
			if got := at(events[i]["data"], path); fmt.Sprint(got) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v, want %v", events[i]["type"], path, got, value)
			}
		}
	}
	c.shown().has("orders", 1, "lifetimeValue.0.currency", "EUR", "lifetimeValue.0.amountMinor", 3000, "lifetimeValue.1.amountMinor", 1000)
}

func TestOneOrderCountsOnce(t *testing.T) {
	s := begin(t)
	c := s.known("shopper")
	order := func(id string) m {
		return track(c.id, "Order Completed", m{"order_id": id, "total": 10, "currency": "EUR"})
	}
	s.sends(order("o-1"), order("o-1"))             // of different message ids, in one batch
	s.sends(order("o-1"), order("o-2"))             // and again, beside another
	s.sends(order("o-2"), track(c.id, "Left", nil)) // what comes with it is kept
	for _, a := range s.together(8, func(int) *reply {
		return s.sdk().try("POST", "/v1/batch", m{"batch": []m{order("o-3"), order("o-4")}})
	}) {
		a.expect(200)
	}
	cancelled := func(id string) m { return track(c.id, "Order Cancelled", m{"order_id": id}) }
	refunded := func(id, refund string) m {
		return track(c.id, "Order Refunded", m{"order_id": id, "refund_id": refund, "total": 1, "currency": "EUR"})
	}
	s.sends(cancelled("o-4"), cancelled("o-4"), refunded("o-4", "r-1"), refunded("o-4", "r-1"))
	s.sends(cancelled("o-4"), refunded("o-4", "r-1"), refunded("o-4", "r-2"), track(c.id, "Left", nil))
	s.advance("240h")
	s.sends(order("o-1"), cancelled("o-4"), refunded("o-4", "r-2"))
	if n := c.happened("OrderPlaced"); n != 4 {
		t.Errorf("%d orders are placed, want 4", n)
	}
	if got := c.tracked(); !slices.Equal(got, []string{"Left", "Left"}) {
		t.Errorf("tracked: %v", got)
	}
	c.shown().has("orders", 3, "lifetimeValue.0.amountMinor", 3800)
}

func TestInvalidMessageInABatch(t *testing.T) {
	s := begin(t)
	c := s.known("user")
	s.sends(
		track(c.id, "First", nil),
		m{"type": "track", "userId": c.id}, // no name
		m{"type": "purr", "userId": c.id},
		m{"type": "track", "event": "Nobody's"},
		m{"type": "track", "event": "Long", "userId": strings.Repeat("u", 257)},
		track(c.id, "Large", m{"a": strings.Repeat("x", 40_000)}),
		track("visitor's \x00", "NUL", nil),
		track(c.id, "NUL \x00", nil),
		track(c.id, "Last", nil),
	)
	if got := c.tracked(); !slices.Equal(got, []string{"First", "NUL \ufffd", "Last"}) {
		t.Errorf("tracked: %v", got)
	}
	quarantined := s.quarantined()
	if len(quarantined) != 6 {
		t.Errorf("%d are quarantined, want 6", len(quarantined))
	}
	for key, item := range quarantined {
		if !strings.Contains(item, "reason") || strings.Contains(item, "xxxxx") || strings.Contains(item, "purr") {
			t.Errorf("quarantined: %s %.300s", key, item)
		}
	}
}

// An accepted batch never fails for one message that turns out not to fit its event's schema.
func TestUnfitFactInABatch(t *testing.T) {
	s := beginWith(t, func(s *System) {
		strict := s.App.Log.Validate
		s.App.Log.Validate = func(name string, schema int, data []byte) error {
			if bytes.Contains(data, []byte("unfit")) {
				return fault.New(fault.Invalid, "invalid-event", "%s does not fit its schema", name)
			}
			return strict(name, schema, data)
		}
	})
	c := s.known("user")
	var batch []m
	var want []string
	for i := range 50 {
		name := fmt.Sprint("Event ", i)
		if i%17 == 3 {
			batch = append(batch, track(c.id, name, m{"a": "unfit"}))
			continue
		}
		batch, want = append(batch, track(c.id, name, nil)), append(want, name)
	}
	batch = append(batch, track("other", "Elsewhere", nil))
	s.sends(batch...)
	s.sends(batch...) // the SDK did not hear the answer
	if got := c.tracked(); !slices.Equal(got, want) {
		t.Errorf("tracked: %v, want %v", got, want)
	}
	if got := s.known("other").tracked(); len(got) != 1 {
		t.Errorf("another customer's: %v", got)
	}
	if n := len(s.quarantined()); n != 3 {
		t.Errorf("%d are quarantined, want 3", n)
	}
}

func TestTheSameMessageAgain(t *testing.T) {
	s := begin(t)
	c := s.known("user")
	first := track(c.id, "First", nil)
	page := message("page", c.id)
	s.sends(first, first, page, first)
	s.sends(first)
	s.sends(page, track(c.id, "Second", nil), first)
	s.sdk().post("/v1/track", first).expect(200)
	s.advance("120h")
	s.sends(first, page)
	s.restart()
	s.sends(first, page)
	if got := c.tracked(); !slices.Equal(got, []string{"First", "Second"}) || c.happened("PageViewed") != 1 {
		t.Errorf("tracked: %v, and %d pages", got, c.happened("PageViewed"))
	}
	s.advance("72h") // eight days
	s.sends(track(c.id, "Third", nil))
	s.sends(first)
	if got := c.tracked(); !slices.Equal(got, []string{"First", "Second", "Third", "First"}) {
		t.Errorf("beyond the window, tracked: %v", got)
	}

	same := track("other", "Other", nil)
	same["messageId"] = first["messageId"] // ids are a customer's own
	s.sends(same)
	if got := s.known("other").tracked(); len(got) != 1 {
		t.Errorf("another customer's: %v", got)
	}
	none := track("third", "Unnamed", nil)
	delete(none, "messageId")
	s.sends(none, none) // without an id nothing is the same
	if got := s.known("third").tracked(); len(got) != 2 {
		t.Errorf("without ids: %v", got)
	}
}

func TestTimesOutOfOrder(t *testing.T) {
	s := begin(t)
	c := s.known("user")
	now := time.Now().UTC()
	ago := func(by time.Duration) string { return now.Add(-by).Format(time.RFC3339Nano) }
	s.sends(
		message("track", c.id, "event", "Yesterday", "timestamp", ago(24*time.Hour)),
		message("track", c.id, "event", "Last week", "timestamp", ago(7*24*time.Hour)),
		message("track", c.id, "event", "Just now", "timestamp", ago(time.Second)),
		message("track", c.id, "event", "Next week", "timestamp", ago(-7*24*time.Hour)),
	)
	// A clock that is a day ahead: what counts is how long before sending it was.
	s.sdk().post("/v1/batch", m{"sentAt": ago(-24 * time.Hour), "batch": []m{message("track", c.id, "event", "An hour ago", "originalTimestamp", ago(-23*time.Hour))}}).expect(200)

	want := map[string]time.Duration{"Yesterday": 24 * time.Hour, "Last week": 7 * 24 * time.Hour, "Just now": time.Second, "Next week": 0, "An hour ago": time.Hour}
	previous := ""
	for i, e := range c.events() {
		if recorded := e["recordedAt"].(string); e["version"] != float64(i+1) || recorded < previous[:min(len(previous), 19)] {
			t.Errorf("version %v is recorded at %v, the one before at %s", e["version"], recorded, previous)
		}
		previous = e["recordedAt"].(string)
		name, _ := at(e["data"], "event").(string)
		if by, ok := want[name]; ok {
			if off := now.Add(-by).Sub(when(e)).Abs(); off > time.Minute {
				t.Errorf("%s happened at %s, off by %s", name, when(e), off)
			}
		}
	}
	s.settled()
	shown := c.shown()
	for field, by := range map[string]time.Duration{"firstSeenAt": 7 * 24 * time.Hour, "lastSeenAt": 0} {
		if at, _ := time.Parse(time.RFC3339, shown.text(field)); now.Add(-by).Sub(at).Abs() > time.Minute {
			t.Errorf("%s is %s", field, at)
		}
	}
}

func TestIdentifyMergesTraits(t *testing.T) {
	s := begin(t)
	c := s.known("user")
	address := strings.ToUpper(email(unique("ada"))) // as it is typed
	s.sends(message("identify", c.id, "traits", m{"email": address, "firstName": "Ada", "phone": "+44 1", "plan": "gold", "score": 3, "address": m{"city": "London", "zip": "SW1Y"}}))
	c.shown().expect(200).has("email", address, "firstName", "Ada", "phone", "+44 1", "attributes.plan", "gold", "attributes.score", 3, "address.city", "London", "address.postalCode", "SW1Y", "emailVerified", false)
	s.sends(message("identify", c.id, "traits", m{"lastName": "Lovelace", "score": 4}, "context", m{"traits": m{"plan": "silver", "score": 9}}))
	c.shown().has("email", address, "firstName", "Ada", "lastName", "Lovelace", "attributes.plan", "silver", "attributes.score", 4, "address.city", "London")
	version := c.shown().number("version")
	s.sends(message("identify", c.id, "traits", m{"lastName": "Lovelace", "score": 4}))
	c.shown().has("version", version)
	if n := c.happened("ConsentGranted"); n > 0 {
		t.Errorf("a trait is no consent: %d were granted", n)
	}
	s.sends(message("identify", "named", "traits", m{"name": "Grace Brewster Hopper", "birthday": "1906-12-09T00:00:00Z"}))
	s.known("named").shown().has("firstName", "Grace", "lastName", "Brewster Hopper", "dateOfBirth", "1906-12-09")
}

func TestAddressOfAnotherCustomer(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	ben := s.known("ben")
	own := email(unique("ben"))
	s.sends(message("identify", ben.id, "traits", m{"email": own}))
	s.sends(
		message("identify", ben.id, "traits", m{"email": strings.ToUpper(ada.email), "firstName": "Ben"}),
		track(ben.id, "Seen", nil),
	)
	ben.shown().has("email", own, "firstName", "Ben")
	s.get("/v1/customers?email="+ada.email).expect(200).has("customerId", ada.id)
	if got := ben.tracked(); len(got) != 1 {
		t.Errorf("tracked: %v", got)
	}
	// Two at once, and there and back in one batch.
	wanted := email(unique("wanted"))
	replies := s.together(8, func(i int) *reply {
		return s.sdk().try("POST", "/v1/identify", m{"userId": fmt.Sprint("racer-", i), "traits": m{"email": wanted}})
	})
	holders := 0
	for i, a := range replies {
		a.expect(200)
		if s.known(fmt.Sprint("racer-", i)).shown().expect(200).text("email") == wanted {
			holders++
		}
	}
	if holders != 1 {
		t.Errorf("%d customers hold one address", holders)
	}
	other := email(unique("other"))
	s.sends(message("identify", ben.id, "traits", m{"email": other}), message("identify", ben.id, "traits", m{"email": own}))
	ben.shown().has("email", own)
	s.get("/v1/customers?email="+own).expect(200).has("customerId", ben.id)
	s.get("/v1/customers?email="+other).refused(404, "customer-not-found")
	s.registers("email", other)
}

func TestVisitorsBecomeCustomers(t *testing.T) {
	s := begin(t)
	visitor := unique("visitor")
	page := func(user string) m {
		message := message("page", user, "anonymousId", visitor)
		if user == "" {
			delete(message, "userId")
		}
		return message
	}
	s.sends(page(""), page(""))
	if n := len(s.visitor(visitor)); n == 0 {
		t.Fatal("the visitor has no stream")
	}
	s.sends(message("identify", "ada", "anonymousId", visitor, "traits", m{"firstName": "Ada"}), page("ada"))
	c := s.known("ada")
	c.shown().expect(200).has("visitors.0", visitor, "firstName", "Ada")
	if n := c.happened("VisitorLinked"); n != 1 {
		t.Errorf("%d × VisitorLinked", n)
	}
	s.sends(message("identify", "ada", "anonymousId", visitor), message("identify", "ada", "anonymousId", "phone"))
	c.shown().has("visitors.0", "phone", "visitors.1", visitor, "visitors.2", nil)
	if n := c.happened("PageViewed"); n != 1 {
		t.Errorf("%d pages are the customer's own, want 1", n)
	}
}

func TestIDsThatNameAPerson(t *testing.T) {
	s := begin(t)
	personal := []string{"ada.lovelace@mail.example", "+44 20 7946 0018", "00442079460018", "12345678901", "Ada Lovelace", "Ünal", "ada/lovelace"}
	for _, id := range personal {
		c := s.known(id)
		s.sends(
			message("identify", id, "anonymousId", "a "+id, "traits", m{"firstName": "Ada"}), track(id, "Seen", nil),
			message("group", id, "groupId", "g "+id), message("alias", id, "previousId", "p "+id), message("page", "", "anonymousId", "v "+id),
		)
		shown := c.shown().expect(200).has("firstName", "Ada", "externalId", id)
		if hidden := shown.text("customerId"); !strings.HasPrefix(hidden, "h_") || s.known(hidden).shown().text("externalId") != id {
			t.Errorf("%s is known as %s", id, hidden)
		}
		if got := c.tracked(); len(got) != 1 {
			t.Errorf("%s: tracked %v", id, got)
		}
	}
	s.settled()
	for _, table := range []string{topology.Events, topology.Views, topology.Keys, localTable} {
		for key, item := range s.items(table) {
			for _, id := range personal {
				if strings.Contains(key+item, id) {
					t.Errorf("%q is in the %s table: %s %.200s", id, table, key, item)
				}
			}
		}
	}
	for _, id := range []string{"0195f4d1-0000-7000-8000-000000000000", "user_42", "A.B:c-9", "12345678"} {
		s.sends(track(id, "Seen", nil))
		s.known(id).shown().expect(200).has("customerId", id)
	}
}

func TestEventsOfTheErased(t *testing.T) {
	s := begin(t)
	c := s.known("user")
	s.sends(message("identify", c.id, "anonymousId", "phone", "traits", m{"firstName": "Ada"}), message("page", "", "anonymousId", "phone"))
	c.post(c.path("/erasure"), m{}).expect(200)
	s.settled()
	before := s.stored()
	s.sends(
		track(c.id, "Seen", nil), message("identify", c.id, "traits", m{"email": email("ada")}), message("page", "", "anonymousId", "phone"),
		m{"type": "track", "userId": c.id}, // would be quarantined
	)
	s.sdk().post("/v1/track", track(c.id, "Seen", nil)).expect(200)
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
	s.sends(track(c.id, "Seen", nil), track("other", "Seen", nil))
	if got := s.known("other").tracked(); len(got) != 1 {
		t.Errorf("others' events: %v", got)
	}
}

func TestLargeBatches(t *testing.T) {
	s := begin(t)
	var many []m
	for i := range 2500 {
		many = append(many, m{"type": "track", "userId": fmt.Sprint("many-", i%100), "event": fmt.Sprint("Event ", i)})
	}
	s.sdk().post("/v1/batch", m{"batch": append(many[:2500:2500], track("one-more", "Seen", nil))}).refused(413, "too-large")
	s.sends(many...)
	total := 0
	for i := range 100 {
		got := s.known(fmt.Sprint("many-", i)).tracked()
		total += len(got)
		for j, name := range got {
			if name != fmt.Sprint("Event ", i+100*j) {
				t.Fatalf("of many-%d: %v", i, got)
			}
		}
	}
	if total != 2500 || len(s.quarantined()) != 0 {
		t.Errorf("%d events are stored and %d quarantined, want 2500 and none", total, len(s.quarantined()))
	}

	one := s.known("one")
	var own []m
	for i := range 250 {
		own = append(own, track(one.id, fmt.Sprint("Event ", i), nil))
	}
	s.sends(own...)
	s.sends(own...)
	if got := one.tracked(); len(got) != 250 || got[0] != "Event 0" || got[249] != "Event 249" {
		t.Errorf("%d events of one customer", len(got))
	}

	// As large as the wire contract lets each be, and all of one customer.
	large := s.known("large")
	var pages []m
	for range 130 {
		pages = append(pages, message("page", large.id, "name", strings.Repeat("n", 200), "properties", m{"text": strings.Repeat("p", 20_000)},
			"context", m{"userAgent": strings.Repeat("a", 512), "page": m{"url": strings.Repeat("u", 2048), "referrer": strings.Repeat("r", 2048)}}))
	}
	s.sends(pages...)
	if n := large.happened("PageViewed"); n != 130 {
		t.Errorf("%d large pages", n)
	}
	var contexts []m
	shop := m{"userAgent": strings.Repeat("a", 512), "page": m{"url": strings.Repeat("u", 2048), "referrer": strings.Repeat("r", 2048)}}
	for range 200 { // the context is the batch's, not the messages'
		contexts = append(contexts, track("contexts", "Seen", nil))
	}
	s.sdk().post("/v1/batch", m{"batch": contexts, "context": shop}).expect(200)
	if got := s.known("contexts").tracked(); len(got) != 200 {
		t.Errorf("%d events with a long context", len(got))
	}

	// Each takes claims, of which a commit has few.
	restless := s.known("restless")
	var moves []m
	for i := range 150 {
		moves = append(moves, message("identify", restless.id, "traits", m{"email": fmt.Sprintf("move-%d@mail.example", i)}))
	}
	for i := range 150 {
		moves = append(moves, track(restless.id, "Order Completed", m{"order_id": fmt.Sprint("order-", i), "total": 1}))
	}
	s.sends(moves...)
	restless.shown().has("email", "move-149@mail.example", "orders", 150)
	if n := len(s.quarantined()); n != 0 {
		t.Errorf("%d are quarantined", n)
	}
}

func TestParallelRequestsOfOneCustomer(t *testing.T) {
	s := begin(t)
	c := s.known("busy")
	const requests, each = 50, 3
	replies := s.together(requests, func(i int) *reply {
		var batch []m
		for j := range each {
			batch = append(batch, m{"type": "track", "userId": c.id, "event": fmt.Sprintf("%d.%d", i, j), "messageId": fmt.Sprintf("%d.%d", i, j)})
		}
		return s.sdk().try("POST", "/v1/batch", m{"batch": batch})
	})
	for _, a := range replies {
		a.expect(200)
	}
	seen := map[string]int{}
	last := map[string]string{}
	for _, name := range c.tracked() {
		seen[name]++
		request, part, _ := strings.Cut(name, ".")
		if part < last[request] {
			t.Errorf("of request %s, %s comes after %s", request, part, last[request])
		}
		last[request] = part
	}
	if len(seen) != requests*each {
		t.Errorf("%d different events are stored, want %d", len(seen), requests*each)
	}
	events := c.events()
	for i, e := range events {
		if e["version"] != float64(i+1) {
			t.Fatalf("version %v comes at place %d", e["version"], i+1)
		}
	}
	if len(events) != requests*each+1 {
		t.Errorf("%d events, want %d and one creation", len(events), requests*each)
	}
	s.settled()
	if shown := c.shown(); shown.number("version") != len(events) {
		t.Errorf("shown at version %d, want %d", shown.number("version"), len(events))
	}
}

// What SDKs and the API do to one customer at the same time adds up.
func TestSDKAndAPIAtOnce(t *testing.T) {
	s := begin(t)
	c := s.registers()
	replies := s.together(24, func(i int) *reply {
		switch i % 3 {
		case 0:
			return s.sdk().try("POST", "/v1/track", track(c.id, fmt.Sprint("Event ", i), nil))
		case 1:
			return s.try("PATCH", c.path(""), m{"attributes": m{fmt.Sprint("attribute ", i): i}})
		default:
			return s.try("POST", c.path("/consents"), m{"purpose": []string{"marketing", "analytics", "essential"}[i%9/3], "channel": "sms"})
		}
	})
	for _, a := range replies {
		if a.status >= 300 {
			t.Errorf("%s answers %d %s", a.call, a.status, a.body)
		}
	}
	if got := len(c.tracked()); got != 8 {
		t.Errorf("%d events, want 8", got)
	}
	attributes, _ := c.shown().at("attributes").(m)
	if len(attributes) != 8 {
		t.Errorf("attributes: %v", attributes)
	}
	for i, e := range c.events() {
		if e["version"] != float64(i+1) {
			t.Fatalf("version %v comes at place %d", e["version"], i+1)
		}
	}
	if text, _ := json.Marshal(c.get(c.path("/consents")).list("consents")); strings.Count(string(text), `"active"`) != 3 {
		t.Errorf("consents: %s", text)
	}
}
