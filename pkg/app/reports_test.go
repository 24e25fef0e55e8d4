package app

import (
	"strings"
	"testing"

	"defter/pkg/record"
	"defter/pkg/view"
)

// TestP9_TheOrderIsToldWhileItsReportIsPutAside: then whoever puts it aside looks again, since nobody else would.
func TestP9_TheOrderIsToldWhileItsReportIsPutAside(t *testing.T) {
	h := newHistory(1)
	h.calm = true
	told := false
	h.rows.crash = func() error {
		if !told { // the order arrives between looking for it and putting its refund aside
			told = true
			return h.send([]map[string]any{{"type": "track", "userId": "u0", "messageId": "m1", "event": "Order Completed", "properties": map[string]any{"order_id": "o1", "total": "50", "currency": "TRY"}}})
		}
		return nil
	}
	refund := []map[string]any{{"type": "track", "messageId": "m2", "event": "Order Refunded", "properties": map[string]any{"order_id": "o1", "total": 20}}}
	for range 2 {
		if err := h.send(refund); err != nil {
			t.Fatal(err)
		}
	}
	head, err := h.Log.Load(t.Context(), view.CustomerStream("u0"), record.Fold)
	if err != nil {
		t.Fatal(err)
	}
	if o := record.Fold.Of(head).Order.Orders["o1"]; o.RefundedMinor != 2000 {
		t.Errorf("%+v", o)
	}
	for key := range h.rows.items {
		if strings.HasPrefix(key[0], "WAITING#") || strings.HasPrefix(key[0], "QUARANTINE#") {
			t.Errorf("%v is left", key)
		}
	}
}
