package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A customer's life with the business, as its apps, its shop and its back office see it.
func TestACustomersStory(t *testing.T) {
	api := deployed(t)
	var ada customer

	chapter(t, "the API is up and closed to strangers", func(t *testing.T) {
		api.get(t, "/healthz").is(t, http.StatusOK)
		api.as("").get(t, "/v1/customers/unknown").is(t, http.StatusUnauthorized)
		api.as("a guess").get(t, "/v1/customers/unknown").is(t, http.StatusUnauthorized)
	})

	chapter(t, "the shop's server becomes a source of events", func(t *testing.T) {
		created := api.send(t, http.MethodPost, "/v1/sources", map[string]any{"name": "shop", "kind": "server"})
		created.is(t, http.StatusCreated)
		keys := created.list("writeKeys")
		if len(keys) != 1 {
			t.Fatalf("it has no write key: %s", created.body)
		}
		api.writeKey, _ = keys[0]["writeKey"].(string)
		// The emulator answers OPTIONS itself, before it looks for a route: what a browser may do is seen on another answer.
		refused := api.as("").send(t, http.MethodPost, "/v1/t", map[string]any{}, "Origin", "https://shop.example.com")
		refused.is(t, http.StatusUnauthorized)
		if got := refused.header.Get("Access-Control-Allow-Origin"); got != "https://shop.example.com" {
			t.Errorf("a browser may read the answer from %q", got)
		}
	})

	chapter(t, "Ada registers and consents to marketing, and her app asks twice", func(t *testing.T) {
		ada = register(t, api, "Ada")
		again := api.send(t, http.MethodPost, "/v1/customers", ada.registration, "Idempotency-Key", ada.idempotencyKey)
		again.is(t, http.StatusCreated)
		if again.text("customerId") != ada.id {
			t.Fatalf("asked again, the answer is customer %q instead of %q", again.text("customerId"), ada.id)
		}
	})

	chapter(t, "the back office finds her", func(t *testing.T) {
		shown := eventually(t, "her profile", func() (answer, bool) {
			a := api.get(t, "/v1/customers/"+ada.id)
			return a, a.status == http.StatusOK
		})
		for field, want := range map[string]string{"customerId": ada.id, "email": ada.email, "firstName": "Ada", "status": "pending-verification"} {
			if got := shown.text(field); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
		found := api.get(t, "/v1/customers?email="+url.QueryEscape(ada.email))
		found.is(t, http.StatusOK)
		if found.text("customerId") != ada.id {
			t.Errorf("her address finds %s", found.body)
		}
	})

	chapter(t, "her consent is on record", func(t *testing.T) {
		if status := ada.marketing(t, api); status != "active" {
			t.Errorf("her consent is %q", status)
		}
	})

	chapter(t, "the shop's SDK tells what she does", func(t *testing.T) {
		now := time.Now().UTC().Format(time.RFC3339Nano)
		a := api.batch(t, map[string]any{"sentAt": now, "batch": []map[string]any{
			{"type": "identify", "messageId": unique("identify"), "userId": ada.id, "originalTimestamp": now, "traits": map[string]any{"plan": "gold"}},
			{"type": "page", "messageId": unique("page"), "userId": ada.id, "originalTimestamp": now, "name": "Shoes",
				"properties": map[string]any{"url": "https://shop.example/shoes", "title": "Shoes", "path": "/shoes"}},
			{"type": "track", "messageId": unique("track"), "userId": ada.id, "originalTimestamp": now, "event": "Product Viewed",
				"properties": map[string]any{"product_id": "p-1", "name": "Red shoes", "price": 79.9, "currency": "EUR"}},
		}})
		a.is(t, http.StatusOK)
		eventually(t, "what she did among her events", func() (answer, bool) {
			events := api.get(t, "/v1/customers/"+ada.id+"/events")
			var types []any
			for _, e := range events.list("events") {
				types = append(types, e["type"])
			}
			return events, slices.Contains(types, any("PageViewed")) && slices.Contains(types, any("ProductViewed"))
		})
	})

	chapter(t, "she is welcomed, and again a while later", func(t *testing.T) {
		eventually(t, "the first welcome email", func() (answer, bool) { return ada.welcomes(t, api, 1) })
		eventually(t, "the second welcome email", func() (answer, bool) { return ada.welcomes(t, api, 2) })
	})

	chapter(t, "she orders, pays and gets a part of it back", func(t *testing.T) {
		id := unique("order")
		placed := api.send(t, http.MethodPost, "/v1/orders", map[string]any{
			"orderId": id, "customerId": ada.id, "currency": "EUR", "items": []map[string]any{{"productId": "p-1", "quantity": 1, "priceMinor": 7990}},
			"payment": map[string]any{"paymentMethod": "credit-card", "paymentToken": "ok"},
		})
		if placed.status == http.StatusUnprocessableEntity && strings.Contains(placed.body, "no-payment-provider") {
			t.Skip("this deployment has no payment provider")
		}
		placed.is(t, http.StatusCreated)
		order := func() answer { return api.get(t, "/v1/orders/"+id) }
		eventually(t, "the order confirmed", func() (answer, bool) { a := order(); return a, a.text("status") == "confirmed" })
		refund := api.send(t, http.MethodPost, "/v1/orders/"+id+"/refunds", map[string]any{"reason": "quality-issue", "amountMinor": 990})
		refund.is(t, http.StatusAccepted)
		eventually(t, "a part given back", func() (answer, bool) { a := order(); return a, a.text("paymentStatus") == "partially-refunded" })
		eventually(t, "her profile to know", func() (answer, bool) {
			a := api.get(t, "/v1/customers/"+ada.id)
			values := a.list("lifetimeValue")
			return a, len(values) == 1 && values[0]["amountMinor"] == 7000.0
		})
	})

	chapter(t, "her phone turns out to be hers", func(t *testing.T) {
		phone := uuid.NewString() // as SDKs make them: an id that may tell who it is would be shown as a hash
		api.batch(t, map[string]any{"batch": []map[string]any{
			{"type": "page", "messageId": unique("page"), "anonymousId": phone, "name": "Shoes"},
			{"type": "identify", "messageId": unique("identify"), "userId": ada.id, "anonymousId": phone},
		}}).is(t, http.StatusOK)
		eventually(t, "the phone among her identities", func() (answer, bool) {
			a := api.get(t, "/v1/customers/"+ada.id+"/identities")
			for _, identity := range a.list("identities") {
				if identity["id"] == phone && identity["owned"] == true {
					return a, true
				}
			}
			return a, false
		})
	})

	chapter(t, "Ben revokes his consent after the first email and gets no second", func(t *testing.T) {
		ben := register(t, api, "Ben")
		eventually(t, "the first welcome email", func() (answer, bool) { return ben.welcomes(t, api, 1) })
		revoked := api.send(t, http.MethodDelete, "/v1/customers/"+ben.id+"/consents/marketing/email", nil)
		if revoked.status/100 != 2 {
			t.Fatalf("revoking answers %d: %s", revoked.status, revoked.body)
		}
		// The second would be due by now; withheld, it is on record with its reason, unless the journey ended instead.
		for end := time.Now().Add(welcomeDelay(t) + 15*time.Second); time.Now().Before(end); time.Sleep(pause) {
			a := api.get(t, "/v1/customers/"+ben.id+"/messages")
			a.is(t, http.StatusOK)
			if sent, _ := ben.messages(a); sent > 1 {
				t.Fatalf("written to without consent: %s", a.body)
			}
			if _, withheld := ben.messages(a); withheld > 0 {
				break
			}
		}
		if status := ben.marketing(t, api); status != "revoked" {
			t.Errorf("his consent is %q", status)
		}
		eventually(t, "Ada, and no Ben, among those who consent", func() (answer, bool) {
			has := consenting(t, api)
			return answer{body: fmt.Sprint(has)}, has[ada.id] && !has[ben.id]
		})
	})

	chapter(t, "Ada asks to be forgotten", func(t *testing.T) {
		erased := api.send(t, http.MethodPost, "/v1/customers/"+ada.id+"/erasure", map[string]any{"reason": "gdpr-request"})
		if erased.status/100 != 2 {
			t.Fatalf("erasing answers %d: %s", erased.status, erased.body)
		}
		eventually(t, "nobody under her id", func() (answer, bool) {
			a := api.get(t, "/v1/customers/"+ada.id)
			return a, a.status == http.StatusNotFound
		})
		eventually(t, "nobody under her address", func() (answer, bool) {
			a := api.get(t, "/v1/customers?email="+url.QueryEscape(ada.email))
			return a, a.status == http.StatusNotFound
		})
		eventually(t, "nobody of that id among those who consent", func() (answer, bool) {
			has := consenting(t, api)
			return answer{body: fmt.Sprint(has)}, !has[ada.id]
		})
	})
}

// customer is somebody the story registered.
type customer struct {
	id, email, idempotencyKey string
	registration              map[string]any
}

func register(t *testing.T, api caller, firstName string) customer {
	t.Helper()
	c := customer{
		// SES keeps this domain for tests: mail to it is accepted and goes nowhere.
		email:          "success+" + unique(strings.ToLower(firstName)) + "@simulator.amazonses.com",
		idempotencyKey: unique("registration"),
	}
	c.registration = map[string]any{
		"email": c.email, "firstName": firstName, "lastName": "Tester", "phone": "+493012345678",
		"source": "web", "marketingConsent": true, "termsAccepted": true,
	}
	a := api.send(t, http.MethodPost, "/v1/customers", c.registration, "Idempotency-Key", c.idempotencyKey)
	a.is(t, http.StatusCreated)
	c.id = a.text("customerId")
	if c.id == "" || !strings.HasSuffix(a.header.Get("Location"), "/v1/customers/"+c.id) {
		t.Fatalf("registered %q at %q: %s", c.id, a.header.Get("Location"), a.body)
	}
	return c
}

// marketing is the status of the customer's consent to marketing by email.
func (c customer) marketing(t *testing.T, api caller) any {
	t.Helper()
	a := api.get(t, "/v1/customers/"+c.id+"/consents")
	a.is(t, http.StatusOK)
	for _, consent := range a.list("consents") {
		if consent["purpose"] == "marketing" && consent["channel"] == "email" {
			return consent["status"]
		}
	}
	return nil
}

// welcomes says whether that many welcome emails were sent.
func (c customer) welcomes(t *testing.T, api caller, want int) (answer, bool) {
	t.Helper()
	a := api.get(t, "/v1/customers/"+c.id+"/messages")
	sent, _ := c.messages(a)
	return a, sent >= want
}

// messages counts the welcome emails sent and withheld in an answer.
func (c customer) messages(a answer) (sent, withheld int) {
	for _, m := range a.list("messages") {
		switch {
		case m["campaign"] != "welcome" || m["channel"] != "email":
		case m["status"] == "sent":
			sent++
		case m["status"] == "withheld":
			withheld++
		}
	}
	return sent, withheld
}

// consenting reads every page of those who consent to marketing by email.
func consenting(t *testing.T, api caller) map[string]bool {
	t.Helper()
	has := map[string]bool{}
	for cursor := ""; ; {
		a := api.get(t, "/v1/consents?purpose=marketing&channel=email&cursor="+url.QueryEscape(cursor))
		a.is(t, http.StatusOK)
		for _, c := range a.list("customers") {
			has[fmt.Sprint(c["customerId"])] = true
		}
		if cursor = a.text("nextCursor"); cursor == "" {
			return has
		}
	}
}
