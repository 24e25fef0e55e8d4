package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/intake"
	"defter/pkg/order"
	"defter/pkg/payment"
	"defter/pkg/record"
)

// PaymentRun is what travels through the state machine of charges and refunds. It holds identifiers only.
type PaymentRun struct {
	Stream      string `json:"stream"`
	OrderID     string `json:"orderId"`
	PaymentID   string `json:"paymentId,omitempty"` // of a charge
	RefundID    string `json:"refundId,omitempty"`  // of a refund
	Attempt     int    `json:"attempt"`             // of a refund, from 1; a payment's is in its order
	Unknown     bool   `json:"unknown,omitempty"`   // of a refund: the provider may have made it
	Refusals    int    `json:"refusals,omitempty"`  // of a refund: how often the provider has definitely not made it
	EventID     string `json:"eventId"`             // what asked for it
	Correlation string `json:"correlationId"`
	Until       string `json:"until"`
	Done        bool   `json:"done"`
}

// TriggerPayments starts the charge or the refund that an event asks for, once however often the event is delivered.
func (a *App) TriggerPayments(ctx context.Context, e eventstore.Event) error {
	run := PaymentRun{Stream: e.Stream, Attempt: 1, EventID: e.ID, Correlation: e.CorrelationID, Until: a.Now().UTC().Format(time.RFC3339)}
	switch d := e.Data.(type) {
	case order.PaymentInitiated:
		run.OrderID, run.PaymentID = d.OrderID, d.PaymentID
	case order.RefundInitiated:
		run.OrderID, run.RefundID = d.OrderID, d.RefundID
	default:
		return nil
	}
	input, err := json.Marshal(run)
	if err != nil {
		return err
	}
	return a.PaymentRuns.Start(ctx, e.ID, input)
}

// RunPaymentStep asks the provider once, records what it said, and says when to ask again. A step that is made again
// after a crash asks with the same idempotency key, and so gets the same answer.
func (a *App) RunPaymentStep(ctx context.Context, run PaymentRun) (PaymentRun, error) {
	if a.Payments == nil {
		return run, fault.New(fault.Rejected, "no-payment-provider", "this deployment has no payment provider")
	}
	head, err := a.Log.Load(ctx, run.Stream, record.Fold)
	if err != nil {
		return run, err
	}
	s := record.Fold.Of(head)
	o, known := s.Order.Order(run.OrderID)
	if !known || erased(s) {
		run.Done = true
		return run, nil
	}
	if run.RefundID != "" {
		return a.giveBack(ctx, run, o)
	}
	return a.charge(ctx, run, o)
}

func (a *App) charge(ctx context.Context, run PaymentRun, o order.Order) (PaymentRun, error) {
	if !o.ToCharge(run.PaymentID) {
		run.Done = true
		return run, nil
	}
	p := *o.Payment
	if p.DueAt != nil && a.Now().Before(*p.DueAt) { // the step before was made, and its answer got lost
		run.Until = p.DueAt.UTC().Format(time.RFC3339)
		return run, nil
	}
	amount := o.TotalMinor - o.PaidMinor
	transaction, err := a.Payments.Charge(ctx, payment.Charge{
		Key: o.ChargeKey(run.OrderID), OrderID: run.OrderID, PaymentID: run.PaymentID, AmountMinor: amount, Currency: o.Currency,
		Method: p.Method, Token: p.Token, Attempt: p.Attempt,
	})
	var command order.Command
	if err == nil {
		command = order.Settle{OrderID: run.OrderID, PaymentID: run.PaymentID, TransactionID: transaction, RefundID: a.NewID(), AmountMinor: amount}
	} else {
		failure := order.Fail{OrderID: run.OrderID, PaymentID: run.PaymentID, Attempt: p.Attempt, At: a.Now().UTC()}
		failure.Code, failure.Message, failure.Retryable, failure.Unknown = because(ctx, err)
		command = failure
	}
	after, err := a.recordPayment(ctx, run, command)
	if err != nil {
		return run, err
	}
	run.Done = true
	if next := after.Payment; next.UnderWay() && next.ID == run.PaymentID && next.DueAt != nil {
		run.Done, run.Until = false, next.DueAt.UTC().Format(time.RFC3339)
	}
	return run, nil
}

func (a *App) giveBack(ctx context.Context, run PaymentRun, o order.Order) (PaymentRun, error) {
	run.Done = true
	var refund order.Refunded
	for _, r := range o.Refunds {
		if r.ID == run.RefundID {
			refund = r
		}
	}
	if refund.Status != order.Initiated {
		return run, nil
	}
	transaction, err := a.Payments.Refund(ctx, payment.Refund{
		Key: fmt.Sprintf("%s/%s/%d", run.OrderID, run.RefundID, run.Refusals), OrderID: run.OrderID, RefundID: run.RefundID, TransactionID: o.TransactionID,
		AmountMinor: refund.AmountMinor, Currency: o.Currency, Reason: refund.Reason, Attempt: run.Attempt,
	})
	var command order.Command = order.CompleteRefund{OrderID: run.OrderID, RefundID: run.RefundID, TransactionID: transaction}
	if err != nil {
		code, message, retryable, unknown := because(ctx, err)
		next := run
		next.Attempt++
		if next.Unknown = unknown || run.Unknown && retryable; !next.Unknown { // else the same key gives the same answer
			next.Refusals++
		}
		if retryable && next.Refusals <= order.MaxRetries && run.Attempt < order.MaxAttempts {
			next.Done, next.Until = false, a.Now().UTC().Add(order.RetryAfter).Format(time.RFC3339)
			return next, nil
		}
		command = order.FailRefund{OrderID: run.OrderID, RefundID: run.RefundID, Code: code, Message: message}
	}
	_, err = a.recordPayment(ctx, run, command)
	return run, err
}

// because says why the provider did not move the money, and whether it may have.
func because(ctx context.Context, err error) (code, message string, retryable, unknown bool) {
	if declined, ok := errors.AsType[*payment.Declined](err); ok {
		return declined.Code, declined.Message, declined.Retryable(), false
	}
	slog.WarnContext(ctx, "payment provider gave no answer", "error", err)
	return payment.Timeout, "", true, true
}

// recordPayment appends what became of a charge or a refund, and returns the order after. What the provider's webhook has
// reported meanwhile is not recorded again.
func (a *App) recordPayment(ctx context.Context, run PaymentRun, command order.Command) (order.Order, error) {
	skip := map[string]bool{} // claims that others have
	for try := 1; ; try++ {
		head, _, err := a.Log.Handle(ctx, eventstore.Command{
			Stream: run.Stream, Folds: []eventstore.AnyFold{record.Fold}, Attempts: 10,
			Meta: eventstore.Meta{Actor: "system:run-payment-step", Source: "system", CorrelationID: run.Correlation, CausationID: run.EventID},
			Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
				s := record.Fold.Of(h)
				if erased(s) {
					return eventstore.Decision{}, nil
				}
				events, err := order.Decide(s.Order, command)
				events = append(events, intake.Consequences(s, events, h.Now)...)
				return eventstore.Decision{Events: eventstore.Happened(events...), Claims: but(a.orderClaims(h, 0, events), skip)}, err
			},
		})
		if taken, ok := errors.AsType[*eventstore.TakenError](err); ok && try < orderTries {
			skip[taken.Key] = true
			continue
		}
		if err != nil {
			return order.Order{}, err
		}
		return record.Fold.Of(head).Order.Orders[run.OrderID], nil
	}
}
