package order_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore/storetest"
	"defter/pkg/order"

	"pgregory.net/rapid"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	nobody    = storetest.Deciding(order.Decider)
	placed    = order.Placed{OrderID: "o1", CartID: "c1", Items: lines(), SubtotalMinor: 5000, DiscountMinor: 500, TaxMinor: 900, ShippingMinor: 100, TotalMinor: 5500, Currency: "TRY"}
	ordered   = nobody.Given(placed)
	initiated = order.PaymentInitiated{OrderID: "o1", PaymentID: "p1", PaymentMethod: "credit-card", PaymentProvider: "local", PaymentToken: "tok", AmountMinor: 5500, Currency: "TRY"}
	paying    = ordered.Given(initiated)
	succeeded = order.PaymentSucceeded{OrderID: "o1", PaymentID: "p1", AmountMinor: 5500, Currency: "TRY", TransactionID: "t1"}
	confirmed = order.Confirmed{OrderID: "o1", ConfirmationNumber: order.ConfirmationNumber("o1")}
	bought    = paying.Given(succeeded, confirmed)
	shipped   = order.Shipped{OrderID: "o1", TrackingNumber: "TR1", Carrier: "PTT", ShippedAt: noon, EstimatedDelivery: "2026-03-04"}
	delivered = order.Delivered{OrderID: "o1", DeliveredAt: noon, SignedBy: "Ada"}
	cancelled = order.Cancelled{OrderID: "o1", Reason: "changed my mind"}
	settle    = order.Settle{OrderID: "o1", PaymentID: "p1", TransactionID: "t1", RefundID: "r0", AmountMinor: 5500}
)

func lines() []order.Line {
	return []order.Line{{ProductID: "shoe", Quantity: 2, PriceMinor: 2000}, {ProductID: "lace", Quantity: 10, PriceMinor: 100}}
}

func refundOf(id string, amount int64, kind, reason string) order.RefundInitiated {
	return order.RefundInitiated{OrderID: "o1", RefundID: id, AmountMinor: amount, Currency: "TRY", Reason: reason, RefundType: kind}
}

func failed(attempt int, retryable, unknown bool) order.PaymentFailed {
	return order.PaymentFailed{
		OrderID: "o1", PaymentID: "p1", Attempt: attempt, AmountMinor: 5500, Currency: "TRY", ErrorCode: "TIMEOUT", Retryable: retryable, Unknown: unknown,
	}
}

func retry(attempt int) order.PaymentRetryScheduled {
	return order.PaymentRetryScheduled{OrderID: "o1", PaymentID: "p1", Attempt: attempt, DueAt: noon.Add(300 * time.Second)}
}

func TestPlace(t *testing.T) {
	ask := order.Place{OrderID: "o1", CartID: "c1", Currency: "TRY", Items: lines(), DiscountMinor: 500, TaxMinor: 900, ShippingMinor: 100}
	nobody.When(t, ask).Then(placed).Again().Nothing()
	right, wrong := int64(5500), int64(5499)
	ask.ExpectedTotalMinor = &right
	nobody.When(t, ask).Then(placed)
	ask.ExpectedTotalMinor = &wrong
	nobody.When(t, ask).Fails("total-mismatch")
	other := order.Place{OrderID: "o1", Currency: "TRY", Items: lines()}
	ordered.When(t, other).Fails("order-exists")

	for name, spoil := range map[string]func(*order.Place){
		"no items":       func(c *order.Place) { c.Items = nil },
		"too many items": func(c *order.Place) { c.Items = slices.Repeat(lines(), 251) },
		"no product":     func(c *order.Place) { c.Items[0].ProductID = "" },
		"no quantity":    func(c *order.Place) { c.Items[0].Quantity = 0 },
		"less than none": func(c *order.Place) { c.Items[0].Quantity = -1 },
		"negative price": func(c *order.Place) { c.Items[0].PriceMinor = -1 },
		"overflow":       func(c *order.Place) { c.Items[0].Quantity, c.Items[0].PriceMinor = 1_000_000, 1<<62 },
		"too much": func(c *order.Place) {
			c.Items = slices.Repeat([]order.Line{{ProductID: "x", Quantity: 1, PriceMinor: 1e12}}, 2)
		},
		"currency":        func(c *order.Place) { c.Currency = "try" },
		"negative tax":    func(c *order.Place) { c.TaxMinor = -1 },
		"too much off":    func(c *order.Place) { c.DiscountMinor = 5001 },
		"a long category": func(c *order.Place) { c.Items[1].Category = strings.Repeat("a", 201) },
	} {
		t.Run(name, func(t *testing.T) {
			c := order.Place{OrderID: "o2", Currency: "TRY", Items: lines()}
			spoil(&c)
			nobody.When(t, c).Fails("invalid-order")
		})
	}
}

func TestPay(t *testing.T) {
	ask := order.Pay{OrderID: "o1", PaymentID: "p1", Method: "credit-card", Provider: "local", Token: "tok"}
	ordered.When(t, ask).Then(initiated).Again().Nothing()
	second := ask
	second.PaymentID = "p2"
	paying.When(t, second).Fails("payment-under-way")
	bought.When(t, second).Fails("order-not-payable")
	ordered.Given(cancelled).When(t, second).Fails("order-not-payable")
	again := initiated
	again.PaymentID = "p2"
	paying.Given(failed(1, false, false)).When(t, second).Then(again) // with another card
	ask.Method = "shells"
	ordered.When(t, ask).Fails("invalid-payment-method")
	nobody.When(t, ask).Fails("order-closed")
}

// TestB51_OneKeyForEveryCharge: the provider is asked with the same key as long as it may have charged, and with another
// one for every attempt that is one.
func TestB51_OneKeyForEveryCharge(t *testing.T) {
	key := func(events ...any) string {
		return order.Decider.Fold(events...).Orders["o1"].ChargeKey("o1")
	}
	second := initiated
	second.PaymentID = "p2"
	first := key(placed, initiated)
	for _, c := range []struct {
		name   string
		events []any
		same   bool
	}{
		{"asked again after a crash", []any{placed, initiated}, true},
		{"an answer got lost", []any{placed, initiated, failed(1, true, true), retry(2)}, true},
		{"declined for now after an answer got lost", []any{placed, initiated, failed(1, true, true), retry(2), failed(2, true, true), retry(3)}, true},
		{"declined for now", []any{placed, initiated, failed(1, true, false), retry(2)}, false},
		{"paid otherwise", []any{placed, initiated, failed(1, false, false), second}, false},
		{"paid otherwise after an answer got lost", []any{placed, initiated, failed(1, true, true), retry(2), second}, false},
	} {
		if got := key(c.events...); (got == first) != c.same || !strings.HasPrefix(got, "o1/") {
			t.Errorf("%s: %s after %s", c.name, got, first)
		}
	}
}

// TestB52_ThreeRetriesAndNoMore: 300 s apart, counted from one to the next, then the payment is abandoned.
func TestB52_ThreeRetriesAndNoMore(t *testing.T) {
	story := paying
	for attempt := 1; attempt <= 3; attempt++ {
		ask := order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: attempt, Code: "TIMEOUT", Retryable: true, At: noon}
		story.When(t, ask).Then(failed(attempt, true, false), retry(attempt+1)).Again().Nothing()
		story = story.Given(failed(attempt, true, false), retry(attempt+1))
	}
	last := order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: 4, Code: "TIMEOUT", Retryable: true, At: noon}
	abandoned := order.PaymentAbandoned{OrderID: "o1", PaymentID: "p1", Attempts: 4, AmountMinor: 5500, Currency: "TRY", ErrorCode: "TIMEOUT"}
	story.When(t, last).Then(failed(4, true, false), abandoned).Again().Nothing()

	// That it cannot be asked for just now does not settle what may have been taken before.
	lost := paying.Given(failed(1, true, true), retry(2))
	lost.When(t, order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: 2, Code: "TIMEOUT", Retryable: true, At: noon}).Then(failed(2, true, true), retry(3))
	lost.When(t, order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: 2, Code: "TIMEOUT", At: noon}).Then(failed(2, false, false))

	// What may have been taken is asked about for longer.
	unknown := paying
	for attempt := 1; attempt < order.MaxAttempts; attempt++ {
		ask := order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: attempt, Code: "TIMEOUT", Retryable: true, Unknown: true, At: noon}
		unknown.When(t, ask).Then(failed(attempt, true, true), retry(attempt+1)).Again().Nothing()
		unknown = unknown.Given(failed(attempt, true, true), retry(attempt+1))
	}
	end := order.PaymentAbandoned{OrderID: "o1", PaymentID: "p1", Attempts: order.MaxAttempts, AmountMinor: 5500, Currency: "TRY", ErrorCode: "TIMEOUT"}
	unknown.When(t, order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: order.MaxAttempts, Code: "TIMEOUT", Retryable: true, Unknown: true, At: noon}).
		Then(failed(order.MaxAttempts, true, true), end)

	// What cannot be mended is not tried again.
	paying.When(t, order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: 1, Code: "TIMEOUT", At: noon}).Then(failed(1, false, false)).Again().Nothing()
	// An attempt that is over, another payment's, and one that was paid meanwhile are nothing.
	story.When(t, order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: 1, Code: "TIMEOUT", At: noon}).Nothing()
	story.When(t, order.Fail{OrderID: "o1", PaymentID: "p0", Attempt: 4, Code: "TIMEOUT", At: noon}).Nothing()
	bought.When(t, order.Fail{OrderID: "o1", PaymentID: "p1", Attempt: 1, Code: "TIMEOUT", At: noon}).Nothing()
}

// TestB53_OneConfirmation: it comes with the payment, once, and its number is always the same.
func TestB53_OneConfirmation(t *testing.T) {
	paying.When(t, settle).Then(succeeded, confirmed).Again().Nothing()
	twice := settle
	twice.PaymentID = "p2"
	again := succeeded
	again.PaymentID = "p2"
	bought.When(t, twice).Then(again, refundOf("r0", 5500, "partial", "other")) // paid twice: the second goes back
	if n := order.ConfirmationNumber("o1"); len(n) != 10 || n == order.ConfirmationNumber("o2") || n != order.ConfirmationNumber("o1") {
		t.Errorf("confirmation number %q", n)
	}
}

// TestB54_ARetryIsNoFailure: a payment that is to be tried again is retrying, its order still waits for it, and failures
// say in which currency.
func TestB54_ARetryIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		name    string
		events  []any
		payment string
		order   order.Status
	}{
		{"under way", []any{}, order.Initiated, order.PendingPayment},
		{"to be tried again", []any{failed(1, true, false), retry(2)}, order.Retrying, order.PendingPayment},
		{"refused", []any{failed(1, false, false)}, order.Failed, order.PaymentIsLost},
		{"abandoned", []any{failed(4, true, false), order.PaymentAbandoned{OrderID: "o1", PaymentID: "p1"}}, order.Failed, order.PaymentIsLost},
		{"paid after all", []any{failed(1, true, false), retry(2), succeeded}, order.Paid, order.IsConfirmed},
		{"paid after it was given up", []any{failed(1, false, true), succeeded}, order.Paid, order.IsConfirmed},
	} {
		o := order.Decider.Fold(append([]any{placed, initiated}, c.events...)...).Orders["o1"]
		if o.Payment.Status != c.payment || o.Status != c.order {
			t.Errorf("%s: payment %s, order %s", c.name, o.Payment.Status, o.Status)
		}
		if over := !o.Payment.UnderWay(); over && o.Payment.Token != "" {
			t.Errorf("%s: the token is kept", c.name)
		}
	}
}

// TestB55_TheWholeStateMachine: every event from every status leads where it may, and what comes late changes nothing.
func TestB55_TheWholeStateMachine(t *testing.T) {
	begin := map[order.Status][]any{
		order.PendingPayment: {placed, initiated},
		order.PaymentIsLost:  {placed, initiated, failed(1, false, false)},
		order.IsConfirmed:    {placed, initiated, succeeded, confirmed},
		order.InTransit:      {placed, initiated, succeeded, confirmed, shipped},
		order.Completed:      {placed, initiated, succeeded, confirmed, shipped, delivered},
		order.IsCancelled:    {placed, initiated, cancelled},
	}
	second := initiated
	second.PaymentID = "p2"
	events := map[string]any{
		"pay": second, "succeed": succeeded, "fail": failed(1, false, false), "ship": shipped, "deliver": delivered, "cancel": cancelled,
		"refund": refundOf("r1", 100, "partial", "other"),
	}
	leads := map[order.Status]map[string]order.Status{ // where not named, nowhere else
		order.PendingPayment: {"succeed": order.IsConfirmed, "fail": order.PaymentIsLost, "ship": order.InTransit, "deliver": order.Completed, "cancel": order.IsCancelled},
		order.PaymentIsLost:  {"pay": order.PendingPayment, "succeed": order.IsConfirmed, "deliver": order.Completed, "cancel": order.IsCancelled},
		order.IsConfirmed:    {"ship": order.InTransit, "deliver": order.Completed, "cancel": order.IsCancelled},
		order.InTransit:      {"deliver": order.Completed, "cancel": order.IsCancelled},
		order.Completed:      {},
		order.IsCancelled:    {},
	}
	for from, history := range begin {
		for name, event := range events {
			want, moves := leads[from][name]
			if !moves {
				want = from
			}
			if got := order.Decider.Fold(append(slices.Clone(history), event)...).Orders["o1"].Status; got != want {
				t.Errorf("%s, then %s: %s, want %s", from, name, got, want)
			}
		}
		if from != order.Decider.Fold(history...).Orders["o1"].Status {
			t.Errorf("the history of %s leads elsewhere", from)
		}
	}
}

// TestB55_TimeInAStatus is the sum of its stays, and ends when it is left.
func TestB55_TimeInAStatus(t *testing.T) {
	var s order.State
	second := initiated
	second.PaymentID = "p2"
	for i, step := range []struct {
		event any
		after time.Duration
	}{
		{placed, 0}, {initiated, time.Minute}, {failed(1, false, false), 10 * time.Minute}, {second, time.Hour},
		{order.PaymentSucceeded{OrderID: "o1", PaymentID: "p2", AmountMinor: 5500}, 2 * time.Hour},
		{shipped, 1 * time.Hour}, // told late: the stay before is not negative
		{delivered, 5 * time.Hour},
	} {
		s = order.Evolve(s, step.event, noon.Add(step.after), int64(i+1))
	}
	got := s.Orders["o1"].TimeIn(noon.Add(6 * time.Hour))
	want := map[order.Status]time.Duration{
		order.PendingPayment: 70 * time.Minute, order.PaymentIsLost: 50 * time.Minute, order.InTransit: 3 * time.Hour, order.Completed: time.Hour,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFulfil(t *testing.T) {
	day := "2026-03-04"
	ship := order.Ship{OrderID: "o1", TrackingNumber: "TR1", Carrier: "PTT", ShippedAt: noon, EstimatedDelivery: &day}
	bought.When(t, ship).Then(shipped).Again().Nothing()
	ordered.When(t, ship).Fails("order-not-confirmed")
	for _, wrong := range []string{"soon", ""} {
		ship.EstimatedDelivery = &wrong
		bought.When(t, ship).Fails("invalid-date")
	}
	deliver := order.Deliver{OrderID: "o1", DeliveredAt: noon, SignedBy: "Ada"}
	bought.Given(shipped).When(t, deliver).Then(delivered).Again().Nothing()
	bought.When(t, deliver).Then(delivered) // handed over in the store
	ordered.When(t, deliver).Fails("order-not-shipped")
}

func TestCancel(t *testing.T) {
	ask := order.Cancel{OrderID: "o1", Reason: "changed my mind", RefundID: "r1"}
	ordered.When(t, ask).Then(cancelled).Again().Nothing()
	bought.When(t, ask).Then(cancelled, refundOf("r1", 5500, "full", "customer-request")).Again().Nothing()
	half := bought.Given(refundOf("r9", 2000, "partial", "other"), order.RefundCompleted{OrderID: "o1", RefundID: "r9", AmountMinor: 2000})
	half.When(t, ask).Then(cancelled, refundOf("r1", 3500, "partial", "customer-request"))
	bought.Given(shipped).When(t, ask).Fails("order-not-cancellable")
	bought.Given(shipped, delivered).When(t, ask).Fails("order-not-cancellable")

	// A payment that comes through after all goes back, whole.
	paying.Given(cancelled).When(t, settle).Then(succeeded, refundOf("r0", 5500, "full", "other")).Again().Nothing()
	// One that is known not to be taken is not asked for again; one that may be taken is.
	for _, c := range []struct {
		unknown, charge bool
	}{{false, false}, {true, true}} {
		o := order.Decider.Fold(placed, initiated, failed(1, true, c.unknown), retry(2), cancelled).Orders["o1"]
		if o.ToCharge("p1") != c.charge {
			t.Errorf("after an attempt whose outcome is unknown (%v), a cancelled order is charged: %v", c.unknown, !c.charge)
		}
	}
}

// TestNothingToPay: an order that costs nothing is confirmed at once, and one that was paid elsewhere is given back there.
func TestNothingToPay(t *testing.T) {
	free := order.Placed{OrderID: "o1", Items: lines(), SubtotalMinor: 5000, DiscountMinor: 5000, Currency: "TRY"}
	nobody.When(t, order.Place{OrderID: "o1", Currency: "TRY", Items: lines(), DiscountMinor: 5000}).Then(free, confirmed).Again().Nothing()
	gift := nobody.Given(free, confirmed)
	gift.When(t, order.Pay{OrderID: "o1", PaymentID: "p1", Method: "paypal"}).Fails("order-not-payable")
	gift.When(t, order.Ship{OrderID: "o1", ShippedAt: noon}).Then(order.Shipped{OrderID: "o1", ShippedAt: noon})

	elsewhere := ordered.Given(order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 5500, Currency: "TRY"})
	elsewhere.When(t, order.Refund{OrderID: "o1", RefundID: "r1", Reason: "other", At: noon}).Fails("paid-elsewhere")
	elsewhere.When(t, order.Cancel{OrderID: "o1", Reason: "changed my mind", RefundID: "r1"}).Then(cancelled)
}

// TestOldOrdersLeaveTheState: the ended ones that changed longest ago, and no other.
func TestOldOrdersLeaveTheState(t *testing.T) {
	var s order.State
	for i := range 3 * order.MaxOrders {
		id := fmt.Sprintf("o%04d", i)
		at := noon.Add(time.Duration(i) * time.Hour)
		s = order.Evolve(s, order.Placed{OrderID: id, TotalMinor: 100, Currency: "TRY"}, at, 1)
		if i%10 != 0 {
			s = order.Evolve(s, order.PaymentSucceeded{OrderID: id, AmountMinor: 100, Currency: "TRY"}, at, 2)
		}
	}
	open := 0
	for id, o := range s.Orders {
		if o.Status == order.PendingPayment {
			open++
		} else if id < fmt.Sprintf("o%04d", 200) {
			t.Errorf("%s is still there", id)
		}
	}
	if len(s.Orders) != order.MaxOrders || open != 30 {
		t.Errorf("%d orders, %d of them open", len(s.Orders), open)
	}
}

// TestMoneyIsNeverLost: whatever is asked of an order and whatever becomes of it, no more goes back than was paid, every
// status is one that its events lead to, and a command that was carried out is nothing the second time.
func TestMoneyIsNeverLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []any
		var s order.State
		at := noon
		n := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			n++
			payment := fmt.Sprint("p", rapid.IntRange(1, 3).Draw(t, "payment"))
			refund := fmt.Sprint("r", rapid.IntRange(1, 4).Draw(t, "refund"))
			amount := rapid.Int64Range(0, 6000).Draw(t, "amount")
			command := rapid.SampledFrom([]order.Command{
				order.Place{OrderID: "o1", Currency: "TRY", Items: lines()},
				order.Pay{OrderID: "o1", PaymentID: payment, Method: "paypal", Provider: "local"},
				order.Settle{OrderID: "o1", PaymentID: payment, AmountMinor: 5000, RefundID: fmt.Sprint("s", n)},
				order.Fail{OrderID: "o1", PaymentID: payment, Attempt: rapid.IntRange(1, 4).Draw(t, "attempt"), Code: "TIMEOUT", Retryable: true, At: at},
				order.Fail{OrderID: "o1", PaymentID: payment, Attempt: 1, Code: "card_declined", At: at},
				order.Cancel{OrderID: "o1", RefundID: fmt.Sprint("c", n)},
				order.Ship{OrderID: "o1", ShippedAt: at}, order.Deliver{OrderID: "o1", DeliveredAt: at},
				order.Refund{OrderID: "o1", RefundID: refund, AmountMinor: &amount, Reason: "other", At: at, Window: time.Hour},
				order.CompleteRefund{OrderID: "o1", RefundID: refund}, order.FailRefund{OrderID: "o1", RefundID: refund, Code: "x", Attempt: 1, At: at},
				order.FailRefund{OrderID: "o1", RefundID: refund, Code: "TIMEOUT", Retryable: true, Attempt: rapid.IntRange(1, 4).Draw(t, "attempt"), At: at},
			}).Draw(t, "command")
			decided, err := order.Decide(s, command)
			if err != nil {
				continue
			}
			for _, e := range decided {
				events = append(events, e)
				s = order.Evolve(s, e, at, int64(len(events)))
			}
			if more, err := order.Decide(s, command); err == nil && len(more) > 0 {
				t.Fatalf("%T%+v asked again: %+v", command, command, more)
			}
			var paid, back, asked int64
			for _, e := range events {
				switch e := e.(type) {
				case order.PaymentSucceeded:
					paid += e.AmountMinor
				case order.RefundInitiated:
					asked += e.AmountMinor
				case order.RefundFailed:
					asked -= e.AmountMinor
				case order.RefundCompleted:
					back += e.AmountMinor
				}
			}
			o := s.Orders["o1"]
			if back > asked || asked > paid || o.PaidMinor != paid || o.RefundedMinor != back || o.Refundable() != paid-asked {
				t.Fatalf("paid %d, asked back %d, given back %d, in the state %+v", paid, asked, back, o)
			}
			if paid > o.TotalMinor && o.Status == order.IsConfirmed && paid-asked > o.TotalMinor {
				t.Fatalf("paid %d of %d, and %d goes back", paid, o.TotalMinor, asked)
			}
		}
	})
}
