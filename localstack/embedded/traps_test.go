package embedded

import (
	"context"
	"slices"
	"testing"

	"defter/pkg/meter"
)

// TestB09_OrdersAndTypesAreFoundByKey: whose an order is, is one read by its key; a customer's events of some types are
// in the customer's own stream. Neither looks at anybody else's.
func TestB09_OrdersAndTypesAreFoundByKey(t *testing.T) {
	s := begin(t)
	for _, id := range []string{"ada", "ben"} {
		s.sdk().post("/v1/track", m{"userId": id, "event": "Order Completed", "messageId": unique("m"), "properties": m{"order_id": "order-" + id, "total": 10, "currency": "EUR"}}).expect(200)
		s.sdk().post("/v1/page", m{"userId": id, "name": "home", "messageId": unique("m")}).expect(200)
	}
	cost := new(meter.Meter)
	held, ok, err := s.system.App.Log.Store.Claimed(meter.With(context.Background(), cost), "UNIQUE#order#order-ben")
	if err != nil || !ok || string(held.Value) != "CUSTOMER#ben 2" {
		t.Fatalf("the order is held by %q, %v, %v", held.Value, ok, err)
	}
	if cost.Cost().Requests != 1 {
		t.Errorf("%d requests for one order", cost.Cost().Requests)
	}
	got := typesOf(s.get("/v1/customers/ben/events?types=OrderPlaced,PaymentSucceeded").expect(200).list("events"))
	if !slices.Equal(got, []string{"OrderPlaced", "PaymentSucceeded"}) {
		t.Errorf("ben's events are %v", got)
	}
}
