package order

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"defter/pkg/money"
)

// Status is where an order stands.
type Status string

const (
	PendingPayment Status = "pending-payment"
	PaymentIsLost  Status = "payment-failed"
	IsConfirmed    Status = "confirmed"
	InTransit      Status = "in-transit"
	Completed      Status = "completed"
	IsCancelled    Status = "cancelled"
)

// Statuses of a payment and of a refund.
const (
	Initiated = "initiated"
	Retrying  = "retrying"
	Paid      = "paid"
	Failed    = "failed"
	Done      = "completed"
)

// Payment is the latest payment of an order.
type Payment struct {
	ID       string     `json:"id"`
	Status   string     `json:"status"`
	Method   string     `json:"method,omitempty"`
	Provider string     `json:"provider,omitempty"`
	Token    string     `json:"token,omitempty"` // until the payment ends
	Attempt  int        `json:"attempt,omitempty"`
	Refusals int        `json:"refusals,omitempty"` // attempts that definitely took no money
	DueAt    *time.Time `json:"dueAt,omitempty"`    // of the next attempt
	Code     string     `json:"code,omitempty"`     // of the last failure
	Unknown  bool       `json:"unknown,omitempty"`  // the last attempt may have taken the money
}

// UnderWay says whether the provider is being asked, or will be.
func (p *Payment) UnderWay() bool {
	return p != nil && (p.Status == Initiated || p.Status == Retrying)
}

// Refunded is one refund of an order. Of one that was asked for here it says how far asking the provider has come.
type Refunded struct {
	ID            string     `json:"id,omitempty"`
	AmountMinor   int64      `json:"amountMinor"`
	Status        string     `json:"status"`
	Reason        string     `json:"reason,omitempty"`
	Type          string     `json:"type,omitempty"`
	TransactionID string     `json:"transactionId,omitempty"` // while it is under way: the provider has it on its way
	Attempt       int        `json:"attempt,omitempty"`       // the next one, from 1
	Refusals      int        `json:"refusals,omitempty"`      // attempts that definitely gave nothing back
	DueAt         *time.Time `json:"dueAt,omitempty"`         // of the next attempt
	Code          string     `json:"code,omitempty"`          // of the last failure
	Unknown       bool       `json:"unknown,omitempty"`       // the last attempt may have given the money back
}

// find is the index of the refund that is known by an id of its own or, if there is none, by the provider's; -1 for none. Who reports
// a refund may take one id for the other.
func (o Order) find(id, transactionID string) int {
	for _, known := range []func(Refunded) bool{
		func(r Refunded) bool { return id != "" && r.ID == id },
		func(r Refunded) bool { return id != "" && r.TransactionID == id },
		func(r Refunded) bool {
			return transactionID != "" && (r.TransactionID == transactionID || r.ID == transactionID)
		},
	} {
		if i := slices.IndexFunc(o.Refunds, known); i >= 0 {
			return i
		}
	}
	return -1
}

// Order is an order as decisions need it.
type Order struct {
	Status        Status           `json:"status"`
	Currency      string           `json:"currency"`
	TotalMinor    int64            `json:"totalMinor"`
	PaidMinor     int64            `json:"paidMinor,omitempty"`
	RefundedMinor int64            `json:"refundedMinor,omitempty"`
	Payment       *Payment         `json:"payment,omitempty"` // nil for one that is reported
	PaidBy        []string         `json:"paidBy,omitempty"`  // payments that succeeded
	TransactionID string           `json:"transactionId,omitempty"`
	Charge        int              `json:"charge,omitempty"` // counts what is asked of the provider: see ChargeKey
	Refunds       []Refunded       `json:"refunds,omitempty"`
	Confirmation  string           `json:"confirmation,omitempty"`
	PlacedAt      time.Time        `json:"placedAt"`
	Since         time.Time        `json:"since"`           // when it came to its status
	Spent         map[Status]int64 `json:"spent,omitempty"` // milliseconds in statuses it has left
	DeliveredAt   *time.Time       `json:"deliveredAt,omitempty"`
	Versions      []int64          `json:"versions,omitempty"` // of its events, the first MaxVersions
}

// State is a customer's orders by their ids: all that are not ended, and others up to MaxOrders.
type State struct {
	Orders map[string]Order `json:"orders,omitempty"`
}

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

// refunding is how many refunds are under way.
func (o Order) refunding() (n int) {
	for _, r := range o.Refunds {
		if r.Status == Initiated {
			n++
		}
	}
	return n
}

// MoneyMoves says whether the provider is still to be asked for a charge or a refund of any order. A refund that it has on its way needs
// nobody here any more, and may take a month.
func (s State) MoneyMoves() bool {
	for _, o := range s.Orders {
		if o.Payment.UnderWay() || slices.ContainsFunc(o.Refunds, func(r Refunded) bool { return r.Status == Initiated && r.TransactionID == "" }) {
			return true
		}
	}
	return false
}

// Order returns an order that is in the state.
func (s State) Order(id string) (Order, bool) {
	o, known := s.Orders[id]
	return o, known
}

// Refund returns a refund of the order by its id.
func (o Order) Refund(id string) (Refunded, bool) {
	i := slices.IndexFunc(o.Refunds, func(r Refunded) bool { return r.ID == id })
	if i < 0 {
		return Refunded{}, false
	}
	return o.Refunds[i], true
}

// ChargeKey is the idempotency key of the charge that is to be asked for: another one for every payment and every attempt,
// but the same as before where the provider may have charged and did not say so.
func (o Order) ChargeKey(orderID string) string { return orderID + "/" + strconv.Itoa(o.Charge) }

// RefundKey is likewise the idempotency key of a refund that is to be asked for.
func (r Refunded) RefundKey(orderID string) string {
	return orderID + "/" + r.ID + "/" + strconv.Itoa(r.Refusals)
}

// ToCharge says whether the payment is still to be asked for. A cancelled order's is only where it may be taken already.
func (o Order) ToCharge(paymentID string) bool {
	p := o.Payment
	return p.UnderWay() && p.ID == paymentID && (o.Status != IsCancelled || p.Status == Initiated || p.Unknown)
}

// Refundable is what can still go back: paid, not given back, and not on its way back.
func (o Order) Refundable() int64 {
	n := o.PaidMinor - o.RefundedMinor
	for _, r := range o.Refunds {
		if r.Status == Initiated {
			n -= r.AmountMinor
		}
	}
	return max(n, 0)
}

// CanBeCancelled says whether an order that is not cancelled may be.
func (o Order) CanBeCancelled() bool { return o.Status == PendingPayment || o.Status == IsConfirmed }

// CanBeRefunded says whether a Refund would be taken at a time, with a return window after delivery.
func (o Order) CanBeRefunded(at time.Time, window time.Duration) bool {
	return o.paidHere() && o.Refundable() > 0 && len(o.Refunds) < MaxRefunds && (o.DeliveredAt == nil || !at.After(o.DeliveredAt.Add(window)))
}

// paidHere says whether the money was taken by this system's provider, which alone can give it back.
func (o Order) paidHere() bool { return o.TransactionID != "" && len(o.PaidBy) > 0 && o.Payment != nil }

// TimeIn is how long the order has been in each status: the sum of all its stays, the current one up to at.
func (o Order) TimeIn(at time.Time) map[Status]time.Duration {
	stays := map[Status]time.Duration{}
	for status, ms := range o.Spent {
		stays[status] = time.Duration(ms) * time.Millisecond
	}
	stays[o.Status] += max(at.Sub(o.Since), 0)
	return stays
}

// to moves the order to a status.
func (o *Order) to(status Status, at time.Time) {
	if o.Status == status {
		return
	}
	if at.Before(o.Since) { // told late: the stays before are not lengthened afterwards
		at = o.Since
	}
	if ms := at.Sub(o.Since).Milliseconds(); ms > 0 {
		spent := maps.Clone(o.Spent)
		if spent == nil {
			spent = map[Status]int64{}
		}
		spent[o.Status] += ms
		o.Spent = spent
	}
	o.Status, o.Since = status, at
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
