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
	"defter/pkg/ingest"
	"defter/pkg/order"
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

// TestC3_AnOrderIsToldAgain: with the same customer, amount and currency that says nothing, whoever tells it. What contradicts the first
// telling changes nothing, and is in the quarantine once however often it comes; it stays there when it is released.
func TestC3_AnOrderIsToldAgain(t *testing.T) {
	t.Parallel()
	const first = `{"userId":"od1","messageId":"m1","event":"Order Completed","properties":{"order_id":"#2001","total":50,"currency":"EUR"}}`
	for _, c := range []struct {
		name, source, again, reason string
	}{
		{"by another source", "other", `{"userId":"od1","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":"50.00","currency":"eur"}}`, ""},
		{"without its currency", "other", `{"userId":"od1","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":"50.00"}}`, ""},
		{"by a browser that is nobody's", "other", `{"anonymousId":"exd1","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":50,"currency":"EUR"}}`, ""},
		{"another amount, by the same source", "server", `{"userId":"od1","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":70,"currency":"EUR"}}`, "the order is of 5000 EUR, and not of 7000"},
		{"another currency", "other", `{"userId":"od1","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":50,"currency":"USD"}}`, "the order is in EUR, and the amount in USD"},
		{"another amount, by a browser that is nobody's", "other", `{"anonymousId":"exd1","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":51,"currency":"EUR"}}`, "the order is of 5000 EUR, and not of 5100"},
		{"another customer", "other", `{"userId":"od2","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":50,"currency":"EUR"}}`, "the order is another customer's: shops that number alike need a prefix"},
		{"another shop's", "other", `{"userId":"od2","messageId":"m2","event":"Order Completed","properties":{"order_id":"#2001","total":70,"currency":"USD"}}`, "the order is another customer's: shops that number alike need a prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			w.Fixed["other"] = ingest.Source{ID: "other", Trusted: true}
			w.sends("server", "track", first).expect(200)
			before := w.history(view.CustomerStream("od1"))
			for range 2 {
				w.sends(c.source, "track", c.again).expect(200)
			}
			if got := w.history(view.CustomerStream("od1")); len(got) != len(before) {
				t.Errorf("it became %v", kinds(got[len(before):]))
			}
			if got := kinds(w.history(view.CustomerStream("od2"))); slices.Contains(got, "OrderPlaced") {
				t.Errorf("it is another's too: %v", got)
			}
			rows, _, err := w.Views.Table.List(t.Context(), quarantinePrefix+c.source, "", "", 10, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				shown, _, err := w.showQuarantined(t.Context(), row)
				if err != nil || shown.Reason != "contradicts-order: "+c.reason {
					t.Errorf("quarantined with the reason %q, want %q: %v", shown.Reason, c.reason, err)
				}
				if a := w.release(shown.ID, withKey).expect(422); !strings.Contains(a.body, "still-invalid") {
					t.Errorf("released: %s", a.body)
				}
			}
			if want := min(len(c.reason), 1); len(rows) != want {
				t.Errorf("%d are quarantined, want %d", len(rows), want)
			}
		})
	}
}

// TestC3_AnOrderIsToldAgainBySomebodysOtherID: a visitor's and a former id's orders are the customer's that they turned out to be.
func TestC3_AnOrderIsToldAgainBySomebodysOtherID(t *testing.T) {
	t.Parallel()
	w := begin(t)
	const told = `{"userId":"%s","messageId":"%s","event":"Order Completed","properties":{"order_id":"%s","total":50,"currency":"EUR"}}`
	w.sends("server", "track", fmt.Sprintf(told, "old", "m1", "o1")).expect(200)
	w.sends("server", "track", `{"anonymousId":"phone","messageId":"m2","event":"Order Completed","properties":{"order_id":"o2","total":50,"currency":"EUR"}}`).expect(200)
	w.sends("server", "alias", `{"userId":"ada","previousId":"old"}`).expect(200)
	w.sends("server", "identify", `{"userId":"ada","anonymousId":"phone"}`).expect(200)
	w.joins()
	for i, id := range []string{"ada", "bob"} {
		for _, o := range []string{"o1", "o2"} {
			w.sends("server", "track", fmt.Sprintf(told, id, "again-"+id+o, o)).expect(200)
		}
		rows, _, err := w.Views.Table.List(t.Context(), quarantinePrefix+"server", "", "", 10, false)
		if err != nil || len(rows) != 2*i {
			t.Errorf("%s told both again: %d are quarantined, want %d: %v", id, len(rows), 2*i, err)
		}
	}
}

// TestC3_AnOrderIsToldAgainThatLeftTheState: it is compared all the same.
func TestC3_AnOrderIsToldAgainThatLeftTheState(t *testing.T) {
	t.Parallel()
	w := begin(t)
	const message = `{"type":"track","userId":"ada","messageId":"%s%d","event":"Order %[1]s","properties":{"order_id":"o%[2]d","total":50,"currency":"EUR"}}`
	var batch []string
	for i := range order.MaxOrders + 5 {
		batch = append(batch, fmt.Sprintf(message, "Completed", i), fmt.Sprintf(message, "Cancelled", i))
	}
	w.sends("server", "batch", `{"batch":[`+strings.Join(batch, ",")+`]}`).expect(200)
	if _, known := w.state(view.CustomerStream("ada")).Order.Order("o0"); known {
		t.Fatal("the first order is in the state")
	}
	for i, total := range []int{50, 70} {
		w.sends("server", "track", fmt.Sprintf(`{"userId":"ada","messageId":"again-%d","event":"Order Completed","properties":{"order_id":"o0","total":%[1]d,"currency":"EUR"}}`, total)).expect(200)
		if n := len(w.quarantine("source=server").Messages); n != i {
			t.Errorf("told again with a total of %d: %d are quarantined, want %d", total, n, i)
		}
	}
}

// TestC3_AnOrderPaidByAnother: an order that waits here for its payment may be paid as somebody else, and told so again and again.
func TestC3_AnOrderPaidByAnother(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","termsAccepted":true}`)
	w.call(PlaceOrder(w.App), "POST", "/v1/orders", "/v1/orders", `{"orderId":"o1","customerId":"`+id+`","currency":"TRY","items":[{"productId":"tea","quantity":1,"priceMinor":5000}]}`, withKey).expect(201)
	for range 2 {
		w.sends("server", "track", `{"userId":"bob","messageId":"m1","event":"Order Completed","properties":{"order_id":"o1","total":50,"currency":"TRY"}}`).expect(200)
	}
	if o, _ := w.state(view.CustomerStream(id)).Order.Order("o1"); o.PaidMinor != 5000 {
		t.Errorf("%+v", o)
	}
	if aside := w.quarantine("source=server").Messages; len(aside) > 0 {
		t.Errorf("quarantined: %+v", aside)
	}
}
