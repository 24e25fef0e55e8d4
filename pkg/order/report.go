package order

import (
	"cmp"
	"math/big"

	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/money"
)

// Report is what a shop or a payment service tells of an order that it keeps the books of, or moved money for: a fact that happened
// elsewhere. It is taken as far as it agrees with what is known of the order.
type Report interface {
	Command
	Order() string // its id
}

// Amount is money as it was told: a decimal number of its currency, which is the order's where none was told. The zero Amount was
// not told.
type Amount struct{ Decimal, Currency string }

// ReportPlaced: the order was placed, and paid as a whole. Total is its total as it was told.
type ReportPlaced struct {
	Placed  Placed
	Total   Amount
	Another bool // it is told in the name of a customer whose the order is not
}

// ReportCancelled: the order was cancelled.
type ReportCancelled struct{ OrderID, Reason string }

// ReportRefund: money went back, for items where there are any. Where no amount was told it is what the items are worth, or all that
// was paid. TransactionID is what the provider knows the refund by.
type ReportRefund struct {
	OrderID, RefundID, TransactionID string
	Amount                           Amount
	Items                            []RefundItem
}

// ReportRefundFailed: money that was to go back, or counts as given back, did not arrive.
type ReportRefundFailed struct {
	OrderID, RefundID, TransactionID, Code string
	Amount                                 Amount
}

// Order implements Report.
func (r ReportPlaced) Order() string       { return r.Placed.OrderID }
func (r ReportCancelled) Order() string    { return r.OrderID }
func (r ReportRefund) Order() string       { return r.OrderID }
func (r ReportRefundFailed) Order() string { return r.OrderID }

// Contradicts is the slug of the error that a report does not agree with what is known of its order. More may become known of it.
const Contradicts = "contradicts-order"

// TooOld is the slug of the error that so much followed an order that nothing can be decided on it any more.
const TooOld = "order-too-old"

// PastError: the state does not have what the report is decided on. The order's History is needed.
type PastError struct{ OrderID string }

func (e *PastError) Error() string { return "the order's history is needed" }

// Reported decides on a report. past is the histories of orders, by their ids, that were needed before. What is told again becomes no
// event; what cannot be agrees with nothing, and has the slug Contradicts.
func Reported(s State, past map[string]History, report Report) ([]any, error) {
	id := report.Order()
	o, known := s.Orders[id]
	h, folded := past[id]
	if placed, ok := report.(ReportPlaced); ok {
		if !known {
			return reportPlaced(placed), nil
		}
		return o.reportPaid(placed)
	}
	if !known && !folded {
		return nil, &PastError{id}
	}
	if folded {
		o = h.Order
	}
	switch r := report.(type) {
	case ReportCancelled:
		switch o.Status {
		case IsCancelled:
			return nil, nil
		case Completed:
			return contradicts("the order has arrived, and cannot be cancelled any more")
		}
		return []any{Cancelled{r.OrderID, foreign.Clip(r.Reason, 200)}}, nil
	case ReportRefund:
		if len(r.Items) > 0 && !folded {
			return nil, &PastError{id}
		}
		return o.reportRefund(r, h)
	case ReportRefundFailed:
		return o.reportRefundFailed(r)
	}
	return nil, fault.New(fault.Internal, "unknown-report", "order does not know %T", report)
}

func contradicts(format string, args ...any) ([]any, error) {
	return nil, fault.New(fault.Rejected, Contradicts, format, args...)
}

// in is the amount in minor units of an order's currency.
func (a Amount) in(currency string) (int64, error) {
	if a.Currency != "" && a.Currency != currency {
		_, err := contradicts("the order is in %s, and the amount in %s", currency, a.Currency)
		return 0, err
	}
	n, err := money.Minor(a.Decimal, currency)
	if err != nil {
		return 0, fault.Because(err, fault.Invalid, "invalid-amount", "the amount is no decimal number")
	}
	if n < 0 || n > money.Max {
		return 0, fault.New(fault.Invalid, "invalid-amount", "an amount is 0 to %d", int64(money.Max))
	}
	return n, nil
}

// Rounds says whether an amount that a report told has more digits than the currency of the events that it became.
func Rounds(report Report, events []any) bool {
	for _, event := range events {
		var of Amount
		currency := ""
		switch e := event.(type) {
		case PaymentSucceeded:
			r, _ := report.(ReportPlaced)
			of, currency = r.Total, e.Currency
		case RefundCompleted:
			r, _ := report.(ReportRefund)
			of, currency = r.Amount, e.Currency
		case RefundFailed:
			r, _ := report.(ReportRefundFailed)
			of, currency = r.Amount, e.Currency
		}
		if of.Decimal == "" {
			continue
		}
		n, err := of.in(currency)
		if exact, ok := new(big.Rat).SetString(of.Decimal); err == nil && ok {
			major, _ := new(big.Rat).SetString(money.Major(n, currency))
			return exact.Cmp(major) != 0
		}
	}
	return false
}

func reportPlaced(r ReportPlaced) []any {
	p := r.Placed
	return []any{p, PaymentSucceeded{OrderID: p.OrderID, PaymentID: p.OrderID, AmountMinor: p.TotalMinor, Currency: p.Currency}}
}

// Again fails where an order that was placed is told again of another customer, in another currency, or with an amount that is neither what
// it comes to nor what was paid of it.
func (r ReportPlaced) Again(currency string, totalMinor, paidMinor int64) error {
	if r.Another {
		_, err := contradicts("the order is another customer's: shops that number alike need a prefix")
		return err
	}
	if r.Total.Decimal == "" {
		return nil
	}
	told, err := r.Total.in(currency)
	if err == nil && told != totalMinor && told != paidMinor {
		_, err = contradicts("the order is of %d %s, and not of %d", totalMinor, currency, told)
	}
	return err
}

// reportPaid takes the report of an order that was placed here as its payment, where it waits for one. While a payment is under way
// here, this system's provider is who knows. Anybody may pay.
func (o Order) reportPaid(r ReportPlaced) ([]any, error) {
	switch {
	case o.Payment.UnderWay() || o.PaidMinor > 0 || o.TotalMinor == 0:
		return nil, r.Again(o.Currency, o.TotalMinor, cmp.Or(o.PaidMinor, o.TotalMinor))
	case o.Status == IsCancelled:
		return contradicts("the order is cancelled, and was not paid")
	}
	amount, err := r.Total.in(o.Currency)
	if err != nil {
		return nil, err
	}
	return []any{PaymentSucceeded{OrderID: r.Placed.OrderID, PaymentID: r.Placed.OrderID, AmountMinor: amount, Currency: o.Currency}}, nil
}

func (o Order) reportRefund(r ReportRefund, h History) ([]any, error) {
	left := o.Refundable()
	done := RefundCompleted{OrderID: r.OrderID, RefundID: r.RefundID, Currency: o.Currency, TransactionID: r.TransactionID}
	known := o.find(r.RefundID, r.TransactionID)
	var err error
	switch {
	case known < 0 && o.refunding() > 0:
		return contradicts("a refund that was asked for here is under way, and this may be that one")
	case known < 0 && len(o.Refunds) >= maxRefundsTold:
		return contradicts("an order has at most %d refunds", maxRefundsTold)
	case known < 0:
		if done.AmountMinor, done.Items, err = o.toldToGoBack(r, h, left); err != nil || done.AmountMinor == 0 {
			return nil, err
		}
	default:
		of := o.Refunds[known]
		if of.Status == Done || of.Status == Failed && !of.Unknown {
			return nil, nil
		}
		if of.Status == Initiated {
			left += of.AmountMinor
		}
		done.RefundID, done.AmountMinor = of.ID, of.AmountMinor
		if done.TransactionID == "" && r.RefundID != of.ID {
			done.TransactionID = r.RefundID
		}
		told := of.AmountMinor
		if r.Amount.Decimal != "" {
			if told, err = r.Amount.in(o.Currency); err != nil {
				return nil, err
			}
		}
		if told != of.AmountMinor {
			return contradicts("the refund is of %d, and not of %d", of.AmountMinor, told)
		}
	}
	if done.AmountMinor > left {
		return contradicts("%d went back, and %d are left of what was paid", done.AmountMinor, left)
	}
	return []any{done}, nil
}

// toldToGoBack is how much a report says went back, and for which items. Nothing goes back where all is back already.
func (o Order) toldToGoBack(r ReportRefund, h History, left int64) (amount int64, items []RefundItem, err error) {
	if r.Amount.Decimal != "" {
		if amount, err = r.Amount.in(o.Currency); err == nil && amount == 0 {
			err = fault.New(fault.Invalid, "invalid-amount", "nothing went back")
		}
		return amount, h.left(r.Items), err // whose names the shop may have changed: the money is what counts
	}
	if len(r.Items) > 0 {
		worth, err := h.share(r.Items)
		if err != nil {
			_, err = contradicts("%s", err)
		}
		return min(worth, left), r.Items, err
	}
	if left == 0 && o.RefundedMinor == 0 {
		_, err = contradicts("nothing was paid that could go back")
	}
	return left, nil, err
}

func (o Order) reportRefundFailed(r ReportRefundFailed) ([]any, error) {
	id, code := cmp.Or(r.RefundID, r.TransactionID), foreign.Clip(cmp.Or(r.Code, "failed"), 100)
	if id == "" {
		return contradicts("it is not said which refund failed")
	}
	known := o.find(r.RefundID, r.TransactionID)
	switch {
	case known < 0 && o.refunding() > 0:
		return contradicts("a refund that was asked for here is under way, and this may be that one")
	case known < 0 && len(o.Refunds) >= maxRefundsTold:
		return contradicts("an order has at most %d refunds", maxRefundsTold)
	case known < 0:
		var amount int64
		if r.Amount.Decimal != "" {
			var err error
			if amount, err = r.Amount.in(o.Currency); err != nil {
				return nil, err
			}
		}
		return []any{RefundFailed{OrderID: r.OrderID, RefundID: id, AmountMinor: amount, Currency: o.Currency, ErrorCode: code}}, nil
	}
	of := o.Refunds[known]
	id = cmp.Or(of.ID, of.TransactionID)
	switch of.Status {
	case Done:
		return []any{RefundReversed{r.OrderID, id, of.AmountMinor, o.Currency, code}}, nil
	case Initiated:
		return []any{RefundFailed{OrderID: r.OrderID, RefundID: id, AmountMinor: of.AmountMinor, Currency: o.Currency, ErrorCode: code}}, nil
	}
	return nil, nil
}
