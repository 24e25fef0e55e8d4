package embedded

import (
	"fmt"
	"strings"
	"testing"
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
