package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/record"
	"defter/pkg/topology"
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

// dying is a store whose process dies now and then: before a commit is stored, or before anybody hears of it.
type dying struct {
	eventstore.Store
	die func() error
}

func (d dying) Append(ctx context.Context, c eventstore.Commit, claims ...eventstore.Claim) error {
	if err := d.die(); err != nil {
		return err
	}
	if err := d.Store.Append(ctx, c, claims...); err != nil {
		return err
	}
	return d.die()
}

// TestP9_ARefundWaitsForAReversal: of 50, 40 went back, so that another refund of 30 waits. The first one comes back to the shop, and the other is
// taken in: once, whatever dies meanwhile, and however long the bus pauses. It is told of the events that the row of release-reports
// subscribes to, and of no others.
func TestP9_ARefundWaitsForAReversal(t *testing.T) {
	steps := []map[string]any{
		{"event": "Order Completed", "userId": "u0", "properties": map[string]any{"order_id": "o1", "total": "50", "currency": "TRY"}},
		{"event": "Order Refunded", "properties": map[string]any{"order_id": "o1", "refund_id": "r1", "total": 40}},
		{"event": "Order Refunded", "properties": map[string]any{"order_id": "o1", "refund_id": "r2", "total": 30}},
		{"event": "Order Refund Failed", "properties": map[string]any{"order_id": "o1", "refund_id": "r1"}},
	}
	died := 0
	for pauses := range 1 << len(steps) { // after which steps the bus delivers nothing
		for at := 0; ; at++ { // when it dies
			h := newHistory(1)
			h.calm = true
			left := at
			die := func() error {
				if left--; left == 0 {
					return errCrash
				}
				return nil
			}
			h.rows.crash, h.Log.Store = die, dying{h.Log.Store, die}
			told := map[string]bool{}
			for i, m := range steps {
				m["type"], m["messageId"] = "track", fmt.Sprint("m", i)
				if err := h.send([]map[string]any{m}); err != nil {
					t.Fatal(err)
				}
				h.clock = h.clock.Add(time.Hour)
				if i == len(steps)-1 || pauses>>i&1 == 0 {
					h.releases(t, told)
				}
			}
			head, err := h.Log.Load(t.Context(), view.CustomerStream("u0"), record.Fold)
			if err != nil {
				t.Fatal(err)
			}
			o := record.Fold.Of(head).Order.Orders["o1"]
			waits := 0
			for key := range h.rows.items {
				if strings.HasPrefix(key[0], "WAITING#") || strings.HasPrefix(key[0], "QUARANTINE#") {
					waits++
				}
			}
			if o.RefundedMinor != 3000 || waits > 0 {
				t.Fatalf("pauses %04b, dead at %d: %d went back, want 3000, and %d rows wait", pauses, at, o.RefundedMinor, waits)
			}
			if left > 0 { // it came to its end alive
				break
			}
			died++
		}
	}
	if died < 100 {
		t.Errorf("it died %d times only", died)
	}
}

// releases delivers to release-reports what it subscribes to and was not told yet, each until it is taken.
func (h *history) releases(t *testing.T, told map[string]bool) {
	t.Helper()
	row := topology.Functions[slices.IndexFunc(topology.Functions, func(f topology.Function) bool { return f.Name == "release-reports" })]
	for again := true; again; { // what is released may be told in turn
		again = false
		for e, err := range h.Log.Events(t.Context(), view.CustomerStream("u0"), 1, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if told[e.ID] || !slices.Contains(row.Bus.Types, e.Type) {
				continue
			}
			told[e.ID], again = true, true
			for err := h.ReleaseReports(t.Context(), e); err != nil; err = h.ReleaseReports(t.Context(), e) {
				if !fault.Retryable(err) {
					t.Fatal(err)
				}
			}
		}
	}
}
