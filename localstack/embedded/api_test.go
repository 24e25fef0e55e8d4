package embedded

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/timeline"
	"defter/pkg/topology"
)

func TestRegistering(t *testing.T) {
	s := begin(t)
	a := s.post("/v1/customers", m{
		"email": " Ada@Mail.Example ", "firstName": "Ada", "lastName": "Lovelace", "phone": "+44 20 7946 0018",
		"source": "web", "marketingConsent": true, "termsAccepted": true, "ipAddress": "203.0.113.7", "userAgent": "Firefox",
	}).expect(201).has("email", "Ada@Mail.Example", "firstName", "Ada", "lastName", "Lovelace", "phone", "+44 20 7946 0018",
		"status", "pending-verification", "emailVerified", false)
	c := customer{s, a.text("customerId"), "Ada@Mail.Example"}
	if location := a.header.Get("Location"); location != c.path("") {
		t.Errorf("Location is %q", location)
	}
	c.shown().expect(200).has("customerId", c.id, "email", c.email)

	events := c.events()
	if got := typesOf(events)[:3]; !slices.Equal(got, []string{"CustomerCreated", "ConsentGranted", "EmailVerificationRequested"}) {
		t.Fatalf("events are %v", got)
	}
	for i, e := range events[:3] { // one commit
		if e["version"] != float64(i+1) || e["recordedAt"] != events[0]["recordedAt"] || e["correlationId"] != events[0]["correlationId"] || e["actor"] != "api:dev" || e["source"] != "api" {
			t.Errorf("event %d is %v", i+1, e)
		}
	}
	for path, want := range map[string]any{"email": c.email, "ipAddress": "203.0.113.7", "userAgent": "Firefox", "source": "web", "unconfirmed": true} {
		if got := at(events[0]["data"], path); got != want {
			t.Errorf("CustomerCreated has %s %v, want %v", path, got, want)
		}
	}

	s.settled()
	before := s.stored()
	for body, want := range map[string]string{
		`{"email":"ada@mail.example","termsAccepted":true}`:                "409 email-taken",
		`{"email":"ADA@MAIL.EXAMPLE","termsAccepted":true}`:                "409 email-taken",
		`{"email":"new@mail.example"}`:                                     "422 terms-not-accepted",
		`{"email":"new@mail.example","termsAccepted":false}`:               "422 terms-not-accepted",
		`{"termsAccepted":true}`:                                           "400 invalid-email",
		`{"email":"new@localhost","termsAccepted":true}`:                   "400 invalid-email",
		`{"email":"Ada <new@mail.example>","termsAccepted":true}`:          "400 invalid-email",
		`{"email":"a@b.example, c@d.example","termsAccepted":true}`:        "400 invalid-email",
		`{"email":"new@mail.example\r\nBcc: x@y.z","termsAccepted":true}`:  "400 invalid-email",
		`{"email":"new@mail.example","source":"fax","termsAccepted":true}`: "400 invalid-source",
	} {
		a := s.post("/v1/customers", body)
		if got := fmt.Sprint(a.status, " ", a.slug()); got != want {
			t.Errorf("%s is refused as %s, want %s", body, got, want)
		}
	}
	s.settled()
	s.unchangedBut(before, func(key string) bool { return strings.Contains(key, c.id) }) // her own journey goes on
}

// unchangedBut reports items that came, went or changed, except those expected to.
func (s *story) unchangedBut(before map[string]string, expected func(key string) bool) {
	s.Helper()
	after := s.stored()
	for key, item := range after {
		if before[key] != item && !expected(key) && !strings.HasPrefix(key, "CHECKPOINT ") {
			s.Errorf("stored: %s %.300s", key, item)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok && !expected(key) {
			s.Errorf("gone: %s", key)
		}
	}
}

func TestB18_ParallelRegistrationsOfOneAddress(t *testing.T) {
	s := begin(t)
	for round := range 5 {
		address := fmt.Sprintf("Grace.Hopper%d@Mail.Example", round)
		spellings := []string{address, strings.ToLower(address), strings.ToUpper(address), " " + address + " "}
		replies := s.together(16, func(i int) *reply {
			return s.try("POST", "/v1/customers", m{"email": spellings[i%len(spellings)], "termsAccepted": true})
		})
		var won *reply
		for _, a := range replies {
			switch {
			case a.status == 201 && won == nil:
				won = a
			case a.status == 201:
				t.Errorf("registered twice: %s and %s", won.body, a.body)
			default:
				a.refused(409, "email-taken")
			}
		}
		if won == nil {
			t.Fatal("nobody won")
		}
		s.get("/v1/customers?email="+url.QueryEscape(address)).expect(200).has("customerId", won.text("customerId"))
	}
	customers := map[string]bool{}
	for key := range s.itemsWith(topology.Events, "CUSTOMER#") {
		stream, _, _ := strings.Cut(key, " ")
		customers[stream] = true
	}
	if len(customers) != 5 {
		t.Errorf("%d customers are stored, want 5", len(customers))
	}
}

// together makes n calls at once.
func (s *story) together(n int, call func(i int) *reply) []*reply {
	s.Helper()
	replies := make([]*reply, n)
	begun := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-begun
			replies[i] = call(i)
		})
	}
	close(begun)
	group.Wait()
	for _, a := range replies {
		if a.err != nil {
			s.Fatalf("%s: %v", a.call, a.err)
		}
	}
	return replies
}

// callsOf are calls of every route of the API that concerns one customer, which succeed for one who exists.
func callsOf(id string) map[string]func(s *story) *reply {
	path := "/v1/customers/" + id
	send := func(method, path string, body any) func(*story) *reply {
		return func(s *story) *reply { s.Helper(); return s.send(method, path, body) }
	}
	return map[string]func(*story) *reply{
		"GET /v1/customers/{id}":                                 send("GET", path, nil),
		"PATCH /v1/customers/{id}":                               send("PATCH", path, m{"firstName": "Ada"}),
		"PUT /v1/customers/{id}/email":                           send("PUT", path+"/email", m{"email": email(unique("other"))}),
		"POST /v1/customers/{id}/email-verification":             send("POST", path+"/email-verification", m{}),
		"POST /v1/customers/{id}/deactivation":                   send("POST", path+"/deactivation", m{}),
		"POST /v1/customers/{id}/reactivation":                   send("POST", path+"/reactivation", m{}),
		"POST /v1/customers/{id}/consents":                       send("POST", path+"/consents", m{"purpose": "analytics", "channel": "push"}),
		"DELETE /v1/customers/{id}/consents/{purpose}/{channel}": send("DELETE", path+"/consents/marketing/email", nil),
		"GET /v1/customers/{id}/consents":                        send("GET", path+"/consents", nil),
		"PUT /v1/customers/{id}/preferences":                     send("PUT", path+"/preferences", m{"emailFrequency": "weekly"}),
		"GET /v1/customers/{id}/events":                          send("GET", path+"/events", nil),
		"GET /v1/customers/{id}/messages":                        send("GET", path+"/messages", nil),
		"GET /v1/customers/{id}/timeline":                        send("GET", path+"/timeline", nil),
		"GET /v1/customers/{id}/audit":                           send("GET", path+"/audit", nil),
		"GET /v1/customers/{id}/orders":                          send("GET", path+"/orders", nil),
		"GET /v1/customers/{id}/identities":                      send("GET", path+"/identities", nil),
		"POST /v1/customers/{id}/identities":                     send("POST", path+"/identities", m{"anonymousId": "phone"}),
		"DELETE /v1/customers/{id}/identities/{kind}/{identity}": send("DELETE", path+"/identities/anonymous/phone", nil),
		"GET /v1/customers/{id}/erasure":                         send("GET", path+"/erasure", nil),
		"POST /v1/customers/{id}/erasure":                        send("POST", path+"/erasure", m{}),
	}
}

func TestB17_UnknownCustomer(t *testing.T) {
	s := begin(t)
	before := s.stored()
	calls := callsOf("nobody")
	for _, route := range keyed() {
		if !strings.Contains(route, "/customers/{id}") {
			continue
		}
		call := calls[route]
		if call == nil {
			t.Errorf("%s is not called here", route)
			continue
		}
		call(s).refused(404, "customer-not-found")
	}
	s.get("/v1/customers?email=nobody@mail.example").refused(404, "customer-not-found")
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
}

// keyed are the routes that ask for an API key.
func keyed() []string {
	var routes []string
	for _, f := range topology.Functions {
		for _, r := range f.Routes {
			if r.Auth == topology.APIKey {
				routes = append(routes, r.Method+" "+r.Path)
			}
		}
	}
	return routes
}

func TestStrangersAreRefused(t *testing.T) {
	s := begin(t)
	c := s.registers()
	s.settled()
	before := s.stored()
	calls := callsOf(c.id)
	calls["POST /v1/customers"] = func(s *story) *reply {
		return s.post("/v1/customers", m{"email": "stranger@mail.example", "termsAccepted": true})
	}
	calls["GET /v1/customers"] = func(s *story) *reply { return s.get("/v1/customers?email=" + c.email) }
	send := func(method, path string, body any) func(*story) *reply {
		return func(s *story) *reply { return s.send(method, path, body) }
	}
	for _, what := range []string{"payment", "cancellation", "shipment", "delivery", "refunds"} {
		calls["POST /v1/orders/{id}/"+what] = send("POST", "/v1/orders/o-1/"+what, m{})
	}
	calls["PUT /v1/products/{id}"] = send("PUT", "/v1/products/shoe", m{"quantity": 1})
	calls["GET /v1/products/{id}"] = send("GET", "/v1/products/shoe", nil)
	calls["POST /v1/orders"] = send("POST", "/v1/orders", c.basket())
	calls["GET /v1/orders/{id}"] = send("GET", "/v1/orders/o-1", nil)
	calls["POST /v1/sources"] = send("POST", "/v1/sources", m{"name": "a stranger's", "kind": "server"})
	calls["GET /v1/sources"] = send("GET", "/v1/sources", nil)
	calls["PATCH /v1/sources/{id}"] = send("PATCH", "/v1/sources/dev", m{"enabled": false})
	calls["POST /v1/sources/{id}/write-keys"] = send("POST", "/v1/sources/dev/write-keys", m{})
	calls["POST /v1/visitors/{id}/erasure"] = send("POST", "/v1/visitors/v-1/erasure", m{})
	calls["GET /v1/visitors/{id}/erasure"] = send("GET", "/v1/visitors/v-1/erasure", nil)
	calls["GET /v1/quarantine"] = send("GET", "/v1/quarantine", nil)
	calls["POST /v1/quarantine/{id}/release"] = send("POST", "/v1/quarantine/ZGV2/release", m{})
	calls["GET /v1/consents"] = func(s *story) *reply { return s.get("/v1/consents?purpose=marketing&channel=email") }
	for _, route := range keyed() {
		call := calls[route]
		if call == nil {
			t.Errorf("%s is not called here", route)
			continue
		}
		for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Bearer " + WriteKey, "Basic ZGV2LWtleTo=", APIKey} {
			a := call(s.with("Authorization", authorization))
			a.refused(401, "unauthorized")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: 401 without WWW-Authenticate", route)
			}
		}
		if a := call(s.with("Authorization", "bearer "+APIKey)); a.status == 401 { // the scheme has no case
			t.Errorf("%s does not know its key: %s", route, a.body)
		} else if route == "GET /v1/customers/{id}" {
			s.unchangedBut(before, func(string) bool { return false })
		}
		s.settled()
		before = s.stored()
	}
}

func TestOpenRoutes(t *testing.T) {
	s := begin(t).with("Authorization", "")
	s.get("/healthz").expect(200).has("status", "healthy")
	description := s.get("/openapi.json").expect(200)
	if !strings.HasPrefix(description.text("openapi"), "3.") {
		t.Errorf("the description is %.100s", description.body)
	}
	paths, _ := description.at("paths").(m)
	for _, f := range topology.Functions {
		for _, r := range f.Routes {
			operations, _ := paths[strings.Replace(r.Path, "+}", "}", 1)].(m)
			if r.Path != topology.Anywhere && operations[strings.ToLower(r.Method)] == nil {
				t.Errorf("%s %s is not described", r.Method, r.Path)
			}
			if text := fmt.Sprint(operations[strings.ToLower(r.Method)]); r.Auth == topology.APIKey && strings.Contains(text, "Idempotency-Key") != (r.Method != "GET") {
				t.Errorf("%s %s and an Idempotency-Key are not described together: %.300s", r.Method, r.Path, text)
			}
		}
	}
	s.get("/v1/nothing").refused(404, "no-route")
	s.post("/healthz", m{}).refused(405, "no-route")
}

func TestReadingACustomer(t *testing.T) {
	s := begin(t)
	c := s.registers("firstName", "Ada")
	s.settled()
	s.advance("1h")
	c.patch(c.path(""), m{"firstName": "Augusta"}).expect(200)
	s.advance("1h")
	c.patch(c.path(""), m{"lastName": "King"}).expect(200)

	events := c.events()
	names := map[int]string{}
	for _, e := range events {
		v := int(e["version"].(float64))
		a := c.get(c.path(fmt.Sprintf("?version=%d", v))).expect(200).has("version", v)
		names[v] = a.text("firstName") + a.text("lastName")
		if e["type"] == "CustomerNameUpdated" {
			asOf := c.get(c.path("?asOf=" + url.QueryEscape(e["recordedAt"].(string)))).expect(200)
			if asOf.text("firstName")+asOf.text("lastName") != names[v] {
				t.Errorf("as of %v it is %s, at version %d %s", e["recordedAt"], asOf.body, v, names[v])
			}
			at, _ := time.Parse(time.RFC3339, e["recordedAt"].(string))
			before := c.get(c.path("?asOf=" + url.QueryEscape(at.Add(-time.Minute).Format(time.RFC3339)))).expect(200)
			if before.text("firstName")+before.text("lastName") == names[v] {
				t.Errorf("a minute before version %d it was %s already", v, names[v])
			}
		}
	}
	if names[1] != "Ada" || names[len(events)-1] != "Augusta" || names[len(events)] != "AugustaKing" {
		t.Errorf("the names were %v", names)
	}
	c.get(c.path("?version=1000")).expect(200).has("version", len(events))
	c.get(c.path("?asOf=2001-01-01T00:00:00Z")).refused(404, "customer-not-found")
	c.get(c.path("?version=1&asOf=2001-01-01T00:00:00Z")).refused(400, "invalid-query")

	for i := range 30 { // whoever writes sees what they wrote, at once
		name := fmt.Sprint("Ada ", i)
		c.patch(c.path(""), m{"firstName": name}).expect(200).has("firstName", name)
		c.shown().expect(200).has("firstName", name)
		s.get("/v1/customers?email="+c.email).expect(200).has("firstName", name)
	}
}

func TestB25_MergePatch(t *testing.T) {
	s := begin(t)
	c := s.registers("firstName", "Ada", "lastName", "Lovelace", "phone", "+44 1")
	s.settled()
	address := m{"line1": "12 St James's Square", "line2": "first floor", "city": "London", "postalCode": "SW1Y 4LB", "country": "GB"}
	c.patch(c.path(""), m{"address": address, "attributes": m{"plan": "gold", "score": 7.5, "vip": true}}).expect(200)

	for _, change := range []struct {
		what  string
		patch any
		want  []any
	}{
		{"absent stays", m{"lastName": "King"}, []any{"firstName", "Ada", "lastName", "King", "phone", "+44 1", "address.city", "London"}},
		{"null clears", `{"firstName":null}`, []any{"firstName", nil, "lastName", "King"}},
		{"so does the empty text", m{"phone": ""}, []any{"phone", nil}},
		{"a part of the address", m{"address": m{"city": "Ockham"}}, []any{"address.city", "Ockham", "address.line1", "12 St James's Square"}},
		{"null clears a part of the address", `{"address":{"line2":null}}`, []any{"address.line2", nil, "address.line1", "12 St James's Square", "address.city", "Ockham"}},
		{"one attribute", m{"attributes": m{"plan": "silver"}}, []any{"attributes.plan", "silver", "attributes.score", 7.5, "attributes.vip", true}},
		{"null removes an attribute", `{"attributes":{"vip":null}}`, []any{"attributes.plan", "silver", "attributes.vip", nil}},
		{"null removes all of them", `{"attributes":null}`, []any{"attributes", nil}},
		{"null clears the address", `{"address":null}`, []any{"address", nil, "lastName", "King"}},
		{"all at once", m{"firstName": "Augusta", "phone": "+44 2", "dateOfBirth": "1915-12-10"}, []any{"firstName", "Augusta", "phone", "+44 2", "dateOfBirth", "1915-12-10"}},
	} {
		c.patch(c.path(""), change.patch).expect(200).has(change.want...)
		shown := c.shown().expect(200)
		shown.call = change.what
		shown.has(change.want...)
		version := shown.number("version")
		c.patch(c.path(""), change.patch).expect(200).has("version", version) // again: no event
	}
	version := c.shown().number("version")
	for _, nothing := range []any{"", "{}", m{"firstName": "Augusta"}, m{"attributes": m{}}, `{"attributes":{"unknown":null}}`, `{"address":null}`, `{"address":{}}`} {
		c.patch(c.path(""), nothing).expect(200).has("version", version)
	}
}

func TestB26_DateOfBirth(t *testing.T) {
	s := begin(t)
	c := s.registers()
	c.patch(c.path(""), m{"dateOfBirth": "1915-12-10"}).expect(200).has("dateOfBirth", "1915-12-10")
	c.shown().has("dateOfBirth", "1915-12-10")
	if n := c.happened("CustomerBirthDateUpdated"); n != 1 {
		t.Errorf("%d events", n)
	}
	c.patch(c.path(""), `{"dateOfBirth":null}`).expect(200).has("dateOfBirth", nil)
	tomorrow := time.Now().AddDate(0, 0, 2).UTC().Format(time.DateOnly)
	for _, wrong := range []string{tomorrow, "1899-12-31", "2001-02-30", "10.12.1915", "1915-12-10T00:00:00Z", "0"} {
		c.patch(c.path(""), m{"dateOfBirth": wrong}).refused(400, "invalid-date-of-birth")
	}
}

func TestB15_EmailThereAndBack(t *testing.T) {
	s := begin(t)
	c := s.registers()
	second := email(unique("second"))
	c.put(c.path("/email"), m{"email": second}).expect(200).has("email", second, "emailVerified", false)
	s.settled()
	version := c.shown().number("version")
	c.put(c.path("/email"), m{"email": strings.ToUpper(second)}).expect(200).has("version", version) // the same
	c.put(c.path("/email"), m{"email": c.email}).expect(200).has("email", c.email)
	c.put(c.path("/email"), m{"email": second}).expect(200).has("email", second)

	var went []string
	for _, e := range c.pages(c.path("/events?types=CustomerEmailUpdated"), "events") {
		went = append(went, fmt.Sprint(at(e["data"], "oldEmail"), " → ", at(e["data"], "newEmail")))
	}
	if want := []string{c.email + " → " + second, second + " → " + c.email, c.email + " → " + second}; !slices.Equal(went, want) {
		t.Errorf("the changes are %v, want %v", went, want)
	}
}

func TestB18_AddressesAreHeldAndReleased(t *testing.T) {
	s := begin(t)
	ada, ben := s.registers(), s.registers()
	before := s.stored()
	ada.put(ada.path("/email"), m{"email": strings.ToUpper(ben.email)}).refused(409, "email-taken")
	ada.shown().has("email", ada.email)

	moved := email(unique("moved"))
	ada.put(ada.path("/email"), m{"email": moved}).expect(200)
	s.get("/v1/customers?email="+ada.email).refused(404, "customer-not-found")
	s.get("/v1/customers?email="+moved).expect(200).has("customerId", ada.id)
	heir := s.registers("email", ada.email) // released
	ada.put(ada.path("/email"), m{"email": heir.email}).refused(409, "email-taken")
	s.get("/v1/customers?email="+ada.email).expect(200).has("customerId", heir.id)
	if len(s.itemsWith(topology.Events, "UNIQUE#email#")) != 3 || len(before) == 0 {
		t.Errorf("claims: %v", s.itemsWith(topology.Events, "UNIQUE#email#"))
	}

	wanted := email(unique("wanted")) // by both at once
	replies := s.together(8, func(i int) *reply {
		c := []customer{ada, ben}[i%2]
		return s.try("PUT", c.path("/email"), m{"email": wanted})
	})
	holders := map[string]bool{}
	for _, a := range replies {
		if a.status == 200 {
			holders[a.text("customerId")] = true
		} else if a.status != 409 {
			t.Errorf("%s answers %d %s", a.call, a.status, a.body)
		}
	}
	if len(holders) != 1 || !holders[s.get("/v1/customers?email="+wanted).expect(200).text("customerId")] {
		t.Errorf("%d hold the address", len(holders))
	}
}

func TestB21_VerificationToken(t *testing.T) {
	s := begin(t)
	c := s.registers()
	verification := func(token string) *reply { return c.post(c.path("/email-verification"), m{"token": token}) }
	code := func(n int) string { return tokenInMail.FindString(s.mailed(c.email, n)[n-1].Text) }

	first := code(1)
	for name, table := range map[string]map[string]string{"events": s.items(topology.Events), "views": s.items(topology.Views), "keys": s.items(topology.Keys), "local": s.items(localTable)} {
		for key, item := range table {
			if strings.Contains(item, first) {
				t.Errorf("the token is in the %s table: %s", name, key)
			}
		}
	}
	for _, e := range c.events() {
		if text, _ := json.Marshal(e); strings.Contains(string(text), first) {
			t.Errorf("the token is in %s", text)
		}
	}
	if strings.Contains(logs.String(), first) {
		t.Error("the token is in the log")
	}

	verification("wrong").refused(422, "wrong-token")
	s.advance("169h")
	verification(first).refused(422, "token-expired")
	c.post(c.path("/email-verification"), m{}).expect(200).has("emailVerified", false) // a new one, please
	second := code(2)
	if second == first || second == "" {
		t.Fatalf("the second token is %q", second)
	}
	verification(first).refused(422, "wrong-token")
	verification(second).expect(200).has("emailVerified", true, "status", "active")
	s.settled()
	version := c.shown().number("version")
	verification(second).expect(200).has("version", version)                       // again
	c.post(c.path("/email-verification"), m{}).expect(200).has("version", version) // nothing left to verify

	changed := email(unique("changed"))
	c.put(c.path("/email"), m{"email": changed}).expect(200).has("emailVerified", false, "status", "active")
	verification(second).refused(422, "wrong-token")
	verification(tokenInMail.FindString(s.mailed(changed, 1)[0].Text)).expect(200).has("emailVerified", true)
}

func TestB28_DeactivationRevokesMarketingOnly(t *testing.T) {
	s := begin(t)
	c := s.consents()
	for _, channel := range []string{"sms", "push"} {
		c.post(c.path("/consents"), m{"purpose": "marketing", "channel": channel}).expect(201)
	}
	for _, purpose := range []string{"analytics", "essential"} {
		c.post(c.path("/consents"), m{"purpose": purpose, "channel": "email"}).expect(201)
	}
	c.post(c.path("/deactivation"), m{"reason": "customer-request", "notes": "by telephone"}).expect(200).has("status", "deactivated")
	status := map[string]any{}
	for _, consent := range c.get(c.path("/consents")).expect(200).list("consents") {
		status[fmt.Sprint(consent["purpose"], "/", consent["channel"])] = consent["status"]
	}
	want := map[string]any{"marketing/email": "revoked", "marketing/sms": "revoked", "marketing/push": "revoked", "analytics/email": "active", "essential/email": "active"}
	if fmt.Sprint(status) != fmt.Sprint(want) {
		t.Errorf("consents are %v, want %v", status, want)
	}
	s.settled()
	version := c.shown().number("version")
	c.post(c.path("/deactivation"), m{}).expect(200).has("version", version)
	c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "email"}).refused(422, "customer-deactivated")
	c.post(c.path("/deactivation"), m{"reason": "boredom"}).expect(200) // already is: not looked at
	other := s.registers()
	other.post(other.path("/deactivation"), m{"reason": "boredom"}).refused(400, "invalid-reason")
}

func TestB29_Reactivation(t *testing.T) {
	s := begin(t)
	pending, active := s.consents(), s.consents()
	active.post(active.path("/email-verification"), m{"token": tokenInMail.FindString(s.mailed(active.email, 1)[0].Text)}).expect(200)
	for c, status := range map[customer]string{pending: "pending-verification", active: "active"} {
		c.post(c.path("/reactivation"), m{}).expect(200).has("status", status) // nothing to undo
		c.post(c.path("/deactivation"), m{}).expect(200).has("status", "deactivated")
		c.post(c.path("/reactivation"), m{}).expect(200).has("status", status)
		c.get(c.path("/consents")).expect(200).has("consents.0.status", "revoked") // consent does not come back by itself
		c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "email"}).expect(201).has("consents.0.status", "active")
	}
}

func TestConsents(t *testing.T) {
	s := begin(t)
	c := s.registers()
	s.settled()
	c.get(c.path("/consents")).expect(200).has("consents", "[]")
	granted := c.with("User-Agent", "Opera").post(c.path("/consents"), m{"purpose": "marketing", "channel": "sms", "consentMethod": "paper form", "ipAddress": "203.0.113.9"}).
		expect(201).has("consents.0.purpose", "marketing", "consents.0.channel", "sms", "consents.0.status", "active")
	if got := c.pages(c.path("/events?types=ConsentGranted"), "events")[0]["data"]; at(got, "ipAddress") != "203.0.113.9" || at(got, "userAgent") != "Opera" || at(got, "consentMethod") != "paper form" {
		t.Errorf("the proof is %v", got)
	}
	version := c.shown().number("version")
	c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "sms"}).expect(201).has("consents.0.expiresAt", granted.text("consents.0.expiresAt"))
	c.shown().has("version", version)

	s.advance("240h")
	renewed := c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "sms", "renew": true}).expect(201)
	if renewed.text("consents.0.expiresAt") <= granted.text("consents.0.expiresAt") || renewed.text("consents.0.grantedAt") != granted.text("consents.0.grantedAt") {
		t.Errorf("renewed: %s", renewed.body)
	}
	c.delete(c.path("/consents/marketing/sms?reason=complaint")).expect(200).has("consents.0.status", "revoked", "consents.0.reason", "complaint")
	version = c.shown().number("version")
	c.delete(c.path("/consents/marketing/sms")).expect(200) // again, and one that never was
	c.delete(c.path("/consents/analytics/push")).expect(200)
	c.shown().has("version", version)

	c.delete(c.path("/consents/marketing/fax")).refused(400, "invalid-channel")
	c.delete(c.path("/consents/everything/sms")).refused(400, "invalid-purpose")
	c.delete(c.path("/consents/essential/email")).refused(422, "essential-consent")
	c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "sms"}).expect(201)
	c.delete(c.path("/consents/marketing/sms?reason=whim")).refused(400, "invalid-reason")
	c.post(c.path("/consents"), m{"channel": "sms"}).refused(400, "invalid-purpose")
	c.post(c.path("/consents"), m{"purpose": "marketing"}).refused(400, "invalid-channel")
}

func TestWhoConsents(t *testing.T) {
	s := begin(t)
	want := map[string]bool{}
	for range 9 {
		want[s.consents().id] = true
	}
	gone := s.consents()
	gone.delete(gone.path("/consents/marketing/email")).expect(200)
	other := s.registers()
	other.post(other.path("/consents"), m{"purpose": "marketing", "channel": "sms"}).expect(201)
	s.settled()
	for limit := 1; limit <= 10; limit++ {
		got := map[string]bool{}
		for _, c := range s.pages(fmt.Sprintf("/v1/consents?purpose=marketing&channel=email&limit=%d", limit), "customers") {
			id := c["customerId"].(string)
			if got[id] {
				t.Errorf("limit %d: %s is listed twice", limit, id)
			}
			got[id] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("limit %d: %d consent, want %d", limit, len(got), len(want))
		}
	}
	if got := s.pages("/v1/consents?purpose=marketing&channel=sms", "customers"); len(got) != 1 || got[0]["customerId"] != other.id {
		t.Errorf("consent to sms: %v", got)
	}
	s.get("/v1/consents").refused(400, "invalid-purpose")
	s.get("/v1/consents?purpose=marketing").refused(400, "invalid-channel")
	s.get("/v1/consents?purpose=marketing&channel=email&limit=0").refused(400, "invalid-limit")
}

func TestPreferences(t *testing.T) {
	s := begin(t)
	c := s.registers()
	s.settled()
	set := func(body any) *reply { s.Helper(); return c.put(c.path("/preferences"), body) }
	set(m{"emailFrequency": "weekly", "categories": []string{"shoes"}, "timezone": "Europe/Istanbul", "emailEnabled": true}).
		expect(200).has("preferences.emailFrequency", "weekly", "preferences.categories.0", "shoes", "preferences.timezone", "Europe/Istanbul")
	set(m{"emailEnabled": false}).expect(200).has("preferences.emailFrequency", "weekly", "preferences.emailEnabled", false)
	version := c.shown().number("version")
	set(m{"emailEnabled": false}).expect(200)
	c.shown().has("version", version)

	// A client that was offline comes late: what was chosen later stays, field by field.
	s.advance("2h")
	set(m{"emailFrequency": "daily"}).expect(200)
	offline := c.pages(c.path("/events?types=PreferencesUpdated"), "events")[0]["occurredAt"].(string)
	set(m{"emailFrequency": "never", "smsEnabled": true, "updatedAt": offline}).expect(200).has("preferences.emailFrequency", "daily", "preferences.smsEnabled", true)

	for body, slug := range map[string]string{
		`{"emailFrequency":"hourly"}`:                                   "invalid-frequency",
		`{"timezone":"Mars/Olympus"}`:                                   "invalid-timezone",
		`{"timezone":""}`:                                               "invalid-timezone",
		`{"categories":[""]}`:                                           "invalid-category",
		`{"updatedAt":"2999-01-01T00:00:00Z"}`:                          "invalid-time",
		`{"updatedAt":"yesterday"}`:                                     "invalid-json",
		`{"categories":"shoes"}`:                                        "invalid-json",
		`{"pushCategories":[` + strings.Repeat(`"a",`, 100) + `"a"]}`:   "too-many-categories",
		`{"categories":["` + strings.Repeat("x", 65) + `"]}`:            "invalid-category",
		`{"emailEnabled":"yes"}`:                                        "invalid-json",
		`{"updatedAt":"0001-01-01T00:00:00Z","emailFrequency":"daily"}`: "invalid-time",
	} {
		set(body).refused(400, slug)
	}
}

func TestListingEvents(t *testing.T) {
	s := begin(t)
	c := s.consents()
	s.settled()
	for i := range 4 {
		s.advance("1h")
		c.with("X-Correlation-Id", fmt.Sprint("change-", i)).patch(c.path(""), m{"firstName": fmt.Sprint("Ada ", i), "phone": fmt.Sprint("+44 ", i)}).expect(200)
	}
	s.settled()
	whole := c.events()
	ids := map[any]bool{}
	for i, e := range whole {
		if e["version"] != float64(i+1) {
			t.Fatalf("event %d has version %v", i+1, e["version"])
		}
		if ids[e["id"]] || e["id"] == "" || e["correlationId"] == "" || e["schemaVersion"].(float64) < 1 || e["actor"] == "" || e["source"] == "" || e["data"] == nil {
			t.Errorf("event %d is %v", i+1, e)
		}
		ids[e["id"]] = true
	}
	for _, e := range whole { // what happened because of something says so
		if strings.HasPrefix(e["actor"].(string), "system:") && (!ids[e["causationId"]] || e["correlationId"] != whole[0]["correlationId"]) {
			t.Errorf("%v was caused by %v in %v", e["type"], e["causationId"], e["correlationId"])
		}
	}
	if got := whole[len(whole)-1]["correlationId"]; got != "change-3" {
		t.Errorf("the last change is part of %v", got)
	}
	text := func(events []m) string { t, _ := json.Marshal(events); return string(t) }
	for limit := 1; limit <= len(whole)+1; limit++ {
		if paged := c.pages(c.path(fmt.Sprintf("/events?limit=%d", limit)), "events"); text(paged) != text(whole) {
			t.Errorf("pages of %d do not make up the whole", limit)
		}
	}

	named := slices.DeleteFunc(slices.Clone(whole), func(e m) bool { return e["type"] != "CustomerNameUpdated" && e["type"] != "ConsentGranted" })
	for limit := 1; limit <= 3; limit++ {
		if got := c.pages(c.path(fmt.Sprintf("/events?types=CustomerNameUpdated,ConsentGranted&limit=%d", limit)), "events"); text(got) != text(named) {
			t.Errorf("types in pages of %d: %v", limit, typesOf(got))
		}
	}
	from, to := named[2]["occurredAt"].(string), named[4]["occurredAt"].(string)
	between := slices.DeleteFunc(slices.Clone(whole), func(e m) bool { return when(e).Before(when(named[2])) || !when(e).Before(when(named[4])) })
	if got := c.pages(c.path("/events?from="+from+"&to="+to), "events"); text(got) != text(between) || len(got) == 0 {
		t.Errorf("from %s to %s: %v, want %v", from, to, typesOf(got), typesOf(between))
	}
	c.get(c.path("/events?types=Unheard")).refused(400, "invalid-types")
	c.get(c.path("/events?from=yesterday")).refused(400, "invalid-from")
	c.get(c.path("/events?limit=501")).refused(400, "invalid-limit")
}

func when(event m) time.Time {
	at, _ := time.Parse(time.RFC3339, event["occurredAt"].(string))
	return at
}

func TestMessagesTimelineAndAudit(t *testing.T) {
	s := begin(t)
	c := s.consents()
	c.patch(c.path(""), m{"firstName": "Ada", "phone": "+44 1", "attributes": m{"plan": "gold"}}).expect(200)
	s.sdk().post("/v1/page", m{"userId": c.id, "name": "Shoes"}).expect(200)
	s.mailed(c.email, 1)
	s.settled()
	s.advance("25h")
	s.mailed(c.email, 2)
	s.settled()
	whole := c.events()

	messages := c.pages(c.path("/messages?limit=1"), "messages")
	if len(messages) != 2 || messages[0]["status"] != "sent" || messages[1]["status"] != "sent" || messages[0]["campaign"] != "welcome" || messages[0]["idempotencyKey"] == messages[1]["idempotencyKey"] {
		t.Errorf("messages: %v", messages)
	}

	var newestFirst []string
	for _, e := range slices.Backward(whole) {
		newestFirst = append(newestFirst, fmt.Sprint(e["version"], e["id"], e["type"], e["occurredAt"]))
	}
	for _, limit := range []int{1, 2, 100} {
		var lines []string
		for _, line := range c.pages(c.path(fmt.Sprintf("/timeline?limit=%d", limit)), "timeline") {
			lines = append(lines, fmt.Sprint(line["version"], line["id"], line["type"], line["occurredAt"]))
		}
		if !slices.Equal(lines, newestFirst) {
			t.Errorf("timeline in pages of %d: %v, want %v", limit, lines, newestFirst)
		}
	}
	for accept, language := range map[string]string{"": "en", "de": "en", "tr-TR,tr;q=0.9,en;q=0.8": "tr"} {
		a := c.with("Accept-Language", accept).get(c.path("/timeline?limit=500")).expect(200)
		if a.header.Get("Content-Language") != language || a.header.Get("Vary") != "Accept-Language" {
			t.Errorf("for %q in %q, varying by %q", accept, a.header.Get("Content-Language"), a.header.Get("Vary"))
		}
		for _, line := range a.list("timeline") {
			if want := timeline.Text(line["type"].(string), language); line["text"] != want {
				t.Errorf("for %q %s is %q, want %q", accept, line["type"], line["text"], want)
			}
		}
	}

	var audited []string
	for _, e := range whole {
		if slices.Contains(topology.AuditedEvents, e["type"].(string)) {
			audited = append(audited, fmt.Sprint(e["version"], e["type"], e["actor"], e["correlationId"]))
		}
	}
	for _, limit := range []int{1, 2, 100} {
		var trail []string
		for _, entry := range c.pages(c.path(fmt.Sprintf("/audit?limit=%d", limit)), "audit") {
			trail = append(trail, fmt.Sprint(entry["version"], entry["type"], entry["actor"], entry["correlationId"]))
		}
		if !slices.Equal(trail, audited) {
			t.Errorf("audit in pages of %d: %v, want %v", limit, trail, audited)
		}
	}
}

func TestErasing(t *testing.T) {
	s := begin(t)
	c := s.consents("firstName", "Ada")
	s.mailed(c.email, 1)
	c.post(c.path("/erasure"), m{"reason": "revenge"}).refused(400, "invalid-reason")
	certificate := c.post(c.path("/erasure"), m{"reason": "gdpr-request"}).expect(200).has("customerId", c.id, "reason", "gdpr-request", "deletionType", "anonymize")
	for _, field := range []string{"certificateId", "requestedAt", "completedAt"} {
		if certificate.text(field) == "" {
			t.Errorf("the certificate has no %s: %s", field, certificate.body)
		}
	}
	if len(certificate.list("systems")) < 4 {
		t.Errorf("the certificate lists %s", certificate.body)
	}
	again := c.post(c.path("/erasure"), m{}).expect(200)
	if string(again.body) != string(certificate.body) {
		t.Errorf("asked again, the certificate is %s, was %s", again.body, certificate.body)
	}
	s.settled()
	for route, call := range callsOf(c.id) {
		switch route {
		case "POST /v1/customers/{id}/erasure", "GET /v1/customers/{id}/erasure":
			if a := call(s).expect(200); string(a.body) != string(certificate.body) {
				t.Errorf("%s answers %s", route, a.body)
			}
		case "GET /v1/customers/{id}/audit": // outlives the customer
			if got := call(s).expect(200).list("audit"); typesOf(got)[len(got)-1] != "CustomerDataDeleted" {
				t.Errorf("the audit trail ends with %v", got)
			}
		default:
			call(s).refused(404, "customer-erased")
		}
	}
	s.get("/v1/customers?email="+c.email).refused(404, "customer-not-found")
	if mails := s.mails(c.email); len(mails) > 0 {
		t.Errorf("mails are left: %v", mails)
	}
	if again := s.registers("email", c.email); again.id == c.id {
		t.Error("registered again, it is the same customer")
	}
}
