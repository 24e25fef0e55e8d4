package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/record"
)

// TestHistoryJoinsTheProfile: what a visitor did before they were known is theirs, until it turns out that it was not.
func TestHistoryJoinsTheProfile(t *testing.T) {
	s := begin(t)
	visitor, user, cart := unique("anonymous"), unique("user"), unique("cart")
	send := func(body m) {
		t.Helper()
		body["messageId"] = unique("m")
		s.sdk().post("/v1/batch", m{"batch": []m{body}}).expect(200)
	}
	send(m{"type": "identify", "anonymousId": visitor, "timestamp": "2026-01-01T11:00:00Z", "traits": m{"theme": "dark", "plan": "free"}})
	send(m{"type": "track", "anonymousId": visitor, "event": "Product Added", "timestamp": "2026-01-01T10:00:00Z", "properties": m{"cart_id": cart, "product_id": "shoe", "price": 10, "currency": "TRY"}})
	send(m{"type": "track", "anonymousId": visitor, "event": "Order Completed", "timestamp": "2026-01-02T10:00:00Z", "properties": m{"order_id": unique("order"), "total": 10, "currency": "TRY"}})
	send(m{"type": "identify", "userId": user, "anonymousId": visitor, "timestamp": "2026-02-01T10:00:00Z", "traits": m{"plan": "gold"}})
	send(m{"type": "track", "userId": user, "event": "Order Completed", "timestamp": "2026-03-01T10:00:00Z", "properties": m{"order_id": unique("order"), "total": 30, "currency": "TRY"}})
	s.settled()
	path := "/v1/customers/" + user
	joined := m{
		"orders": 2.0, "lifetimeValue.0.amountMinor": 4000.0, "averageOrder.0.amountMinor": 2000.0, "averageOrder.0.payments": 2.0, "segments.0": "buyers",
		"firstSeenAt": "2026-01-01T10:00:00Z", "lastSeen.server": "2026-03-01T10:00:00Z", "attributes.plan": "gold", "attributes.theme": "dark", "visitors.0": visitor,
	}
	alone := m{
		"orders": 1.0, "lifetimeValue.0.amountMinor": 3000.0, "averageOrder.0.amountMinor": 3000.0, "firstSeenAt": "2026-03-01T10:00:00Z", "attributes.plan": "gold",
		"attributes.theme": nil, "visitors.0": nil,
	}
	expect := func(want m) {
		t.Helper()
		s.settled()
		a := s.get(path).expect(200)
		for name, value := range want {
			if got := a.at(name); got != value {
				t.Errorf("%s is %v, want %v", name, got, value)
			}
		}
	}
	expect(joined)
	s.get(path+"/identities").expect(200).has("identities.0.id", visitor, "identities.0.kind", "anonymous", "identities.0.owned", true, "identities.0.linkedAt", "2026-02-01T10:00:00Z")

	s.delete(path+"/identities/anonymous/"+visitor+"?reason=a+library%27s+computer").expect(200).has("identities.0", nil)
	expect(alone)
	send(m{"type": "identify", "userId": user, "anonymousId": visitor}) // it is not linked again by itself
	expect(alone)
	s.post(path+"/identities", m{"anonymousId": visitor}).expect(201).has("identities.0.id", visitor)
	expect(joined)

	// Everything made again from the events is the same.
	s.post("/_local/rebuild", m{}).expect(200)
	expect(joined)

	// Somebody who was linked with the visitor earlier is whose it is.
	other := unique("user")
	send(m{"type": "identify", "userId": other, "anonymousId": visitor, "timestamp": "2026-01-15T10:00:00Z"})
	joined["visitors.0"], alone["visitors.0"] = visitor, visitor
	alone["firstSeenAt"] = "2026-03-01T10:00:00Z"
	expect(alone)
	s.get("/v1/customers/"+other).has("orders", 1, "lifetimeValue.0.amountMinor", 1000)

	s.post(path+"/identities", m{"userId": user}).refused(422, "same-customer")
	s.post(path+"/identities", m{"userId": "null"}).refused(400, "invalid-id")
	s.post(path+"/identities", m{}).refused(400, "invalid-id")
	s.delete(path+"/identities/nobody/1").refused(400, "invalid-id")
	s.get("/v1/customers/"+unique("user")+"/identities").refused(404, "customer-not-found")
}

// TestAFormerIDJoins: a customer who turns out to be another one.
func TestAFormerIDJoins(t *testing.T) {
	s := begin(t)
	old, now := unique("user"), unique("user")
	for user, total := range map[string]int{old: 10, now: 30} {
		s.sdk().post("/v1/track", m{"userId": user, "event": "Order Completed", "properties": m{"order_id": unique("order"), "total": total, "currency": "TRY"}}).expect(200)
	}
	s.sdk().post("/v1/alias", m{"userId": now, "previousId": old}).expect(200)
	s.settled()
	s.get("/v1/customers/"+now).has("orders", 2, "lifetimeValue.0.amountMinor", 4000, "aliases.0", old)
	s.get("/v1/customers/"+old).has("orders", 1, "mergedInto", now)
	s.sdk().post("/v1/alias", m{"userId": old, "previousId": now}).expect(200) // each the other: counted once all the same
	s.settled()
	s.get("/v1/customers/"+now).has("orders", 2, "lifetimeValue.0.amountMinor", 4000)
	s.delete("/v1/customers/" + now + "/identities/user/" + old).expect(200)
	s.delete("/v1/customers/" + old + "/identities/user/" + now).expect(200)
	s.settled()
	s.get("/v1/customers/"+now).has("orders", 1, "lifetimeValue.0.amountMinor", 3000, "mergedInto", nil)
	s.get("/v1/customers/"+old).has("orders", 1, "mergedInto", nil)
}

// TestACartIsOnePersonsWhoeverTheyWere: filled before signing in and bought after, or left by both.
func TestACartIsOnePersonsWhoeverTheyWere(t *testing.T) {
	s := begin(t)
	put := func(user, visitor, cart string) {
		t.Helper()
		body := m{"anonymousId": visitor, "event": "Product Added", "messageId": unique("m"), "properties": m{"cart_id": cart, "product_id": "shoe", "price": 10, "currency": "TRY"}}
		if user != "" {
			body["userId"] = user
		}
		s.sdk().post("/v1/track", body).expect(200)
	}
	bought, left, visitors, carts := unique("user"), unique("user"), []string{unique("a"), unique("a")}, []string{unique("c"), unique("c")}
	put("", visitors[0], carts[0])
	s.sdk().post("/v1/track", m{"userId": bought, "anonymousId": visitors[0], "event": "Order Completed", "properties": m{"order_id": unique("order"), "total": 10, "currency": "TRY"}}).expect(200)
	put("", visitors[1], carts[1])
	put(left, visitors[1], carts[1])
	s.settled()
	s.get("/v1/customers/"+left).has("carts.0.cartId", carts[1], "carts.0.items", 2, "carts.0.valueMinor", 2000)
	for range 4 {
		s.advance("30m")
		s.settled()
	}
	is := func(user string, want int) {
		t.Helper()
		if events := s.get("/v1/customers/" + user + "/events?types=CartAbandoned").expect(200).list("events"); len(events) != want {
			t.Errorf("%s left a cart %d times, want %d: %v", user, len(events), want, events)
		}
	}
	eventually(t, "left", func() bool { return len(s.get("/v1/customers/"+left+"/events?types=CartAbandoned").list("events")) > 0 })
	for range 2 {
		s.advance("1h")
		s.settled()
	}
	is(bought, 0)
	is(left, 1)
	s.get("/v1/customers/"+left+"/events?types=CartAbandoned").has("events.0.data.totalValueMinor", 2000, "events.0.data.items.0.quantity", 2)
}

// TestAnyOrderGivesTheSameProfiles: the same messages of the same people, in any order and any batches, some of them
// twice. SEED repeats a run that failed.
func TestAnyOrderGivesTheSameProfiles(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	s := begin(t)
	began := s.system.clock.Now().UTC().Add(-2 * time.Hour)
	runs := 12
	if testing.Short() {
		runs = 3
	}
	for range runs {
		var messages []m
		for i := range 25 {
			at := began.Add(time.Duration(random.IntN(3600)) * time.Second).Format(time.RFC3339)
			message := m{"messageId": fmt.Sprint("m", i), "timestamp": at}
			if random.IntN(4) > 0 {
				message["anonymousId"] = fmt.Sprint("a", random.IntN(3))
			}
			if random.IntN(2) == 0 || message["anonymousId"] == nil {
				message["userId"] = fmt.Sprint("u", random.IntN(2))
			}
			switch random.IntN(6) {
			case 0, 1:
				message["type"], message["traits"] = "identify", m{"plan": fmt.Sprint("p", random.IntN(3)), "firstName": fmt.Sprint("N", random.IntN(3))}
			case 2:
				message["type"], message["event"] = "track", "Order Completed"
				message["properties"] = m{"order_id": fmt.Sprint("o", i), "total": random.IntN(100), "currency": "TRY"}
			case 3:
				message["type"], message["event"] = "track", "Order Refunded"
				message["properties"] = m{"order_id": fmt.Sprint("o", random.IntN(25)), "refund_id": fmt.Sprint("r", i), "total": 1 + random.IntN(9), "currency": "TRY"}
			case 4:
				message["type"], message["event"] = "track", "Product Added"
				message["properties"] = m{"cart_id": fmt.Sprint("c", random.IntN(2)), "product_id": "shoe", "price": 10, "currency": "TRY"}
			default:
				message["type"], message["name"] = "page", "home"
			}
			messages = append(messages, message)
		}
		var want []string
		for order := range 3 {
			prefix := unique("world")
			random.Shuffle(len(messages), func(i, j int) {
				if order > 0 {
					messages[i], messages[j] = messages[j], messages[i]
				}
			})
			again := append(slices.Clone(messages), messages[random.IntN(len(messages))], messages[random.IntN(len(messages))])
			for batch := range slices.Chunk(again, 1+random.IntN(9)) {
				s.sdk().post("/v1/batch", m{"batch": renamed(batch, prefix)}).expect(200)
			}
			s.settled()
			var got []string
			for _, user := range []string{"u0", "u1"} {
				got = append(got, s.profile(prefix, user))
			}
			if order == 0 {
				want = got
			} else if !slices.Equal(got, want) {
				t.Fatalf("seed %d: in another order\n got  %v\n want %v\n messages %v", seed, got, want, renamed(messages, ""))
			}
		}
	}
}

// renamed are messages whose people, orders and carts are of a world of their own.
func renamed(messages []m, prefix string) []m {
	var list []m
	for _, message := range messages {
		own := m{}
		for name, value := range message {
			if properties, ok := value.(m); ok && name == "properties" {
				inner := m{}
				for k, v := range properties {
					if k == "order_id" || k == "cart_id" {
						v = fmt.Sprint(prefix, v)
					}
					inner[k] = v
				}
				value = inner
			}
			if name == "userId" || name == "anonymousId" || name == "messageId" {
				value = fmt.Sprint(prefix, value)
			}
			own[name] = value
		}
		list = append(list, own)
	}
	return list
}

// profile is what is shown of a user, without what says when it was recorded, and by their own names.
func (s *story) profile(prefix, user string) string {
	s.Helper()
	a := s.get("/v1/customers/" + prefix + user)
	if a.status == 404 {
		return "nobody"
	}
	var shown m
	if err := json.Unmarshal(a.body, &shown); err != nil {
		s.Fatal(err)
	}
	delete(shown, "version")
	delete(shown, "updatedAt")
	delete(shown, "createdAt") // when they were first heard of
	text, err := json.Marshal(shown)
	if err != nil {
		s.Fatal(err)
	}
	return strings.ReplaceAll(string(text), prefix, "")
}

// TestPlaceholdersAreNobody: a program that has no id and sends "null" must not make one customer of everybody.
func TestPlaceholdersAreNobody(t *testing.T) {
	s := begin(t)
	visitor := unique("anonymous")
	s.sdk().post("/v1/track", m{"userId": "null", "anonymousId": visitor, "event": "Seen"}).expect(200)
	if got := s.visitor(visitor); len(got) != 1 {
		t.Errorf("the visitor's commits are %v", got)
	}
	user := unique("user")
	s.sdk().post("/v1/identify", m{"userId": user, "anonymousId": "00000000-0000-0000-0000-000000000000"}).expect(200)
	s.get("/v1/customers/"+user).expect(200).has("visitors", nil)
	s.sdk().post("/v1/track", m{"userId": "undefined", "event": "Seen"}).expect(200)
	s.sdk().post("/v1/alias", m{"userId": user, "previousId": "guest"}).expect(200)
	s.get("/v1/customers/undefined").refused(404, "customer-not-found")
	quarantine := s.get("/v1/quarantine").expect(200).list("messages")
	if len(quarantine) != 2 || quarantine[0]["reason"] != "the ids are placeholders, such as null" {
		t.Errorf("%v", quarantine)
	}
}

// TestErasingTakesFormerIDsAlong: what turned out to be the same person is erased with them, what was taken apart again is not.
func TestErasingTakesFormerIDsAlong(t *testing.T) {
	s := begin(t)
	ada, old, other := s.consents(), s.consents(), s.consents()
	for _, former := range []customer{old, other} {
		s.post(ada.path("/identities"), m{"userId": former.id}).expect(201)
	}
	s.delete(ada.path("/identities/user/" + other.id)).expect(200)
	s.settled()
	s.post(ada.path("/erasure"), m{}).expect(200)
	s.settled()
	ada.shown().refused(404, "customer-erased")
	old.shown().refused(404, "customer-erased")
	other.shown().expect(200).has("email", other.email)
	if again := s.registers("email", old.email); again.id == old.id {
		t.Error("nobody was erased")
	}
	for _, consented := range s.pages("/v1/consents?purpose=marketing&channel=email&limit=500", "consents") {
		if consented["customerId"] == old.id || consented["customerId"] == ada.id {
			t.Errorf("%v is still written to", consented)
		}
	}
}

// TestTimelinesAreJoined, in the order in which it was told, page by page.
func TestTimelinesAreJoined(t *testing.T) {
	s := begin(t)
	user, visitors := unique("someone"), []string{unique("a"), unique("a")}
	var want []string
	for i := range 30 {
		body := m{"event": fmt.Sprint("e", i), "messageId": unique("m")}
		switch i % 3 {
		case 0:
			body["userId"] = user
		default:
			body["anonymousId"] = visitors[i%3-1]
		}
		s.sdk().post("/v1/track", body).expect(200)
		want = append(want, map[int]string{0: "", 1: visitors[0], 2: visitors[1]}[i%3])
	}
	for _, visitor := range visitors {
		s.sdk().post("/v1/identify", m{"userId": user, "anonymousId": visitor}).expect(200)
	}
	s.settled()
	for _, limit := range []int{3, 7, 500} {
		var got []string
		var last time.Time
		for _, line := range s.pages(fmt.Sprintf("/v1/customers/%s/timeline?limit=%d", user, limit), "timeline") {
			text, _ := line["recordedAt"].(string)
			at, err := time.Parse(time.RFC3339, text)
			if err != nil || !last.IsZero() && at.After(last) {
				t.Errorf("%s comes after %s, %v", text, last, err)
			}
			last = at
			if line["type"] == "EventTracked" {
				of, _ := line["of"].(string)
				got = append(got, of)
			}
		}
		slices.Reverse(got)
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}

// TestAPublicKeyTakesNobodyOver: a page says who a visitor is, and not that another customer is somebody's.
func TestAPublicKeyTakesNobodyOver(t *testing.T) {
	s := begin(t)
	made := s.post("/v1/sources", m{"name": "shop", "kind": "browser"}).expect(201)
	page := s.with("Authorization", basic(made.text("writeKeys.0.writeKey"), ""))
	victim, visitor, attacker := s.registers(), unique("a"), unique("attacker")
	for _, previous := range []string{victim.id, visitor} {
		page.post("/v1/alias", m{"userId": attacker, "previousId": previous, "timestamp": "1999-01-01T00:00:00Z"}).expect(200)
	}
	s.settled()
	victim.shown().expect(200).has("mergedInto", nil)
	s.get("/v1/customers/"+attacker).expect(200).has("aliases", nil)
	s.post("/v1/customers/"+attacker+"/erasure", m{}).expect(200)
	victim.shown().expect(200).has("email", victim.email)
}

// TestALateLinkDoesNotUndoAnUnlink: events of the bus come again, and in any order.
func TestALateLinkDoesNotUndoAnUnlink(t *testing.T) {
	s := begin(t)
	user, visitor := unique("someone"), unique("a")
	s.sdk().post("/v1/identify", m{"userId": user, "anonymousId": visitor}).expect(200)
	s.settled()
	s.delete("/v1/customers/" + user + "/identities/anonymous/" + visitor).expect(200)
	s.settled()
	for e, err := range s.system.App.Log.Events(context.Background(), "CUSTOMER#"+user, 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.system.App.JoinIdentities(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	head, err := s.system.App.Log.Load(context.Background(), "VISITOR#"+visitor, record.Fold)
	if err != nil || record.Fold.Of(head).Identity.Owner() != "" {
		t.Errorf("owned by %q, %v", record.Fold.Of(head).Identity.Owner(), err)
	}
}
