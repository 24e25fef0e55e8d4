package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/intake"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/view"
)

// take stores one stream's messages, in as many commits as they need.
func (a *App) take(ctx context.Context, c *Call, source ingest.Source, stream string, messages []intake.Message) error {
	if err := a.affordStream(ctx, source, stream, c.SourceIP, int64(len(messages))); err != nil {
		return err
	}
	for len(messages) > 0 {
		n := min(len(messages), commitMessages)
		err := a.gate.pass(ctx, stream, c.Actor+"#"+a.correlation(c)+"#"+c.SourceIP, messages[:n], func(ctx context.Context, shared []intake.Message) error {
			return a.takeSome(ctx, c, source, stream, shared)
		})
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// takeSome stores messages, in one commit if they fit one, else halved. So is one found that does not fit its schema, and is
// quarantined, as is a report of an order that is too old, or that does not agree with its order, and waits for it.
func (a *App) takeSome(ctx context.Context, c *Call, source ingest.Source, stream string, messages []intake.Message) error {
	if len(messages) == 1 || oneCommit(messages) {
		err := a.takeAll(ctx, c, source, stream, messages)
		if len(messages) == 1 {
			return a.apart(ctx, c, source, stream, messages[0], err)
		}
		if err == nil || !unfit(err) {
			return err
		}
	}
	half := len(messages) / 2
	return errors.Join(a.takeSome(ctx, c, source, stream, messages[:half]), a.takeSome(ctx, c, source, stream, messages[half:]))
}

// unfit says whether a message is at fault itself for an error, so that it would fail again however often it is sent.
func unfit(err error) bool {
	slug := fault.SlugOf(err)
	return fault.KindOf(err) == fault.Invalid || slug == order.Contradicts || slug == order.TooOld
}

// apart puts an unfit message aside, with who sent it: one that does not agree with its order waits for it, another one is quarantined. Any other
// error it returns.
func (a *App) apart(ctx context.Context, c *Call, source ingest.Source, sender string, m intake.Message, err error) error {
	switch {
	case fault.SlugOf(err) == order.Contradicts:
		return a.wait(ctx, c, source, sender, m, err.Error())
	case unfit(err):
		_, err = a.quarantineMessage(ctx, source, sender, ingest.Rejected{Raw: m.Raw, Reason: err.Error(), Origin: m.Origin}, a.Now())
	}
	return err
}

// oneCommit says whether messages are few enough for one commit.
func oneCommit(messages []intake.Message) bool {
	size, claims := 0, 0
	for _, m := range messages {
		size += len(m.Raw) + 400
		if m.Type == "identify" || strings.HasPrefix(m.Means(), "Order ") {
			claims++
		}
	}
	return size <= commitBytes && claims <= commitClaims
}

// newPeople is how many people the events make that were never heard of: the stream's own, and of the visitors whom they link all but
// one, who may be new.
func newPeople(h *eventstore.Head, events []eventstore.New) int {
	people, links := 0, 0
	if h.Version == 0 {
		people = 1
	}
	for _, e := range events {
		if _, ok := e.Data.(customer.VisitorLinked); ok {
			links++
		}
	}
	return people + max(0, links-1)
}

// affordNew takes from the budgets what people come to beyond those that were taken for an earlier try, and returns how many are taken now.
func (a *App) affordNew(ctx context.Context, source ingest.Source, address string, people, paid int) (int, error) {
	if people <= paid {
		return paid, nil
	}
	if err := a.affordPeople(ctx, source, address, int64(people-paid)); err != nil {
		return paid, err
	}
	return people, nil
}

func (a *App) takeAll(ctx context.Context, c *Call, source ingest.Source, stream string, messages []intake.Message) error {
	_, isCustomer := view.CustomerID(stream)
	take := intake.Take{Customer: isCustomer, Source: source, Messages: messages, Controller: a.Settings.DataController, EmailsTaken: map[string]bool{}, Placed: map[string]*order.Placed{}}
	emails := map[string]string{} // addresses by the keys of their claims
	var decided []eventstore.New
	var silent []string
	var late []customer.VisitorLinked // what messages in an erased customer's name say of visitors
	paid := 0                         // people taken from the budgets
	command := eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold, ingest.SeenFold}, Fact: true,
		Meta: eventstore.Meta{Actor: c.Actor, Source: source.Kind, CorrelationID: a.correlation(c)},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			if isCustomer && erased(record.Fold.Of(h)) {
				take.Now, decided, silent = h.Now, nil, nil
				late = intake.Links(take)
				return eventstore.Decision{}, nil
			}
			var err error
			if take.Known == nil { // what others append meanwhile is in the newest part of the window, which each try sees
				if take.Known, err = a.knownMessages(ctx, h, messages); err != nil {
					return eventstore.Decision{}, err
				}
			}
			events, unkept, err := a.decideTake(ctx, h, take)
			if err != nil {
				return eventstore.Decision{}, err
			}
			if paid, err = a.affordNew(ctx, source, c.SourceIP, newPeople(h, events), paid); err != nil {
				return eventstore.Decision{}, err
			}
			decided, silent = events, unkept
			return a.claimed(ctx, h, events, emails)
		},
	}
	for range 2*len(messages) + 1 { // each try more finds out about one claim that is taken
		_, _, err := a.Log.Handle(ctx, command)
		taken, ok := errors.AsType[*eventstore.TakenError](err)
		switch {
		case err == nil:
			c.unread.add(decided, silent)
			return a.eraseLate(ctx, c, source, stream, late)
		case emailTaken(err):
			take.EmailsTaken[emails[taken.Key]] = true
		case ok:
			id, err := a.orderOf(ctx, strings.TrimPrefix(taken.Key, orderPrefix), placedIn(decided))
			if err != nil {
				return err
			}
			if take.Placed[id], err = a.toldBefore(ctx, c, source, stream, id, messages); err != nil {
				return err
			}
		case fault.SlugOf(err) == "customer-erased":
			return nil // suppressed: accepted and not stored
		case err != nil && fault.KindOf(err) == fault.Conflict:
			return fault.Because(err, fault.Busy, "busy", "try again")
		default:
			return err
		}
	}
	return fault.New(fault.Busy, "busy", "try again")
}

// decideTake decides on messages, with the histories of the orders that this needs, as they are at the head. silent are
// the notes of messages that become no event.
func (a *App) decideTake(ctx context.Context, h *eventstore.Head, take intake.Take) (events []eventstore.New, silent []string, err error) {
	take.Now, take.Past = h.Now, map[string]order.History{}
	for {
		events, silent, err := intake.Understand(intake.State{Record: record.Fold.Of(h), Seen: ingest.SeenFold.Of(h)}, take)
		needed, ok := errors.AsType[*order.PastError](err)
		if !ok {
			return events, silent, err
		}
		if _, known := take.Past[needed.OrderID]; known {
			return nil, nil, err
		}
		if take.Past[needed.OrderID], err = a.orderHistory(ctx, h, needed.OrderID); err != nil {
			return nil, nil, err
		}
	}
}

// knownMessages are those of which the folded state cannot tell whether they came before, because they happened before it begins, and
// that are in the stream.
func (a *App) knownMessages(ctx context.Context, h *eventstore.Head, messages []intake.Message) (map[string]bool, error) {
	seen, known := ingest.SeenFold.Of(h), map[string]bool{}
	untold := slices.DeleteFunc(slices.Clone(messages), func(m intake.Message) bool {
		return seen.Tells(m.Message, h.Now) || seen.Has(m.Fingerprint)
	})
	if len(untold) == 0 || erased(record.Fold.Of(h)) {
		return known, nil
	}
	looked, oldest := 0, h.Now.Add(-ingest.SeenFor-time.Minute)
	all, err := eventstore.Window(ctx, a.Log, h, ingest.AllSeenFold, func(c eventstore.Commit) bool {
		if c.RecordedAt.Before(oldest) || looked >= ingest.MaxSeen {
			return true
		}
		last := ""
		for _, r := range c.Events {
			if r.Message != "" && r.Message != last {
				looked++
			}
			last = r.Message
		}
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("look for messages that came before: %w", err)
	}
	for _, m := range untold {
		known[m.Fingerprint] = all.Has(m.Fingerprint)
	}
	return known, nil
}

// claimed is the decision of events, with the claims that they need. It notes the addresses among them by their keys.
func (a *App) claimed(ctx context.Context, h *eventstore.Head, events []eventstore.New, emails map[string]string) (eventstore.Decision, error) {
	data := make([]any, len(events))
	for i, e := range events {
		data[i] = e.Data
		email := ""
		switch e := e.Data.(type) {
		case customer.Created:
			email = e.Email
		case customer.EmailUpdated:
			email = e.NewEmail
		}
		if email == "" {
			continue
		}
		key, err := a.emailKey(ctx, email)
		if err != nil {
			return eventstore.Decision{}, err
		}
		emails[key] = compared(email)
	}
	claims, err := a.emailClaims(ctx, h.Stream, data)
	if err != nil {
		return eventstore.Decision{}, err
	}
	orders, err := a.orderClaims(ctx, h, data)
	return eventstore.Decision{Events: events, Claims: mergeClaims(orders, claims)}, err
}

// placedIn are the ids of orders that events place.
func placedIn(events []eventstore.New) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, e := range events {
			if placed, ok := e.Data.(order.Placed); ok && !yield(placed.OrderID) {
				return
			}
		}
	}
}

func holds(key string) func(eventstore.Claim) bool {
	return func(c eventstore.Claim) bool { return c.Key == key }
}

// mergeClaims adds claims; of two on the same key the later counts.
func mergeClaims(claims, more []eventstore.Claim) []eventstore.Claim {
	for _, claim := range more {
		claims = slices.DeleteFunc(claims, holds(claim.Key))
		claims = append(claims, claim)
	}
	return claims
}
