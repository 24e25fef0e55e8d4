package embedded

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85"
)

// The known faults of money and orders, by number.

// reports is what a shop's server tells of an order; who is whom it names, "" for nobody.
func (s *story) reports(who, event string, properties m) {
	s.Helper()
	message := m{"event": event, "properties": properties, "messageId": unique("m")}
	if who != "" {
		message["userId"] = who
	}
	s.sdk().post("/v1/track", message).expect(200)
}

// value is the customer's lifetime value, as "USD 1.00, …" would be written in minor units.
func (c customer) value() string {
	c.Helper()
	c.settled()
	var parts []string
	for _, v := range c.shown().expect(200).list("lifetimeValue") {
		parts = append(parts, fmt.Sprintf("%v %.0f", v["currency"], v["amountMinor"]))
	}
	return strings.Join(parts, ", ")
}

// aside are the reasons of what is quarantined.
func (s *story) aside() (reasons []string) {
	s.Helper()
	for _, q := range s.get("/v1/quarantine").expect(200).list("messages") {
		reasons = append(reasons, fmt.Sprint(q["reason"]))
	}
	return reasons
}

// TestP1_ZeroIsNotAbsent: what is empty, nothing or null is refused where being absent has a meaning, and moves nothing.
func TestP1_ZeroIsNotAbsent(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("ok"))
	s.becomes(path, "confirmed")
	s.settled()
	before := s.stored()
	for _, c := range []struct {
		call, path string
		body       m
		slug       string
	}{
		{"POST", path + "/refunds", m{"reason": "other", "amountMinor": 0}, "invalid-amount"},
		{"POST", path + "/refunds", m{"reason": "other", "items": []m{}}, "invalid-items"},
		{"POST", path + "/refunds", m{"reason": "other", "refundId": ""}, "invalid-id"},
		{"POST", path + "/refunds", m{"reason": "other", "amountMinor": nil}, "invalid-json"},
		{"POST", path + "/refunds", m{"reason": "other", "items": nil}, "invalid-json"},
		{"POST", path + "/refunds", m{"reason": "other", "refundId": nil}, "invalid-json"},
		{"POST", path + "/shipment", m{"estimatedDelivery": ""}, "invalid-date"},
		{"POST", path + "/shipment", m{"shippedAt": nil}, "invalid-json"},
		{"POST", "/v1/orders", ada.basket("orderId", ""), "invalid-id"},
		{"POST", "/v1/orders", ada.basket("cartId", ""), "invalid-id"},
		{"POST", "/v1/orders", ada.basket("totalMinor", nil), "invalid-json"},
		{"POST", "/v1/orders", ada.basket("payment", nil), "invalid-json"},
		{"POST", "/v1/orders", ada.basket("payment", m{}), "invalid-payment-method"},
		{"POST", ada.path("/consents"), m{"purpose": "analytics", "channel": "push", "consentMethod": ""}, "invalid-request"},
		{"POST", ada.path("/consents"), m{"purpose": "analytics", "channel": "push", "ipAddress": ""}, "invalid-request"},
		{"POST", ada.path("/consents"), m{"purpose": "analytics", "channel": "push", "userAgent": ""}, "invalid-request"},
		{"POST", ada.path("/deactivation"), m{"reason": ""}, "invalid-reason"},
		{"POST", ada.path("/erasure"), m{"reason": ""}, "invalid-reason"},
		{"POST", ada.path("/identities"), m{"anonymousId": "", "userId": "u2"}, "invalid-id"},
		{"POST", ada.path("/identities"), m{"userId": ""}, "invalid-id"},
		{"PUT", ada.path("/preferences"), m{"updatedAt": nil}, "invalid-json"},
		{"PUT", "/v1/products/shoe", m{"currency": ""}, "invalid-request"},
		{"PUT", "/v1/products/shoe", m{"quantity": nil}, "invalid-json"},
		{"POST", "/v1/customers", m{"email": "eve@mail.example", "termsAccepted": true, "source": ""}, "invalid-source"},
		{"POST", "/v1/customers", m{"email": "eve@mail.example", "termsAccepted": true, "ipAddress": ""}, "invalid-request"},
	} {
		s.send(c.call, c.path, c.body).refused(400, c.slug)
	}
	s.post(ada.path("/email-verification"), m{"token": ""}).refused(422, "wrong-token") // and no other one is sent
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
	if moved := s.money(); moved != 5500 {
		t.Errorf("%d are with the provider, want 5500", moved)
	}
}

// TestP2_AnItemIsWorthItsShareOfWhatWasPaid, and all items are worth exactly what was paid, over all refunds, reported ones too.
func TestP2_AnItemIsWorthItsShareOfWhatWasPaid(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("items", []m{{"productId": "cup", "quantity": 4, "priceMinor": 2000}}, "discountMinor", 4000, "taxMinor", 800, "shippingMinor", 0, "payment", card("ok"))
	id := strings.TrimPrefix(path, "/v1/orders/")
	s.becomes(path, "confirmed").has("paidMinor", 4800)
	back := func(quantity int) *reply {
		t.Helper()
		return s.post(path+"/refunds", m{"reason": "other", "items": []m{{"productId": "cup", "quantity": quantity}}})
	}
	back(1).expect(202).has("refunds.0.amountMinor", 1200)
	eventually(t, "given back", func() bool { return s.get(path).number("refundedMinor") == 1200 })
	s.reports(ada.id, "Order Refunded", m{"order_id": id, "refund_id": "at-the-till", "products": []m{{"product_id": "cup", "quantity": 1}}})
	s.get(path).has("refundedMinor", 2400)
	back(3).refused(422, "item-not-ordered")
	back(2).expect(202).has("refunds.2.amountMinor", 2400)
	eventually(t, "given back whole", func() bool { return s.get(path).text("paymentStatus") == "refunded" })
	back(1).refused(422, "nothing-to-refund")

	odd := ada.orders("items", []m{{"productId": "a", "quantity": 3, "priceMinor": 333}, {"productId": "b", "quantity": 1, "priceMinor": 1}}, "discountMinor", 7, "taxMinor", 100, "shippingMinor", 11, "payment", card("ok"))
	s.becomes(odd, "confirmed").has("paidMinor", 1104)
	for _, item := range []string{"a", "b", "a", "a"} {
		s.post(odd+"/refunds", m{"reason": "other", "items": []m{{"productId": item, "quantity": 1}}}).expect(202)
	}
	eventually(t, "given back to the last", func() bool { return s.get(odd).number("refundedMinor") == 1104 })
}

// TestP3_ARefundOnItsWayDoesNotCount: neither in the order nor in what the customer is worth, until the provider has made it.
func TestP3_ARefundOnItsWayDoesNotCount(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("ok;pending,pending,ok"))
	s.becomes(path, "confirmed")
	s.post(path+"/refunds", m{"reason": "other", "amountMinor": 1000}).expect(202)
	eventually(t, "asked for", func() bool { return s.get(path).number("refunds.0.attempts") == 2 })
	s.settled()
	s.get(path).has("refunds.0.status", "initiated", "refundedMinor", 0, "refundableMinor", 4500, "paymentStatus", "paid")
	if got := ada.value(); got != "TRY 5500" || s.money() != 5500 {
		t.Errorf("the customer is worth %s, and the provider has %d", got, s.money())
	}
	s.advance("10m1s")
	eventually(t, "asked for again", func() bool { return s.get(path).number("refunds.0.attempts") == 3 })
	s.get(path).has("refundedMinor", 0)
	s.advance("20m1s")
	eventually(t, "given back", func() bool { return s.get(path).text("refunds.0.status") == "completed" })
	if got := ada.value(); got != "TRY 4500" || s.money() != 4500 {
		t.Errorf("the customer is worth %s, and the provider has %d", got, s.money())
	}

	failing := ada.orders("payment", card("ok;pending,account_closed"))
	s.becomes(failing, "confirmed")
	s.post(failing+"/refunds", m{"reason": "other"}).expect(202)
	eventually(t, "asked for", func() bool { return s.get(failing).number("refunds.0.attempts") == 2 })
	s.advance("10m1s")
	eventually(t, "failed", func() bool { return s.get(failing).text("refunds.0.status") == "failed" })
	s.get(failing).has("refunds.0.errorCode", "account_closed", "refundableMinor", 5500, "refundedMinor", 0)
	if moved := s.money(); moved != 4500+5500 {
		t.Errorf("%d are with the provider", moved)
	}
}

// TestP3_AFailureUndoesWhatCounted, in whatever order the shop tells of it.
func TestP3_AFailureUndoesWhatCounted(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	s.reports(ada.id, "Order Completed", m{"order_id": "o-1", "total": 50, "currency": "TRY"})
	s.reports(ada.id, "Order Refunded", m{"order_id": "o-1", "refund_id": "re-1", "total": 20, "currency": "TRY"})
	if got := ada.value(); got != "TRY 3000" {
		t.Errorf("%s after the refund", got)
	}
	s.reports("", "Order Refund Failed", m{"order_id": "o-1", "refund_id": "re-1"})
	s.reports("", "Order Refund Failed", m{"order_id": "o-1", "refund_id": "re-2"})
	s.reports(ada.id, "Order Refunded", m{"order_id": "o-1", "refund_id": "re-2", "total": 20, "currency": "TRY"})
	if got := ada.value(); got != "TRY 5000" {
		t.Errorf("%s after both failed", got)
	}
	s.get("/v1/orders/o-1").has("refundedMinor", 0, "refunds.0.status", "failed", "refunds.1.status", "failed", "paymentStatus", "paid")
}

// TestP4_AnAmountIsInItsOrdersCurrency where it says none, and is put aside where it says another.
func TestP4_AnAmountIsInItsOrdersCurrency(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	s.reports(ada.id, "Order Completed", m{"order_id": "o-1", "total": 3.000, "currency": "KWD"})
	s.reports(ada.id, "Order Refunded", m{"order_id": "o-1", "total": 1})
	if got := ada.value(); got != "KWD 2000" {
		t.Errorf("worth %s", got)
	}
	s.reports(ada.id, "Order Refunded", m{"order_id": "o-1", "refund_id": "r-2", "total": 1, "currency": "USD"})
	if got := ada.value(); got != "KWD 2000" {
		t.Errorf("worth %s after a refund in another currency", got)
	}
	if reasons := s.aside(); len(reasons) != 1 || !strings.Contains(reasons[0], "the order is in KWD, and the amount in USD") {
		t.Errorf("quarantined: %q", reasons)
	}
	path := ada.orders() // 55 lira, that the shop's own checkout takes
	s.reports(ada.id, "Order Completed", m{"order_id": strings.TrimPrefix(path, "/v1/orders/"), "total": 55})
	s.get(path).has("status", "confirmed", "paidMinor", 5500)
}

// TestP8_OneSetOfBounds for every way in: reported orders, refunds, carts, products and the API. No sum turns into its opposite.
func TestP8_OneSetOfBounds(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	for i := range 3 {
		s.reports(ada.id, "Order Completed", m{"order_id": fmt.Sprint("o-", i), "total": 9e14, "currency": "TRY"})
	}
	s.reports(ada.id, "Order Completed", m{"order_id": "o-3", "total": 1, "currency": "TRY", "products": []m{{"product_id": "p", "quantity": 1_000_001, "price": 1}}})
	s.reports(ada.id, "Product Added", m{"cart_id": "k1", "product_id": "p", "quantity": 1, "price": 1e11, "currency": "TRY"})
	s.reports(ada.id, "Product Added", m{"cart_id": "k1", "product_id": "p", "quantity": 1_000_001, "price": 1, "currency": "TRY"})
	s.reports(ada.id, "Product Viewed", m{"product_id": "p", "price": 1e11, "currency": "TRY"})
	s.reports(ada.id, "Checkout Started", m{"order_id": "o", "value": 1e11, "currency": "TRY"})
	if reasons := s.aside(); len(reasons) != 8 {
		t.Errorf("%d are quarantined: %q", len(reasons), reasons)
	}
	s.reports(ada.id, "Order Completed", m{"order_id": "most", "total": 1e10, "currency": "TRY"})
	s.reports(ada.id, "Order Refunded", m{"order_id": "most", "total": 1e10 + 1, "currency": "TRY"})
	s.reports(ada.id, "Order Refunded", m{"order_id": "most", "total": 9e14, "currency": "TRY"})
	if got := ada.value(); got != "TRY 1000000000000" {
		t.Errorf("worth %s", got)
	}
	if reasons := s.aside(); len(reasons) != 10 {
		t.Errorf("%d are quarantined: %q", len(reasons), reasons)
	}
	ada.shown().has("orders", 1, "carts", nil)
	huge := []m{{"productId": "p", "quantity": 1, "priceMinor": 1_000_000_000_001}}
	s.post("/v1/orders", ada.basket("items", huge)).refused(400, "invalid-order")
	s.post("/v1/orders", ada.basket("items", []m{{"productId": "p", "quantity": 1, "priceMinor": 1_000_000_000_000}}, "discountMinor", 0)).refused(400, "invalid-order") // and tax
	s.put("/v1/products/p", m{"priceMinor": 1_000_000_000_001, "currency": "TRY"}).refused(400, "invalid-product")
}

// TestP9_WhatIsToldOfAnOrderIsItsOwners, whoever tells it; of an order that nobody told of it waits, visible in the quarantine.
func TestP9_WhatIsToldOfAnOrderIsItsOwners(t *testing.T) {
	s := begin(t)
	ada, bob := s.registers(), s.registers()
	s.reports(ada.id, "Order Cancelled", m{"order_id": "never"})
	s.settled()
	ada.shown().has("orders", 0)
	s.reports(ada.id, "Order Completed", m{"order_id": "o-1", "total": 50, "currency": "TRY"})
	s.reports(bob.id, "Order Refunded", m{"order_id": "o-1", "refund_id": "r-1", "total": 20, "currency": "TRY"})
	s.reports("", "Order Cancelled", m{"order_id": "o-1"})
	if ada.value() != "TRY 3000" || bob.value() != "" {
		t.Errorf("worth %q and %q", ada.value(), bob.value())
	}
	ada.shown().has("orders", 0)
	bob.shown().has("orders", 0)
	s.get("/v1/orders/o-1").has("status", "cancelled", "refundedMinor", 2000, "customerId", ada.id)

	// What is told before its order counts once that is told, and once.
	for range 2 {
		s.sdk().post("/v1/track", m{"userId": bob.id, "event": "Order Refunded", "messageId": "early", "properties": m{"order_id": "o-2", "total": 5}}).expect(200)
	}
	s.reports("", "Order Cancelled", m{"order_id": "o-2"})
	if reasons := s.aside(); len(reasons) != 3 {
		t.Errorf("quarantined: %q", reasons)
	}
	s.reports(ada.id, "Order Completed", m{"order_id": "o-2", "total": 50, "currency": "TRY"})
	eventually(t, "taken in", func() bool { return len(s.aside()) == 1 })
	if got := ada.value(); got != "TRY 7500" {
		t.Errorf("worth %s", got)
	}
	s.get("/v1/orders/o-2").has("status", "cancelled", "refundedMinor", 500)
	ada.shown().has("orders", 0)

	// So it is with an order that is placed here, and paid in the shop's own checkout as somebody else.
	path := ada.orders()
	id := strings.TrimPrefix(path, "/v1/orders/")
	s.reports(bob.id, "Order Refunded", m{"order_id": id, "total": 5})
	s.get(path).has("refundedMinor", 0)
	s.reports(bob.id, "Order Completed", m{"order_id": id, "total": 55, "currency": "TRY"})
	s.becomes(path, "confirmed").has("paidMinor", 5500, "customerId", ada.id)
	eventually(t, "the refund is taken in", func() bool { return s.get(path).number("refundedMinor") == 500 })
	bob.shown().has("orders", 0)
	if at := s.get("/v1/quarantine").list("messages"); len(at) != 1 {
		t.Errorf("%d are quarantined", len(at))
	} else { // nobody placed it: released by hand it stays where it is
		s.post("/v1/quarantine/"+fmt.Sprint(at[0]["id"])+"/release", nil).refused(422, "still-invalid")
	}
	s.settled()
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}

const hookSecret = "a secret of sixteen bytes and more"

// body is a delivery as it is posted.
func (s *story) body(delivery any) string {
	s.Helper()
	raw, err := json.Marshal(delivery)
	if err != nil {
		s.Fatal(err)
	}
	return string(raw)
}

// stripes is a source of Stripe's deliveries, and what delivers one.
func (s *story) stripes(settings m) (deliver func(kind string, object m, rest m) *reply) {
	s.Helper()
	all := m{"signature": "stripe", "secret": hookSecret}
	for name, value := range settings {
		all[name] = value
	}
	c := s.source("webhook", "webhook", all)
	return func(kind string, object, rest m) *reply {
		event := m{"id": unique("evt"), "type": kind, "created": s.system.clock.Now().Unix(), "livemode": true, "data": m{"object": object}}
		for name, value := range rest {
			event[name] = value
		}
		raw := s.body(event)
		signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(raw), Secret: hookSecret, Timestamp: s.system.clock.Now()})
		return s.with("Authorization", "", "Stripe-Signature", signed.Header).post("/v1/webhook?writeKey="+c.key, raw).expect(200)
	}
}

// TestP3_WhatStripeTells: an unpaid session is no order, a pending refund gives nothing back, and one that fails undoes what counted.
// What is of test mode or of another account is put aside.
func TestP3_WhatStripeTells(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	deliver := s.stripes(nil)
	session := func(order, status string) m {
		return m{"client_reference_id": ada.id, "payment_status": status, "amount_total": 5000, "currency": "try", "metadata": m{"order_id": order}}
	}
	refund := func(id, status string) m {
		return m{"id": id, "status": status, "amount": 2000, "currency": "try", "metadata": m{"order_id": "o-1"}}
	}
	deliver("checkout.session.completed", session("o-1", "unpaid"), nil)
	if got := ada.value(); got != "" {
		t.Errorf("worth %s before anything was paid", got)
	}
	deliver("checkout.session.async_payment_succeeded", session("o-1", "paid"), nil)
	deliver("checkout.session.async_payment_failed", session("o-2", "unpaid"), nil)
	deliver("refund.created", refund("re_1", "pending"), nil)
	if got := ada.value(); got != "TRY 5000" {
		t.Errorf("worth %s while the refund is pending", got)
	}
	deliver("refund.updated", refund("re_1", "succeeded"), nil)
	deliver("charge.refund.updated", refund("re_1", "succeeded"), nil)
	if got := ada.value(); got != "TRY 3000" {
		t.Errorf("worth %s after the refund", got)
	}
	deliver("refund.failed", refund("re_1", "failed"), nil)
	deliver("refund.failed", refund("re_2", "failed"), nil)
	deliver("refund.updated", refund("re_2", "succeeded"), nil) // told late
	if got := ada.value(); got != "TRY 5000" {
		t.Errorf("worth %s after both failed", got)
	}
	deliver("checkout.session.completed", session("o-3", "paid"), m{"livemode": false})
	deliver("checkout.session.completed", session("o-3", "paid"), m{"account": "acct_other"})
	if got := ada.value(); got != "TRY 5000" {
		t.Errorf("worth %s by what is not of this source", got)
	}
	if reasons := s.aside(); len(reasons) != 2 || !strings.Contains(reasons[1], "livemode") || !strings.Contains(reasons[0], "account") {
		t.Errorf("quarantined: %q", reasons)
	}
	s.stripes(m{"livemode": false, "account": "acct_1"})("checkout.session.completed", session("o-3", "paid"), m{"livemode": false, "account": "acct_1"})
	if got := ada.value(); got != "TRY 10000" {
		t.Errorf("worth %s", got)
	}
}

// TestP15_WhatAMailServiceTells: who leaves a group, or is dropped since they have left, gets no marketing mail any more.
func TestP15_WhatAMailServiceTells(t *testing.T) {
	s := begin(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	hook := s.source("webhook", "webhook", m{"signature": "sendgrid", "secret": base64.StdEncoding.EncodeToString(public)})
	tells := func(c customer, event, reason string) {
		t.Helper()
		raw := s.body([]m{{"event": event, "reason": reason, "customerId": c.id, "email": c.email, "timestamp": s.system.clock.Now().Unix() + 1, "sg_event_id": unique("e")}})
		at := fmt.Sprint(s.system.clock.Now().Unix())
		sum := sha256.Sum256([]byte(at + raw))
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		s.with("Authorization", "", "X-Twilio-Email-Event-Webhook-Timestamp", at, "X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature)).
			post("/v1/webhook?writeKey="+hook.key, raw).expect(200)
	}
	for _, c := range []struct {
		event, reason  string
		allowed, reach bool
	}{
		{"group_unsubscribe", "", false, true}, {"unsubscribe", "", false, true}, {"spamreport", "", false, true}, {"dropped", "Unsubscribed Address", false, true},
		{"dropped", "Spam Reporting Address", false, true}, {"dropped", "Bounced Address", true, false}, {"dropped", "Invalid", true, false}, {"dropped", "Spam Content", true, true},
		{"processed", "", true, true}, {"deferred", "", true, true}, {"group_resubscribe", "", true, true}, {"delivered", "", true, true},
	} {
		ada := s.consents()
		tells(ada, c.event, c.reason)
		allowed := strings.Contains(string(ada.get(ada.path("/consents")).expect(200).body), `"active"`)
		reach := ada.happened("CustomerEmailInvalidated") == 0
		if allowed != c.allowed || reach != c.reach {
			t.Errorf("%s %s: marketing allowed %v, address usable %v", c.event, c.reason, allowed, reach)
		}
	}
	if reasons := s.aside(); len(reasons) != 0 {
		t.Errorf("quarantined: %q", reasons)
	}
}

// TestP15_WhatAShopTells: revenue goes down by refunds and orders go down by cancellations, whichever topics tell of them.
func TestP15_WhatAShopTells(t *testing.T) {
	s := begin(t)
	deliver := s.shopifys()
	order := func(id int, more m) m {
		all := m{"id": id, "customer": m{"id": 5}, "financial_status": "paid", "cancelled_at": nil, "currency": "TRY", "total_price": "50.00", "created_at": s.system.clock.Now()}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	transaction := func(order, id int, status string) m {
		return m{"id": id, "order_id": order, "kind": "refund", "status": status, "amount": "20.00", "currency": "TRY", "created_at": s.system.clock.Now()}
	}
	shopper := s.known("5")
	deliver("orders/create", order(1001, m{"financial_status": "pending"}))
	deliver("orders/paid", order(1001, nil))
	deliver("orders/updated", order(1001, nil))
	deliver("refunds/create", m{"id": 7, "order_id": 1001, "transactions": []m{transaction(1001, 71, "success"), transaction(1001, 72, "pending")}})
	deliver("order_transactions/create", transaction(1001, 71, "success"))
	deliver("orders/updated", order(1001, m{"financial_status": "partially_refunded", "refunds": []m{{"transactions": []m{transaction(1001, 71, "success")}}}}))
	if got := shopper.value(); got != "TRY 3000" {
		t.Errorf("worth %s after one refund, told three times", got)
	}
	deliver("order_transactions/create", transaction(1001, 72, "success"))
	deliver("order_transactions/create", transaction(1001, 73, "failure"))
	deliver("orders/updated", order(1001, m{"financial_status": "partially_refunded", "cancelled_at": s.system.clock.Now()}))
	if got := shopper.value(); got != "TRY 1000" {
		t.Errorf("worth %s after two refunds", got)
	}
	shopper.shown().has("orders", 0)
	if reasons := s.aside(); len(reasons) != 0 {
		t.Errorf("quarantined: %q", reasons)
	}
}

// shopifys delivers as a shop of Shopify does, each topic to an address of its own.
func (s *story) shopifys() (deliver func(topic string, body m, header ...string)) {
	keys := map[string]string{}
	return func(topic string, body m, header ...string) {
		s.Helper()
		if keys[topic] == "" {
			keys[topic] = s.source("webhook", "webhook", m{"signature": "shopify", "secret": hookSecret, "topic": topic}).key
		}
		raw := s.body(body)
		mac := hmac.New(sha256.New, []byte(hookSecret))
		mac.Write([]byte(raw))
		header = append([]string{"Authorization", "", "X-Shopify-Topic", topic, "X-Shopify-Webhook-Id", unique("w"), "X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(mac.Sum(nil))}, header...)
		s.with(header...).post("/v1/webhook?writeKey="+keys[topic], raw).expect(200)
	}
}

// TestS11_WhatIsNotSignedMeansNothing: the topic beside a delivery cancels no order, another id beside it counts nothing twice, and a secret
// that can be guessed is none.
func TestS11_WhatIsNotSignedMeansNothing(t *testing.T) {
	s := begin(t)
	deliver := s.shopifys()
	paid := m{"id": 1001, "customer": m{"id": 5}, "financial_status": "paid", "cancelled_at": nil, "currency": "TRY", "total_price": "50.00"}
	deliver("orders/paid", paid)
	deliver("orders/paid", paid, "X-Shopify-Webhook-Id", "another")
	deliver("orders/paid", paid, "X-Shopify-Topic", "orders/cancelled") // seen on the way, and sent again
	deliver("orders/cancelled", paid)
	shopper := s.known("5")
	if got := shopper.value(); got != "TRY 5000" {
		t.Errorf("worth %s", got)
	}
	shopper.shown().has("orders", 1)
	s.get("/v1/orders/1001").has("status", "confirmed")
	if reasons := s.aside(); len(reasons) != 1 || !strings.Contains(reasons[0], "topic") {
		t.Errorf("quarantined: %q", reasons)
	}
	for _, hook := range []m{
		{"signature": "stripe", "secret": "x"}, {"signature": "shopify", "secret": "x", "topic": "orders/paid"}, {"signature": "standard", "secret": "whsec_eA==", "rules": []m{{"event": "X", "userId": "$.body.u"}}},
		{"signature": "shopify", "secret": hookSecret}, {"signature": "shopify", "secret": hookSecret, "topic": "orders/edited"}, {"signature": "stripe"},
	} {
		s.post("/v1/sources", m{"name": "hook", "kind": "webhook", "webhook": hook}).refused(422, "invalid-source")
	}
	for _, hook := range []m{{"signature": "stripe", "secret": ""}, {"signature": "shopify", "secret": hookSecret, "topic": ""}, {"signature": "stripe", "secret": hookSecret, "rules": []m{}}} {
		s.post("/v1/sources", m{"name": "hook", "kind": "webhook", "webhook": hook}).refused(400, "invalid-request")
	}
}

// TestP11_OfACircleOneIsTheHead: who is said to be themselves is refused on the SDKs' way, too; of those who are said to be each other, in
// whatever order that is told, one is the head, and their orders count once.
func TestP11_OfACircleOneIsTheHead(t *testing.T) {
	s := begin(t)
	server := s.source("server")
	for _, backwards := range []bool{false, true} {
		ids := []string{unique("ada"), unique("ada"), unique("ada")}
		for i, id := range ids {
			s.reports(id, "Order Completed", m{"order_id": unique("order"), "total": 10 * (i + 1), "currency": "TRY"})
		}
		var aliases []m
		for i, id := range ids { // the last closes the circle: it is said that the last one was the first
			at := s.system.clock.Now().Add(-time.Duration(30-i) * time.Minute)
			aliases = append(aliases, m{"userId": id, "previousId": ids[(i+1)%3], "timestamp": at, "messageId": unique("m")})
		}
		if backwards {
			slices.Reverse(aliases)
		}
		for _, alias := range aliases {
			server.says("/v1/alias", alias).expect(200)
			s.settled()
		}
		head := s.known(ids[0])
		head.shown().expect(200).has("mergedInto", nil, "orders", 3, "lifetimeValue.0.amountMinor", 6000)
		s.known(ids[1]).shown().expect(200).has("mergedInto", ids[0], "orders", 2, "lifetimeValue.0.amountMinor", 5000)
		s.known(ids[2]).shown().expect(200).has("mergedInto", ids[1], "orders", 1, "lifetimeValue.0.amountMinor", 3000)
		s.get(s.known(ids[2]).path("/identities")).has("identities.0.owned", false)
		s.get(head.path("/identities")).has("identities.0.owned", true)
		if n := len(s.get(head.path("/timeline?limit=500")).expect(200).list("timeline")); n < 12 {
			t.Errorf("%d lines of the three", n)
		}
		// Who is not the head takes nobody along; the head takes all.
		s.post(s.known(ids[2]).path("/erasure"), m{}).expect(200)
		s.settled()
		head.shown().expect(200).has("orders", 2)
		s.post(head.path("/erasure"), m{}).expect(200)
		for _, id := range ids {
			s.known(id).shown().refused(404, "customer-erased")
		}
	}
	eve := unique("eve")
	s.reports(eve, "Seen", nil)
	server.says("/v1/alias", m{"userId": eve, "previousId": eve}).expect(200)
	s.settled()
	s.get(s.known(eve).path("/identities")).expect(200).has("identities.0.id", nil)
	if reasons := s.aside(); len(reasons) != 1 || reasons[0] != "a customer cannot be merged with itself" {
		t.Errorf("quarantined: %q", reasons)
	}
}

// TestP18_WhatTheWholePersonDid: a visitor fills carts, turns out to be a customer, and buys as the customer: then there is no open cart,
// however the order came in; and one that was left is shown as left.
func TestP18_WhatTheWholePersonDid(t *testing.T) {
	s := begin(t)
	fills := func(visitor, cart string) {
		t.Helper()
		s.sdk().post("/v1/track", m{"anonymousId": visitor, "event": "Product Added", "messageId": unique("m"), "properties": m{
			"cart_id": cart, "product_id": "shoe", "price": 10, "currency": "TRY", "quantity": 1}}).expect(200)
	}
	carts := func(c customer) string {
		t.Helper()
		s.settled()
		var list []string
		for _, cart := range c.shown().expect(200).list("carts") {
			list = append(list, fmt.Sprint(cart["cartId"], " ", cart["status"]))
		}
		return strings.Join(list, ", ")
	}
	for name, buy := range map[string]func(c customer){
		"reported": func(c customer) {
			s.reports(c.id, "Order Completed", m{"order_id": unique("o"), "cart_id": "k1", "total": 10, "currency": "TRY"})
		},
		"placed here": func(c customer) { s.post("/v1/orders", c.basket("cartId", "k1")).expect(201) },
		"without its cart": func(c customer) {
			s.reports(c.id, "Order Completed", m{"order_id": unique("o"), "total": 10, "currency": "TRY"})
		},
	} {
		c, visitor := s.registers(), unique("a")
		fills(visitor, "k1")
		s.post(c.path("/identities"), m{"anonymousId": visitor}).expect(201)
		if got := carts(c); got != "k1 open" {
			t.Errorf("%s: the carts are %q", name, got)
		}
		buy(c)
		if got := carts(c); got != "" {
			t.Errorf("%s: the carts are %q after it was bought", name, got)
		}
		s.advance("1m")
		fills(visitor, "k1") // something else, afterwards
		if got := carts(c); got != "k1 open" {
			t.Errorf("%s: the carts are %q after another product was put in", name, got)
		}
	}
	left, visitor := s.registers(), unique("a")
	fills(visitor, "k2")
	s.post(left.path("/identities"), m{"anonymousId": visitor}).expect(201)
	for range 3 {
		s.advance("30m")
		s.settled()
	}
	eventually(t, "left", func() bool { return left.happened("CartAbandoned") == 1 })
	if got := carts(left); got != "k2 abandoned" {
		t.Errorf("the carts are %q after one was left", got)
	}
	// What a former id was found to like, said of itself and belonged to is the person's, by when it was said.
	former := unique("former")
	minutes := func(n int) time.Time { return s.system.clock.Now().Add(time.Duration(n) * time.Minute) }
	server := s.source("server")
	say := func(who, route string, at int, more m) {
		t.Helper()
		message := m{"userId": who, "messageId": unique("m"), "timestamp": minutes(at)}
		for name, value := range more {
			message[name] = value
		}
		server.says(route, message).expect(200)
	}
	say(left.id, "/v1/identify", -50, m{"traits": m{"plan": "gold", "size": 7, "gone": true}})
	say(former, "/v1/identify", -40, m{"traits": m{"plan": "silver", "size": 8}})
	say(left.id, "/v1/identify", -30, m{"traits": m{"size": 9, "gone": nil}})
	say(former, "/v1/identify", -45, m{"traits": m{"gone": true}})
	say(former, "/v1/group", -20, m{"groupId": "g1"})
	say(former, "/v1/track", -20, m{"event": "Product Affinity Detected", "properties": m{"category": "shoes", "score": 0.7}})
	say(left.id, "/v1/track", -30, m{"event": "Product Affinity Detected", "properties": m{"category": "shoes", "score": 0.1}})
	s.post(left.path("/identities"), m{"userId": former}).expect(201)
	s.settled()
	left.shown().has("attributes.plan", "silver", "attributes.size", 9, "attributes.gone", nil, "groups.0", "g1", "affinities.shoes.score", 0.7)
}
