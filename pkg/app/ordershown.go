package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/view"
)

const pastEvents = 10_000 // looked through for an order that left the state

// PaymentShown is a payment as the API shows it.
type PaymentShown struct {
	PaymentID     string     `json:"paymentId"`
	Status        string     `json:"status" enum:"initiated,retrying,paid,failed"`
	PaymentMethod string     `json:"paymentMethod,omitempty"`
	Provider      string     `json:"paymentProvider,omitempty"`
	Attempts      int        `json:"attempts" description:"one and three more, and others while the provider has not said whether it took the money"`
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
	ErrorCode     string     `json:"errorCode,omitempty" description:"of the last attempt"`
}

// RefundShown is a refund as the API shows it.
type RefundShown struct {
	RefundID      string `json:"refundId,omitempty"`
	Status        string `json:"status" enum:"initiated,completed,failed"`
	AmountMinor   int64  `json:"amountMinor"`
	RefundType    string `json:"refundType,omitempty" enum:"full,partial"`
	Reason        string `json:"reason,omitempty"`
	TransactionID string `json:"transactionId,omitempty" description:"what the provider knows it by; while it is initiated: the provider has it on its way"`
	ErrorCode     string `json:"errorCode,omitempty" description:"of the last attempt"`

	Attempts      int        `json:"attempts,omitempty" description:"one and three more, and others while the provider has not said whether it gave the money back; of one that was reported, none"`
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
}

// OrderSummary is an order without its items and its history.
type OrderSummary struct {
	OrderID         string       `json:"orderId"`
	CustomerID      string       `json:"customerId"`
	Status          order.Status `json:"status" enum:"pending-payment,payment-failed,confirmed,in-transit,completed,cancelled"`
	PaymentStatus   string       `json:"paymentStatus" enum:"pending,initiated,retrying,failed,paid,partially-refunded,refunded"`
	ShippingStatus  string       `json:"shippingStatus,omitempty" enum:"shipped,delivered"`
	Currency        string       `json:"currency"`
	TotalMinor      int64        `json:"totalMinor"`
	PaidMinor       int64        `json:"paidMinor"`
	RefundedMinor   int64        `json:"refundedMinor"`
	RefundableMinor int64        `json:"refundableMinor"`
	CanBeCancelled  bool         `json:"canBeCancelled"`
	CanBeRefunded   bool         `json:"canBeRefunded"`
	PlacedAt        time.Time    `json:"placedAt"`
}

// OrderShown is an order as the API shows it.
type OrderShown struct {
	OrderSummary
	ConfirmationNumber string                 `json:"confirmationNumber,omitempty"`
	CartID             string                 `json:"cartId,omitempty"`
	Items              []order.Line           `json:"items"`
	SubtotalMinor      int64                  `json:"subtotalMinor"`
	DiscountMinor      int64                  `json:"discountMinor"`
	TaxMinor           int64                  `json:"taxMinor"`
	ShippingMinor      int64                  `json:"shippingMinor"`
	ShippingAddress    *order.Address         `json:"shippingAddress,omitempty"`
	BillingAddress     *order.Address         `json:"billingAddress,omitempty"`
	Payment            *PaymentShown          `json:"payment,omitempty" description:"the latest; none of an order that was reported"`
	Refunds            []RefundShown          `json:"refunds"`
	DeliveredAt        *time.Time             `json:"deliveredAt,omitempty"`
	RefundableUntil    *time.Time             `json:"refundableUntil,omitempty" description:"the end of the return window"`
	SecondsInStatus    map[order.Status]int64 `json:"secondsInStatus" description:"the sum of all stays in each status, the current one up to now"`
	Timeline           []EventShown           `json:"timeline" description:"the order's events, the first first"`
}

// OrderList is a customer's orders.
type OrderList struct {
	Orders []OrderSummary `json:"orders" description:"all that are open, and the latest others up to 100"`
}

// getOrder answers GET /v1/orders/{id}, strongly consistent.
func (a *App) getOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	id, stream, err := a.whose(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.orderAnswer(ctx, stream, id, record.Fold.Of(head), 200)
}

// repeatOrder answers a command on an order again, with the order as it is now.
func (a *App) repeatOrder(ctx context.Context, c *Call, key string, _ int64, status int) (lambdaio.Response, error) {
	id, err := a.orderIDOf(ctx, key)
	if err != nil {
		return lambdaio.Response{}, err
	}
	again := *c
	again.Params = map[string]string{"id": id}
	response, err := a.getOrder(ctx, &again)
	if err == nil {
		response = orderResponse(response.Body, id, status)
	}
	return response, err
}

// orderIDOf is the id of the order that a key stands for, from where the order begins.
func (a *App) orderIDOf(ctx context.Context, key string) (string, error) {
	if !strings.HasPrefix(key, "h_") {
		return key, nil
	}
	stream, from, ok, err := a.holderOf(ctx, orderPrefix+key)
	if err != nil || !ok {
		return "", err
	}
	for e, err := range a.Log.Events(ctx, stream, from, from) {
		return order.EventOrder(e.Data), err
	}
	return "", nil
}

// listOrders answers GET /v1/customers/{id}/orders.
func (a *App) listOrders(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.existingStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list := OrderList{Orders: []OrderSummary{}}
	orders := record.Fold.Of(head).Order
	for id := range orders.Orders {
		o, placed := orders.Order(id)
		if !placed {
			continue
		}
		list.Orders = append(list.Orders, a.summary(stream, id, o))
	}
	slices.SortFunc(list.Orders, func(x, y OrderSummary) int {
		return cmp.Or(y.PlacedAt.Compare(x.PlacedAt), cmp.Compare(x.OrderID, y.OrderID))
	})
	return lambdaio.Response{Status: 200, Body: list}, nil
}

func (a *App) summary(stream, id string, o order.Order) OrderSummary {
	customerID, _ := view.CustomerID(stream)
	s := OrderSummary{
		OrderID: id, CustomerID: customerID, Status: o.Status, PaymentStatus: "pending", Currency: o.Currency, TotalMinor: o.TotalMinor,
		PaidMinor: o.PaidMinor, RefundedMinor: o.RefundedMinor, RefundableMinor: o.Refundable(), CanBeCancelled: o.CanBeCancelled(),
		CanBeRefunded: o.CanBeRefunded(a.Now(), a.Settings.ReturnWindow), PlacedAt: o.PlacedAt,
	}
	switch {
	case o.PaidMinor > 0 && o.RefundedMinor >= o.PaidMinor:
		s.PaymentStatus = "refunded"
	case o.RefundedMinor > 0:
		s.PaymentStatus = "partially-refunded"
	case o.PaidMinor > 0:
		s.PaymentStatus = order.Paid
	case o.Payment != nil:
		s.PaymentStatus = o.Payment.Status
	}
	switch o.Status {
	case order.InTransit:
		s.ShippingStatus = "shipped"
	case order.Completed:
		s.ShippingStatus = "delivered"
	}
	return s
}

// orderAnswer shows an order with its items and its timeline, which are read from the store.
func (a *App) orderAnswer(ctx context.Context, stream, id string, s record.State, status int) (lambdaio.Response, error) {
	if erased(s) {
		return lambdaio.Response{}, fault.New(fault.NotFound, "order-not-found", "there is no such order")
	}
	var events []eventstore.Event
	var err error
	o, known := s.Order.Order(id)
	if known {
		events, err = a.orderEvents(ctx, stream, o.Versions)
	} else {
		events, _, err = a.pastOrder(ctx, stream, id, 0)
		o = order.HistoryOf(id, events).Order
	}
	if err != nil {
		return lambdaio.Response{}, err
	}
	now := a.Now()
	shown := OrderShown{
		OrderSummary: a.summary(stream, id, o), ConfirmationNumber: o.Confirmation, Items: []order.Line{}, Refunds: []RefundShown{},
		DeliveredAt: o.DeliveredAt, SecondsInStatus: map[order.Status]int64{}, Timeline: []EventShown{},
	}
	if !known { // it left the state: nothing can be decided on it
		shown.CanBeCancelled, shown.CanBeRefunded = false, false
	}
	if o.DeliveredAt != nil {
		until := o.DeliveredAt.Add(a.Settings.ReturnWindow)
		shown.RefundableUntil = &until
	}
	if p := o.Payment; p != nil {
		shown.Payment = &PaymentShown{p.ID, p.Status, p.Method, p.Provider, p.Attempt, p.DueAt, p.Code}
	}
	for _, r := range o.Refunds {
		shown.Refunds = append(shown.Refunds, RefundShown{r.ID, r.Status, r.AmountMinor, r.Type, r.Reason, r.TransactionID, r.Code, r.Attempt, r.DueAt})
	}
	for st, spent := range o.TimeIn(now) {
		shown.SecondsInStatus[st] = int64(spent.Seconds())
	}
	for _, e := range events {
		switch d := e.Data.(type) {
		case order.Placed:
			shown.CartID, shown.Items, shown.ShippingAddress, shown.BillingAddress = d.CartID, append(shown.Items, d.Items...), d.ShippingAddress, d.BillingAddress
			shown.SubtotalMinor, shown.DiscountMinor, shown.TaxMinor, shown.ShippingMinor = d.SubtotalMinor, d.DiscountMinor, d.TaxMinor, d.ShippingMinor
		}
		shown.Timeline = append(shown.Timeline, eventShown(e))
	}
	return orderResponse(shown, id, status), nil
}

func orderResponse(body any, id string, status int) lambdaio.Response {
	response := lambdaio.Response{Status: status, Body: body}
	if status == 201 {
		response.Header = map[string]string{"location": "/v1/orders/" + id}
	}
	return response
}

// orderEvents reads the events of these versions, those next to each other at once.
func (a *App) orderEvents(ctx context.Context, stream string, versions []int64) ([]eventstore.Event, error) {
	var events []eventstore.Event
	for from := 0; from < len(versions); {
		to := from
		for to+1 < len(versions) && versions[to+1] == versions[to]+1 {
			to++
		}
		for e, err := range a.Log.Events(ctx, stream, versions[from], versions[to]) {
			if err != nil {
				return nil, err
			}
			events = append(events, e)
		}
		from = to + 1
	}
	return events, nil
}

// pastOrder reads the events of an order up to a version (0: the end), from where it begins: of one that ended long ago, and of which
// there were so many that it left the state, or that has more events than the state remembers. whole is false where so much followed it that
// some may be missing: enough to show, and not to decide on.
func (a *App) pastOrder(ctx context.Context, stream, id string, to int64) (events []eventstore.Event, whole bool, err error) {
	_, from, _, err := a.ownerOf(ctx, id)
	if err != nil {
		return nil, false, err
	}
	looked := 0
	for e, err := range a.Log.Events(ctx, stream, max(from, 1), to) {
		if err != nil {
			return nil, false, err
		}
		if looked++; looked > pastEvents {
			return events, false, nil
		}
		if order.EventOrder(e.Data) == id {
			events = append(events, e)
		}
	}
	return events, true, nil
}
