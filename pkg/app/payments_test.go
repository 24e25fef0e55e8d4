package app

import (
	"context"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/payment"
	"defter/pkg/record"
	"defter/pkg/view"
)

// loads is a store that counts how often a stream is loaded.
type loads struct {
	eventstore.Store
	n int
}

func (l *loads) LoadSnapshots(ctx context.Context, stream string, folds ...string) ([]eventstore.Snapshot, error) {
	l.n++
	return l.Store.LoadSnapshots(ctx, stream, folds...)
}

// TestD13_APaymentStepLoadsOnce, also where somebody else wrote to the stream while the provider was asked.
func TestD13_APaymentStepLoadsOnce(t *testing.T) {
	h := newHistory(1)
	h.calm = true
	store := &loads{Store: h}
	h.Log.Store = store
	ask := func(handler lambdaio.Handler, what, id string, body map[string]any) {
		t.Helper()
		if status, err := h.ask(handler, what, id, body); err != nil || status >= 300 {
			t.Fatalf("%s: %d, %v", what, status, err)
		}
	}
	if err := h.send([]map[string]any{{"type": "page", "userId": "u0", "messageId": "known", "name": "home"}}); err != nil {
		t.Fatal(err)
	}
	ask(PlaceOrder(h.App), "POST /v1/orders", "", map[string]any{
		"orderId": "o1", "customerId": "u0", "currency": "TRY", "items": []any{map[string]any{"productId": "shoe", "quantity": 2, "priceMinor": 2500}},
		"payment": map[string]any{"paymentMethod": "credit-card"},
	})
	stream := view.CustomerStream("u0")
	step := func(run PaymentRun, during func()) order.Order {
		t.Helper()
		store.n = 0
		h.Payments = provider{during}
		if run, err := h.RunPaymentStep(t.Context(), run); err != nil || !run.Done {
			t.Fatalf("%+v, %v", run, err)
		}
		if store.n != 1 {
			t.Errorf("the step loads the stream %d times", store.n)
		}
		head, err := h.Log.Load(t.Context(), stream, record.Fold)
		if err != nil {
			t.Fatal(err)
		}
		return record.Fold.Of(head).Order.Orders["o1"]
	}
	paid := h.paymentOf(t, stream).Payment.ID
	meanwhile := func() {
		if err := h.send([]map[string]any{{"type": "page", "userId": "u0", "messageId": "meanwhile", "name": "home"}}); err != nil {
			t.Error(err)
		}
		store.n--
	}
	if o := step(PaymentRun{Stream: stream, OrderID: "o1", PaymentID: paid}, meanwhile); o.PaidMinor != 5000 {
		t.Errorf("%+v", o)
	}
	ask(RefundOrder(h.App), "POST /v1/orders/{id}/refunds", "o1", map[string]any{"refundId": "r1", "reason": "other"})
	if o := step(PaymentRun{Stream: stream, OrderID: "o1", RefundID: "r1"}, func() {}); o.RefundedMinor != 5000 {
		t.Errorf("%+v", o)
	}
}

// paymentOf is the order o1.
func (h *history) paymentOf(t *testing.T, stream string) order.Order {
	t.Helper()
	head, err := h.Log.Load(t.Context(), stream, record.Fold)
	if err != nil {
		t.Fatal(err)
	}
	return record.Fold.Of(head).Order.Orders["o1"]
}

// provider moves all money, while something else happens.
type provider struct{ during func() }

func (p provider) Charge(context.Context, payment.Charge) (string, error) {
	p.during()
	return "tx", nil
}

func (p provider) Refund(context.Context, payment.Refund) (string, error) {
	p.during()
	return "re", nil
}
