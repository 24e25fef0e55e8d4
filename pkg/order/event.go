// Package order decides on orders and their money: placed, paid, shipped, delivered, cancelled, refunded. Three words: an
// amount is an integer in minor units of its currency; a payment is one way of paying, tried again a few times; an order
// was reported when a shop that keeps its own books told of it, and then nothing is refused.
package order

import (
	"time"

	"defter/pkg/eventstore"
)

// Line is one item of an order.
type Line struct {
	ProductID   string `json:"productId,omitempty" pii:"-" jsonschema:"maxLength=200"`
	ProductName string `json:"productName,omitempty" pii:"-" jsonschema:"maxLength=500"`
	Category    string `json:"category,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Quantity    int64  `json:"quantity,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000"`
	PriceMinor  int64  `json:"priceMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
}

// Address is where an order or its bill goes.
type Address struct {
	Name       string `json:"name,omitempty" jsonschema:"maxLength=200"`
	Line1      string `json:"line1,omitempty" jsonschema:"maxLength=200"`
	Line2      string `json:"line2,omitempty" jsonschema:"maxLength=200"`
	City       string `json:"city,omitempty" jsonschema:"maxLength=100"`
	Region     string `json:"region,omitempty" jsonschema:"maxLength=100"`
	PostalCode string `json:"postalCode,omitempty" jsonschema:"maxLength=20"`
	Country    string `json:"country,omitempty" jsonschema:"maxLength=60"`
}

// Placed: the customer ordered. Amounts are in minor units of Currency; the total is subtotal − discount + tax + shipping
// where the order was placed here, and what was told where it was reported.
type Placed struct {
	OrderID         string   `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	CartID          string   `json:"cartId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Items           []Line   `json:"items,omitempty" pii:"unless-opaque" jsonschema:"maxItems=500"`
	SubtotalMinor   int64    `json:"subtotalMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	DiscountMinor   int64    `json:"discountMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	TaxMinor        int64    `json:"taxMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	ShippingMinor   int64    `json:"shippingMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	TotalMinor      int64    `json:"totalMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency        string   `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ShippingAddress *Address `json:"shippingAddress,omitempty" pii:"address"`
	BillingAddress  *Address `json:"billingAddress,omitempty" pii:"address"`
}

// PaymentInitiated: the customer pays; the provider is asked next.
type PaymentInitiated struct {
	OrderID         string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	PaymentID       string `json:"paymentId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	PaymentMethod   string `json:"paymentMethod" pii:"-" jsonschema:"enum=credit-card,enum=paypal,enum=bank-transfer"`
	PaymentProvider string `json:"paymentProvider" pii:"-" jsonschema:"maxLength=50"`
	PaymentToken    string `json:"paymentToken,omitempty" pii:"payment" jsonschema:"maxLength=500"`
	AmountMinor     int64  `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency        string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
}

// PaymentSucceeded: the order is paid.
type PaymentSucceeded struct {
	OrderID       string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	PaymentID     string `json:"paymentId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	AmountMinor   int64  `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency      string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	TransactionID string `json:"transactionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
}

// PaymentFailed: the provider did not take the money, or Unknown: did not say whether it did.
type PaymentFailed struct {
	OrderID      string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	PaymentID    string `json:"paymentId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Attempt      int    `json:"attempt" pii:"-"`
	AmountMinor  int64  `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency     string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ErrorCode    string `json:"errorCode" pii:"unless-opaque" jsonschema:"maxLength=100"`
	ErrorMessage string `json:"errorMessage,omitempty" pii:"text" jsonschema:"maxLength=500"`
	Retryable    bool   `json:"retryable" pii:"-"`
	Unknown      bool   `json:"unknown,omitempty" pii:"-"`
}

// PaymentRetryScheduled: the payment is tried again at DueAt.
type PaymentRetryScheduled struct {
	OrderID   string    `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	PaymentID string    `json:"paymentId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Attempt   int       `json:"attempt" pii:"-"`
	DueAt     time.Time `json:"dueAt" pii:"-"`
}

// PaymentAbandoned: the payment failed as often as it is tried.
type PaymentAbandoned struct {
	OrderID     string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	PaymentID   string `json:"paymentId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Attempts    int    `json:"attempts" pii:"-"`
	AmountMinor int64  `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency    string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ErrorCode   string `json:"errorCode" pii:"unless-opaque" jsonschema:"maxLength=100"`
}

// Confirmed: the order is paid and will be fulfilled. It comes with the payment that pays it, and from nowhere else.
type Confirmed struct {
	OrderID            string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	ConfirmationNumber string `json:"confirmationNumber" pii:"-" jsonschema:"maxLength=32"`
}

// Shipped: the order is on its way.
type Shipped struct {
	OrderID           string    `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	TrackingNumber    string    `json:"trackingNumber,omitempty" pii:"tracking" jsonschema:"maxLength=128"`
	Carrier           string    `json:"carrier,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100"`
	ShippedAt         time.Time `json:"shippedAt" pii:"-"`
	EstimatedDelivery string    `json:"estimatedDelivery,omitempty" pii:"unless-opaque" jsonschema:"maxLength=10,description=a date: YYYY-MM-DD"`
}

// Delivered: the order has arrived.
type Delivered struct {
	OrderID     string    `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	DeliveredAt time.Time `json:"deliveredAt" pii:"-"`
	SignedBy    string    `json:"signedBy,omitempty" pii:"name" jsonschema:"maxLength=200"`
}

// Cancelled: the order will not be fulfilled.
type Cancelled struct {
	OrderID string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Reason  string `json:"reason,omitempty" pii:"text" jsonschema:"maxLength=200"`
}

// RefundInitiated: money is to go back; the provider is asked next.
type RefundInitiated struct {
	OrderID     string       `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	RefundID    string       `json:"refundId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	AmountMinor int64        `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency    string       `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	Reason      string       `json:"reason" pii:"-" jsonschema:"enum=customer-request,enum=quality-issue,enum=delivery-failed,enum=other"`
	RefundType  string       `json:"refundType" pii:"-" jsonschema:"enum=full,enum=partial"`
	Items       []RefundItem `json:"items,omitempty" pii:"unless-opaque" jsonschema:"maxItems=500"`
}

// RefundItem is what of an item is given back.
type RefundItem struct {
	ProductID string `json:"productId" pii:"-" jsonschema:"maxLength=200"`
	Quantity  int64  `json:"quantity" pii:"-" jsonschema:"minimum=1,maximum=1000000"`
}

// RefundDelayed: the money has not gone back yet. The provider could not do it for the moment, or Unknown: did not say whether it
// did, or has it on its way as TransactionID. It is asked again at DueAt.
type RefundDelayed struct {
	OrderID       string    `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	RefundID      string    `json:"refundId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Attempt       int       `json:"attempt" pii:"-"`
	DueAt         time.Time `json:"dueAt" pii:"-"`
	ErrorCode     string    `json:"errorCode,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100"`
	Unknown       bool      `json:"unknown,omitempty" pii:"-"`
	TransactionID string    `json:"transactionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
}

// RefundCompleted: money went back. Items are those that a shop reported with it; of a refund that was asked for here they are in
// its RefundInitiated.
type RefundCompleted struct {
	OrderID       string       `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	RefundID      string       `json:"refundId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	AmountMinor   int64        `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency      string       `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	TransactionID string       `json:"transactionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Items         []RefundItem `json:"items,omitempty" pii:"unless-opaque" jsonschema:"maxItems=500"`
}

// RefundFailed: the provider refused to give the money back, or Unknown: never said what became of it, as often as it was asked.
type RefundFailed struct {
	OrderID      string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	RefundID     string `json:"refundId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	AmountMinor  int64  `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency     string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ErrorCode    string `json:"errorCode" pii:"unless-opaque" jsonschema:"maxLength=100"`
	ErrorMessage string `json:"errorMessage,omitempty" pii:"text" jsonschema:"maxLength=500"`
	Unknown      bool   `json:"unknown,omitempty" pii:"-"`
}

// RefundReversed: money that counted as given back did not arrive, and came back to the shop. It counts as paid again.
type RefundReversed struct {
	OrderID     string `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	RefundID    string `json:"refundId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	AmountMinor int64  `json:"amountMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency    string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	ErrorCode   string `json:"errorCode" pii:"unless-opaque" jsonschema:"maxLength=100"`
}

// more is the upcaster of a version that has further, optional fields, or bounds that nothing stored before was beyond.
func more(data map[string]any) map[string]any { return data }

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Placed]("OrderPlaced", more),
	eventstore.Declare[PaymentInitiated]("PaymentInitiated"),
	eventstore.Declare[PaymentSucceeded]("PaymentSucceeded", more),
	eventstore.Declare[PaymentFailed]("PaymentFailed"),
	eventstore.Declare[PaymentRetryScheduled]("PaymentRetryScheduled"),
	eventstore.Declare[PaymentAbandoned]("PaymentAbandoned"),
	eventstore.Declare[Confirmed]("OrderConfirmed"),
	eventstore.Declare[Shipped]("OrderShipped"),
	eventstore.Declare[Delivered]("OrderDelivered"),
	eventstore.Declare[Cancelled]("OrderCancelled"),
	eventstore.Declare[RefundInitiated]("RefundInitiated"),
	eventstore.Declare[RefundDelayed]("RefundDelayed"),
	eventstore.Declare[RefundCompleted]("RefundCompleted", more),
	eventstore.Declare[RefundFailed]("RefundFailed"),
	eventstore.Declare[RefundReversed]("RefundReversed"),
}
