package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/mailbox"
	"defter/pkg/record"
	"defter/pkg/template"
	"defter/pkg/view"
)

// lease is how long a message may be on its way to the provider before its outcome counts as unknown.
const lease = 2 * time.Minute

// EmailJob is a queued email. It names the customer and the template; who that is and what it says is looked up when it
// is sent, so that nothing personal waits in a queue.
type EmailJob struct {
	CustomerID     string        `json:"customerId"`
	Campaign       string        `json:"campaign"`
	Template       string        `json:"template"`
	Class          channel.Class `json:"class"`
	IdempotencyKey string        `json:"idempotencyKey"`
	CausationID    string        `json:"causationId,omitempty"`
	CorrelationID  string        `json:"correlationId,omitempty"`
	VerificationID string        `json:"verificationId,omitempty"` // whose token the message carries; "" for the pending one
}

// Mail is an email as the provider gets it.
type Mail struct {
	CustomerID     string
	IdempotencyKey string
	From, To       string
	Subject        string
	Text, HTML     string
}

// Provider sends email.
type Provider interface {
	// Send hands the mail over. An error of kind Busy means that it was certainly not sent, and may be tried again; one
	// of kind Rejected, that it never will be; any other, that the outcome is not known.
	Send(ctx context.Context, m Mail) (id string, err error)
	// Idempotent says whether sending twice with the same key delivers once.
	Idempotent() bool
	// Forget removes what the provider keeps of a customer within our reach.
	Forget(ctx context.Context, customerID string) error
}

// SendVerification queues the verification email, unless the welcome message carries the token.
func (a *App) SendVerification(ctx context.Context, e eventstore.Event) error {
	requested, ok := e.Data.(customer.EmailVerificationRequested)
	id, isCustomer := view.CustomerID(e.Stream)
	if !ok || !isCustomer || requested.Notice != "separate" {
		return nil
	}
	return a.queueEmail(ctx, EmailJob{
		CustomerID: id, Campaign: "email-verification", Template: "email-verification", Class: channel.Transactional,
		IdempotencyKey: "email-verification-" + requested.VerificationID, VerificationID: requested.VerificationID,
		CausationID: e.ID, CorrelationID: e.CorrelationID,
	})
}

func (a *App) queueEmail(ctx context.Context, job EmailJob) error {
	body, err := json.Marshal(job)
	if err != nil {
		return fmt.Errorf("encode email job: %w", err)
	}
	if err := a.Emails.Send(ctx, body); err != nil {
		return fmt.Errorf("queue email: %w", err)
	}
	return nil
}

// SendEmail sends a queued email at most once. Consent is asked again here, from the store itself.
func (a *App) SendEmail(ctx context.Context, body []byte) error {
	var job EmailJob
	if err := json.Unmarshal(body, &job); err != nil {
		return fault.Because(err, fault.Invalid, "invalid-job", "the email job cannot be read")
	}
	stream := view.CustomerStream(job.CustomerID)
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return err
	}
	s := record.Fold.Of(head)
	if !s.Customer.Exists() { // erased: not even the ledger remembers
		return a.forgetMessage(ctx, stream, job)
	}
	now := a.Now().UTC()
	entry, created, err := a.enter(ctx, stream, MessageShown{
		MessageID: a.NewID(), Channel: "email", Campaign: job.Campaign, Template: job.Template, Status: pending,
		IdempotencyKey: job.IdempotencyKey, CreatedAt: now, UpdatedAt: now,
	})
	if err != nil {
		return err
	}
	if !created {
		switch {
		case entry.Status == retrying:
			if entry, err = a.takeOn(ctx, stream, entry); err != nil {
				return err
			}
		case entry.Status != pending:
			return a.recordOutcome(ctx, stream, job, entry)
		case now.Sub(entry.UpdatedAt) < lease && !a.Email.Idempotent():
			return fault.New(fault.Busy, "message-under-way", "the message is being sent")
		case !a.Email.Idempotent():
			entry.Status, entry.Reason = unknown, "no-answer-from-provider"
			return a.finish(ctx, stream, job, entry)
		}
	}
	if reason := channel.Withhold(channel.Question{
		Class: job.Class, Channel: consent.Email, At: now, Consent: s.Consent, Preferences: s.Preference.Values,
		Deactivated: s.Customer.Status == customer.StatusDeactivated, Address: s.Customer.Email, Undeliverable: s.Customer.EmailInvalid, Unproven: a.unproven(s.Customer),
	}); reason != "" {
		entry.Status, entry.Reason = withheld, reason
		return a.finish(ctx, stream, job, entry)
	}
	mail, err := a.compose(ctx, job, s.Customer)
	if fault.KindOf(err) == fault.Invalid {
		entry.Status, entry.Reason = failed, fault.SlugOf(err)
		return a.finish(ctx, stream, job, entry)
	}
	if err != nil {
		return err
	}
	return a.hand(ctx, stream, job, entry, mail)
}

// hand gives the provider a mail, and keeps what became of it.
func (a *App) hand(ctx context.Context, stream string, job EmailJob, entry MessageShown, mail Mail) (err error) {
	entry.ProviderID, err = a.Email.Send(ctx, mail)
	switch {
	case err == nil:
		entry.Status = sent
	case fault.KindOf(err) == fault.Busy:
		entry.Status = retrying
		return errors.Join(err, a.update(ctx, stream, entry))
	case fault.KindOf(err) == fault.Rejected:
		entry.Status, entry.Reason = failed, fault.SlugOf(err)
	case a.Email.Idempotent():
		return err // stays pending, and is sent again
	default:
		slog.WarnContext(ctx, "email outcome unknown", "messageId", entry.MessageID, "error", err)
		entry.Status, entry.Reason = unknown, "no-answer-from-provider"
	}
	return a.finish(ctx, stream, job, entry)
}

// unproven says whether marketing may not go to the customer's address yet.
func (a *App) unproven(c customer.State) bool {
	return !c.EmailVerified && !a.Settings.MarketingUnverified
}

func (a *App) compose(ctx context.Context, job EmailJob, c customer.State) (Mail, error) {
	data := template.Data{FirstName: c.FirstName, CustomerID: job.CustomerID}
	verification := job.VerificationID
	if verification == "" && c.Verification != nil {
		verification = c.Verification.ID
	}
	if verification != "" && !c.EmailVerified {
		token, err := a.Keyring.Token(ctx, "email-verification", verification)
		if err != nil {
			return Mail{}, err
		}
		data.Token = token
	}
	text, err := template.Render(job.Template, data)
	if err != nil {
		return Mail{}, err
	}
	address, err := mailbox.Parse(c.Email)
	if err != nil {
		return Mail{}, err
	}
	return Mail{
		CustomerID: job.CustomerID, IdempotencyKey: job.IdempotencyKey, From: a.Settings.EmailFrom, To: address.Normal,
		Subject: text.Subject, Text: text.Text, HTML: text.HTML,
	}, nil
}

// finish notes the outcome in the ledger and then in the customer's stream.
func (a *App) finish(ctx context.Context, stream string, job EmailJob, entry MessageShown) error {
	if err := a.update(ctx, stream, entry); err != nil {
		return err
	}
	return a.recordOutcome(ctx, stream, job, entry)
}

// recordOutcome appends what became of the message, once. A customer erased meanwhile is forgotten by the provider too.
func (a *App) recordOutcome(ctx context.Context, stream string, job EmailJob, m MessageShown) error {
	var event any
	switch m.Status {
	case sent:
		event = channel.Sent{
			Channel: m.Channel, MessageID: m.MessageID, Campaign: m.Campaign, Template: m.Template,
			IdempotencyKey: m.IdempotencyKey, ProviderMessageID: m.ProviderID,
		}
	case withheld:
		event = channel.Suppressed{Channel: m.Channel, MessageID: m.MessageID, Campaign: m.Campaign, IdempotencyKey: m.IdempotencyKey, Reason: m.Reason}
	default:
		event = channel.Failed{Channel: m.Channel, MessageID: m.MessageID, Campaign: m.Campaign, IdempotencyKey: m.IdempotencyKey, ErrorType: m.Reason}
	}
	erased := false
	_, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
		Meta: eventstore.Meta{Actor: "system:send-email", Source: "system", CorrelationID: job.CorrelationID, CausationID: job.CausationID},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h)
			erased = !s.Customer.Exists()
			if erased {
				return eventstore.Decision{}, nil
			}
			events, err := channel.Decide(s.Message, event)
			return eventstore.Decision{Events: eventstore.Happened(events...)}, err
		},
	})
	if err == nil && erased {
		return a.forgetMessage(ctx, stream, job)
	}
	return err
}

// forgetMessage removes what a message of an erased customer may have left behind.
func (a *App) forgetMessage(ctx context.Context, stream string, job EmailJob) error {
	return errors.Join(a.Email.Forget(ctx, job.CustomerID), a.Views.Table.Delete(ctx, [2]string{stream, ledgerPrefix + job.IdempotencyKey}))
}
