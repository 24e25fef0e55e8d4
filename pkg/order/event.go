// Package order holds the facts of orders and money as they arrive: placed, paid, cancelled, refunded. Two words: an
// amount is an integer in minor units of its currency; a line is one item of an order.
package order

import "defter/pkg/eventstore"

// Line is one item of an order.
type Line struct {
	ProductID   string `json:"productId,omitempty" pii:"-" jsonschema:"maxLength=200"`
	ProductName string `json:"productName,omitempty" pii:"-" jsonschema:"maxLength=500"`
	Category    string `json:"category,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Quantity    int64  `json:"quantity,omitempty" pii:"-"`
	PriceMinor  int64  `json:"priceMinor,omitempty" pii:"-"`
}

// Placed: the customer ordered. Amounts are in minor units of Currency.
type Placed struct {
	OrderID       string `json:"orderId" pii:"-" jsonschema:"maxLength=128"`
	CartID        string `json:"cartId,omitempty" pii:"-" jsonschema:"maxLength=128"`
	Items         []Line `json:"items,omitempty" pii:"-" jsonschema:"maxItems=500"`
	SubtotalMinor int64  `json:"subtotalMinor,omitempty" pii:"-"`
	TaxMinor      int64  `json:"taxMinor,omitempty" pii:"-"`
	ShippingMinor int64  `json:"shippingMinor,omitempty" pii:"-"`
	TotalMinor    int64  `json:"totalMinor" pii:"-"`
	Currency      string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
}

// PaymentSucceeded: the order is paid.
type PaymentSucceeded struct {
	OrderID       string `json:"orderId" pii:"-" jsonschema:"maxLength=128"`
	PaymentID     string `json:"paymentId,omitempty" pii:"-" jsonschema:"maxLength=128"`
	AmountMinor   int64  `json:"amountMinor" pii:"-"`
	Currency      string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	TransactionID string `json:"transactionId,omitempty" pii:"-" jsonschema:"maxLength=128"`
}

// Cancelled: the order will not be fulfilled.
type Cancelled struct {
	OrderID string `json:"orderId" pii:"-" jsonschema:"maxLength=128"`
	Reason  string `json:"reason,omitempty" pii:"text" jsonschema:"maxLength=200"`
}

// RefundCompleted: money went back.
type RefundCompleted struct {
	OrderID     string `json:"orderId" pii:"-" jsonschema:"maxLength=128"`
	RefundID    string `json:"refundId,omitempty" pii:"-" jsonschema:"maxLength=128"`
	AmountMinor int64  `json:"amountMinor" pii:"-"`
	Currency    string `json:"currency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Placed]("OrderPlaced"),
	eventstore.Declare[PaymentSucceeded]("PaymentSucceeded"),
	eventstore.Declare[Cancelled]("OrderCancelled"),
	eventstore.Declare[RefundCompleted]("RefundCompleted"),
}
