package order_test

import (
	"errors"
	"fmt"
	"testing"

	"defter/pkg/fault"
	"defter/pkg/order"

	"pgregory.net/rapid"
)

// there is an order that a shop reported: of 30.00 lira, two of one product and one of another.
var there = []any{
	order.Placed{
		OrderID: "o1", Items: []order.Line{{ProductID: "tea", Quantity: 2, PriceMinor: 1000}, {ProductID: "pot", Quantity: 1, PriceMinor: 2000}},
		DiscountMinor: 1000, TotalMinor: 3000, Currency: "TRY",
	},
	order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 3000, Currency: "TRY"},
}

// reported decides on a report after events, and again after what came of it, which must be nothing.
func reported(t testing.TB, events []any, report order.Report) ([]any, error) {
	t.Helper()
	tell := func(events []any) ([]any, error) {
		s := order.Decider.Fold(events...)
		decided, err := order.Reported(s, nil, report)
		if past, ok := errors.AsType[*order.PastError](err); ok {
			if past.OrderID != report.Order() {
				t.Errorf("%T needs the history of %q", report, past.OrderID)
			}
			h := history(events...)
			if h.Order.Status == "" {
				return nil, err
			}
			decided, err = order.Reported(s, map[string]order.History{"o1": h}, report)
		}
		return decided, err
	}
	decided, err := tell(events)
	if err == nil && len(decided) > 0 {
		refund, _ := report.(order.ReportRefund)
		named := refund.RefundID+refund.TransactionID != "" || refund.OrderID == ""
		if again, err := tell(append(events[:len(events):len(events)], decided...)); named && (err != nil || len(again) > 0) {
			t.Errorf("%+v told again: %+v, %v", report, again, err)
		}
	}
	return decided, err
}

func lira(decimal string) order.Amount { return order.Amount{Decimal: decimal, Currency: "TRY"} }

func TestReports(t *testing.T) {
	p := there[0].(order.Placed)
	back := func(amount int64, items ...order.RefundItem) order.RefundCompleted {
		return order.RefundCompleted{OrderID: "o1", RefundID: "r1", AmountMinor: amount, Currency: "TRY", Items: items}
	}
	refund := func(amount order.Amount, items ...order.RefundItem) order.ReportRefund {
		return order.ReportRefund{OrderID: "o1", RefundID: "r1", Amount: amount, Items: items}
	}
	here := []any{placed, initiated, succeeded, confirmed}
	under := append(here[:4:4], refundOf("mine", 100, "partial", "other"))
	dinars := []any{order.Placed{OrderID: "o1", TotalMinor: 3000, Currency: "KWD"}, order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 3000, Currency: "KWD"}}
	for _, c := range []struct {
		name   string
		before []any
		report order.Report
		then   []any
		slug   string
	}{
		{"placed", nil, order.ReportPlaced{Placed: p}, there, ""},
		{"placed, and known", there, order.ReportPlaced{Placed: p}, nil, ""},
		{"paid elsewhere", []any{placed}, order.ReportPlaced{Placed: p, Total: order.Amount{Decimal: "55"}}, []any{order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 5500, Currency: "TRY"}}, ""},
		{"paid in another currency", []any{placed}, order.ReportPlaced{Placed: p, Total: order.Amount{Decimal: "55", Currency: "USD"}}, nil, order.Contradicts},
		{"told again", there, order.ReportPlaced{Placed: p, Total: lira("30")}, nil, ""},
		{"told again, without its currency", there, order.ReportPlaced{Placed: p, Total: order.Amount{Decimal: "30.00"}}, nil, ""},
		{"told again, of another amount", there, order.ReportPlaced{Placed: p, Total: lira("55")}, nil, order.Contradicts},
		{"told again, of another customer", there, order.ReportPlaced{Placed: p, Total: lira("30"), Another: true}, nil, order.Contradicts},
		{"told again, as nothing", there, order.ReportPlaced{Placed: p, Total: lira("0")}, nil, order.Contradicts},
		{"told again, in another currency", there, order.ReportPlaced{Placed: p, Total: order.Amount{Decimal: "30", Currency: "USD"}}, nil, order.Contradicts},
		{"told again, with what was paid", []any{placed, order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 6000, Currency: "TRY"}}, order.ReportPlaced{Placed: p, Total: lira("60")}, nil, ""},
		{"being paid here", []any{placed, initiated}, order.ReportPlaced{Placed: p, Total: lira("55")}, nil, ""},
		{"being paid here, of another amount", []any{placed, initiated}, order.ReportPlaced{Placed: p, Total: lira("30")}, nil, order.Contradicts},
		{"paid after it was cancelled", []any{placed, cancelled}, order.ReportPlaced{Placed: p, Total: lira("55")}, nil, order.Contradicts},

		{"cancelled", there, order.ReportCancelled{OrderID: "o1", Reason: "late"}, []any{order.Cancelled{OrderID: "o1", Reason: "late"}}, ""},
		{"cancelled after it arrived", append(here[:4:4], shipped, delivered), order.ReportCancelled{OrderID: "o1"}, nil, order.Contradicts},

		{"without a currency", dinars, refund(order.Amount{Decimal: "1"}), []any{order.RefundCompleted{OrderID: "o1", RefundID: "r1", AmountMinor: 1000, Currency: "KWD"}}, ""},
		{"in another currency", dinars, refund(order.Amount{Decimal: "1", Currency: "USD"}), nil, order.Contradicts},
		{"more than was paid", there, refund(lira("30.01")), nil, order.Contradicts},
		{"all that was paid", there, refund(lira("30")), []any{back(3000)}, ""},
		{"nothing", there, refund(lira("0")), nil, "invalid-amount"},
		{"less than nothing", there, refund(lira("-1")), nil, "invalid-amount"},
		{"no number", there, refund(lira("a lot")), nil, "invalid-amount"},
		{"beyond the bound", there, refund(lira("10000000000.01")), nil, "invalid-amount"},
		{"all, without saying how much", there, refund(order.Amount{}), []any{back(3000)}, ""},
		{"all that is left", append(there[:2:2], order.RefundCompleted{OrderID: "o1", RefundID: "r0", AmountMinor: 1}), refund(order.Amount{}), []any{back(2999)}, ""},
		{"all, when all is back", append(there[:2:2], order.RefundCompleted{OrderID: "o1", RefundID: "r0", AmountMinor: 3000}), refund(order.Amount{}), nil, ""},
		{"all of nothing", there[:1], refund(order.Amount{}), nil, order.Contradicts},
		{"an item", there, refund(order.Amount{}, item("tea", 1)), []any{back(750, item("tea", 1))}, ""},
		{"an item that was not ordered", there, refund(order.Amount{}, item("hat", 1)), nil, order.Contradicts},
		{"money for items, some of them unknown", there, refund(lira("7"), item("hat", 1), item("tea", 5)), []any{back(700, item("tea", 2))}, ""},
		{"of an order that nobody knows", nil, refund(lira("1")), nil, "none"},

		{"of one asked for here, by its id", under, order.ReportRefund{OrderID: "o1", RefundID: "mine", TransactionID: "re_1"},
			[]any{order.RefundCompleted{OrderID: "o1", RefundID: "mine", AmountMinor: 100, Currency: "TRY", TransactionID: "re_1"}}, ""},
		{"of one asked for here, of another amount", under, order.ReportRefund{OrderID: "o1", RefundID: "mine", Amount: lira("2")}, nil, order.Contradicts},
		{"of one that may be the one asked for here", under, order.ReportRefund{OrderID: "o1", RefundID: "re_1", Amount: lira("1")}, nil, order.Contradicts},
		{"of one asked for here, after it was made", append(under[:5:5], order.RefundCompleted{OrderID: "o1", RefundID: "mine", AmountMinor: 100, TransactionID: "re_1"}),
			order.ReportRefund{OrderID: "o1", RefundID: "re_1", Amount: lira("1")}, nil, ""},
		{"of one asked for here, that is on its way", append(under[:5:5], order.RefundDelayed{OrderID: "o1", RefundID: "mine", Attempt: 1, TransactionID: "re_1"}),
			order.ReportRefund{OrderID: "o1", RefundID: "re_1", Amount: lira("1")}, []any{order.RefundCompleted{OrderID: "o1", RefundID: "mine", AmountMinor: 100, Currency: "TRY", TransactionID: "re_1"}}, ""},

		{"failed after it counted", append(there[:2:2], back(500)), order.ReportRefundFailed{OrderID: "o1", RefundID: "r1", Code: "lost_or_stolen_card"},
			[]any{order.RefundReversed{OrderID: "o1", RefundID: "r1", AmountMinor: 500, Currency: "TRY", ErrorCode: "lost_or_stolen_card"}}, ""},
		{"failed under way", under, order.ReportRefundFailed{OrderID: "o1", RefundID: "mine"},
			[]any{order.RefundFailed{OrderID: "o1", RefundID: "mine", AmountMinor: 100, Currency: "TRY", ErrorCode: "failed"}}, ""},
		{"failed before anybody told of it", there, order.ReportRefundFailed{OrderID: "o1", TransactionID: "re_1", Amount: lira("5")},
			[]any{order.RefundFailed{OrderID: "o1", RefundID: "re_1", AmountMinor: 500, Currency: "TRY", ErrorCode: "failed"}}, ""},
		{"made, told after it failed", append(there[:2:2], order.RefundFailed{OrderID: "o1", RefundID: "re_1", AmountMinor: 500}),
			order.ReportRefund{OrderID: "o1", TransactionID: "re_1", Amount: lira("5")}, nil, ""},
		{"failed, and nobody says which", there, order.ReportRefundFailed{OrderID: "o1"}, nil, order.Contradicts},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := reported(t, c.before, c.report)
			if _, none := errors.AsType[*order.PastError](err); none && c.slug == "none" {
				return
			}
			slug := ""
			if err != nil {
				slug = fault.SlugOf(err)
			}
			if slug != c.slug || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.then) {
				t.Errorf("got  %+v, %v\nwant %+v, %q", got, err, c.then, c.slug)
			}
		})
	}
	// One that was reversed can be given back again.
	o := order.Decider.Fold(append(there[:2:2], back(500), order.RefundReversed{OrderID: "o1", RefundID: "r1", AmountMinor: 500})...).Orders["o1"]
	if o.RefundedMinor != 0 || o.Refundable() != 3000 || o.Refunds[0].Status != order.Failed {
		t.Errorf("%+v", o)
	}
}

// TestCancelledElsewhereAndPaidHere: the shop's word moves no money; what was paid here goes back when it is asked for.
func TestCancelledElsewhereAndPaidHere(t *testing.T) {
	bought.Given(cancelled).When(t, order.Cancel{OrderID: "o1", RefundID: "r1"}).Then(refundOf("r1", 5500, "full", "customer-request")).Again().Nothing()
	ordered.Given(cancelled).When(t, order.Cancel{OrderID: "o1", RefundID: "r1"}).Nothing()
}

// TestP8_NoMoreGoesBackThanWasPaid: whatever is reported in whatever order, by whatever ids and amounts.
func TestP8_NoMoreGoesBackThanWasPaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := append([]any{}, there...)
		if rapid.Bool().Draw(t, "here") {
			events = []any{placed, initiated, succeeded, confirmed}
		}
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := func(name string) string {
				return rapid.SampledFrom([]string{"", "r1", "r2", "re_1", "re_2"}).Draw(t, name)
			}
			amount := order.Amount{Decimal: rapid.SampledFrom([]string{"", "1", "7.5", "30", "55", "0"}).Draw(t, "amount")}
			items := rapid.SampledFrom([][]order.RefundItem{nil, {item("tea", 1)}, {item("tea", 2), item("pot", 1)}, {item("shoe", 1)}}).Draw(t, "items")
			s := order.Decider.Fold(events...)
			h := map[string]order.History{"o1": history(events...)}
			var decided []any
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				decided, _ = order.Reported(s, h, order.ReportRefund{OrderID: "o1", RefundID: id("refund"), TransactionID: id("transaction"), Amount: amount, Items: items})
			case 2:
				decided, _ = order.Reported(s, h, order.ReportRefundFailed{OrderID: "o1", RefundID: id("refund"), TransactionID: id("transaction"), Amount: amount})
			case 3:
				decided, _ = order.Decide(s, order.Refund{OrderID: "o1", RefundID: fmt.Sprint("mine", n), Reason: "other", Items: items, History: h["o1"], At: noon})
			case 4:
				decided, _ = order.Decide(s, order.CompleteRefund{OrderID: "o1", RefundID: fmt.Sprint("mine", rapid.IntRange(0, n).Draw(t, "mine")), TransactionID: id("transaction")})
			default:
				decided, _ = order.Decide(s, order.FailRefund{OrderID: "o1", RefundID: fmt.Sprint("mine", rapid.IntRange(0, n).Draw(t, "mine")), Attempt: 1, Code: "x", Unknown: rapid.Bool().Draw(t, "unknown"), At: noon})
			}
			events = append(events, decided...)
			var back int64
			for _, e := range events {
				switch e := e.(type) {
				case order.RefundCompleted:
					back += e.AmountMinor
				case order.RefundReversed:
					back -= e.AmountMinor
				}
			}
			o := order.Decider.Fold(events...).Orders["o1"]
			if back < 0 || back > o.PaidMinor || back != o.RefundedMinor {
				t.Fatalf("%d were paid, and %d went back, in the state %d: %+v", o.PaidMinor, back, o.RefundedMinor, events)
			}
		}
	})
}
