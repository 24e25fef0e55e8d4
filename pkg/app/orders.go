package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/view"
)

// DefaultReturnWindow is how long after delivery money can be given back where the deployment says nothing else.
const DefaultReturnWindow = 30 * 24 * time.Hour

const pastEvents = 50_000 // looked through for an order that left the state

// PaymentRequest is the body of POST /v1/orders/{id}/payment.
type PaymentRequest struct {
	PaymentMethod string `json:"paymentMethod" enum:"credit-card,paypal,bank-transfer" required:"true"`
	PaymentToken  string `json:"paymentToken,omitempty" maxLength:"500" description:"what the provider knows the means of payment by, such as a Stripe PaymentMethod; of the local provider, what it is to answer"`
}

// OrderRequest is the body of POST /v1/orders. Amounts are in minor units of the currency.
type OrderRequest struct {
	OrderID         *string         `json:"orderId,omitempty" minLength:"1" maxLength:"100" description:"your own id: letters, digits and ._:-; made up where it is absent"`
	CustomerID      string          `json:"customerId" required:"true"`
	CartID          *string         `json:"cartId,omitempty" minLength:"1" maxLength:"128" description:"which cart is bought; absent: all that the customer has"`
	Currency        string          `json:"currency" required:"true" pattern:"^[A-Z]{3}$"`
	Items           []order.Line    `json:"items" required:"true" maxItems:"500"`
	DiscountMinor   int64           `json:"discountMinor,omitempty" minimum:"0"`
	TaxMinor        int64           `json:"taxMinor,omitempty" minimum:"0"`
	ShippingMinor   int64           `json:"shippingMinor,omitempty" minimum:"0"`
	TotalMinor      *int64          `json:"totalMinor,omitempty" description:"what you believe the total is; another one is refused"`
	ShippingAddress *order.Address  `json:"shippingAddress,omitempty"`
	BillingAddress  *order.Address  `json:"billingAddress,omitempty"`
	Payment         *PaymentRequest `json:"payment,omitempty" description:"pays at once"`
}

// CancellationRequest is the body of POST /v1/orders/{id}/cancellation.
type CancellationRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"200"`
}

// ShipmentRequest is the body of POST /v1/orders/{id}/shipment.
type ShipmentRequest struct {
	TrackingNumber    string     `json:"trackingNumber,omitempty" maxLength:"128"`
	Carrier           string     `json:"carrier,omitempty" maxLength:"100"`
	ShippedAt         *time.Time `json:"shippedAt,omitempty" description:"default: now"`
	EstimatedDelivery *string    `json:"estimatedDelivery,omitempty" format:"date" description:"a date: YYYY-MM-DD"`
}

// DeliveryRequest is the body of POST /v1/orders/{id}/delivery.
type DeliveryRequest struct {
	DeliveredAt *time.Time `json:"deliveredAt,omitempty" description:"default: now; the return window begins then"`
	SignedBy    string     `json:"signedBy,omitempty" maxLength:"200"`
}

// RefundRequest is the body of POST /v1/orders/{id}/refunds.
type RefundRequest struct {
	RefundID    *string            `json:"refundId,omitempty" minLength:"1" maxLength:"100" description:"your own id, so that asking again gives back once; made up where it is absent"`
	AmountMinor *int64             `json:"amountMinor,omitempty" minimum:"1" description:"absent: the items' share of what was paid, or all that was paid and not given back"`
	Reason      string             `json:"reason" enum:"customer-request,quality-issue,delivery-failed,other" required:"true"`
	Items       []order.RefundItem `json:"items,omitempty" minItems:"1" maxItems:"500" description:"of those that were ordered and not given back yet; absent: none"`
}

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

// orderClaim names an order for good. Its value says whose it is and where it begins: "<stream> <version>".
func (a *App) orderClaim(ctx context.Context, id string) (string, error) {
	key, err := a.orderKey(ctx, id)
	return orderPrefix + key, err
}

// orderKey is by what an order's id is known where it cannot be erased: itself, or a keyed hash if it could tell something.
func (a *App) orderKey(ctx context.Context, id string) (string, error) {
	if a.Settings.Opaque(id) {
		return id, nil
	}
	hash, err := a.Keyring.Lookup(ctx, "order", id)
	return "h_" + hash, err
}

// orderOf is which of the orders has the key; "" for none.
func (a *App) orderOf(ctx context.Context, key string, ids iter.Seq[string]) (string, error) {
	for id := range ids {
		if known, err := a.orderKey(ctx, id); err != nil || known == key {
			return id, err
		}
	}
	return "", nil
}

const orderPrefix = "UNIQUE#order#"

// placeOrder answers POST /v1/orders: 201 with the order, the payment under way if there is one.
func (a *App) placeOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in OrderRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	id, cart := a.NewID(), ""
	set(&id, in.OrderID)
	set(&cart, in.CartID)
	in.CustomerID, cart = foreign.ID(in.CustomerID), foreign.ID(cart)
	if id == "" || !plain(id) || in.CartID != nil && (cart == "" || len(cart) > 128) {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-id", "orderId must have 1 to 100 letters, digits and ._:- that are not just a long number, and cartId 1 to 128 bytes")
	}
	if in.CustomerID == "" || len(in.CustomerID) > ingest.MaxID {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-id", "customerId must have 1 to %d bytes", ingest.MaxID)
	}
	if err := errors.Join(checkAddress("shippingAddress", in.ShippingAddress), checkAddress("billingAddress", in.BillingAddress)); err != nil {
		return lambdaio.Response{}, err
	}
	customerID, _, err := a.resolve(ctx, in.CustomerID)
	if err != nil {
		return lambdaio.Response{}, err
	}
	place := order.Place{
		OrderID: id, CartID: cart, Currency: in.Currency, Items: in.Items, DiscountMinor: in.DiscountMinor, TaxMinor: in.TaxMinor,
		ShippingMinor: in.ShippingMinor, ExpectedTotalMinor: in.TotalMinor, ShippingAddress: in.ShippingAddress, BillingAddress: in.BillingAddress,
	}
	var pay *order.Pay
	if in.Payment != nil {
		if pay, err = a.payment(id, *in.Payment); err != nil {
			return lambdaio.Response{}, err
		}
	}
	key, err := a.orderKey(ctx, id)
	if err != nil {
		return lambdaio.Response{}, err
	}
	stream := view.CustomerStream(customerID)
	head, err := a.commit(ctx, c, stream, key, 201, record.Fold, func(h *eventstore.Head) ([]any, []eventstore.Claim, error) {
		s := record.Fold.Of(h)
		if !s.Customer.Exists() {
			return nil, nil, fault.New(fault.NotFound, "customer-not-found", "there is no such customer")
		}
		events, err := order.Decide(s.Order, place)
		if err != nil {
			return nil, nil, err
		}
		next := s.Order
		for _, e := range events {
			next = order.Evolve(next, e, h.Now, 0)
		}
		if o, _ := next.Order(id); pay != nil && o.Status == order.PendingPayment && o.Payment == nil {
			more, err := order.Decide(next, *pay)
			if err != nil {
				return nil, nil, err
			}
			events = append(events, more...)
		}
		claims, err := a.orderClaims(ctx, h, events)
		return events, claims, err
	})
	if taken, ok := errors.AsType[*eventstore.TakenError](err); ok && strings.HasPrefix(taken.Key, orderPrefix) {
		err = fault.Because(err, fault.Conflict, "order-exists", "there is another order of this id")
	}
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.orderAnswer(ctx, stream, id, record.Fold.Of(head), 201)
}

func checkAddress(name string, a *order.Address) error {
	if a == nil {
		return nil
	}
	for _, field := range []struct {
		text  string
		limit int
	}{{a.Name, 200}, {a.Line1, 200}, {a.Line2, 200}, {a.City, 100}, {a.Region, 100}, {a.PostalCode, 20}, {a.Country, 60}} {
		if len(field.text) > field.limit {
			return fault.New(fault.Invalid, "too-long", "a field of %s has %d bytes, at most %d", name, len(field.text), field.limit)
		}
	}
	return nil
}

// payment is the command of a payment, if this deployment has a provider.
func (a *App) payment(orderID string, in PaymentRequest) (*order.Pay, error) {
	if a.Settings.PaymentProvider == "" {
		return nil, fault.New(fault.Rejected, "no-payment-provider", "this deployment has no payment provider")
	}
	return &order.Pay{OrderID: orderID, PaymentID: a.NewID(), Method: in.PaymentMethod, Provider: a.Settings.PaymentProvider, Token: in.PaymentToken}, nil
}

// orderClaims are the claims on the orders that the events of a commit place. Each says where its order begins.
func (a *App) orderClaims(ctx context.Context, h *eventstore.Head, events []any) ([]eventstore.Claim, error) {
	var claims []eventstore.Claim
	for i, event := range events {
		if placed, ok := event.(order.Placed); ok {
			key, err := a.orderClaim(ctx, placed.OrderID)
			if err != nil {
				return nil, err
			}
			claims = append(claims, eventstore.Claim{
				Key: key, Owner: a.NewID(), Value: []byte(h.Stream + " " + strconv.FormatInt(h.Version+1+int64(i), 10)),
			})
		}
	}
	return claims, nil
}

// ownerOf is the stream that an order is in, and the version it begins at; ok is false for an order that nobody has told of.
func (a *App) ownerOf(ctx context.Context, orderID string) (stream string, version int64, ok bool, err error) {
	key, err := a.orderClaim(ctx, orderID)
	if err != nil {
		return "", 0, false, err
	}
	return a.holderOf(ctx, key)
}

// holderOf is what the claim on an order says.
func (a *App) holderOf(ctx context.Context, key string) (stream string, version int64, ok bool, err error) {
	held, ok, err := a.Log.Store.Claimed(ctx, key)
	if err != nil || !ok {
		return "", 0, false, err
	}
	stream, from, _ := strings.Cut(string(held.Value), " ")
	version, err = strconv.ParseInt(from, 10, 64)
	if err != nil {
		return "", 0, false, fmt.Errorf("the claim of an order: %w", err)
	}
	return stream, version, true, nil
}

// whose finds the customer of the order in the path.
func (a *App) whose(ctx context.Context, c *Call) (id, stream string, err error) {
	id = foreign.ID(c.Params["id"])
	absent := fault.New(fault.NotFound, "order-not-found", "there is no such order")
	if id == "" || len(id) > 128 || foreign.Check([]byte(id)) != nil {
		return "", "", absent
	}
	stream, _, ok, err := a.ownerOf(ctx, id)
	if err == nil && !ok {
		err = absent
	}
	return id, stream, err
}

// orderCommand decides on the order in the path and answers with it.
func (a *App) orderCommand(ctx context.Context, c *Call, status int, command func(h *eventstore.Head, id string) (order.Command, error)) (lambdaio.Response, error) {
	id, stream, err := a.whose(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	key, err := a.orderKey(ctx, id)
	if err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.commit(ctx, c, stream, key, status, record.Fold, func(h *eventstore.Head) ([]any, []eventstore.Claim, error) {
		s := record.Fold.Of(h)
		if erased(s) {
			return nil, nil, fault.New(fault.NotFound, "order-not-found", "there is no such order")
		}
		ask, err := command(h, id)
		if err != nil {
			return nil, nil, err
		}
		events, err := order.Decide(s.Order, ask)
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.orderAnswer(ctx, stream, id, record.Fold.Of(head), status)
}

func (a *App) payOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in PaymentRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	pay, err := a.payment(c.Params["id"], in)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.orderCommand(ctx, c, 202, func(_ *eventstore.Head, id string) (order.Command, error) {
		pay.OrderID = id // as it was read from the path
		return *pay, nil
	})
}

func (a *App) cancelOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in CancellationRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	refund := a.NewID()
	return a.orderCommand(ctx, c, 200, func(_ *eventstore.Head, id string) (order.Command, error) {
		return order.Cancel{OrderID: id, Reason: in.Reason, RefundID: refund}, nil
	})
}

func (a *App) shipOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in ShipmentRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	return a.orderCommand(ctx, c, 200, func(h *eventstore.Head, id string) (order.Command, error) {
		when, err := told("shippedAt", in.ShippedAt, h.Now)
		return order.Ship{OrderID: id, TrackingNumber: in.TrackingNumber, Carrier: in.Carrier, ShippedAt: when, EstimatedDelivery: in.EstimatedDelivery}, err
	})
}

func (a *App) deliverOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in DeliveryRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	return a.orderCommand(ctx, c, 200, func(h *eventstore.Head, id string) (order.Command, error) {
		when, err := told("deliveredAt", in.DeliveredAt, h.Now)
		return order.Deliver{OrderID: id, DeliveredAt: when, SignedBy: in.SignedBy}, err
	})
}

// told is when something is said to have happened, and now where nothing is said.
func told(name string, said *time.Time, now time.Time) (time.Time, error) {
	if said == nil {
		return now, nil
	}
	if !foreign.Believed(*said, now) {
		return now, fault.New(fault.Invalid, "invalid-time", "%s must be neither in the future nor before the year 2000", name)
	}
	return said.UTC().Truncate(time.Millisecond), nil
}

func (a *App) refundOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in RefundRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	refund := a.NewID()
	set(&refund, in.RefundID)
	if refund == "" || !plain(refund) {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-id", "refundId must have 1 to 100 letters, digits and ._:- that are not just a long number")
	}
	return a.orderCommand(ctx, c, 202, func(h *eventstore.Head, id string) (order.Command, error) {
		ask := order.Refund{
			OrderID: id, RefundID: refund, Reason: in.Reason, AmountMinor: in.AmountMinor, Items: in.Items, At: h.Now, Window: a.Settings.ReturnWindow,
		}
		var err error
		if len(in.Items) > 0 {
			ask.History, err = a.orderHistory(ctx, h, id)
		}
		return ask, err
	})
}

// orderHistory folds an order from all its events, as of a head of the stream that it is in.
func (a *App) orderHistory(ctx context.Context, h *eventstore.Head, id string) (order.History, error) {
	var events []eventstore.Event
	var err error
	if o, known := record.Fold.Of(h).Order.Order(id); known && len(o.Versions) < order.MaxVersions {
		events, err = a.orderEvents(ctx, h.Stream, o.Versions)
	} else {
		var whole bool
		if events, whole, err = a.pastOrder(ctx, h.Stream, id, h.Version); err == nil && !whole {
			err = fault.New(fault.Rejected, "order-too-old", "more than %d events followed this order: nothing can be decided on it", pastEvents)
		}
	}
	return order.HistoryOf(id, events), err
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

// erased says whether the stream's customer is erased, or being so.
func erased(s record.State) bool {
	return s.Customer.Status == customer.StatusErased || s.Customer.Status == customer.StatusErasing
}
