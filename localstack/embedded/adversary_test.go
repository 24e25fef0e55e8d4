package embedded

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v85/webhook"
)

const shopSecret = "whsec_of_the_shop_0123456789"

// sender is somebody who sends: what they hold, and how they can send and ask with it. A hostile one must change nothing. The same tries of
// one who is entitled to them must change something each: else they show nothing.
type sender struct {
	*story
	entitled bool
	says     func(message m) *reply                      // a message, by whatever way they have
	posts    func(path string, message m) *reply         // a message to an address for SDKs
	asks     func(method, path string, body any) *reply  // anything else of the API
	raw      func(body string, headers ...string) *reply // bytes of their choice, where they may send
	honest   func() string                               // bytes that whoever is entitled may send there, about Ada
}

// victim is what must not change: who Ada is, what she bought, what she agreed to, and what is the business's own.
func (a *sender) victim(t *testing.T) string {
	t.Helper()
	a.settled()
	shown := a.get("/v1/customers/ada")
	var customer map[string]any
	if err := json.Unmarshal(shown.body, &customer); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"version", "updatedAt", "lastSeenAt", "lastSeen", "claims", "visitors", "firstSeenAt", "carts", "requestId"} { // behaviour, and what is said to be a claim
		delete(customer, name)
	}
	all := []any{customer}
	for _, path := range []string{"/v1/customers/ada/consents", "/v1/customers/ada/orders", "/v1/products/p1", "/v1/sources"} {
		answer := a.get(path)
		if answer.status != 200 {
			answer.body = nil // a problem has a number of its own
		}
		all = append(all, answer.status, string(answer.body))
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tries makes tries, after which the victim is as before and nothing was our fault. Of who is entitled each changes something.
func (a *sender) tries(t *testing.T, all ...func() *reply) {
	t.Helper()
	before := a.victim(t)
	for i, try := range all {
		answer := try()
		if answer.err != nil || answer.status >= 500 {
			t.Errorf("try %d, %s: %d %.300s %v", i, answer.call, answer.status, answer.body, answer.err)
		}
		if !a.entitled {
			continue
		}
		after := a.victim(t)
		if after == before {
			t.Errorf("try %d, %s, answers %d %.300s and changes nothing: it shows nothing", i, answer.call, answer.status, answer.body)
		}
		before = after
	}
	if after := a.victim(t); after != before {
		t.Errorf("something of the victim's changed:\nbefore %s\nafter  %s", before, after)
	}
}

// junk makes tries that nobody is entitled to: nothing changes.
func (a *sender) junk(t *testing.T, all ...func() *reply) {
	t.Helper()
	before := a.victim(t)
	for i, try := range all {
		if answer := try(); answer.err == nil && answer.status >= 500 {
			t.Errorf("try %d, %s: %d %.300s", i, answer.call, answer.status, answer.body)
		}
	}
	if after := a.victim(t); after != before {
		t.Errorf("something of the victim's changed:\nbefore %s\nafter  %s", before, after)
	}
}

// trusts tells what is honest, in the place of junk: it changes something, if the sender is entitled.
func (a *sender) trusts(t *testing.T) {
	t.Helper()
	before := a.victim(t)
	a.raw(a.honest())
	if changed := a.victim(t) != before; changed != a.entitled {
		t.Errorf("what is honest changes something: %v", changed)
	}
}

// closed is how an answer must be that needs an API key: 401, but for who has one.
func (a *sender) closed(t *testing.T, answer *reply) {
	t.Helper()
	if answer.err != nil || strings.Contains(string(answer.body), "urn:defter:problem:unauthorized") == a.entitled {
		t.Errorf("%s answers %d %.200s %v", answer.call, answer.status, answer.body, answer.err)
	}
	if !a.entitled && strings.Contains(string(answer.body), "Ada") {
		t.Errorf("%s tells %.200s", answer.call, answer.body)
	}
}

// adversaries are the hostile senders, each against a system of its own.
var adversaries = map[string]func(s *story) *sender{
	"public_key": func(s *story) *sender { return s.batches(s.source("browser"), "", "") },
	"stolen_server_key": func(s *story) *sender { // in a page, which is how it gets out
		return s.batches(s.source("server"), "https://evil.example", "")
	},
	"no_key": func(s *story) *sender { return s.batches(source{}, "", "") },
	"wrong_provider": func(s *story) *sender {
		return s.provider("whsec_of_somebody_else_01234", func() time.Time { return s.system.clock.Now() }, "")
	},
	"replaying_provider": func(s *story) *sender { // signed rightly, long ago
		return s.provider(shopSecret, func() time.Time { return s.system.clock.Now().Add(-time.Hour) }, "")
	},
}

// controls are those who are entitled to what the adversaries try: a server with its key and an API key, and the provider itself.
var controls = map[string]func(s *story) *sender{
	"server": func(s *story) *sender { return s.batches(s.source("server"), "", APIKey) },
	"provider": func(s *story) *sender {
		return s.provider(shopSecret, func() time.Time { return s.system.clock.Now() }, APIKey)
	},
}

// batches is who sends batches with a source's write key, if there is one, from a page of an origin, "" for from no page.
func (s *story) batches(c source, origin, api string) *sender {
	authorization, bearer := "", ""
	if c.key != "" {
		authorization, bearer = basic(c.key, ""), "Bearer "+cmp.Or(api, c.key)
	}
	client := s.with("Authorization", authorization, "Origin", origin, "X-Rudder-Source-Id", c.id) // which a replay names
	a := &sender{story: s, entitled: api != ""}
	a.posts = func(path string, message m) *reply { return client.try("POST", path, m{"batch": []m{message}}) }
	a.says = func(message m) *reply { return a.posts("/v1/batch", message) }
	a.asks = func(method, path string, body any) *reply { // not from a page: the local run lets none ask, whatever they hold
		return client.with("Authorization", bearer, "Origin", "").try(method, path, body)
	}
	a.raw = func(body string, headers ...string) *reply {
		return client.with(headers...).try("POST", "/v1/batch", body)
	}
	a.honest = func() string {
		text, _ := json.Marshal(m{"batch": []m{message("identify", "ada", "traits", m{"firstName": unique("Honest")})}})
		return string(text)
	}
	return a
}

// provider is who posts to the address of Stripe's webhook, and signs with a secret as of a time.
func (s *story) provider(secret string, at func() time.Time, api string) *sender {
	c := s.source("webhook", "webhook", m{"signature": "stripe", "secret": shopSecret})
	a := &sender{story: s, entitled: api != ""}
	a.raw = func(raw string, headers ...string) *reply {
		signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(raw), Secret: secret, Timestamp: at()})
		return s.with(append([]string{"Authorization", "", "Stripe-Signature", signed.Header}, headers...)...).try("POST", "/v1/webhook?writeKey="+c.key, raw)
	}
	session := func(event, order string, more m) string {
		object := m{"client_reference_id": "ada", "payment_status": "paid", "amount_total": 999999, "currency": "eur", "metadata": m{"order_id": order}}
		maps.Copy(object, more)
		text, _ := json.Marshal(m{"id": unique("evt"), "type": event, "livemode": true, "created": at().Unix(), "data": m{"object": object}})
		return string(text)
	}
	a.says = func(message m) *reply { // what comes nearest to it in the provider's words
		if message["event"] == "Order Refunded" {
			return a.raw(session("refund.created", "A-1", m{"id": unique("re"), "status": "succeeded", "amount": 5000}))
		}
		return a.raw(session("checkout.session.completed", unique("paid-by-nobody"), nil))
	}
	a.posts = func(_ string, message m) *reply { return a.says(message) }
	a.asks = func(method, path string, body any) *reply {
		return s.with("Authorization", "Bearer "+cmp.Or(api, c.key)).try(method, path, body)
	}
	a.honest = func() string { return session("checkout.session.completed", unique("honest"), nil) }
	return a
}

// owasp are the OWASP API Security Top 10 of 2023, item by item.
var owasp = []struct {
	item string
	try  func(t *testing.T, a *sender)
}{
	{"API1_object_level_authorization", func(t *testing.T, a *sender) {
		for _, path := range []string{"/v1/customers/ada", "/v1/customers/ada/orders", "/v1/customers/ada/events", "/v1/customers/ada/timeline", "/v1/orders/A-1", "/v1/customers?email=ada@mail.example", "/v1/quarantine"} {
			answer := a.asks("GET", path, nil)
			a.closed(t, answer)
			if a.entitled && answer.status != 200 {
				t.Errorf("%s is not there", path)
			}
		}
		a.tries(t, func() *reply { return a.asks("PATCH", "/v1/customers/ada", m{"firstName": "Eve"}) })
	}},
	{"API2_authentication", func(t *testing.T, a *sender) {
		for _, authorization := range []string{"Bearer ", "Bearer null", "Basic Og==", "Basic !!!", "Digest x", basic("", "dev-key"), "Bearer " + strings.Repeat("a", 9000)} {
			for _, path := range []string{"/v1/customers/ada", "/v1/sources"} {
				if answer := a.with("Authorization", authorization).try("GET", path, nil); answer.err == nil && answer.status != 401 && answer.status != 431 {
					t.Errorf("%.20q on %s: %d", authorization, path, answer.status)
				}
			}
		}
		for _, path := range []string{"/v1/customers/ada", "/v1/sources"} {
			a.closed(t, a.asks("GET", path, nil))
		}
		forged := "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJhdWQiOiJkZWZ0ZXIifQ."
		identify := func(token, name string) m {
			return message("identify", "ada", "traits", m{"firstName": name, "email": "eve@mail.example"}, "context", m{"userToken": token})
		}
		a.tries(t, func() *reply { return a.says(identify(forged, "Eve")) })
		if a.entitled { // it is the forgery alone that a page's key fails by
			page := a.source("browser")
			before := a.victim(t)
			page.says("/v1/batch", m{"batch": []m{identify(a.tokenOf("ada"), "Ada Herself")}}).expect(200)
			if a.victim(t) == before {
				t.Error("a token of her own changes nothing: the forged one shows nothing")
			}
		}
	}},
	{"API3_object_property_level_authorization", func(t *testing.T, a *sender) {
		a.tries(t, func() *reply {
			return a.says(message("identify", "ada", "traits", m{
				"email": "eve@mail.example", "emailVerified": true, "status": "deleted", "customerId": "eve", "lifetimeValue": 1e12, "orders": -5, "segments": []string{"buyers"},
				"consents": m{"marketing": true}, "__proto__": m{"admin": true}, "version": 0,
			}))
		}, func() *reply {
			return a.says(message("group", "ada", "groupId", "admins", "traits", m{"role": "owner"}))
		})
		var shown map[string]any
		if err := json.Unmarshal(a.get("/v1/customers/ada").expect(200).body, &shown); err != nil || shown["status"] != "active" || shown["emailVerified"] != false || shown["orders"] == float64(-5) {
			t.Errorf("Ada is %v %v", shown, err) // whoever says it: these are no traits
		}
		if shown := a.get("/v1/sources").expect(200); strings.Contains(string(shown.body), shopSecret) {
			t.Error("a secret is shown")
		}
	}},
	{"API4_resource_consumption", func(t *testing.T, a *sender) {
		bomb := zipped(json.RawMessage(`{"batch":[` + strings.Repeat("0,", 2_000_000) + `0]}`))
		stored := len(a.items("events"))
		a.junk(t, func() *reply { return a.raw(bomb, "Content-Encoding", "gzip") },
			func() *reply {
				return a.raw(`{"batch":[` + strings.Repeat(`{"type":"track","userId":"u","event":"x"},`, 3000) + `{}]}`)
			},
			func() *reply { return a.raw(strings.Repeat("[", 100_000)) },
			func() *reply { return a.raw(`{"batch":"` + strings.Repeat("x", 5<<20) + `"}`) },
		)
		if more := len(a.items("events")) - stored; more > 0 {
			t.Errorf("%d items are stored", more)
		}
		a.trusts(t)
	}},
	{"API5_function_level_authorization", func(t *testing.T, a *sender) {
		for _, path := range []string{"/v1/sources", "/v1/orders", "/v1/customers"} {
			a.closed(t, a.asks("POST", path, m{}))
		}
		a.tries(t,
			func() *reply { return a.asks("POST", "/v1/sources", m{"name": "mine", "kind": "server"}) },
			func() *reply { return a.asks("DELETE", "/v1/customers/ada/consents/marketing/email", nil) },
			func() *reply { return a.asks("PUT", "/v1/products/p1", m{"priceMinor": 0, "currency": "EUR"}) },
			func() *reply {
				return a.posts("/internal/v1/replay", message("identify", "ada", "traits", m{"firstName": "Old"}))
			},
			func() *reply {
				return a.posts("/v1/import", message("identify", "ada", "timestamp", a.system.clock.Now(), "traits", m{"firstName": "Older"}))
			},
			func() *reply { return a.asks("POST", "/v1/orders/A-2/cancellation", m{}) },
			func() *reply { return a.asks("POST", "/v1/customers/ada/deactivation", m{"reason": "other"}) },
			func() *reply { return a.asks("POST", "/v1/customers/ada/erasure", m{}) },
		)
	}},
	{"API6_sensitive_business_flows", func(t *testing.T, a *sender) {
		for _, told := range []m{
			track("ada", "Order Completed", m{"order_id": "free", "total": 0.01, "currency": "EUR", "products": []m{{"product_id": "car", "quantity": 1}}}),
			track("ada", "Order Refunded", m{"order_id": "A-1", "total": 50, "currency": "EUR"}),
			track("ada", "Order Cancelled", m{"order_id": "A-1"}),
			track("ada", "Unsubscribed", m{"channel": "email"}),
			track("ada", "Email Bounced", m{"email": "ada@mail.example", "bounce_type": "permanent"}),
			track("ada", "Product Affinity Detected", m{"category": "x", "score": 1}),
		} {
			a.tries(t, func() *reply { return a.says(told) })
		}
	}},
	{"API7_server_side_request_forgery", func(t *testing.T, a *sender) {
		var called atomic.Int64
		trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
		t.Cleanup(trap.Close)
		url := trap.URL + "/latest/meta-data/"
		a.tries(t, func() *reply {
			return a.says(message("identify", "ada", "traits", m{"avatar": url, "website": url}, "context", m{"page": m{"url": url, "referrer": url}, "userToken": url}))
		})
		for _, answer := range []*reply{
			a.asks("GET", "/sourceConfig?writeKey="+url, nil),
			a.raw(a.honest(), "X-User-Token", url, "X-Forwarded-Host", trap.URL, "Referer", url),
		} {
			if answer.err != nil || answer.status >= 500 {
				t.Errorf("%s: %d %v", answer.call, answer.status, answer.err)
			}
		}
		a.settled()
		if n := called.Load(); n > 0 {
			t.Errorf("%d requests went to an address of theirs", n)
		}
		if answer, err := http.Get(url); err != nil || answer.Body.Close() != nil || called.Load() != 1 {
			t.Error("the trap does not close: it shows nothing", err)
		}
	}},
	{"API8_misconfiguration", func(t *testing.T, a *sender) {
		for _, path := range []string{"/v1/customers/ada", "/v1/nowhere", "/v1/batch", "/.env", "/.git/config", "/debug/pprof/", "/_local/mailbox/../../x"} {
			answer := a.with("Origin", "https://evil.example", "Authorization", "").try("GET", path, nil)
			if answer.err == nil && (answer.status < 300 || regexp.MustCompile(`goroutine|\.go:|panic`).Match(answer.body)) {
				t.Errorf("%s: %d %.200s", path, answer.status, answer.body)
			}
		}
		a.closed(t, a.asks("GET", "/v1/customers/ada", nil)) // what the paths above are without a key
		for _, method := range []string{"TRACE", "CONNECT", "PROPFIND"} {
			if answer := a.asks(method, "/v1/customers/ada", nil); answer.err == nil && answer.status < 400 {
				t.Errorf("%s answers %d", method, answer.status)
			}
		}
		pages := func(path string) string {
			preflight := a.with("Authorization", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST").try("OPTIONS", path, nil)
			return preflight.header.Get("Access-Control-Allow-Origin")
		}
		if pages("/v1/customers") != "" || pages("/v1/batch") == "" {
			t.Errorf("pages may call the API: %q, and send batches: %q", pages("/v1/customers"), pages("/v1/batch"))
		}
	}},
	{"API9_inventory", func(t *testing.T, a *sender) {
		var described struct {
			Paths map[string]map[string]any `json:"paths"`
		}
		if err := json.Unmarshal(a.with("Authorization", "").try("GET", "/openapi.json", nil).body, &described); err != nil || len(described.Paths) < 40 {
			t.Fatal(len(described.Paths), err)
		}
		closed := 0
		for path, operations := range described.Paths { // whatever asks for an API key refuses these
			for method, operation := range operations {
				if text, _ := json.Marshal(operation); !strings.Contains(string(text), `"security":[{"apiKey"`) {
					continue
				}
				closed++
				a.closed(t, a.asks(strings.ToUpper(method), regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(path, "nobody"), nil))
			}
		}
		if closed < 40 {
			t.Errorf("%d operations ask for an API key: the description is read wrongly", closed)
		}
	}},
	{"API10_unsafe_consumption", func(t *testing.T, a *sender) {
		deep := strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200)
		a.junk(t,
			func() *reply {
				return a.raw(`{"id":"evt","type":"checkout.session.completed","data":{"object":` + deep + `}}`)
			},
			func() *reply {
				return a.raw(`{"id":{"$ne":null},"type":["x"],"data":"<script>alert(1)</script>","batch":[{"type":"track","userId":"ada","event":"${jndi:ldap://x}","properties":{"total":1e400}}]}`)
			},
			func() *reply {
				return a.raw("{\"batch\":[{\"type\":\"identify\",\"userId\":\"ada\",\"traits\":\"\xff\xfe\"}]}")
			},
			func() *reply {
				return a.raw(`{"batch":[{"type":"track","userId":"ada","event":"x","timestamp":"9999-99-99","sentAt":{},"context":{"page":[[]],"ip":{"a":1}}}]}`)
			},
		)
		a.trusts(t)
	}},
}

// ada begins a system in which Ada has bought, agreed and is known.
func ada(t *testing.T) *story {
	t.Helper()
	s := begin(t)
	s.sends(message("identify", "ada", "traits", m{"email": "ada@mail.example", "firstName": "Ada"}))
	s.known("ada").post("/v1/customers/ada/consents", m{"purpose": "marketing", "channel": "email"}).expect(201)
	s.sends(track("ada", "Order Completed", m{"order_id": "A-1", "total": 50, "currency": "EUR", "products": []m{{"product_id": "p1", "quantity": 1, "price": 50}}}))
	s.post("/v1/orders", s.known("ada").basket("orderId", "A-2")).expect(201)
	s.put("/v1/products/p1", m{"priceMinor": 5000, "currency": "EUR"}).expect(200)
	return s
}

// TestAdversary tries each item with each sender. docs/security.md has the table.
func TestAdversary(t *testing.T) {
	for name, meets := range adversaries {
		t.Run(name, func(t *testing.T) {
			s := ada(t)
			a := meets(s)
			for _, c := range owasp {
				t.Run(c.item, func(t *testing.T) {
					s.TB = t
					c.try(t, a)
				})
				s.advance("61s") // what was spent of a budget is another's
			}
			s.TB = t
		})
	}
}

// TestAdversaryControls makes the same tries with who is entitled to them, each item against a system of its own. A try that changes nothing
// there would prove nothing above.
func TestAdversaryControls(t *testing.T) {
	for name, meets := range controls {
		for _, c := range owasp {
			t.Run(name+"/"+c.item, func(t *testing.T) {
				s := ada(t)
				c.try(t, meets(s))
			})
		}
	}
}

// TestAdversaryIsDocumented: the table names every cell's test, and no other.
func TestAdversaryIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile("`(TestAdversary(?:Controls)?/[a-z_]+/API[0-9]+_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		named[name[1]] = true
	}
	expect := func(test, sender string) {
		for _, c := range owasp {
			name := fmt.Sprintf("%s/%s/%s", test, sender, c.item)
			if !named[name] {
				t.Errorf("docs/security.md does not name %s", name)
			}
			delete(named, name)
		}
	}
	for sender := range adversaries {
		expect("TestAdversary", sender)
	}
	for sender := range controls {
		expect("TestAdversaryControls", sender)
	}
	for name := range named {
		t.Errorf("docs/security.md names %s, and there is no such test", name)
	}
}
