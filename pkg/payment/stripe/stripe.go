// Package stripe charges cards through Stripe. A payment is one PaymentIntent that is confirmed at once, while the customer
// is not asked: a card whose bank wants to ask them is declined as authentication_required.
package stripe

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"defter/pkg/payment"

	"github.com/stripe/stripe-go/v85"
)

// timeout is how long one request may take, and it is made twice at most: a function has half a minute.
const timeout = 10 * time.Second

// unsupportedAmount is the code of a no to what Stripe cannot be asked for.
const unsupportedAmount = "unsupported_amount"

// Provider is Stripe.
type Provider struct{ client *stripe.Client }

// New makes a provider. url is where Stripe answers, "" for Stripe itself.
func New(key, url string) Provider {
	config := &stripe.BackendConfig{
		HTTPClient: &http.Client{Timeout: timeout}, MaxNetworkRetries: stripe.Int64(1), EnableTelemetry: stripe.Bool(false),
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}, // its errors come back, and its lines could name a card
	}
	if url != "" {
		config.URL = stripe.String(url)
	}
	return Provider{stripe.NewClient(key, stripe.WithBackends(stripe.NewBackendsWithConfig(config)))}
}

// Charge implements payment.Provider. The token is a PaymentMethod, such as pm_card_visa in test mode.
func (p Provider) Charge(ctx context.Context, c payment.Charge) (string, error) {
	if c.Method != "credit-card" {
		return "", &payment.Declined{Code: "unsupported_method", Message: "only cards are charged through Stripe"}
	}
	amount, ok := Amount(c.AmountMinor, c.Currency)
	if !ok {
		return "", &payment.Declined{Code: unsupportedAmount}
	}
	params := &stripe.PaymentIntentCreateParams{
		Amount: stripe.Int64(amount), Currency: stripe.String(strings.ToLower(c.Currency)), PaymentMethod: stripe.String(c.Token),
		PaymentMethodTypes: stripe.StringSlice([]string{"card"}), Confirm: stripe.Bool(true), OffSession: stripe.Bool(true), ErrorOnRequiresAction: stripe.Bool(true),
		Metadata: map[string]string{"order_id": c.OrderID, "payment_id": c.PaymentID},
	}
	params.SetIdempotencyKey(c.Key)
	intent, err := p.client.V1PaymentIntents.Create(ctx, params)
	if err != nil {
		return "", meaning(err)
	}
	if intent.Status == stripe.PaymentIntentStatusProcessing { // as it was first answered with this key: it may have gone on
		if intent, err = p.client.V1PaymentIntents.Retrieve(ctx, intent.ID, nil); err != nil {
			return "", err
		}
	}
	switch intent.Status {
	case stripe.PaymentIntentStatusSucceeded:
		return intent.ID, nil
	case stripe.PaymentIntentStatusCanceled, stripe.PaymentIntentStatusRequiresPaymentMethod:
		return "", &payment.Declined{Code: "payment_" + string(intent.Status)}
	}
	return "", errors.New("the payment is " + string(intent.Status))
}

// Refund implements payment.Provider.
func (p Provider) Refund(ctx context.Context, r payment.Refund) (string, error) {
	refund, err := p.refund(ctx, r)
	if err != nil {
		return "", err
	}
	switch refund.Status {
	case stripe.RefundStatusSucceeded:
		return refund.ID, nil
	case stripe.RefundStatusFailed, stripe.RefundStatusCanceled:
		return "", &payment.Declined{Code: "refund_" + string(refund.Status)}
	}
	return "", &payment.Pending{TransactionID: refund.ID} // pending, or waiting for somebody: requires_action
}

// refund asks for a refund, or for what became of one. What Stripe remembers of an idempotency key is its first answer, and only for a
// day: a refund that is on its way for longer must be asked for by its id.
func (p Provider) refund(ctx context.Context, r payment.Refund) (*stripe.Refund, error) {
	if r.PendingID != "" {
		return p.client.V1Refunds.Retrieve(ctx, r.PendingID, nil)
	}
	amount, ok := Amount(r.AmountMinor, r.Currency)
	if !ok {
		return nil, &payment.Declined{Code: unsupportedAmount}
	}
	params := &stripe.RefundCreateParams{
		PaymentIntent: stripe.String(r.TransactionID), Amount: stripe.Int64(amount),
		Metadata: map[string]string{"order_id": r.OrderID, "refund_id": r.RefundID},
	}
	params.SetIdempotencyKey(r.Key)
	refund, err := p.client.V1Refunds.Create(ctx, params)
	if err != nil {
		return nil, meaning(err)
	}
	return refund, nil
}

// forTheMoment are the reasons a bank gives for a no that may be a yes later.
var forTheMoment = []string{"try_again_later", "processing_error", "issuer_not_available", "reenter_transaction"}

// meaning tells a no from an answer that did not come.
func meaning(err error) error {
	said, ok := errors.AsType[*stripe.Error](err)
	if !ok {
		return err
	}
	code := string(said.DeclineCode)
	if code == "" {
		code = string(said.Code)
	}
	switch {
	case slices.Contains([]int{http.StatusTooManyRequests, http.StatusConflict, http.StatusUnauthorized}, said.HTTPStatusCode), said.HTTPStatusCode >= 500:
		return err // it says nothing about what was asked for with this key, now or before
	case slices.Contains(forTheMoment, code):
		return &payment.Declined{Code: payment.ServiceUnavailable, Message: said.Msg}
	case code == "":
		code = string(said.Type)
	}
	if said.Type != stripe.ErrorTypeCard { // its text is for programmers
		return &payment.Declined{Code: code}
	}
	return &payment.Declined{Code: code, Message: said.Msg}
}

// Amount is minor units as Stripe counts them: it gives the króna and the Ugandan shilling two digits that they do not have,
// and the ariary none (docs.stripe.com/currencies, "special cases" and "zero-decimal currencies"). ok is false for an amount that Stripe
// has no number for.
func Amount(minor int64, currency string) (amount int64, ok bool) {
	switch currency {
	case "ISK", "UGX":
		return minor * 100, true
	case "MGA":
		return minor / 100, minor%100 == 0
	}
	return minor, true
}
