package order

import "time"

// Command is one of this package's commands. Ids and times come from outside.
type Command any

// Place orders. Amounts are in minor units of Currency; the total is computed.
type Place struct {
	OrderID, CartID, Currency              string
	Items                                  []Line
	DiscountMinor, TaxMinor, ShippingMinor int64
	ShippingAddress, BillingAddress        *Address
	ExpectedTotalMinor                     *int64 // what the caller believes it is, nil for no belief
}

// Pay pays an order: the whole of it. Token is what the provider knows the customer's means of payment by.
type Pay struct{ OrderID, PaymentID, Method, Provider, Token string }

// Settle records that the provider took the money. RefundID is for what must go back at once.
type Settle struct {
	OrderID, PaymentID, TransactionID, RefundID string
	AmountMinor                                 int64
}

// Fail records that an attempt to take the money failed. Unknown: the provider may have taken it.
type Fail struct {
	OrderID, PaymentID, Code, Message string
	Attempt                           int
	Retryable, Unknown                bool
	At                                time.Time
}

// Cancel ends an order that is not shipped; what was paid goes back as RefundID.
type Cancel struct{ OrderID, Reason, RefundID string }

// Ship records that the order is on its way.
type Ship struct {
	OrderID, TrackingNumber, Carrier string
	ShippedAt                        time.Time
	EstimatedDelivery                *string // a date: YYYY-MM-DD, nil for none
}

// Deliver records that the order has arrived.
type Deliver struct {
	OrderID, SignedBy string
	DeliveredAt       time.Time
}

// Refund gives money back: AmountMinor, or what the items are worth where it is nil, or all that can be where Items are nil, too.
// History is of the order, and is needed for Items alone.
type Refund struct {
	OrderID, RefundID, Reason string
	AmountMinor               *int64
	Items                     []RefundItem
	History                   History
	At                        time.Time
	Window                    time.Duration // after delivery
}

// CompleteRefund records that the provider gave the money back.
type CompleteRefund struct{ OrderID, RefundID, TransactionID string }

// FailRefund records that an attempt to give the money back failed. Unknown: the provider may have given it back; TransactionID: it
// has it on its way.
type FailRefund struct {
	OrderID, RefundID, Code, Message, TransactionID string
	Attempt                                         int
	Retryable, Unknown                              bool
	At                                              time.Time
}
