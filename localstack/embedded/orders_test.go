package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"defter/pkg/order"
	"defter/pkg/payment/local"
	"defter/pkg/topology"
)

// basket is an order of 55 lira.
func (c customer) basket(fields ...any) m {
	body := m{
		"orderId": unique("order"), "customerId": c.id, "currency": "TRY", "taxMinor": 900, "shippingMinor": 100, "discountMinor": 500,
		"items":           []m{{"productId": "shoe", "productName": "Red shoe", "quantity": 2, "priceMinor": 2000}, {"productId": "lace", "quantity": 10, "priceMinor": 100}},
		"shippingAddress": m{"name": "Ada Lovelace", "city": "Ankara"},
	}
	for i := 0; i < len(fields); i += 2 {
		body[fields[i].(string)] = fields[i+1]
	}
	return body
}

func card(script string) m { return m{"paymentMethod": "credit-card", "paymentToken": script} }

// orders places an order and returns its path.
func (c customer) orders(fields ...any) string {
	c.Helper()
	a := c.post("/v1/orders", c.basket(fields...)).expect(201)
	if want := "/v1/orders/" + a.text("orderId"); a.header.Get("Location") != want {
		c.Errorf("placed at %q, want %q", a.header.Get("Location"), want)
	}
	return "/v1/orders/" + a.text("orderId")
}

// becomes waits until the order stands there.
func (s *story) becomes(path, status string) *reply {
	s.Helper()
	var a *reply
	eventually(s, path+" "+status, func() bool {
		a = s.get(path).expect(200)
		return a.text("status") == status
	})
	return a
}

// money is what the provider's own ledger says that moved, in lira.
func (s *story) money() int64 {
	s.Helper()
	moved, err := s.system.App.Payments.(local.Provider).Moved(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	return moved["TRY"]
}

// TestAnOrderFromPlacingToTheLastRefund.
func TestAnOrderFromPlacingToTheLastRefund(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders()
	s.get(path).expect(200).has("status", "pending-payment", "paymentStatus", "pending", "subtotalMinor", 5000, "totalMinor", 5500, "canBeCancelled", true,
		"canBeRefunded", false, "items.0.productName", "Red shoe", "shippingAddress.city", "Ankara", "customerId", ada.id)
	s.post(path+"/shipment", m{}).refused(422, "order-not-confirmed")
	s.post(path+"/refunds", m{"reason": "other"}).refused(422, "nothing-to-refund")

	s.post(path+"/payment", card("ok")).expect(202).has("payment.status", "initiated")
	a := s.becomes(path, "confirmed").has("paymentStatus", "paid", "paidMinor", 5500, "payment.attempts", 1, "refundableMinor", 5500)
	if number := a.text("confirmationNumber"); number != order.ConfirmationNumber(strings.TrimPrefix(path, "/v1/orders/")) {
		t.Errorf("confirmation number %q", number)
	}
	s.post(path+"/payment", card("ok")).refused(422, "order-not-payable")

	s.post(path+"/shipment", m{"carrier": "PTT", "trackingNumber": "TR123", "estimatedDelivery": "2030-01-01"}).expect(200).has("status", "in-transit", "shippingStatus", "shipped", "canBeCancelled", false)
	s.post(path+"/cancellation", m{}).refused(422, "order-not-cancellable")
	s.post(path+"/delivery", m{"signedBy": "Ada"}).expect(200).has("status", "completed", "shippingStatus", "delivered", "canBeRefunded", true)

	s.post(path+"/refunds", m{"reason": "quality-issue", "items": []m{{"productId": "shoe", "quantity": 1}}, "refundId": "r1"}).expect(202).has("refunds.0.amountMinor", 2200)
	eventually(t, "given back in part", func() bool { return s.get(path).text("refunds.0.status") == "completed" })
	s.get(path).has("paymentStatus", "partially-refunded", "refundedMinor", 2200, "refundableMinor", 3300)
	s.post(path+"/refunds", m{"reason": "other", "amountMinor": 3301}).refused(422, "refund-exceeds-payment")
	s.post(path+"/refunds", m{"reason": "quality-issue", "refundId": "r1"}).expect(202).has("refundedMinor", 2200) // asked again
	s.post(path+"/refunds", m{"reason": "other"}).expect(202)
	eventually(t, "given back whole", func() bool { return s.get(path).text("paymentStatus") == "refunded" })
	s.settled()

	var types []string
	for _, e := range s.get(path).list("timeline") {
		types = append(types, fmt.Sprint(e["type"]))
	}
	want := []string{
		"OrderPlaced", "PaymentInitiated", "PaymentSucceeded", "OrderConfirmed", "OrderShipped", "OrderDelivered", "RefundInitiated", "RefundCompleted",
		"RefundInitiated", "RefundCompleted",
	}
	if !slices.Equal(types, want) {
		t.Errorf("timeline %v, want %v", types, want)
	}
	ada.shown().expect(200).has("orders", 1, "lifetimeValue.0.amountMinor", 0)
	if left := s.money(); left != 0 {
		t.Errorf("%d are still with the provider", left)
	}
	s.get(ada.path("/orders")).expect(200).has("orders.0.status", "completed", "orders.0.refundedMinor", 5500)
}

// TestB51_AnAnswerThatGotLostChargesOnce: the provider took the money and its answer did not arrive.
func TestB51_AnAnswerThatGotLostChargesOnce(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("lost"))
	eventually(t, "to be tried again", func() bool { return s.get(path).text("payment.status") == "retrying" })
	s.get(path).has("status", "pending-payment", "payment.errorCode", "TIMEOUT")
	s.advance("301s")
	s.becomes(path, "confirmed").has("paidMinor", 5500, "payment.attempts", 2)
	if moved := s.money(); moved != 5500 {
		t.Errorf("%d moved, want 5500", moved)
	}
}

// TestB52_APaymentIsTriedFourTimes: 300 s apart, and then abandoned; another payment may follow.
func TestB52_APaymentIsTriedFourTimes(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("RATE_LIMIT,SERVICE_UNAVAILABLE,TIMEOUT"))
	for attempt := 2; attempt <= 4; attempt++ {
		eventually(t, fmt.Sprint("attempt ", attempt, " waits"), func() bool { return s.get(path).number("payment.attempts") == attempt })
		s.advance("280s")
		s.settled()
		s.get(path).has("payment.status", "retrying", "payment.attempts", attempt, "status", "pending-payment")
		s.advance("21s")
	}
	s.becomes(path, "payment-failed").has("payment.attempts", 4, "payment.status", "failed")
	s.advance("24h")
	s.settled()
	for _, n := range []struct {
		event string
		times int
	}{{"PaymentInitiated", 1}, {"PaymentFailed", 4}, {"PaymentRetryScheduled", 3}, {"PaymentAbandoned", 1}, {"PaymentSucceeded", 0}} {
		if got := ada.happened(n.event); got != n.times {
			t.Errorf("%s happened %d times, want %d", n.event, got, n.times)
		}
	}
	s.post(path+"/payment", card("ok")).expect(202)
	s.becomes(path, "confirmed").has("paidMinor", 5500)
	if moved := s.money(); moved != 5500 {
		t.Errorf("%d moved, want 5500", moved)
	}
}

// TestADeclinedCardIsNotTriedAgain, and a refund that fails is free again.
func TestADeclinedCardIsNotTriedAgain(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("card_declined"))
	s.becomes(path, "payment-failed").has("payment.errorCode", "card_declined", "payment.attempts", 1)
	s.post(path+"/payment", card("ok;account_closed")).expect(202)
	s.becomes(path, "confirmed")
	s.post(path+"/refunds", m{"reason": "other"}).expect(202)
	eventually(t, "refund failed", func() bool { return s.get(path).text("refunds.0.status") == "failed" })
	s.get(path).has("refunds.0.errorCode", "account_closed", "refundableMinor", 5500, "paymentStatus", "paid")

	late := ada.orders("payment", card("ok;TIMEOUT,lost,ok"))
	s.becomes(late, "confirmed")
	s.post(late+"/refunds", m{"reason": "other"}).expect(202)
	for range 3 {
		s.settled()
		s.advance("301s")
	}
	s.settled()
	s.get(late).has("refunds.0.status", "completed", "refundedMinor", 5500)
	if moved := s.money(); moved != 5500 {
		t.Errorf("%d moved, want 5500 of the first order", moved)
	}
}

// TestACancelledOrderGivesBack what was paid, and stops what was to be paid.
func TestACancelledOrderGivesBack(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	paid := ada.orders("payment", card("ok"))
	s.becomes(paid, "confirmed")
	s.post(paid+"/cancellation", m{"reason": "changed my mind"}).expect(200).has("status", "cancelled", "refunds.0.amountMinor", 5500)
	eventually(t, "given back", func() bool { return s.get(paid).text("paymentStatus") == "refunded" })
	s.post(paid+"/cancellation", m{}).expect(200).has("status", "cancelled") // asked again

	waiting := ada.orders("payment", card("TIMEOUT,ok"))
	eventually(t, "to be tried again", func() bool { return s.get(waiting).text("payment.status") == "retrying" })
	s.post(waiting+"/cancellation", m{}).expect(200)
	s.advance("1h")
	s.settled()
	s.get(waiting).has("status", "cancelled", "paidMinor", 0, "payment.status", "failed")

	lost := ada.orders("payment", card("lost,ok")) // taken, though nobody knows yet
	eventually(t, "to be tried again", func() bool { return s.get(lost).text("payment.status") == "retrying" })
	s.post(lost+"/cancellation", m{}).expect(200)
	s.advance("301s")
	eventually(t, "given back", func() bool { return s.get(lost).text("paymentStatus") == "refunded" })
	if moved := s.money(); moved != 0 {
		t.Errorf("%d are still with the provider", moved)
	}
	ada.shown().has("orders", 0)
}

// TestOrdersAndReportsMeet: an order is counted once, whoever tells of it.
func TestOrdersAndReportsMeet(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("ok"))
	id := strings.TrimPrefix(path, "/v1/orders/")
	s.becomes(path, "confirmed")
	track := func(event string, properties m) {
		t.Helper()
		properties["order_id"] = id
		s.sdk().post("/v1/track", m{"userId": ada.id, "event": event, "properties": properties}).expect(200)
	}
	track("Order Completed", m{"total": 55, "currency": "TRY"})
	s.get(path).has("paidMinor", 5500)
	s.post(path+"/refunds", m{"reason": "other", "amountMinor": 1000}).expect(202)
	eventually(t, "given back", func() bool { return s.get(path).number("refundedMinor") == 1000 })
	track("Order Refunded", m{"total": 10, "currency": "TRY", "refund_id": s.get(path).text("refunds.0.transactionId")}) // by the provider's id
	s.get(path).has("refundedMinor", 1000)
	s.post(path+"/cancellation", m{}).expect(200)
	track("Order Cancelled", m{})
	s.settled()
	ada.shown().has("orders", 0, "lifetimeValue.0.amountMinor", 0)

	reported := unique("order")
	s.sdk().post("/v1/track", m{"userId": ada.id, "event": "Order Completed", "properties": m{"order_id": reported, "total": 20, "currency": "TRY"}}).expect(200)
	s.get("/v1/orders/"+reported).expect(200).has("status", "confirmed", "paymentStatus", "paid", "customerId", ada.id)
	s.post("/v1/orders", ada.basket("orderId", reported)).refused(409, "order-exists")
	s.post("/v1/orders/"+reported+"/shipment", m{}).expect(200).has("status", "in-transit")
}

// TestAPaymentElsewhereCounts: an order placed here and paid in the shop's own checkout, which reports it.
func TestAPaymentElsewhereCounts(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders()
	report := m{"userId": ada.id, "anonymousId": unique("a"), "event": "Order Completed", "properties": m{"order_id": strings.TrimPrefix(path, "/v1/orders/"), "total": 55, "currency": "TRY"}}
	for range 3 {
		report["messageId"] = unique("m")
		s.sdk().post("/v1/track", report).expect(200)
	}
	s.settled()
	s.get(path).expect(200).has("status", "confirmed", "paidMinor", 5500, "canBeRefunded", false)
	s.post(path+"/payment", card("ok")).refused(422, "order-not-payable")
	s.post(path+"/refunds", m{"reason": "other"}).refused(422, "paid-elsewhere")
	ada.shown().has("orders", 1, "lifetimeValue.0.amountMinor", 5500, "visitors.0", report["anonymousId"])
}

// TestReportsOfOthersBlockNothing: what somebody else is said to have done to an order does not stand in its way.
func TestReportsOfOthersBlockNothing(t *testing.T) {
	s := begin(t)
	ada, bob := s.registers(), s.registers()
	path := ada.orders("payment", card("ok"))
	id := strings.TrimPrefix(path, "/v1/orders/")
	s.becomes(path, "confirmed")
	s.sdk().post("/v1/track", m{"userId": bob.id, "event": "Order Cancelled", "properties": m{"order_id": id}}).expect(200)
	s.post(path+"/cancellation", m{}).expect(200).has("status", "cancelled")
	eventually(t, "given back", func() bool { return s.get(path).text("paymentStatus") == "refunded" })
	for _, e := range s.get(ada.path("/events?types=PaymentInitiated")).expect(200).list("events") {
		if at(e["data"], "paymentToken") != nil {
			t.Errorf("the token is shown: %v", e)
		}
	}
}

// TestNobodyIsErasedWhileMoneyMoves, since what is then due to them could not be given back.
func TestNobodyIsErasedWhileMoneyMoves(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	path := ada.orders("payment", card("ok;TIMEOUT,ok"))
	s.becomes(path, "confirmed")
	s.post(path+"/cancellation", m{}).expect(200)
	s.settled()
	s.post(ada.path("/erasure"), m{}).refused(422, "payment-under-way")
	s.advance("301s")
	eventually(t, "given back", func() bool { return s.get(path).text("paymentStatus") == "refunded" })
	s.post(ada.path("/erasure"), m{}).expect(200)
	if moved := s.money(); moved != 0 {
		t.Errorf("%d are still with the provider", moved)
	}
}

// TestPayingLater: the same order sent again with a payment is paid.
func TestPayingLater(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	body := ada.basket()
	path := "/v1/orders/" + s.post("/v1/orders", body).expect(201).text("orderId")
	body["payment"] = card("ok")
	s.post("/v1/orders", body).expect(201)
	s.becomes(path, "confirmed")
	s.post("/v1/orders", body).expect(201).has("status", "confirmed")
	if moved := s.money(); moved != 5500 {
		t.Errorf("%d moved, want 5500", moved)
	}
}

// TestBadOrders are refused, with the reason, and change nothing.
func TestBadOrders(t *testing.T) {
	s := begin(t)
	ada, bob := s.registers(), s.registers()
	id := unique("order")
	first := ada.basket("orderId", id)
	s.with("Idempotency-Key", id).post("/v1/orders", first).expect(201)
	s.with("Idempotency-Key", id).post("/v1/orders", first).expect(201).has("orderId", id)
	s.post("/v1/orders", first).expect(201).has("orderId", id) // asked again
	s.with("Idempotency-Key", id).post("/v1/orders", ada.basket()).refused(409, "idempotency-key-reused")
	s.post("/v1/orders", bob.basket("orderId", id)).refused(409, "order-exists")
	s.post("/v1/orders", ada.basket("orderId", id, "taxMinor", 1)).refused(409, "order-exists")
	s.post("/v1/orders", ada.basket("customerId", "nobody")).refused(404, "customer-not-found")
	s.post("/v1/orders", ada.basket("orderId", "ada@mail.example")).refused(400, "invalid-id")
	s.post("/v1/orders", ada.basket("items", []m{})).refused(400, "invalid-order")
	s.post("/v1/orders", ada.basket("totalMinor", 1)).refused(422, "total-mismatch")
	s.post("/v1/orders", ada.basket("payment", m{"paymentMethod": "shells"})).refused(400, "invalid-payment-method")
	s.post("/v1/orders", ada.basket("shippingAddress", m{"city": strings.Repeat("a", 101)})).refused(400, "too-long")
	s.post("/v1/orders", `{"customerId": 7}`).refused(400, "invalid-json")
	s.get("/v1/orders/"+unique("order")).refused(404, "order-not-found")
	s.post("/v1/orders/"+unique("order")+"/payment", card("ok")).refused(404, "order-not-found")
	s.post("/v1/orders/"+id+"/delivery", m{"deliveredAt": "2200-01-01T00:00:00Z"}).refused(400, "invalid-time")
	s.with("Authorization", "").get("/v1/orders/"+id).refused(401, "unauthorized")
	s.settled()
	ada.shown().has("orders", 1)
	bob.shown().has("orders", 0)

	s.post(ada.path("/erasure"), m{}).expect(200)
	s.get("/v1/orders/"+id).refused(404, "order-not-found")
	s.post("/v1/orders/"+id+"/cancellation", m{}).refused(404, "order-not-found")
}

// TestProducts: what the back office says of stock and prices, as events.
func TestProducts(t *testing.T) {
	s := begin(t)
	path := "/v1/products/" + unique("shoe")
	s.get(path).refused(404, "product-not-found")
	s.put(path, m{"quantity": 5, "priceMinor": 2000, "currency": "TRY"}).expect(200).has("quantity", 5, "priceMinor", 2000, "currency", "TRY")
	s.put(path, m{"quantity": 0}).expect(200).has("quantity", 0, "priceMinor", 2000)
	s.put(path, m{"quantity": 0}).expect(200)
	s.get(path).expect(200).has("quantity", 0)
	s.put(path, m{"quantity": -1}).refused(400, "invalid-product")
	s.put("/v1/products/ada@mail.example", m{"quantity": 1}).refused(400, "invalid-id")
	if n := len(s.itemsWith(topology.Events, "PRODUCT#"+strings.TrimPrefix(path, "/v1/products/"))); n != 2 {
		t.Errorf("%d commits, want 2: told again it is nothing", n)
	}
}

// TestInsights: what other systems found out, told by a server and by nobody else.
func TestInsights(t *testing.T) {
	s := begin(t)
	user := unique("user")
	found := map[string]m{
		"Product Affinity Detected": {"category": "shoes", "score": 0.8, "recommended_products": []string{"p1"}},
		"Integration Synced":        {"integration": "sendgrid", "action": "CustomerCreated"},
		"Touchpoint Recorded":       {"channel": "paid-ad", "campaign": "spring", "value": 1.5, "currency": "TRY"},
		"Attribution Calculated":    {"order_id": "o1", "model": "linear", "currency": "TRY", "credits": []m{{"channel": "email", "value": 10, "touch_count": 2}}},
	}
	made := s.post("/v1/sources", m{"name": "shop", "kind": "browser"}).expect(201)
	page := s.with("Authorization", basic(made.text("writeKeys.0.writeKey"), ""))
	for event, properties := range found {
		s.sdk().post("/v1/track", m{"userId": user, "event": event, "properties": properties}).expect(200)
		page.post("/v1/track", m{"userId": user, "event": event, "properties": properties}).expect(200)
	}
	s.settled()
	c := s.known(user)
	for _, event := range []string{"ProductAffinityDetected", "ThirdPartyIntegrationSynced", "TouchpointRecorded", "AttributionCalculated"} {
		if n := c.happened(event); n != 1 {
			t.Errorf("%d × %s", n, event)
		}
	}
	if n := c.happened("EventTracked"); n != len(found) {
		t.Errorf("%d are kept as a page told them, want %d", n, len(found))
	}
	c.shown().expect(200).has("affinities.shoes.score", 0.8, "lastTouch.channel", "paid-ad", "lastTouch.campaign", "spring")
	if c.shown().at("integrations.sendgrid") == nil {
		t.Error("the integration is not shown")
	}
	s.get(c.path("/events?types=AttributionCalculated")).has("events.0.data.credits.0.valueMinor", 1000)
}
