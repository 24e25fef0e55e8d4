package order

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/money"
)

// How a failed payment is tried again. One whose outcome is not known is asked for with the same key until it is known, and
// that is no retry.
const (
	MaxRetries  = 3 // after the first try
	MaxAttempts = 12
	RetryAfter  = 300 * time.Second
)

// How the outcome of a refund that the provider has on its way is asked for: after ten minutes, then after twice as long each
// time, and daily from the first day on.
const (
	MaxPending   = 45 // attempts, of which the last is more than a month after the first
	pendingDaily = 24 * time.Hour
)

// Limits.
const (
	MaxOrders      = 100 // of a customer in the state; those that ended longest ago leave first
	MaxOpen        = 500 // of a customer not yet ended
	keptFor        = 90 * 24 * time.Hour
	MaxRefunds     = 50             // of an order that are asked for here
	maxRefundsTold = 2 * MaxRefunds // of an order, with those that are reported
	MaxVersions    = 100            // of an order's events remembered in the state
	MaxItems       = 500            // of an order
)

// Decider holds the rules. Its Evolve knows no times; folds of streams call the function of that name.
var Decider = eventstore.Decider[State, Command, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}, 0) },
	Decide: Decide,
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
		if r, ok := o.Refund(c.RefundID); ok && r.Status == Initiated {
			return []any{RefundCompleted{OrderID: id, RefundID: c.RefundID, AmountMinor: r.AmountMinor, Currency: o.Currency, TransactionID: c.TransactionID}}, nil
		}
		return nil, nil
	case FailRefund:
		return failRefund(o, c), nil
	}
	return nil, fault.New(fault.Internal, "unknown-command", "order does not know %T", command)
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

func place(s State, c Place) ([]any, error) {
	subtotal, total, err := totals(c)
	if err != nil {
		return nil, err
	}
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
		if o.Payment.UnderWay() || o.Status == PendingPayment || o.Status == IsConfirmed && o.Payment != nil || o.Status == InTransit {
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

// totals checks what an order says of money, and adds it up.
func totals(c Place) (subtotal, total int64, err error) {
	invalid := func(format string, args ...any) (int64, int64, error) {
		return 0, 0, fault.New(fault.Invalid, "invalid-order", format, args...)
	}
	if len(c.Items) == 0 || len(c.Items) > MaxItems {
		return invalid("an order has 1 to %d items", MaxItems)
	}
	if !money.IsCurrency(c.Currency) {
		return invalid("currency must be a code of three capital letters, such as TRY")
	}
	for _, n := range []int64{c.DiscountMinor, c.TaxMinor, c.ShippingMinor} {
		if n < 0 || n > money.Max {
			return invalid("an amount must be 0 to %d", int64(money.Max))
		}
	}
	for i, item := range c.Items {
		cost, ok := money.Of(item.PriceMinor, item.Quantity)
		switch {
		case item.ProductID == "" || len(item.ProductID) > 200:
			return invalid("items[%d].productId must have 1 to 200 bytes", i)
		case item.Quantity < 1 || item.Quantity > money.MaxQuantity:
			return invalid("items[%d].quantity must be 1 to %d", i, money.MaxQuantity)
		case !ok:
			return invalid("items[%d].priceMinor must be 0 or more, and %d in all at most", i, int64(money.Max))
		case len(item.ProductName) > 500 || len(item.Category) > 200:
			return invalid("items[%d] has a productName of at most 500 and a category of at most 200 bytes", i)
		}
		if subtotal += cost; subtotal > money.Max {
			return invalid("the subtotal must be at most %d", int64(money.Max))
		}
	}
	if c.DiscountMinor > subtotal {
		return invalid("discountMinor is more than the subtotal of %d", subtotal)
	}
	total = subtotal - c.DiscountMinor + c.TaxMinor + c.ShippingMinor
	if total > money.Max {
		return invalid("the total must be at most %d", int64(money.Max))
	}
	return subtotal, total, nil
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
		events = append(events, RefundInitiated{
			OrderID: c.OrderID, RefundID: c.RefundID, AmountMinor: excess, Currency: o.Currency, Reason: "other", RefundType: next.refundType(excess),
		})
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
	events := []any{PaymentFailed{c.OrderID, c.PaymentID, c.Attempt, amount, o.Currency, c.Code, foreign.Clip(c.Message, 500), again, unknown}}
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

// cancel ends an order. One that was reported to be cancelled gives back what was paid here when that is asked for, too.
func cancel(o Order, c Cancel) ([]any, error) {
	if o.Status != IsCancelled && !o.CanBeCancelled() {
		return nil, fault.New(fault.Rejected, "order-not-cancellable", "an order that is %s cannot be cancelled", o.Status)
	}
	if len(c.Reason) > 200 {
		return nil, fault.New(fault.Invalid, "too-long", "reason has %d bytes, at most 200", len(c.Reason))
	}
	var events []any
	if o.Status != IsCancelled {
		events = append(events, Cancelled{c.OrderID, c.Reason})
	}
	if n := o.Refundable(); n > 0 && o.paidHere() && len(o.Refunds) < MaxRefunds {
		events = append(events, RefundInitiated{
			OrderID: c.OrderID, RefundID: c.RefundID, AmountMinor: n, Currency: o.Currency, Reason: "customer-request", RefundType: o.refundType(n),
		})
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
	estimated := ""
	if c.EstimatedDelivery != nil {
		estimated = *c.EstimatedDelivery
		if _, err := time.Parse(time.DateOnly, estimated); err != nil {
			return nil, fault.New(fault.Invalid, "invalid-date", "estimatedDelivery must be a date of the form YYYY-MM-DD")
		}
	}
	return []any{Shipped{c.OrderID, c.TrackingNumber, c.Carrier, c.ShippedAt, estimated}}, nil
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
