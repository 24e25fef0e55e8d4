package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/intake"
	"defter/pkg/order"
	"defter/pkg/payment"
	"defter/pkg/record"
)

// PaymentRun is what travels through the state machine of charges and refunds. It holds identifiers only: how often the provider was
// asked, and what it said, is in the order's events.
type PaymentRun struct {
	Stream      string `json:"stream"`
	Version     int64  `json:"version"` // of what asked for it, which says the ids that are not here because they could tell something
	OrderID     string `json:"orderId,omitempty"`
	PaymentID   string `json:"paymentId,omitempty"` // of a charge
	RefundID    string `json:"refundId,omitempty"`  // of a refund
	EventID     string `json:"eventId"`             // what asked for it
	Correlation string `json:"correlationId"`
	Until       string `json:"until"`
	Done        bool   `json:"done"`
}

// TriggerPayments starts the charge or the refund that an event asks for, once however often the event is delivered.
func (a *App) TriggerPayments(ctx context.Context, e eventstore.Event) error {
	run := PaymentRun{Stream: e.Stream, Version: e.Version, EventID: e.ID, Correlation: e.CorrelationID, Until: a.Now().UTC().Format(time.RFC3339)}
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
	whole, err := a.withIDs(ctx, run)
	if err != nil {
		return run, err
	}
	whole, err = a.paymentStep(ctx, whole)
	run.Until, run.Done = whole.Until, whole.Done // the ids stay where they are sealed
	return run, err
}

// withIDs is the run with the ids that are sealed in the event which asked for it.
func (a *App) withIDs(ctx context.Context, run PaymentRun) (PaymentRun, error) {
	if run.OrderID != "" && run.PaymentID+run.RefundID != "" {
		return run, nil
	}
	for e, err := range a.Log.Events(ctx, run.Stream, run.Version, run.Version) {
		switch d := e.Data.(type) {
		case order.PaymentInitiated:
			run.OrderID, run.PaymentID = d.OrderID, d.PaymentID
		case order.RefundInitiated:
			run.OrderID, run.RefundID = d.OrderID, d.RefundID
		}
		return run, err
	}
	return run, nil
}

// providerKey is an idempotency key as the provider may know it: without what could tell something.
func (a *App) providerKey(ctx context.Context, key string, ids ...string) (string, error) {
	if !slices.ContainsFunc(ids, func(id string) bool { return !a.Settings.Opaque(id) }) {
		return key, nil
	}
	hash, err := a.Keyring.Lookup(ctx, "provider", key)
	return "h_" + hash, err
}

func (a *App) paymentStep(ctx context.Context, run PaymentRun) (PaymentRun, error) {
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
	var ask func(context.Context, order.Order) order.Command
	var due *time.Time
	if r, _ := o.Refund(run.RefundID); run.RefundID != "" {
		key, err := a.providerKey(ctx, r.RefundKey(run.OrderID), run.OrderID, r.ID)
		if err != nil {
			return run, err
		}
		ask, due = a.giveBack(run, r, key), r.DueAt
		run.Done = r.Status != order.Initiated
	} else {
		key, err := a.providerKey(ctx, o.ChargeKey(run.OrderID), run.OrderID)
		if err != nil {
			return run, err
		}
		ask, due = a.charge(run, key), nextCharge(o, run.PaymentID)
		run.Done = !o.ToCharge(run.PaymentID)
	}
	if run.Done {
		return run, nil
	}
	if due == nil || !a.Now().Before(*due) { // else the step before was made, and its answer got lost
		if o, err = a.recordPayment(ctx, run, head, ask(ctx, o)); err != nil {
			return run, err
		}
		due = nextCharge(o, run.PaymentID)
		if r, _ := o.Refund(run.RefundID); run.RefundID != "" && r.Status == order.Initiated {
			due = r.DueAt
		}
	}
	run.Done = due == nil
	if due != nil {
		run.Until = due.UTC().Format(time.RFC3339)
	}
	return run, nil
}

// nextCharge is when the payment is asked for again, nil for never or at once.
func nextCharge(o order.Order, paymentID string) *time.Time {
	if p := o.Payment; p.UnderWay() && p.ID == paymentID {
		return p.DueAt
	}
	return nil
}

// charge asks for the order's payment, and says what became of it.
func (a *App) charge(run PaymentRun, key string) func(context.Context, order.Order) order.Command {
	return func(ctx context.Context, o order.Order) order.Command {
		amount, p := o.TotalMinor-o.PaidMinor, o.Payment
		transaction, err := a.Payments.Charge(ctx, payment.Charge{
			Key: key, OrderID: run.OrderID, PaymentID: run.PaymentID, AmountMinor: amount, Currency: o.Currency,
			Method: p.Method, Token: p.Token, Attempt: p.Attempt,
		})
		if err == nil {
			return order.Settle{OrderID: run.OrderID, PaymentID: run.PaymentID, TransactionID: transaction, RefundID: a.NewID(), AmountMinor: amount}
		}
		failure := order.Fail{OrderID: run.OrderID, PaymentID: run.PaymentID, Attempt: p.Attempt, At: a.Now().UTC()}
		failure.Code, failure.Message, failure.Retryable, failure.Unknown = because(ctx, err)
		return failure
	}
}

// giveBack asks for a refund, or what became of one that the provider has on its way.
func (a *App) giveBack(run PaymentRun, r order.Refunded, key string) func(context.Context, order.Order) order.Command {
	return func(ctx context.Context, o order.Order) order.Command {
		transaction, err := a.Payments.Refund(ctx, payment.Refund{
			Key: key, OrderID: run.OrderID, RefundID: run.RefundID, TransactionID: o.TransactionID,
			AmountMinor: r.AmountMinor, Currency: o.Currency, Reason: r.Reason, Attempt: r.Attempt, PendingID: r.TransactionID,
		})
		if err == nil {
			return order.CompleteRefund{OrderID: run.OrderID, RefundID: run.RefundID, TransactionID: transaction}
		}
		failure := order.FailRefund{OrderID: run.OrderID, RefundID: run.RefundID, Attempt: r.Attempt, At: a.Now().UTC()}
		if pending, ok := errors.AsType[*payment.Pending](err); ok {
			failure.TransactionID = pending.TransactionID
			return failure
		}
		failure.Code, failure.Message, failure.Retryable, failure.Unknown = because(ctx, err)
		if failure.Retryable && r.TransactionID != "" { // nobody said anything new of one that is on its way
			failure.TransactionID, failure.Unknown = r.TransactionID, false
		}
		return failure
	}
}

// because says why the provider did not move the money, and whether it may have.
func because(ctx context.Context, err error) (code, message string, retryable, unknown bool) {
	if declined, ok := errors.AsType[*payment.Declined](err); ok {
		return declined.Code, declined.Message, declined.Retryable(), false
	}
	slog.WarnContext(ctx, "payment provider gave no answer", "error", err)
	return payment.Timeout, "", true, true
}

// recordPayment appends what became of a charge or a refund to the stream as it was loaded, and returns the order after. What the
// provider's webhook has reported meanwhile is not recorded again.
func (a *App) recordPayment(ctx context.Context, run PaymentRun, head *eventstore.Head, command order.Command) (order.Order, error) {
	head, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: run.Stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true, Head: head,
		Meta: eventstore.Meta{Actor: "system:run-payment-step", Source: "system", CorrelationID: run.Correlation, CausationID: run.EventID},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h)
			if erased(s) {
				return eventstore.Decision{}, nil
			}
			events, err := order.Decide(s.Order, command)
			events = append(events, intake.Consequences(s, events, h.Now)...)
			return eventstore.Decision{Events: eventstore.Happened(events...)}, err
		},
	})
	if err != nil {
		return order.Order{}, err
	}
	return record.Fold.Of(head).Order.Orders[run.OrderID], nil
}
