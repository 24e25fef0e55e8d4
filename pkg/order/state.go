package order

import (
	"maps"
	"slices"
	"strconv"
	"time"
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
