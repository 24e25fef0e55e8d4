package order

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"slices"
	"strconv"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// How a failed payment is tried again. One whose outcome is not known is asked for with the same key until it is known, and
// that is no retry.
const (
	MaxRetries  = 3 // after the first try
	MaxAttempts = 12
	RetryAfter  = 300 * time.Second
)

// Limits.
const (
	MaxOrders   = 100 // of a customer in the state; those that ended longest ago leave first
	MaxOpen     = 500 // of a customer not yet ended
	keptFor     = 90 * 24 * time.Hour
	MaxRefunds  = 50                // of an order
	maxVersions = 100               // of an order's events remembered
	maxItems    = 500               // of an order
	maxAmount   = 1_000_000_000_000 // minor units, so that no sum overflows
	maxQuantity = 1_000_000
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

// Refunded is one refund of an order.
type Refunded struct {
	ID            string `json:"id,omitempty"`
	AmountMinor   int64  `json:"amountMinor"`
	Status        string `json:"status"`
	Reason        string `json:"reason,omitempty"`
	Type          string `json:"type,omitempty"`
	TransactionID string `json:"transactionId,omitempty"`
	Code          string `json:"code,omitempty"`
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
	Early         bool             `json:"early,omitempty"`    // not placed yet: what was told of it came before
	Versions      []int64          `json:"versions,omitempty"` // of its events
}

// State is a customer's orders by their ids: all that are not ended, and others up to MaxOrders.
type State struct {
	Orders map[string]Order `json:"orders,omitempty"`
}

// Decider holds the rules. Its Evolve knows no times; folds of streams call the function of that name.
var Decider = eventstore.Decider[State, Command, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}, 0) },
	Decide: Decide,
}

// ended says whether nothing more is to come of an order: it is cancelled, and longer ago than anything is given back it has
// failed or arrived; or it was reported, and the shop that reported it keeps the book.
func (o Order) ended(at time.Time) bool {
	if o.Payment.UnderWay() || slices.ContainsFunc(o.Refunds, func(r Refunded) bool { return r.Status == Initiated }) {
		return false
	}
	switch o.Status {
	case IsCancelled:
		return true
	case Completed, PaymentIsLost:
		return at.Sub(o.Since) > keptFor
	}
	return o.Payment == nil && o.PaidMinor > 0 || !o.isPlaced()
}

// isPlaced is false for an order of which something was told before it was told itself.
func (o Order) isPlaced() bool { return !o.Early }

// MoneyMoves says whether a charge or a refund is under way for any order.
func (s State) MoneyMoves() bool {
	for _, o := range s.Orders {
		if o.Payment.UnderWay() || slices.ContainsFunc(o.Refunds, func(r Refunded) bool { return r.Status == Initiated }) {
			return true
		}
	}
	return false
}

// Order returns an order that was placed and is in the state.
func (s State) Order(id string) (Order, bool) {
	o, known := s.Orders[id]
	return o, known && o.isPlaced()
}

// ChargeKey is the idempotency key of the charge that is to be asked for: another one for every payment and every attempt,
// but the same as before where the provider may have charged and did not say so.
func (o Order) ChargeKey(orderID string) string { return orderID + "/" + strconv.Itoa(o.Charge) }

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

// CanBeCancelled says whether Cancel would be taken.
func (o Order) CanBeCancelled() bool { return o.Status == PendingPayment || o.Status == IsConfirmed }

// CanBeRefunded says whether a Refund would be taken at a time, with a return window after delivery.
func (o Order) CanBeRefunded(at time.Time, window time.Duration) bool {
	return o.paidHere() && o.Refundable() > 0 && len(o.Refunds) < MaxRefunds && (o.DeliveredAt == nil || !at.After(o.DeliveredAt.Add(window)))
}

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
	case RefundCompleted:
		return e.OrderID
	case RefundFailed:
		return e.OrderID
	}
	return ""
}

// Evolve folds one event that happened at a time and has a version; events of other packages change nothing here. What
// cannot follow from where the order stands, such as the failure of a payment that has succeeded meanwhile, changes
// nothing either: it was reported late.
func Evolve(s State, event any, at time.Time, version int64) State {
	id := EventOrder(event)
	if id == "" {
		return s
	}
	o, known := s.Orders[id]
	placed, isPlaced := event.(Placed)
	switch {
	case isPlaced && known && o.isPlaced(): // reported again
		return s
	case isPlaced:
		if !known {
			o = Order{Status: PendingPayment, Since: at}
		}
		o.Currency, o.TotalMinor, o.PlacedAt, o.Early = placed.Currency, placed.TotalMinor, at, false
		if o.Status == PendingPayment && o.PaidMinor > 0 && o.PaidMinor >= o.TotalMinor {
			o.to(IsConfirmed, at)
		}
	case !known: // told before the order itself, or of one that left the state
		switch event.(type) {
		case PaymentSucceeded, Cancelled, RefundCompleted:
			o = evolve(Order{Status: PendingPayment, Since: at, Early: true}, event, at)
		default:
			return s
		}
	default:
		o = evolve(o, event, at)
	}
	if len(o.Versions) < maxVersions {
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
		o.PaidMinor += e.AmountMinor
		if e.PaymentID != "" {
			o.PaidBy = append(slices.Clip(o.PaidBy), e.PaymentID)
		}
		o.TransactionID = cmp.Or(e.TransactionID, o.TransactionID)
		if payment.ID != "" && payment.ID == e.PaymentID {
			payment.Status, payment.Token, payment.DueAt, payment.Code, payment.Unknown = Paid, "", nil, "", false
			o.Payment = &payment
		}
		if (o.Status == PendingPayment || o.Status == PaymentIsLost) && o.isPlaced() && o.PaidMinor >= o.TotalMinor {
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
			if o.Status == PendingPayment {
				o.to(PaymentIsLost, at)
			}
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
			payment.Status, payment.DueAt, payment.Token = Failed, nil, ""
			o.Payment = &payment
			if o.Status == PendingPayment {
				o.to(PaymentIsLost, at)
			}
		}
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
			if payment.Status == Retrying && !payment.Unknown { // it is known not to be paid, and will not be asked for again
				payment.Status, payment.Token, payment.DueAt = Failed, "", nil
				o.Payment = &payment
			}
		}
	case RefundInitiated:
		o.Refunds = append(slices.Clip(o.Refunds), Refunded{ID: e.RefundID, AmountMinor: e.AmountMinor, Status: Initiated, Reason: e.Reason, Type: e.RefundType})
	case RefundCompleted:
		i := slices.IndexFunc(o.Refunds, func(r Refunded) bool {
			return e.RefundID != "" && (r.ID == e.RefundID || r.TransactionID == e.RefundID)
		})
		if i < 0 { // told by the provider's webhook, which knows it by another id
			i = o.refundOf(e.AmountMinor)
		}
		switch {
		case i >= 0 && o.Refunds[i].Status == Done:
			return o
		case i >= 0:
			o.Refunds = slices.Clone(o.Refunds)
			o.Refunds[i].Status, o.Refunds[i].TransactionID, o.Refunds[i].Code = Done, e.TransactionID, ""
		case len(o.Refunds) < 2*MaxRefunds:
			o.Refunds = append(slices.Clip(o.Refunds), Refunded{ID: e.RefundID, AmountMinor: e.AmountMinor, Status: Done, TransactionID: e.TransactionID})
		}
		o.RefundedMinor += e.AmountMinor
	case RefundFailed:
		if i := slices.IndexFunc(o.Refunds, func(r Refunded) bool { return r.ID == e.RefundID && r.Status == Initiated }); i >= 0 {
			o.Refunds = slices.Clone(o.Refunds)
			o.Refunds[i].Status, o.Refunds[i].Code = Failed, e.ErrorCode
		}
	}
	return o
}

// Decide decides on one command. Asked again, it returns no events.
func Decide(s State, command Command) ([]any, error) {
	if c, ok := command.(Place); ok {
		return place(s, c)
	}
	id := orderOf(command)
	o, known := s.Order(id)
	if !known {
		return nil, fault.New(fault.Rejected, "order-closed", "nothing more can be done with this order")
	}
	switch c := command.(type) {
	case Pay:
		return pay(o, c)
	case Settle:
		return settle(o, c)
	case Fail:
		return fail(o, c)
	case Cancel:
		return cancel(o, c)
	case Ship:
		return ship(o, c)
	case Deliver:
		return deliver(o, c)
	case Refund:
		return refund(o, c)
	case CompleteRefund:
		if r, ok := o.refund(c.RefundID); ok && r.Status == Initiated {
			return []any{RefundCompleted{OrderID: id, RefundID: c.RefundID, AmountMinor: r.AmountMinor, Currency: o.Currency, TransactionID: c.TransactionID}}, nil
		}
		return nil, nil
	case FailRefund:
		if r, ok := o.refund(c.RefundID); ok && r.Status == Initiated {
			return []any{RefundFailed{id, c.RefundID, r.AmountMinor, o.Currency, c.Code, clip(c.Message, 500)}}, nil
		}
		return nil, nil
	}
	return nil, fault.New(fault.Internal, "unknown-command", "order does not know %T", command)
}

// refundOf is the one refund under way of an amount, -1 for none or several.
func (o Order) refundOf(amount int64) int {
	found := -1
	for i, r := range o.Refunds {
		if r.Status == Initiated && r.AmountMinor == amount {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

func orderOf(command Command) string {
	switch c := command.(type) {
	case Pay:
		return c.OrderID
	case Settle:
		return c.OrderID
	case Fail:
		return c.OrderID
	case Cancel:
		return c.OrderID
	case Ship:
		return c.OrderID
	case Deliver:
		return c.OrderID
	case Refund:
		return c.OrderID
	case CompleteRefund:
		return c.OrderID
	case FailRefund:
		return c.OrderID
	}
	return ""
}

func (o Order) refund(id string) (Refunded, bool) {
	i := slices.IndexFunc(o.Refunds, func(r Refunded) bool { return r.ID == id })
	if i < 0 {
		return Refunded{}, false
	}
	return o.Refunds[i], true
}

func place(s State, c Place) ([]any, error) {
	invalid := func(format string, args ...any) ([]any, error) {
		return nil, fault.New(fault.Invalid, "invalid-order", format, args...)
	}
	if len(c.Items) == 0 || len(c.Items) > maxItems {
		return invalid("an order has 1 to %d items", maxItems)
	}
	if len(c.Currency) != 3 || slices.ContainsFunc([]byte(c.Currency), func(b byte) bool { return b < 'A' || b > 'Z' }) {
		return invalid("currency must be a code of three capital letters, such as TRY")
	}
	for _, n := range []int64{c.DiscountMinor, c.TaxMinor, c.ShippingMinor} {
		if n < 0 || n > maxAmount {
			return invalid("an amount must be 0 to %d", int64(maxAmount))
		}
	}
	var subtotal int64
	for i, item := range c.Items {
		switch {
		case item.ProductID == "" || len(item.ProductID) > 200:
			return invalid("items[%d].productId must have 1 to 200 bytes", i)
		case item.Quantity < 1 || item.Quantity > maxQuantity:
			return invalid("items[%d].quantity must be 1 to %d", i, maxQuantity)
		case item.PriceMinor < 0 || item.PriceMinor > maxAmount/item.Quantity:
			return invalid("items[%d].priceMinor must be 0 or more, and %d in all at most", i, int64(maxAmount))
		case len(item.ProductName) > 500 || len(item.Category) > 200:
			return invalid("items[%d] has a productName of at most 500 and a category of at most 200 bytes", i)
		}
		if subtotal += item.Quantity * item.PriceMinor; subtotal > maxAmount {
			return invalid("the subtotal must be at most %d", int64(maxAmount))
		}
	}
	if c.DiscountMinor > subtotal {
		return invalid("discountMinor is more than the subtotal of %d", subtotal)
	}
	total := subtotal - c.DiscountMinor + c.TaxMinor + c.ShippingMinor
	if c.ExpectedTotalMinor != nil && *c.ExpectedTotalMinor != total {
		return nil, fault.New(fault.Rejected, "total-mismatch", "the total is %d: subtotal %d − discount %d + tax %d + shipping %d",
			total, subtotal, c.DiscountMinor, c.TaxMinor, c.ShippingMinor)
	}
	if o, known := s.Order(c.OrderID); known {
		if o.TotalMinor == total && o.Currency == c.Currency {
			return nil, nil
		}
		return nil, fault.New(fault.Conflict, "order-exists", "there is another order of this id")
	}
	open := 0
	for _, o := range s.Orders {
		if o.isPlaced() && o.Payment.UnderWay() || o.Status == PendingPayment || o.Status == IsConfirmed && o.Payment != nil || o.Status == InTransit {
			open++
		}
	}
	if open >= MaxOpen {
		return nil, fault.New(fault.Rejected, "too-many-open-orders", "a customer has at most %d open orders", MaxOpen)
	}
	placed := Placed{
		OrderID: c.OrderID, CartID: c.CartID, Items: c.Items, SubtotalMinor: subtotal, DiscountMinor: c.DiscountMinor, TaxMinor: c.TaxMinor,
		ShippingMinor: c.ShippingMinor, TotalMinor: total, Currency: c.Currency, ShippingAddress: c.ShippingAddress, BillingAddress: c.BillingAddress,
	}
	if total == 0 { // there is nothing to pay
		return []any{placed, Confirmed{c.OrderID, ConfirmationNumber(c.OrderID)}}, nil
	}
	return []any{placed}, nil
}

func pay(o Order, c Pay) ([]any, error) {
	switch {
	case o.Payment != nil && o.Payment.ID == c.PaymentID:
		return nil, nil
	case !slices.Contains([]string{"credit-card", "paypal", "bank-transfer"}, c.Method):
		return nil, fault.New(fault.Invalid, "invalid-payment-method", "paymentMethod must be credit-card, paypal or bank-transfer")
	case len(c.Token) > 500:
		return nil, fault.New(fault.Invalid, "too-long", "paymentToken has %d bytes, at most 500", len(c.Token))
	case o.Status != PendingPayment && o.Status != PaymentIsLost:
		return nil, fault.New(fault.Rejected, "order-not-payable", "the order is %s", o.Status)
	case o.Payment.UnderWay():
		return nil, fault.New(fault.Rejected, "payment-under-way", "a payment of this order is under way")
	}
	return []any{PaymentInitiated{c.OrderID, c.PaymentID, c.Method, c.Provider, c.Token, o.TotalMinor - o.PaidMinor, o.Currency}}, nil
}

// settle is the one place that confirms an order. What was paid for a cancelled order, or twice, goes back.
func settle(o Order, c Settle) ([]any, error) {
	if slices.Contains(o.PaidBy, c.PaymentID) {
		return nil, nil
	}
	paid := PaymentSucceeded{OrderID: c.OrderID, PaymentID: c.PaymentID, AmountMinor: c.AmountMinor, Currency: o.Currency, TransactionID: c.TransactionID}
	next := evolve(o, paid, o.Since)
	events := []any{paid}
	if next.Status == IsConfirmed && o.Status != IsConfirmed {
		events = append(events, Confirmed{c.OrderID, ConfirmationNumber(c.OrderID)})
	}
	excess := next.Refundable()
	if next.Status != IsCancelled {
		excess = min(excess, next.PaidMinor-next.TotalMinor)
	}
	if excess > 0 {
		kind := "partial"
		if excess == next.PaidMinor {
			kind = "full"
		}
		events = append(events, RefundInitiated{OrderID: c.OrderID, RefundID: c.RefundID, AmountMinor: excess, Currency: o.Currency, Reason: "other", RefundType: kind})
	}
	return events, nil
}

// ConfirmationNumber is what customers quote: the same for an order whoever asks and however often.
func ConfirmationNumber(orderID string) string {
	sum := sha256.Sum256([]byte(orderID))
	return "D" + base32.StdEncoding.EncodeToString(sum[:])[:9]
}

func fail(o Order, c Fail) ([]any, error) {
	p := o.Payment
	if !p.UnderWay() || p.ID != c.PaymentID || p.Attempt != c.Attempt {
		return nil, nil
	}
	amount := o.TotalMinor - o.PaidMinor
	// That it cannot be asked for just now says nothing about what was asked for before with the same key.
	unknown := c.Unknown || p.Unknown && c.Retryable
	again := c.Retryable && (o.Status != IsCancelled || unknown)
	events := []any{PaymentFailed{c.OrderID, c.PaymentID, c.Attempt, amount, o.Currency, c.Code, clip(c.Message, 500), again, unknown}}
	refusals := p.Refusals
	if !unknown {
		refusals++
	}
	switch {
	case again && refusals <= MaxRetries && c.Attempt < MaxAttempts:
		events = append(events, PaymentRetryScheduled{c.OrderID, c.PaymentID, c.Attempt + 1, c.At.Add(RetryAfter)})
	case again:
		events = append(events, PaymentAbandoned{c.OrderID, c.PaymentID, c.Attempt, amount, o.Currency, c.Code})
	}
	return events, nil
}

func cancel(o Order, c Cancel) ([]any, error) {
	if o.Status == IsCancelled {
		return nil, nil
	}
	if !o.CanBeCancelled() {
		return nil, fault.New(fault.Rejected, "order-not-cancellable", "an order that is %s cannot be cancelled", o.Status)
	}
	if len(c.Reason) > 200 {
		return nil, fault.New(fault.Invalid, "too-long", "reason has %d bytes, at most 200", len(c.Reason))
	}
	events := []any{Cancelled{c.OrderID, c.Reason}}
	if n := o.Refundable(); n > 0 && o.paidHere() {
		kind := "partial"
		if n == o.PaidMinor {
			kind = "full"
		}
		events = append(events, RefundInitiated{OrderID: c.OrderID, RefundID: c.RefundID, AmountMinor: n, Currency: o.Currency, Reason: "customer-request", RefundType: kind})
	}
	return events, nil
}

func ship(o Order, c Ship) ([]any, error) {
	switch {
	case o.Status == InTransit || o.Status == Completed:
		return nil, nil
	case o.Status != IsConfirmed:
		return nil, fault.New(fault.Rejected, "order-not-confirmed", "an order that is %s cannot be shipped", o.Status)
	case len(c.TrackingNumber) > 128 || len(c.Carrier) > 100:
		return nil, fault.New(fault.Invalid, "too-long", "trackingNumber has at most 128 bytes and carrier 100")
	}
	if _, err := time.Parse(time.DateOnly, c.EstimatedDelivery); c.EstimatedDelivery != "" && err != nil {
		return nil, fault.New(fault.Invalid, "invalid-date", "estimatedDelivery must be a date of the form YYYY-MM-DD")
	}
	return []any{Shipped{c.OrderID, c.TrackingNumber, c.Carrier, c.ShippedAt, c.EstimatedDelivery}}, nil
}

// deliver takes a confirmed order too: one that is handed over in a store is never shipped.
func deliver(o Order, c Deliver) ([]any, error) {
	switch {
	case o.Status == Completed:
		return nil, nil
	case o.Status != InTransit && o.Status != IsConfirmed:
		return nil, fault.New(fault.Rejected, "order-not-shipped", "an order that is %s cannot be delivered", o.Status)
	case len(c.SignedBy) > 200:
		return nil, fault.New(fault.Invalid, "too-long", "signedBy has %d bytes, at most 200", len(c.SignedBy))
	}
	return []any{Delivered{c.OrderID, c.DeliveredAt, c.SignedBy}}, nil
}

// paidHere says whether the money was taken by this system's provider, which alone can give it back.
func (o Order) paidHere() bool { return o.TransactionID != "" && len(o.PaidBy) > 0 && o.Payment != nil }

func refund(o Order, c Refund) ([]any, error) {
	if _, known := o.refund(c.RefundID); known {
		return nil, nil
	}
	if o.PaidMinor > 0 && !o.paidHere() {
		return nil, fault.New(fault.Rejected, "paid-elsewhere", "the order was paid elsewhere: give the money back there, and report it")
	}
	if !slices.Contains([]string{"customer-request", "quality-issue", "delivery-failed", "other"}, c.Reason) {
		return nil, fault.New(fault.Invalid, "invalid-reason", "reason must be customer-request, quality-issue, delivery-failed or other")
	}
	if c.AmountMinor < 0 {
		return nil, fault.New(fault.Invalid, "invalid-amount", "amountMinor must be more than 0")
	}
	worth, err := worthOf(c.Items, c.Placed)
	if err != nil {
		return nil, err
	}
	if len(c.Items) > 0 && worth == 0 && c.AmountMinor == 0 {
		return nil, fault.New(fault.Rejected, "nothing-to-refund", "the items cost nothing")
	}
	left := o.Refundable()
	switch {
	case o.DeliveredAt != nil && c.At.After(o.DeliveredAt.Add(c.Window)):
		return nil, fault.New(fault.Rejected, "return-window-over", "the order was delivered more than %d days ago", int(c.Window.Hours()/24))
	case left == 0:
		return nil, fault.New(fault.Rejected, "nothing-to-refund", "nothing is left to be refunded")
	case len(o.Refunds) >= MaxRefunds:
		return nil, fault.New(fault.Rejected, "too-many-refunds", "an order has at most %d refunds", MaxRefunds)
	}
	amount := cmp.Or(c.AmountMinor, worth, left)
	if amount > left {
		return nil, fault.New(fault.Rejected, "refund-exceeds-payment", "at most %d can be refunded", left)
	}
	kind := "partial"
	if amount == o.PaidMinor {
		kind = "full"
	}
	return []any{RefundInitiated{c.OrderID, c.RefundID, amount, o.Currency, c.Reason, kind, c.Items}}, nil
}

// worthOf is what the items cost; they must be among those ordered.
func worthOf(items []RefundItem, placed []Line) (int64, error) {
	var worth int64
	seen := map[string]bool{}
	for i, item := range items {
		var quantity int64
		for _, line := range placed {
			if line.ProductID == item.ProductID {
				worth += min(line.Quantity, max(item.Quantity-quantity, 0)) * line.PriceMinor
				quantity += line.Quantity
			}
		}
		if item.Quantity < 1 || item.Quantity > quantity || seen[item.ProductID] {
			return 0, fault.New(fault.Rejected, "item-not-ordered", "items[%d]: %d were ordered", i, quantity)
		}
		seen[item.ProductID] = true
	}
	return worth, nil
}

// clip cuts s to at most limit bytes, between characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xC0 == 0x80 {
		limit--
	}
	return s[:limit]
}
