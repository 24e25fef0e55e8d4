package order

import (
	"cmp"
	"slices"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/money"
)

// History is an order folded from all its events: with what was ordered and what of it was given back, which the state leaves out
// since 500 items of every order would not fit it.
type History struct {
	Order  Order
	placed Placed
	items  [][]RefundItem // of each refund of the order
}

// HistoryOf folds an order's events, which are in their order. Events of other orders change nothing.
func HistoryOf(orderID string, events []eventstore.Event) (h History) {
	for _, e := range events {
		if EventOrder(e.Data) == orderID {
			h = h.after(e.Data, e.OccurredAt, e.Version)
		}
	}
	return h
}

// After is the history after one event more of the order.
func (h History) After(event any, at time.Time) History { return h.after(event, at, 0) }

func (h History) after(event any, at time.Time, version int64) History {
	var s State
	id := EventOrder(event)
	if h.placed.OrderID == id {
		s.Orders = map[string]Order{id: h.Order}
	} else if placed, ok := event.(Placed); ok {
		h.placed = placed
	}
	if h.Order = Evolve(s, event, at, version).Orders[id]; len(h.Order.Refunds) > len(h.items) {
		h.items = append(slices.Clip(h.items), refundItems(event))
	}
	return h
}

func refundItems(event any) []RefundItem {
	switch e := event.(type) {
	case RefundInitiated:
		return e.Items
	case RefundCompleted:
		return e.Items
	}
	return nil
}

// returned are the pieces of each product that were given back or are about to be, over all refunds that did not fail.
func (h History) returned() map[string]int64 {
	pieces := map[string]int64{}
	for i, items := range h.items {
		if h.Order.Refunds[i].Status == Failed {
			continue
		}
		for _, item := range items {
			pieces[item.ProductID] += item.Quantity
		}
	}
	return pieces
}

// left are the items as far as they were ordered and are not given back yet.
func (h History) left(items []RefundItem) []RefundItem {
	gone := h.returned()
	var left []RefundItem
	for _, item := range items {
		n := -gone[item.ProductID]
		for _, line := range h.placed.Items {
			if line.ProductID == item.ProductID {
				n += line.Quantity
			}
		}
		if item.Quantity = min(item.Quantity, n); item.Quantity > 0 {
			left = append(left, item)
			gone[item.ProductID] += item.Quantity
		}
	}
	return left
}

// share is what the items are worth of what was paid: the order's discount, tax and shipping are divided among all of its pieces by
// their prices, so that all pieces together, in however many refunds, are worth exactly what was paid. They must be among those that
// were ordered and not given back yet.
func (h History) share(items []RefundItem) (int64, error) {
	lines := h.placed.Items
	weights := make([]int64, len(lines))
	for i, line := range lines {
		weights[i], _ = money.Of(line.PriceMinor, line.Quantity) // within its bounds, or it would not have been stored
	}
	if !slices.ContainsFunc(weights, func(w int64) bool { return w > 0 }) { // no prices were told
		for i, line := range lines {
			weights[i] = line.Quantity
		}
	}
	shares := money.Shares(min(h.Order.PaidMinor, h.Order.TotalMinor), weights)
	var worth int64
	gone := h.returned()
	for i, item := range items {
		from, to, ordered := gone[item.ProductID], gone[item.ProductID]+item.Quantity, int64(0)
		for at, line := range lines {
			if line.ProductID != item.ProductID {
				continue
			}
			worth += money.Pieces(shares[at], line.Quantity, to-ordered) - money.Pieces(shares[at], line.Quantity, from-ordered)
			ordered += line.Quantity
		}
		if item.Quantity < 1 || item.Quantity > ordered-from {
			return 0, fault.New(fault.Rejected, "item-not-ordered", "items[%d]: %d were ordered, and %d of them are given back", i, ordered, from)
		}
		gone[item.ProductID] = to
	}
	return worth, nil
}

// refunded folds what became of a refund.
func (o Order) refunded(event any) Order {
	add := func(r Refunded) {
		if len(o.Refunds) < maxRefundsTold {
			o.Refunds = append(slices.Clip(o.Refunds), r)
		}
	}
	change := func(i int, by func(*Refunded)) {
		o.Refunds = slices.Clone(o.Refunds)
		by(&o.Refunds[i])
	}
	switch e := event.(type) {
	case RefundInitiated:
		add(Refunded{ID: e.RefundID, AmountMinor: e.AmountMinor, Status: Initiated, Reason: e.Reason, Type: e.RefundType, Attempt: 1})
	case RefundDelayed:
		if i := o.find(e.RefundID, ""); i >= 0 && o.Refunds[i].Status == Initiated {
			change(i, func(r *Refunded) {
				due := e.DueAt
				r.Attempt, r.DueAt, r.Code, r.Unknown, r.TransactionID = e.Attempt+1, &due, e.ErrorCode, e.Unknown, e.TransactionID
				if !e.Unknown && e.TransactionID == "" {
					r.Refusals++
				}
			})
		}
	case RefundCompleted:
		i := o.find(e.RefundID, e.TransactionID)
		switch {
		case i < 0:
			add(Refunded{ID: e.RefundID, AmountMinor: e.AmountMinor, Status: Done, TransactionID: e.TransactionID})
		case o.Refunds[i].Status == Done, o.Refunds[i].Status == Failed && !o.Refunds[i].Unknown:
			return o
		default:
			change(i, func(r *Refunded) {
				r.Status, r.TransactionID, r.Code, r.Unknown, r.DueAt = Done, cmp.Or(e.TransactionID, r.TransactionID), "", false, nil
			})
		}
		o.RefundedMinor = money.Add(o.RefundedMinor, e.AmountMinor)
	case RefundFailed:
		i := o.find(e.RefundID, "")
		switch {
		case i < 0: // told of one that nobody had told of: it must not count when its success is told late
			add(Refunded{ID: e.RefundID, AmountMinor: e.AmountMinor, Status: Failed, Code: e.ErrorCode})
		case o.Refunds[i].Status == Initiated:
			change(i, func(r *Refunded) { r.Status, r.Code, r.Unknown, r.DueAt = Failed, e.ErrorCode, e.Unknown, nil })
		}
	case RefundReversed:
		if i := o.find(e.RefundID, ""); i >= 0 && o.Refunds[i].Status == Done {
			o.RefundedMinor -= o.Refunds[i].AmountMinor
			change(i, func(r *Refunded) { r.Status, r.Code = Failed, e.ErrorCode })
		}
	}
	return o
}

func (o Order) refundType(amount int64) string {
	if amount == o.PaidMinor {
		return "full"
	}
	return "partial"
}

func refund(o Order, c Refund) ([]any, error) {
	if _, known := o.Refund(c.RefundID); known {
		return nil, nil
	}
	left := o.Refundable()
	switch {
	case o.PaidMinor > 0 && !o.paidHere():
		return nil, fault.New(fault.Rejected, "paid-elsewhere", "the order was paid elsewhere: give the money back there, and report it")
	case !slices.Contains([]string{"customer-request", "quality-issue", "delivery-failed", "other"}, c.Reason):
		return nil, fault.New(fault.Invalid, "invalid-reason", "reason must be customer-request, quality-issue, delivery-failed or other")
	case c.AmountMinor != nil && *c.AmountMinor < 1:
		return nil, fault.New(fault.Invalid, "invalid-amount", "amountMinor must be 1 or more; where it is absent, what the items are worth goes back, or all that is left")
	case c.Items != nil && (len(c.Items) == 0 || len(c.Items) > MaxItems):
		return nil, fault.New(fault.Invalid, "invalid-items", "items must be 1 to %d; where they are absent, no item is given back", MaxItems)
	case o.DeliveredAt != nil && c.At.After(o.DeliveredAt.Add(c.Window)):
		return nil, fault.New(fault.Rejected, "return-window-over", "the order was delivered more than %d days ago", int(c.Window.Hours()/24))
	case left == 0:
		return nil, fault.New(fault.Rejected, "nothing-to-refund", "nothing is left to be refunded")
	case len(o.Refunds) >= MaxRefunds:
		return nil, fault.New(fault.Rejected, "too-many-refunds", "an order has at most %d refunds", MaxRefunds)
	}
	amount := left
	if c.Items != nil {
		worth, err := c.History.share(c.Items)
		if err != nil {
			return nil, err
		}
		amount = min(worth, left) // money that went back without an item is not given back again with one
	}
	if c.AmountMinor != nil {
		amount = *c.AmountMinor
	}
	switch {
	case amount == 0:
		return nil, fault.New(fault.Rejected, "nothing-to-refund", "nothing was paid for the items")
	case amount > left:
		return nil, fault.New(fault.Rejected, "refund-exceeds-payment", "at most %d can be refunded", left)
	}
	return []any{RefundInitiated{c.OrderID, c.RefundID, amount, o.Currency, c.Reason, o.refundType(amount), c.Items}}, nil
}

// failRefund is what becomes of a refund that the provider did not make, or not yet.
func failRefund(o Order, c FailRefund) []any {
	r, known := o.Refund(c.RefundID)
	if !known || r.Status != Initiated || r.Attempt != c.Attempt {
		return nil
	}
	// That it cannot be asked for just now says nothing about what was asked for before with the same key.
	unknown := c.Unknown || r.Unknown && c.Retryable
	pending := c.TransactionID != ""
	refusals := r.Refusals
	if !unknown && !pending {
		refusals++
	}
	delayed := RefundDelayed{
		OrderID: c.OrderID, RefundID: c.RefundID, Attempt: c.Attempt, DueAt: c.At.Add(RetryAfter), ErrorCode: c.Code, Unknown: unknown, TransactionID: c.TransactionID,
	}
	switch {
	case pending && c.Attempt < MaxPending:
		delayed.DueAt = c.At.Add(min(RetryAfter<<min(c.Attempt, 20), pendingDaily))
		return []any{delayed}
	case !pending && c.Retryable && refusals <= MaxRetries && c.Attempt < MaxAttempts:
		return []any{delayed}
	}
	return []any{RefundFailed{c.OrderID, c.RefundID, r.AmountMinor, o.Currency, c.Code, foreign.Clip(c.Message, 500), unknown || pending}}
}
