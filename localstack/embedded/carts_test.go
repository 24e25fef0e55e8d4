package embedded

import (
	"context"
	"strings"
	"testing"

	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// puts a shoe of 30 lira into a cart.
func (c customer) puts(cart string) {
	c.Helper()
	c.sdk().post("/v1/track", m{"userId": c.id, "event": "Product Added", "messageId": unique("m"), "properties": m{
		"cart_id": cart, "product_id": "shoe", "name": "Red shoe", "price": 30, "currency": "TRY", "quantity": 2,
	}}).expect(200)
}

// TestB40_ACartIsAbandonedOncePerEpisode: the function runs every few minutes, and finds those that are due by their key.
func TestB40_ACartIsAbandonedOncePerEpisode(t *testing.T) {
	s := begin(t)
	ada := s.registers()
	cart := unique("cart")
	ada.puts(cart)
	s.settled()
	ada.shown().has("carts.0.status", "open", "carts.0.items", 2, "carts.0.valueMinor", 6000, "carts.0.currency", "TRY")
	if n := ada.happened("CartCreated"); n != 1 {
		t.Errorf("created %d times", n)
	}
	s.advance("59m")
	s.settled()
	if n := ada.happened("CartAbandoned"); n != 0 {
		t.Fatalf("abandoned %d times within the hour", n)
	}
	left := func(n int) []m {
		t.Helper()
		s.advance("21m") // hints are of ten minutes, and looked at when they are over
		eventually(t, "abandoned", func() bool { return ada.happened("CartAbandoned") >= n })
		for range 3 { // it is looked at again and again
			s.advance("30m")
			s.settled()
		}
		events := s.get(ada.path("/events?types=CartAbandoned")).expect(200).list("events")
		if len(events) != n {
			t.Fatalf("abandoned %d times, want %d", len(events), n)
		}
		return events
	}
	a := left(1)[0]["data"].(m)
	if a["cartId"] != cart || a["episode"] != 1.0 || a["totalValueMinor"] != 6000.0 || a["currency"] != "TRY" || a["abandonedAt"] == "" || at(a["items"], "0.productName") != "Red shoe" {
		t.Errorf("%v", a)
	}
	ada.shown().has("carts.0.status", "abandoned")

	ada.puts(cart) // taken up again
	ada.sdk().post("/v1/track", m{"userId": ada.id, "event": "Checkout Started", "properties": m{"cart_id": cart, "order_id": "o1", "value": 120, "currency": "TRY"}}).expect(200)
	ada.sdk().post("/v1/track", m{"userId": ada.id, "event": "Checkout Step Completed", "properties": m{"checkout_id": "o1", "step": 2}}).expect(200)
	s.settled()
	s.advance("59m")
	if events := left(2); events[1]["data"].(m)["episode"] != 2.0 || events[1]["data"].(m)["checkoutStarted"] != true {
		t.Errorf("%v", events[1])
	}
	checkout := s.get(ada.path("/events?types=CheckoutAbandoned")).expect(200).list("events")
	if len(checkout) != 1 || checkout[0]["data"].(m)["lastCompletedStep"] != "payment" || checkout[0]["data"].(m)["abandonedValueMinor"] != 12000.0 {
		t.Errorf("%v", checkout)
	}

	ada.puts(cart)
	s.post("/v1/orders", ada.basket("cartId", cart)).expect(201)
	s.settled()
	if carts := ada.shown().list("carts"); len(carts) != 0 {
		t.Errorf("bought, and still there: %v", carts)
	}
	s.advance("59m")
	left(2)
	// The hints by which it is found are gone once they were followed, and go with the customer.
	ada.puts(unique("cart"))
	s.settled()
	if due := s.rows("DUE#cart#"); len(due) == 0 {
		t.Error("there are no hints")
	}
	s.post(ada.path("/erasure"), m{}).expect(200)
	s.settled()
	if due := s.rows("DUE#cart#"); len(due) != 0 {
		t.Errorf("left of the erased: %v", due)
	}
}

// rows are the keys of views' rows whose partition begins so.
func (s *story) rows(prefix string) []string {
	s.Helper()
	var keys []string
	err := s.system.scanViews(context.Background(), &dynamodb.ScanInput{}, func(row view.Row) error {
		if strings.HasPrefix(row.PK, prefix) {
			keys = append(keys, row.PK+" "+row.SK)
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return keys
}
