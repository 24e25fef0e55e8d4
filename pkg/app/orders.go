package app

import (
	"context"
	"errors"
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

// placeOrder answers POST /v1/orders: 201 with the order, the payment under way if there is one.
func (a *App) placeOrder(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in OrderRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	place, customerID, err := a.placing(ctx, in)
	if err != nil {
		return lambdaio.Response{}, err
	}
	var pay *order.Pay
	if in.Payment != nil {
		if pay, err = a.payment(place.OrderID, *in.Payment); err != nil {
			return lambdaio.Response{}, err
		}
	}
	key, err := a.orderKey(ctx, place.OrderID)
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
		if o, _ := next.Order(place.OrderID); pay != nil && o.Status == order.PendingPayment && o.Payment == nil {
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
	return a.orderAnswer(ctx, stream, place.OrderID, record.Fold.Of(head), 201)
}

// placing reads who is to place which order.
func (a *App) placing(ctx context.Context, in OrderRequest) (place order.Place, customerID string, err error) {
	id, cart := a.NewID(), ""
	set(&id, in.OrderID)
	set(&cart, in.CartID)
	in.CustomerID, cart = foreign.ID(in.CustomerID), foreign.ID(cart)
	if id == "" || !plain(id) || in.CartID != nil && (cart == "" || len(cart) > 128) {
		return place, "", fault.New(fault.Invalid, "invalid-id", "orderId must have 1 to 100 letters, digits and ._:- that are not just a long number, and cartId 1 to 128 bytes")
	}
	if in.CustomerID == "" || len(in.CustomerID) > ingest.MaxID {
		return place, "", fault.New(fault.Invalid, "invalid-id", "customerId must have 1 to %d bytes", ingest.MaxID)
	}
	if err := errors.Join(checkAddress("shippingAddress", in.ShippingAddress), checkAddress("billingAddress", in.BillingAddress)); err != nil {
		return place, "", err
	}
	customerID, _, err = a.resolve(ctx, in.CustomerID)
	if err != nil {
		return place, "", err
	}
	return order.Place{
		OrderID: id, CartID: cart, Currency: in.Currency, Items: in.Items, DiscountMinor: in.DiscountMinor, TaxMinor: in.TaxMinor,
		ShippingMinor: in.ShippingMinor, ExpectedTotalMinor: in.TotalMinor, ShippingAddress: in.ShippingAddress, BillingAddress: in.BillingAddress,
	}, customerID, nil
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
			err = fault.New(fault.Rejected, order.TooOld, "more than %d events followed this order: nothing can be decided on it", pastEvents)
		}
	}
	return order.HistoryOf(id, events), err
}

// erased says whether the stream's customer is erased, or being so.
func erased(s record.State) bool {
	return s.Customer.Status == customer.StatusErased || s.Customer.Status == customer.StatusErasing
}
