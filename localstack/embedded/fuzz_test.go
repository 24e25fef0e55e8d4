package embedded

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a client sends, the fault is never the system's; and what it accepts, it can show again.

func (a *reply) blamesNobody() *reply {
	a.Helper()
	if a.err != nil || a.status >= 500 {
		a.Fatalf("%.200s answers %d: %.500s %v", a.call, a.status, a.body, a.err)
	}
	if len(a.body) > 0 && (!utf8.Valid(a.body) || !json.Valid(a.body)) {
		a.Fatalf("%.200s answers what is no JSON in UTF-8: %.500q", a.call, a.body)
	}
	return a
}

func FuzzRegister(f *testing.F) {
	for _, body := range badBodies {
		if len(body) < 1000 {
			f.Add(body)
		}
	}
	f.Add(`{"email":"ada@mail.example","termsAccepted":true}`)
	f.Add(`{"email":"ada@mail.example","firstName":"😀","lastName":"\u202e","phone":"+1","source":"web","marketingConsent":true,"termsAccepted":true,"ipAddress":"::1","userAgent":"x"}`)
	f.Add(`{"EMAIL":"ada@mail.example","email":"grace@mail.example","termsAccepted":true,"termsAccepted":false}`)
	f.Add(`{"email":"a@b.c","termsAccepted":true,"firstName":"` + strings.Repeat("é", 50) + `"}`)
	s := begin(f)
	f.Fuzz(func(t *testing.T, body string) {
		s := *s
		s.TB = t
		a := s.post("/v1/customers", body).blamesNobody()
		if a.status != 201 {
			return
		}
		c := customer{&s, a.text("customerId"), a.text("email")}
		if shown := c.shown().expect(200); shown.text("email") != c.email {
			t.Errorf("registered as %s, shown as %s", a.body, shown.body)
		}
		c.events()
		c.patch(c.path(""), body).blamesNobody()
		c.put(c.path("/email"), body).blamesNobody()
		c.put(c.path("/preferences"), body).blamesNobody()
		c.post(c.path("/consents"), body).blamesNobody()
		c.post(c.path("/erasure"), m{}).expect(200) // so that the address is free for the next
	})
}

// FuzzOrders: whatever is asked of an order, it shows itself, and what was paid and given back adds up.
func FuzzOrders(f *testing.F) {
	for _, body := range badBodies {
		if len(body) < 1000 {
			f.Add(body)
		}
	}
	f.Add(`{"orderId":"o","currency":"TRY","items":[{"productId":"p","quantity":1,"priceMinor":5}],"payment":{"paymentMethod":"paypal","paymentToken":"ok;lost"}}`)
	f.Add(`{"currency":"TRY","items":[{"productId":"p","quantity":1000000,"priceMinor":1000000}],"taxMinor":1000000000000,"shippingMinor":1000000000000}`)
	f.Add(`{"reason":"other","amountMinor":-1,"items":[{"productId":"p","quantity":-1}],"refundId":"r"}`)
	f.Add(`{"carrier":"\u0000","trackingNumber":"x","shippedAt":"0001-01-01T00:00:00Z","deliveredAt":"9999-12-31T23:59:59Z","estimatedDelivery":"2026-02-30"}`)
	f.Add(`{"anonymousId":"null","userId":"","paymentMethod":"credit-card","paymentToken":",,;,,","quantity":9223372036854775807}`)
	s := begin(f)
	c := s.registers()
	f.Fuzz(func(t *testing.T, body string) {
		s := *s
		s.TB = t
		var fields m
		if json.Unmarshal([]byte(body), &fields) == nil && fields != nil {
			fields["customerId"] = c.id
			delete(fields, "orderId")
			s.post("/v1/orders", fields).blamesNobody()
		}
		s.post("/v1/orders", body).blamesNobody()
		mine := c
		mine.story = &s
		path := mine.orders("payment", card("ok"))
		for _, what := range []string{"payment", "shipment", "delivery", "refunds", "refunds", "cancellation"} {
			s.post(path+"/"+what, body).blamesNobody()
		}
		a := s.get(path).expect(200)
		if paid, back := a.number("paidMinor"), a.number("refundedMinor"); back > paid || paid != 0 && paid != 5500 {
			t.Errorf("paid %d, given back %d: %s", paid, back, a.body)
		}
		s.post(c.path("/identities"), body).blamesNobody()
		s.put("/v1/products/p", body).blamesNobody()
	})
}

func FuzzBatch(f *testing.F) {
	for _, kind := range []string{"identify", "track", "page", "screen", "group", "alias"} {
		f.Add(`{"batch":[{"type":"` + kind + `","userId":"u","anonymousId":"a","previousId":"p","groupId":"g","event":"Order Completed","messageId":"m","traits":{"email":"u@mail.example","name":"A B","a":[1]},"properties":{"order_id":"o","total":1.5,"products":[{"product_id":1,"price":"2"}]},"context":{"ip":"1.1.1.1","page":{"url":"u"}},"timestamp":"2020-01-01T00:00:00Z"}],"sentAt":"2020-01-01T00:00:01Z"}`)
	}
	f.Add(`{"batch":[{"type":"track","userId":1e400,"event":"x"},{"type":"track","anonymousId":"\ud800","event":"x"},1,null,[],"x"]}`)
	f.Add(`{"batch":[{"type":"group","userId":"u","groupId":"g","traits":{"a":1e400}}],"context":{"traits":[]},"writeKey":"w"}`)
	f.Add(`{"sentAt":17000,"context":{"page":[],"consent":"x"},"batch":[{"type":"track","userId":7.0,"event":"Order Completed","category":true,"traits":[],"properties":{"orderId":"o","total":"12,50","currency":"₺","products":{"id":7,"quantity":"4.000","price":[]}},"timestamp":"2024-02-29 08:00:00"}]}`)
	f.Add(`{"batch":[{"type":"identify","userId":"u\u200b","messageId":"m","traits":{"email":"Ada@Bücher.example","name":" Ada ","phone":49301234,"crm":12345678901234567891,"address":{"postalCode":6420},"birthday":null}},{"type":"track","userId":"(null)","event":"x","properties":"\ud83d"}]}`)
	f.Add("{\"batch\":[{\"type\":\"identify\",\"userId\":\"u\",\"traits\":{\"name\":\"M\xfcller\"}},{\"type\":\"dance\",\"userId\":\"u\",\"context\":{\"page\":{\"title\":\"\\ud83d\"}}}]}")
	f.Add(`{"batch":[{"type":"page","userId":"u","properties":` + strings.Repeat(`{"a":`, 99) + `1` + strings.Repeat(`}`, 99) + `}]}`)
	s := begin(f)
	f.Fuzz(func(t *testing.T, body string) {
		s := *s
		s.TB = t
		a := s.sdk().post("/v1/batch", body).blamesNobody()
		for _, kind := range []string{"identify", "track", "page", "group", "alias"} {
			s.sdk().post("/v1/"+kind, body).blamesNobody()
		}
		if a.status != 200 {
			return
		}
		var sent struct{ Batch []struct{ UserID any } }
		_ = json.Unmarshal([]byte(body), &sent) // as far as it goes
		for i, message := range sent.Batch {
			if id, ok := message.UserID.(string); ok && i < 5 && strings.TrimSpace(id) != "" {
				c := customer{&s, strings.TrimSpace(id), ""}
				c.shown().blamesNobody()
				c.get(c.path("/events?limit=500")).blamesNobody()
				c.patch(c.path(""), m{"lastName": "Lovelace"}).blamesNobody()
			}
		}
		s.get("/v1/quarantine?limit=50").blamesNobody()
	})
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "x", "%", encoded("[]"), encoded(`["1"]`), encoded(`["TIMELINE#"]`), encoded(`["MSG#x"]`), encoded(`["AUDIT#000000000001"]`), encoded(`["0","x"]`), encoded(`["15",""]`), "\x00", "\xff"} {
		f.Add(seed, "1")
		f.Add(seed, "501")
	}
	s := begin(f)
	c := s.consents()
	s.mailed(c.email, 1)
	s.settled()
	f.Fuzz(func(t *testing.T, cursor, limit string) {
		s := *s
		s.TB = t
		c := customer{&s, c.id, c.email}
		query := url.Values{"cursor": {cursor}, "limit": {limit}, "purpose": {"marketing"}, "channel": {"email"}, "types": {limit}, "from": {cursor}}
		for _, path := range []string{c.path("/events"), c.path("/messages"), c.path("/timeline"), c.path("/audit"), "/v1/consents"} {
			for _, drop := range []string{"", "types,from"} {
				q := url.Values{}
				for name, values := range query {
					if !slices.Contains(strings.Split(drop, ","), name) {
						q[name] = values
					}
				}
				s.get(path + "?" + q.Encode()).blamesNobody()
			}
		}
		s.get(c.path("?version=" + url.QueryEscape(limit) + "&asOf=" + url.QueryEscape(cursor))).blamesNobody()
		s.get("/v1/customers?email=" + url.QueryEscape(cursor)).blamesNobody()
		s.get("/v1/customers/" + url.PathEscape(cursor)).blamesNobody()
		s.delete(c.path("/consents/" + url.PathEscape(cursor) + "/" + url.PathEscape(limit))).blamesNobody()
	})
}
