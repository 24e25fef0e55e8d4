package embedded

import (
	"encoding/json"
	"fmt"
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

// adversary is somebody hostile: what they hold, and how they can send and ask with it.
type adversary struct {
	*story
	says func(t *testing.T, message m) *reply                      // a message, by whatever way they have
	asks func(t *testing.T, method, path string, body any) *reply  // anything else of the API
	raw  func(t *testing.T, body string, headers ...string) *reply // bytes of their choice, where they may send
}

// victim is what must not change: who Ada is, what she bought, what she agreed to.
func (a *adversary) victim(t *testing.T) string {
	t.Helper()
	a.settled()
	var shown map[string]any
	if err := json.Unmarshal(a.get("/v1/customers/ada").expect(200).body, &shown); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"version", "updatedAt", "lastSeenAt", "lastSeen", "claims", "visitors", "firstSeenAt", "carts"} { // behaviour, and what is said to be a claim
		delete(shown, name)
	}
	consents := a.get("/v1/customers/ada/consents").expect(200)
	orders := a.get("/v1/customers/ada/orders").expect(200)
	sources := a.get("/v1/sources").expect(200)
	text, err := json.Marshal([]any{shown, string(consents.body), string(orders.body), string(sources.body)})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unharmed runs tries, after which the victim is as before and nothing was our fault.
func (a *adversary) unharmed(t *testing.T, tries ...func() *reply) {
	t.Helper()
	before := a.victim(t)
	for i, try := range tries {
		if answer := try(); answer.err == nil && answer.status >= 500 {
			t.Errorf("try %d, %s: %d %.300s", i, answer.call, answer.status, answer.body)
		}
	}
	if after := a.victim(t); after != before {
		t.Errorf("something of the victim's changed:\nbefore %s\nafter  %s", before, after)
	}
}

// adversaries are the hostile senders, each against a system of its own.
var adversaries = map[string]func(s *story) *adversary{
	"public_key": func(s *story) *adversary {
		c := s.source("browser")
		return s.hostile(basic(c.key, ""), "")
	},
	"stolen_server_key": func(s *story) *adversary { // in a page, which is how it gets out
		c := s.source("server")
		return s.hostile(basic(c.key, ""), "https://evil.example")
	},
	"no_key": func(s *story) *adversary { return s.hostile("", "") },
	"wrong_provider": func(s *story) *adversary {
		c := s.source("webhook", "webhook", m{"signature": "stripe", "secret": shopSecret})
		return s.provider(c, "whsec_of_somebody_else_01234", func() time.Time { return s.system.clock.Now() })
	},
	"replaying_provider": func(s *story) *adversary { // signed rightly, long ago, and for another address
		c := s.source("webhook", "webhook", m{"signature": "stripe", "secret": shopSecret})
		return s.provider(c, shopSecret, func() time.Time { return s.system.clock.Now().Add(-time.Hour) })
	},
}

func (s *story) hostile(authorization, origin string) *adversary {
	client := s.with("Authorization", authorization, "Origin", origin)
	return &adversary{
		story: s,
		says:  func(_ *testing.T, message m) *reply { return client.try("POST", "/v1/batch", m{"batch": []m{message}}) },
		asks: func(_ *testing.T, method, path string, body any) *reply {
			with := client
			if key, ok := strings.CutPrefix(authorization, "Basic "); ok {
				with = client.with("Authorization", "Bearer "+key)
			}
			return with.try(method, path, body)
		},
		raw: func(_ *testing.T, body string, headers ...string) *reply {
			return client.with(headers...).try("POST", "/v1/batch", body)
		},
	}
}

func (s *story) provider(c source, secret string, at func() time.Time) *adversary {
	post := func(raw string, headers ...string) *reply {
		signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(raw), Secret: secret, Timestamp: at()})
		return s.with(append([]string{"Authorization", "", "Stripe-Signature", signed.Header}, headers...)...).try("POST", "/v1/webhook?writeKey="+c.key, raw)
	}
	return &adversary{
		story: s,
		says: func(_ *testing.T, message m) *reply {
			object := m{"client_reference_id": message["userId"], "payment_status": "paid", "amount_total": 999999, "currency": "eur", "metadata": m{"order_id": "paid-by-nobody"}}
			if properties, ok := message["properties"].(m); ok {
				for name, value := range properties {
					object[name] = value
				}
			}
			text, _ := json.Marshal(m{"id": unique("evt"), "type": "checkout.session.completed", "livemode": true, "created": at().Unix(), "data": m{"object": object}})
			return post(string(text))
		},
		asks: func(_ *testing.T, method, path string, body any) *reply {
			return s.with("Authorization", "Bearer "+c.key).try(method, path, body)
		},
		raw: func(_ *testing.T, body string, headers ...string) *reply { return post(body, headers...) },
	}
}

// tries are the OWASP API Security Top 10 of 2023, item by item.
var tries = []struct {
	item string
	try  func(t *testing.T, a *adversary)
}{
	{"API1_object_level_authorization", func(t *testing.T, a *adversary) {
		for _, path := range []string{"/v1/customers/ada", "/v1/customers/ada/orders", "/v1/customers/ada/events", "/v1/customers/ada/timeline", "/v1/orders/A-1", "/v1/customers?email=ada@mail.example", "/v1/quarantine"} {
			answer := a.asks(t, "GET", path, nil)
			if answer.status != 401 || strings.Contains(string(answer.body), "Ada") {
				t.Errorf("%s answers %d %.200s", path, answer.status, answer.body)
			}
		}
		a.unharmed(t, func() *reply { return a.asks(t, "PATCH", "/v1/customers/ada", m{"firstName": "Eve"}) })
	}},
	{"API2_authentication", func(t *testing.T, a *adversary) {
		for _, authorization := range []string{"Bearer ", "Bearer null", "Basic Og==", "Basic !!!", "Digest x", basic("", "dev-key"), "Bearer " + strings.Repeat("a", 9000)} {
			for _, path := range []string{"/v1/customers/ada", "/v1/sources"} {
				if answer := a.with("Authorization", authorization).try("GET", path, nil); answer.err == nil && answer.status != 401 && answer.status != 431 {
					t.Errorf("%.20q on %s: %d", authorization, path, answer.status)
				}
			}
		}
		forged := "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJhdWQiOiJkZWZ0ZXIifQ."
		a.unharmed(t, func() *reply {
			return a.says(t, message("identify", "ada", "traits", m{"firstName": "Eve", "email": "eve@mail.example"}, "context", m{"userToken": forged}))
		})
	}},
	{"API3_object_property_level_authorization", func(t *testing.T, a *adversary) {
		a.unharmed(t, func() *reply {
			return a.says(t, message("identify", "ada", "traits", m{
				"email": "eve@mail.example", "emailVerified": true, "status": "deleted", "customerId": "eve", "lifetimeValue": 1e12, "orders": -5, "segments": []string{"buyers"},
				"consents": m{"marketing": true}, "__proto__": m{"admin": true}, "version": 0,
			}))
		}, func() *reply {
			return a.says(t, message("group", "ada", "groupId", "admins", "traits", m{"role": "owner"}))
		})
		if shown := a.get("/v1/sources").expect(200); strings.Contains(string(shown.body), shopSecret) {
			t.Error("a secret is shown")
		}
	}},
	{"API4_resource_consumption", func(t *testing.T, a *adversary) {
		bomb := zipped(json.RawMessage(`{"batch":[` + strings.Repeat("0,", 2_000_000) + `0]}`))
		stored := len(a.items("events"))
		a.unharmed(t, func() *reply { return a.raw(t, bomb, "Content-Encoding", "gzip") },
			func() *reply {
				return a.raw(t, `{"batch":[`+strings.Repeat(`{"type":"track","userId":"u","event":"x"},`, 3000)+`{}]}`)
			},
			func() *reply { return a.raw(t, strings.Repeat("[", 100_000)) },
			func() *reply { return a.raw(t, `{"batch":"`+strings.Repeat("x", 5<<20)+`"}`) },
		)
		if more := len(a.items("events")) - stored; more > 0 {
			t.Errorf("%d items are stored", more)
		}
	}},
	{"API5_function_level_authorization", func(t *testing.T, a *adversary) {
		a.unharmed(t,
			func() *reply { return a.asks(t, "POST", "/v1/customers/ada/erasure", m{}) },
			func() *reply { return a.asks(t, "POST", "/v1/customers/ada/deactivation", m{}) },
			func() *reply { return a.asks(t, "POST", "/v1/orders/A-1/refunds", m{"reason": "other"}) },
			func() *reply { return a.asks(t, "POST", "/v1/sources", m{"name": "mine", "kind": "server"}) },
			func() *reply { return a.asks(t, "DELETE", "/v1/customers/ada/consents/marketing/email", nil) },
			func() *reply { return a.asks(t, "PUT", "/v1/products/p1", m{"priceMinor": 0}) },
			func() *reply {
				return a.asks(t, "POST", "/internal/v1/replay", m{"batch": []m{track("ada", "Old", nil)}})
			},
			func() *reply { return a.asks(t, "POST", "/v1/import", m{"batch": []m{track("ada", "Old", nil)}}) },
		)
		for _, path := range []string{"/v1/sources", "/v1/orders", "/v1/customers"} {
			if answer := a.asks(t, "POST", path, m{}); answer.status != 401 {
				t.Errorf("POST %s: %d", path, answer.status)
			}
		}
	}},
	{"API6_sensitive_business_flows", func(t *testing.T, a *adversary) {
		a.unharmed(t,
			func() *reply {
				return a.says(t, track("ada", "Order Completed", m{"order_id": "free", "total": 0.01, "currency": "EUR", "products": []m{{"product_id": "car", "quantity": 1}}}))
			},
			func() *reply {
				return a.says(t, track("ada", "Order Refunded", m{"order_id": "A-1", "total": 50, "currency": "EUR"}))
			},
			func() *reply { return a.says(t, track("ada", "Order Cancelled", m{"order_id": "A-1"})) },
			func() *reply { return a.says(t, track("ada", "Unsubscribed", m{"channel": "email"})) },
			func() *reply {
				return a.says(t, track("ada", "Email Bounced", m{"email": "ada@mail.example", "bounce_type": "permanent"}))
			},
			func() *reply {
				return a.says(t, track("ada", "Product Affinity Detected", m{"category": "x", "score": 1}))
			},
		)
	}},
	{"API7_server_side_request_forgery", func(t *testing.T, a *adversary) {
		var called atomic.Int64
		trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
		t.Cleanup(trap.Close)
		url := trap.URL + "/latest/meta-data/"
		a.unharmed(t,
			func() *reply {
				return a.says(t, message("page", "ada", "properties", m{"url": url, "referrer": url, "avatar": url}, "context", m{"page": m{"url": url}, "userToken": url}))
			},
			func() *reply { return a.asks(t, "GET", "/sourceConfig?writeKey="+url, nil) },
			func() *reply {
				return a.raw(t, `{"batch":[]}`, "X-User-Token", url, "X-Forwarded-Host", trap.URL, "Referer", url)
			},
		)
		if n := called.Load(); n > 0 {
			t.Errorf("%d requests went to an address of theirs", n)
		}
	}},
	{"API8_misconfiguration", func(t *testing.T, a *adversary) {
		for _, path := range []string{"/v1/customers/ada", "/v1/nowhere", "/v1/batch", "/.env", "/.git/config", "/debug/pprof/", "/_local/mailbox/../../x"} {
			answer := a.with("Origin", "https://evil.example").try("GET", path, nil)
			if answer.err == nil && (answer.status < 300 || regexp.MustCompile(`goroutine|\.go:|panic`).Match(answer.body)) {
				t.Errorf("%s: %d %.200s", path, answer.status, answer.body)
			}
		}
		for _, method := range []string{"TRACE", "CONNECT", "PROPFIND"} {
			if answer := a.with("Authorization", "").try(method, "/v1/customers/ada", nil); answer.err == nil && answer.status < 400 {
				t.Errorf("%s answers %d", method, answer.status)
			}
		}
		preflight := a.with("Authorization", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST").try("OPTIONS", "/v1/customers", nil)
		if preflight.header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("pages may call the API")
		}
	}},
	{"API9_inventory", func(t *testing.T, a *adversary) {
		var described struct {
			Paths map[string]map[string]any `json:"paths"`
		}
		if err := json.Unmarshal(a.with("Authorization", "").try("GET", "/openapi.json", nil).body, &described); err != nil || len(described.Paths) < 40 {
			t.Fatal(len(described.Paths), err)
		}
		for path, operations := range described.Paths { // whatever asks for an API key refuses these
			for method, operation := range operations {
				if text, _ := json.Marshal(operation); !strings.Contains(string(text), `"security":[{"apiKey"`) {
					continue
				}
				at := regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(path, "ada")
				if answer := a.asks(t, strings.ToUpper(method), at, nil); answer.status != 401 {
					t.Errorf("%s %s answers %d", method, path, answer.status)
				}
			}
		}
	}},
	{"API10_unsafe_consumption", func(t *testing.T, a *adversary) {
		deep := strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200)
		a.unharmed(t,
			func() *reply {
				return a.raw(t, `{"id":"evt","type":"checkout.session.completed","data":{"object":`+deep+`}}`)
			},
			func() *reply {
				return a.raw(t, `{"id":{"$ne":null},"type":["x"],"data":"<script>alert(1)</script>","batch":[{"type":"track","userId":"ada","event":"${jndi:ldap://x}","properties":{"total":1e400}}]}`)
			},
			func() *reply {
				return a.raw(t, "{\"batch\":[{\"type\":\"identify\",\"userId\":\"ada\",\"traits\":{\"a\":\"\xff\xfe\"}}]}")
			},
			func() *reply {
				return a.raw(t, `{"batch":[{"type":"track","userId":"ada","event":"x","timestamp":"9999-99-99","sentAt":{},"context":{"page":[[]],"ip":{"a":1}}}]}`)
			},
		)
	}},
}

// TestAdversary tries each item with each sender. docs/security.md has the table.
func TestAdversary(t *testing.T) {
	for name, meets := range adversaries {
		t.Run(name, func(t *testing.T) {
			s := begin(t)
			s.sends(message("identify", "ada", "traits", m{"email": "ada@mail.example", "firstName": "Ada"}))
			s.known("ada").post("/v1/customers/ada/consents", m{"purpose": "marketing", "channel": "email"}).expect(201)
			s.sends(track("ada", "Order Completed", m{"order_id": "A-1", "total": 50, "currency": "EUR", "products": []m{{"product_id": "p1", "quantity": 1, "price": 50}}}))
			a := meets(s)
			for _, c := range tries {
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

// TestAdversaryIsDocumented: the table names every cell's test, and no other.
func TestAdversaryIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile("`(TestAdversary/[a-z_]+/API[0-9]+_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		named[name[1]] = true
	}
	for sender := range adversaries {
		for _, c := range tries {
			name := fmt.Sprintf("TestAdversary/%s/%s", sender, c.item)
			if !named[name] {
				t.Errorf("docs/security.md does not name %s", name)
			}
			delete(named, name)
		}
	}
	for name := range named {
		t.Errorf("docs/security.md names %s, and there is no such test", name)
	}
}
