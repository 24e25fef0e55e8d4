package intake

import (
	"slices"
	"time"

	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/ingest"
	"defter/pkg/order"
	"defter/pkg/record"
)

// State is what deciding needs to know of a stream.
type State struct {
	Record record.State
	Seen   ingest.Seen
}

// Decider holds the rules. Its events carry the time at which they happened and the message that they came in.
var Decider = eventstore.Decider[State, Take, eventstore.New]{
	Evolve: func(s State, e eventstore.New) State { return s.after(e, e.OccurredAt) },
	Decide: Decide,
}

func (s State) after(e eventstore.New, recordedAt time.Time) State {
	happened := eventstore.Event{Data: e.Data, OccurredAt: e.OccurredAt, RecordedAt: recordedAt, Message: e.Message}
	return State{record.Evolve(s.Record, happened), ingest.SeenFold.Evolve(s.Seen, happened)}
}

// Decide turns messages into events on a stream as it stands. A message that was taken in before becomes none.
func Decide(s State, c Take) ([]eventstore.New, error) {
	if status := s.Record.Customer.Status; status == customer.StatusErased || status == customer.StatusErasing {
		return nil, nil // suppressed: accepted and not stored
	}
	var decided []eventstore.New
	counted := map[string]bool{}
	inBatch := map[string]bool{}
	for _, m := range c.Messages {
		if inBatch[m.Fingerprint] || s.Seen.Has(m.Fingerprint) {
			continue
		}
		inBatch[m.Fingerprint] = true
		happens := func(events []any) {
			for _, event := range events {
				next := eventstore.New{Data: event, OccurredAt: m.OccurredAt, Message: m.Fingerprint}
				decided = append(decided, next)
				s.Record = s.after(next, c.Now).Record
				for _, name := range Counts(event) {
					counted[name] = true
				}
			}
		}
		choice, err := chosen(c, s.Record, m)
		if err != nil {
			return nil, err
		}
		happens(choice)
		if ingest.Behaviour(m.Message, c.Source) && !mayAnalyse(s.Record.Consent, m.Message, c.Source, c.Now) {
			continue // accepted and not kept
		}
		events, err := meaning(c, s.Record.Customer, m)
		if err != nil {
			return nil, err
		}
		events = begun(s.Record, events, c.Source, m.OccurredAt)
		if stored(events, c.Counted, counted) {
			// It is stored already, by another message or by a command: what else the message says still counts.
			events = slices.DeleteFunc(events, func(event any) bool { return order.EventOrder(event) != "" && !pays(s.Record.Order, event) })
		}
		happens(append(events, Consequences(s.Record, events, m.OccurredAt)...))
	}
	return decided, nil
}

// stored says whether something of the events counts once and is stored already, elsewhere or earlier in the same batch.
func stored(events []any, known ...map[string]bool) bool {
	for _, event := range events {
		for _, name := range Counts(event) {
			if slices.ContainsFunc(known, func(k map[string]bool) bool { return k[name] }) {
				return true
			}
		}
	}
	return false
}

// mayAnalyse says whether somebody's behaviour may be kept. A refusal that is on record counts before what a banner says,
// which anybody's page may report; then the banner, then the consent, then what the source assumes of who was never asked.
func mayAnalyse(s consent.State, m ingest.Message, source ingest.Source, at time.Time) bool {
	agrees, asked := s.Stance(consent.Analytics, at)
	if asked && !agrees {
		return false
	}
	if granted, told := m.Context.Consent.Analytics(); told {
		return granted
	}
	return agrees || !source.NeedConsent
}

// pays says whether an event is the payment, made elsewhere, of an order that was placed here and waits for one.
func pays(s order.State, event any) bool {
	e, ok := event.(order.PaymentSucceeded)
	o, known := s.Order(e.OrderID)
	return ok && known && o.Currency == e.Currency && (o.Status == order.PendingPayment || o.Status == order.PaymentIsLost) && !o.Payment.UnderWay()
}

// Counts names what an event says and must count once: an order, its end, a refund by each id that it is known by.
func Counts(event any) (names []string) {
	switch e := event.(type) {
	case order.Placed:
		return []string{"order#" + e.OrderID}
	case order.Cancelled:
		return []string{"cancelled-order#" + e.OrderID}
	case order.RefundCompleted:
		for _, id := range []string{e.RefundID, e.TransactionID} {
			if name := "refund#" + e.OrderID + "#" + id; id != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
