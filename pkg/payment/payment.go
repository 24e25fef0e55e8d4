// Package payment is how money is asked for and given back. Three words: a provider is who moves it; a charge and a refund
// carry an idempotency key, so that one asked for twice is made once; declined is an answer, and any other error leaves
// open whether the money moved.
package payment

import (
	"context"
	"slices"
)

// Charge asks for money. Amounts are in minor units of Currency.
type Charge struct {
	Key         string // idempotency key
	OrderID     string
	PaymentID   string
	AmountMinor int64
	Currency    string
	Method      string // credit-card, paypal or bank-transfer
	Token       string // what the provider knows the means of payment by
	Attempt     int    // from 1, of the payment
}

// Refund gives money of a charge back.
type Refund struct {
	Key           string // idempotency key
	OrderID       string
	RefundID      string
	TransactionID string // of the charge
	AmountMinor   int64
	Currency      string
	Reason        string
	Attempt       int    // from 1
	PendingID     string // what an attempt before was told with Pending: then it is asked what became of that one, and nothing else
}

// Provider moves money.
type Provider interface {
	// Charge returns the transaction's id, *Declined if the money was taken neither by this request nor by another one with the
	// same key, and any other error if that is not known: the same charge with the same key may then be asked for again.
	Charge(ctx context.Context, c Charge) (transactionID string, err error)
	// Refund is likewise for giving back, and returns *Pending where the provider has taken the refund on and the money has not gone
	// back yet.
	Refund(ctx context.Context, r Refund) (transactionID string, err error)
}

// Pending is a provider's not yet: the refund is on its way, and may still fail. Until it is made it does not count.
type Pending struct{ TransactionID string }

func (p *Pending) Error() string { return "on its way" }

// Codes that a provider declines with for the moment only. Any other code is final.
const (
	RateLimit          = "RATE_LIMIT"
	Timeout            = "TIMEOUT"
	ServiceUnavailable = "SERVICE_UNAVAILABLE"
)

// Declined is a provider's no.
type Declined struct {
	Code    string
	Message string // for people who may see the order; may be ""
}

func (d *Declined) Error() string { return "declined: " + d.Code }

// Retryable says whether the same may be asked for again with a hope.
func (d *Declined) Retryable() bool {
	return slices.Contains([]string{RateLimit, Timeout, ServiceUnavailable}, d.Code)
}
