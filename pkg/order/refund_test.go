package order_test

import (
	"fmt"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/order"

	"pgregory.net/rapid"
)

const window = 30 * 24 * time.Hour

// history is the order o1 as these events made it.
func history(events ...any) order.History {
	list := make([]eventstore.Event, len(events))
	for i, data := range events {
		list[i] = eventstore.Event{Data: data, OccurredAt: noon, Version: int64(i + 1)}
	}
	return order.HistoryOf("o1", list)
}

func giveBack(id string, amount int64) order.Refund {
	return order.Refund{OrderID: "o1", RefundID: id, Reason: "quality-issue", AmountMinor: &amount, At: noon, Window: window}
}

func allBack(id string) order.Refund {
	return order.Refund{OrderID: "o1", RefundID: id, Reason: "quality-issue", At: noon, Window: window}
}

func itemsBack(id string, h order.History, items ...order.RefundItem) order.Refund {
	return order.Refund{OrderID: "o1", RefundID: id, Reason: "quality-issue", Items: items, History: h, At: noon, Window: window}
}

func item(product string, quantity int64) order.RefundItem {
	return order.RefundItem{ProductID: product, Quantity: quantity}
}

// TestP1_ZeroIsNotAbsent: an amount of nothing, and a list of no items, are refused. Only where neither is said all goes back.
func TestP1_ZeroIsNotAbsent(t *testing.T) {
	bought.When(t, giveBack("r1", 0)).Fails("invalid-amount")
	bought.When(t, giveBack("r1", -1)).Fails("invalid-amount")
	none := allBack("r1")
	none.Items = []order.RefundItem{}
	bought.When(t, none).Fails("invalid-items")
	bought.When(t, allBack("r1")).Then(refundOf("r1", 5500, "full", "quality-issue")).Again().Nothing()
}

// TestB56_Refunds: up to what was paid, also after delivery within the window, and only what the provider confirmed counts.
func TestB56_Refunds(t *testing.T) {
	bought.When(t, giveBack("r1", 5500)).Then(refundOf("r1", 5500, "full", "quality-issue"))
	bought.When(t, giveBack("r1", 5501)).Fails("refund-exceeds-payment")
	paying.When(t, giveBack("r1", 1)).Fails("nothing-to-refund")
	whim := giveBack("r1", 1)
	whim.Reason = "a whim"
	bought.When(t, whim).Fails("invalid-reason")

	part := bought.Given(refundOf("r1", 3000, "partial", "quality-issue")) // on its way: it counts already
	part.When(t, giveBack("r2", 2501)).Fails("refund-exceeds-payment")
	part.When(t, giveBack("r2", 2500)).Then(refundOf("r2", 2500, "partial", "quality-issue"))
	part.Given(order.RefundFailed{OrderID: "o1", RefundID: "r1", AmountMinor: 3000}).When(t, giveBack("r2", 5500)).Then(refundOf("r2", 5500, "full", "quality-issue"))

	arrived := bought.Given(shipped, delivered)
	last := giveBack("r1", 100)
	last.At = noon.Add(window)
	arrived.When(t, last).Then(refundOf("r1", 100, "partial", "quality-issue"))
	last.At = last.At.Add(time.Second)
	arrived.When(t, last).Fails("return-window-over")

	done := order.RefundCompleted{OrderID: "o1", RefundID: "r1", AmountMinor: 3000, Currency: "TRY", TransactionID: "t2"}
	part.When(t, order.CompleteRefund{OrderID: "o1", RefundID: "r1", TransactionID: "t2"}).Then(done).Again().Nothing()
	part.Given(done).When(t, order.FailRefund{OrderID: "o1", RefundID: "r1", Code: "x", Attempt: 1}).Nothing()
	gone := order.RefundFailed{OrderID: "o1", RefundID: "r1", AmountMinor: 3000, Currency: "TRY", ErrorCode: "x", ErrorMessage: "no"}
	part.When(t, order.FailRefund{OrderID: "o1", RefundID: "r1", Code: "x", Message: "no", Attempt: 1}).Then(gone).Again().Nothing()
}

// TestP2_AnItemIsWorthItsShareOfWhatWasPaid.
func TestP2_AnItemIsWorthItsShareOfWhatWasPaid(t *testing.T) {
	four := order.Placed{
		OrderID: "o1", Items: []order.Line{{ProductID: "cup", Quantity: 4, PriceMinor: 2000}}, SubtotalMinor: 8000, DiscountMinor: 4000, TaxMinor: 800,
		TotalMinor: 4800, Currency: "TRY",
	}
	pay := order.PaymentInitiated{OrderID: "o1", PaymentID: "p1", AmountMinor: 4800, Currency: "TRY"}
	paid := order.PaymentSucceeded{OrderID: "o1", PaymentID: "p1", AmountMinor: 4800, Currency: "TRY", TransactionID: "t1"}
	before := []any{four, pay, paid}
	one := refundOf("r1", 1200, "partial", "quality-issue")
	one.Items = []order.RefundItem{item("cup", 1)}
	nobody.Given(before...).When(t, itemsBack("r1", history(before...), item("cup", 1))).Then(one).Again().Nothing()

	// What is given back is counted over all refunds, those that were reported too.
	reported := order.RefundCompleted{OrderID: "o1", RefundID: "r2", AmountMinor: 1200, Currency: "TRY", Items: []order.RefundItem{item("cup", 1)}}
	after := append(before, one, reported)
	two := refundOf("r3", 2400, "partial", "quality-issue")
	two.Items = []order.RefundItem{item("cup", 2)}
	nobody.Given(after...).When(t, itemsBack("r3", history(after...), item("cup", 3))).Fails("item-not-ordered")
	nobody.Given(after...).When(t, itemsBack("r3", history(after...), item("cup", 2))).Then(two)
	// A refund that failed gave nothing back.
	after = append(after, order.RefundFailed{OrderID: "o1", RefundID: "r1", AmountMinor: 1200, Currency: "TRY"})
	three := refundOf("r3", 3600, "partial", "quality-issue")
	three.Items = []order.RefundItem{item("cup", 3)}
	nobody.Given(after...).When(t, itemsBack("r3", history(after...), item("cup", 3))).Then(three)

	h := history(placed, initiated, succeeded)
	for _, wrong := range [][]order.RefundItem{{item("shoe", 3)}, {item("shoe", 0)}, {item("shoe", -1)}, {item("hat", 1)}, {item("shoe", 1), item("shoe", 2)}} {
		bought.When(t, itemsBack("r1", h, wrong...)).Fails("item-not-ordered")
	}
	// An amount of one's own counts before what the items are worth, and money that went back without an item does not go back twice.
	own := itemsBack("r1", h, item("shoe", 1))
	most := int64(1)
	own.AmountMinor = &most
	little := refundOf("r1", 1, "partial", "quality-issue")
	little.Items = own.Items
	bought.When(t, own).Then(little)
	kept := refundOf("r2", 500, "partial", "quality-issue")
	kept.Items = []order.RefundItem{item("shoe", 2), item("lace", 10)}
	bought.Given(refundOf("r1", 5000, "partial", "other")).When(t, itemsBack("r2", h, kept.Items...)).Then(kept)

	gift := order.Placed{OrderID: "o1", Items: []order.Line{{ProductID: "cup", Quantity: 1, PriceMinor: 100}, {ProductID: "card", Quantity: 1}}, TotalMinor: 5500, Currency: "TRY"}
	nobody.Given(gift, initiated, succeeded).When(t, itemsBack("r1", history(gift, initiated, succeeded), item("card", 1))).Fails("nothing-to-refund")
}

// TestP2_AllItemsGiveWhatWasPaid: whatever the prices, discounts, taxes and roundings, and in however many refunds.
func TestP2_AllItemsGiveWhatWasPaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []order.Line
		left := map[string]int64{}
		for range rapid.IntRange(1, 6).Draw(t, "lines") {
			line := order.Line{
				ProductID: fmt.Sprint("p", rapid.IntRange(0, 3).Draw(t, "product")), Quantity: rapid.Int64Range(1, 9).Draw(t, "quantity"),
				PriceMinor: rapid.Int64Range(0, 999).Draw(t, "price"),
			}
			lines = append(lines, line)
			left[line.ProductID] += line.Quantity
		}
		total := rapid.Int64Range(1, 20_000).Draw(t, "total")
		events := []any{
			order.Placed{OrderID: "o1", Items: lines, TotalMinor: total, Currency: "TRY"}, order.PaymentInitiated{OrderID: "o1", PaymentID: "p1"},
			order.PaymentSucceeded{OrderID: "o1", PaymentID: "p1", AmountMinor: total, Currency: "TRY", TransactionID: "t1"},
		}
		var back int64
		for n := 0; len(left) > 0; n++ {
			var items []order.RefundItem
			for product, most := range left {
				last := n > 8
				take := rapid.Int64Range(0, most).Draw(t, "take")
				if last {
					take = most
				}
				if take == 0 {
					continue
				}
				items = append(items, item(product, take))
				if left[product] -= take; left[product] == 0 {
					delete(left, product)
				}
			}
			if len(items) == 0 {
				continue
			}
			decided, err := order.Decide(order.Decider.Fold(events...), itemsBack(fmt.Sprint("r", n), history(events...), items...))
			if err != nil {
				zero := int64(0) // the pieces are worth nothing: they are given back with something else
				for _, i := range items {
					zero += i.Quantity
				}
				events = append(events, order.RefundInitiated{OrderID: "o1", RefundID: fmt.Sprint("r", n), Items: items})
				continue
			}
			for _, e := range decided {
				back += e.(order.RefundInitiated).AmountMinor
			}
			events = append(events, decided...)
		}
		if back != total {
			t.Fatalf("%d were paid, and all items gave %d", total, back)
		}
	})
}

// TestD13_ARefundsTriesAreInItsEvents: as often as a payment's, with the same key while the provider may have made it.
func TestD13_ARefundsTriesAreInItsEvents(t *testing.T) {
	asked := bought.Given(refundOf("r1", 100, "partial", "other"))
	events := []any{placed, initiated, succeeded, confirmed, refundOf("r1", 100, "partial", "other")}
	for attempt, unknown := range []bool{false, true, true, false, false} {
		r, _ := order.Decider.Fold(events...).Orders["o1"].Refund("r1")
		wantKey := []string{"o1/r1/0", "o1/r1/1", "o1/r1/1", "o1/r1/1", "o1/r1/1"}[attempt]
		if r.Attempt != attempt+1 || r.RefundKey("o1") != wantKey {
			t.Errorf("before attempt %d: %+v, key %s, want %s", attempt+1, r, r.RefundKey("o1"), wantKey)
		}
		decided, err := order.Decide(order.Decider.Fold(events...), order.FailRefund{
			OrderID: "o1", RefundID: "r1", Code: "TIMEOUT", Attempt: attempt + 1, Retryable: true, Unknown: unknown, At: noon,
		})
		if err != nil || len(decided) != 1 {
			t.Fatalf("attempt %d: %+v, %v", attempt+1, decided, err)
		}
		// What could not be asked for just now says nothing of what may have been made before: it stays unknown.
		want := order.RefundDelayed{OrderID: "o1", RefundID: "r1", Attempt: attempt + 1, DueAt: noon.Add(order.RetryAfter), ErrorCode: "TIMEOUT", Unknown: attempt > 0}
		if decided[0] != any(want) {
			t.Errorf("attempt %d: %+v, want %+v", attempt+1, decided[0], want)
		}
		events = append(events, decided...)
	}
	refused := order.FailRefund{OrderID: "o1", RefundID: "r1", Code: "TIMEOUT", Retryable: true, At: noon}
	delayed := order.RefundDelayed{OrderID: "o1", RefundID: "r1", DueAt: noon, ErrorCode: "TIMEOUT"}
	for attempt := 1; attempt <= order.MaxRetries; attempt++ {
		delayed.Attempt = attempt
		asked = asked.Given(delayed)
	}
	refused.Attempt = order.MaxRetries + 1
	asked.When(t, refused).Then(order.RefundFailed{OrderID: "o1", RefundID: "r1", AmountMinor: 100, Currency: "TRY", ErrorCode: "TIMEOUT"})
	final := refused
	final.Retryable = false
	final.Code = "account_closed"
	bought.Given(refundOf("r1", 100, "partial", "other")).When(t, order.FailRefund{OrderID: "o1", RefundID: "r1", Code: "account_closed", Attempt: 1, At: noon}).
		Then(order.RefundFailed{OrderID: "o1", RefundID: "r1", AmountMinor: 100, Currency: "TRY", ErrorCode: "account_closed"}).Again().Nothing()
}

// TestP3_ARefundOnItsWayDoesNotCount: the provider has it, and is asked what became of it, ever less often.
func TestP3_ARefundOnItsWayDoesNotCount(t *testing.T) {
	events := []any{placed, initiated, succeeded, confirmed, refundOf("r1", 100, "partial", "other")}
	at := noon
	var waits []time.Duration
	for attempt := 1; ; attempt++ {
		pending := order.FailRefund{OrderID: "o1", RefundID: "r1", TransactionID: "re_1", Attempt: attempt, At: at}
		decided, err := order.Decide(order.Decider.Fold(events...), pending)
		if err != nil || len(decided) != 1 {
			t.Fatalf("attempt %d: %+v, %v", attempt, decided, err)
		}
		events = append(events, decided...)
		o := order.Decider.Fold(events...).Orders["o1"]
		if o.RefundedMinor != 0 {
			t.Fatalf("%d count as given back", o.RefundedMinor)
		}
		d, ok := decided[0].(order.RefundDelayed)
		if !ok {
			if last := decided[0].(order.RefundFailed); !last.Unknown || attempt != order.MaxPending || o.Refundable() != 5500 {
				t.Errorf("ends after %d attempts with %+v, %d can be given back", attempt, last, o.Refundable())
			}
			break
		}
		if o.Refundable() != 5400 || d.TransactionID != "re_1" || d.Unknown {
			t.Fatalf("%+v, %d can be given back", d, o.Refundable())
		}
		waits, at = append(waits, d.DueAt.Sub(at)), d.DueAt
	}
	if waits[0] != 10*time.Minute || waits[1] != 20*time.Minute || waits[len(waits)-1] != 24*time.Hour || at.Sub(noon) < 30*24*time.Hour {
		t.Errorf("waits %v, %v in all", waits, at.Sub(noon))
	}
	// Then the provider says after all that it was given back.
	s := order.Decider.Fold(events...)
	told, err := order.Reported(s, nil, order.ReportRefund{OrderID: "o1", TransactionID: "re_1"})
	want := order.RefundCompleted{OrderID: "o1", RefundID: "r1", AmountMinor: 100, Currency: "TRY", TransactionID: "re_1"}
	if err != nil || len(told) != 1 || fmt.Sprint(told[0]) != fmt.Sprint(want) {
		t.Errorf("%+v, %v, want %+v", told, err, want)
	}
}
