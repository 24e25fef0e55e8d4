package order

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/money"
)

// ended says whether nothing more is to come of an order: it is cancelled, and longer ago than anything is given back it has
// failed or arrived; or it was reported, and the shop that reported it keeps the book.
func (o Order) ended(at time.Time) bool {
	if o.Payment.UnderWay() || o.refunding() > 0 {
		return false
	}
	switch o.Status {
	case IsCancelled:
		return true
	case Completed, PaymentIsLost:
		return at.Sub(o.Since) > keptFor
	}
	return o.Payment == nil && o.PaidMinor > 0
}

// EventOrder is the id of the order that an event is about, "" for an event of another kind.
func EventOrder(event any) string {
	switch e := event.(type) {
	case Placed:
		return e.OrderID
	case PaymentInitiated:
		return e.OrderID
	case PaymentSucceeded:
		return e.OrderID
	case PaymentFailed:
		return e.OrderID
	case PaymentRetryScheduled:
		return e.OrderID
	case PaymentAbandoned:
		return e.OrderID
	case Confirmed:
		return e.OrderID
	case Shipped:
		return e.OrderID
	case Delivered:
		return e.OrderID
	case Cancelled:
		return e.OrderID
	case RefundInitiated:
		return e.OrderID
	case RefundDelayed:
		return e.OrderID
	case RefundCompleted:
		return e.OrderID
	case RefundFailed:
		return e.OrderID
	case RefundReversed:
		return e.OrderID
	}
	return ""
}

// Evolve folds one event that happened at a time and has a version; events of other packages change nothing here. What
// cannot follow from where the order stands, such as the failure of a payment that has succeeded meanwhile, changes
// nothing either. Nothing is folded of an order that has ended so long ago that the state has dropped it: see HistoryOf.
func Evolve(s State, event any, at time.Time, version int64) State {
	id := EventOrder(event)
	if id == "" {
		return s
	}
	o, known := s.Orders[id]
	placed, isPlaced := event.(Placed)
	switch {
	case isPlaced == known: // placed again, or not in the state
		return s
	case isPlaced:
		o = Order{Status: PendingPayment, Currency: placed.Currency, TotalMinor: placed.TotalMinor, PlacedAt: at, Since: at}
	default:
		o = evolve(o, event, at)
	}
	if len(o.Versions) < MaxVersions {
		o.Versions = append(slices.Clip(o.Versions), version)
	}
	orders := maps.Clone(s.Orders)
	if orders == nil {
		orders = map[string]Order{}
	}
	orders[id] = o
	return State{fit(orders, at)}
}

// fit drops the ended orders that changed longest ago until there are at most MaxOrders, and never more than MaxOpen.
func fit(orders map[string]Order, at time.Time) map[string]Order {
	if len(orders) <= MaxOrders {
		return orders
	}
	ids := slices.SortedFunc(maps.Keys(orders), func(a, b string) int { return cmp.Or(orders[a].Since.Compare(orders[b].Since), cmp.Compare(a, b)) })
	for _, id := range ids {
		if len(orders) > MaxOrders && orders[id].ended(at) || len(orders) > MaxOpen {
			delete(orders, id)
		}
	}
	return orders
}

func evolve(o Order, event any, at time.Time) Order {
	switch e := event.(type) {
	case Confirmed:
		o.Confirmation = cmp.Or(o.Confirmation, e.ConfirmationNumber)
		if o.TotalMinor == 0 && o.Status == PendingPayment { // there is nothing to pay
			o.to(IsConfirmed, at)
		}
	case Shipped:
		if o.Status == IsConfirmed || o.Status == PendingPayment {
			o.to(InTransit, at)
		}
	case Delivered:
		if o.Status != IsCancelled && o.DeliveredAt == nil {
			delivered := e.DeliveredAt
			o.DeliveredAt = &delivered
			o.to(Completed, at)
		}
	case Cancelled:
		if o.Status != Completed {
			o.to(IsCancelled, at)
			if p := o.Payment; p != nil && p.Status == Retrying && !p.Unknown { // it is known not to be paid, and will not be asked for again
				o.Payment = p.ended(Failed)
			}
		}
	case RefundInitiated, RefundDelayed, RefundCompleted, RefundFailed, RefundReversed:
		return o.refunded(e)
	default:
		return o.paid(e, at)
	}
	return o
}

// ended is a payment of which nothing more is asked.
func (p Payment) ended(status string) *Payment {
	p.Status, p.Token, p.DueAt = status, "", nil
	return &p
}

// paid folds what became of a payment.
func (o Order) paid(event any, at time.Time) Order {
	payment := Payment{}
	if o.Payment != nil {
		payment = *o.Payment
	}
	switch e := event.(type) {
	case PaymentInitiated:
		o.Payment = &Payment{ID: e.PaymentID, Status: Initiated, Method: e.PaymentMethod, Provider: e.PaymentProvider, Token: e.PaymentToken, Attempt: 1}
		o.Charge++
		if o.Status == PaymentIsLost {
			o.to(PendingPayment, at)
		}
	case PaymentSucceeded:
		if e.PaymentID != "" && slices.Contains(o.PaidBy, e.PaymentID) {
			return o
		}
		o.PaidMinor = money.Add(o.PaidMinor, e.AmountMinor)
		if e.PaymentID != "" {
			o.PaidBy = append(slices.Clip(o.PaidBy), e.PaymentID)
		}
		o.TransactionID = cmp.Or(e.TransactionID, o.TransactionID)
		if payment.ID != "" && payment.ID == e.PaymentID {
			payment.Code, payment.Unknown = "", false
			o.Payment = payment.ended(Paid)
		}
		if (o.Status == PendingPayment || o.Status == PaymentIsLost) && o.PaidMinor >= o.TotalMinor {
			o.to(IsConfirmed, at)
		}
	case PaymentFailed:
		if payment.ID != e.PaymentID || payment.Status == Paid {
			return o
		}
		payment.Status, payment.Code, payment.DueAt, payment.Unknown = Failed, e.ErrorCode, nil, e.Unknown
		if !e.Unknown {
			payment.Refusals++
		}
		if !e.Retryable {
			payment.Token = ""
			o.lost(at)
		}
		o.Payment = &payment
	case PaymentRetryScheduled:
		if payment.ID == e.PaymentID && payment.Status != Paid {
			if !payment.Unknown {
				o.Charge++
			}
			due := e.DueAt
			payment.Status, payment.Attempt, payment.DueAt = Retrying, e.Attempt, &due
			o.Payment = &payment
		}
	case PaymentAbandoned:
		if payment.ID == e.PaymentID && payment.Status != Paid {
			o.Payment = payment.ended(Failed)
			o.lost(at)
		}
	}
	return o
}

// lost notes that a payment will not come.
func (o *Order) lost(at time.Time) {
	if o.Status == PendingPayment {
		o.to(PaymentIsLost, at)
	}
}
