package intake

import (
	"maps"
	"time"

	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/foreign"
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
	happened := eventstore.Event{Data: e.Data, OccurredAt: e.OccurredAt, RecordedAt: recordedAt, Message: e.Message, Notes: e.Notes}
	return State{record.Evolve(s.Record, happened), ingest.SeenFold.Evolve(s.Seen, happened)}
}

// Decide turns messages into events on a stream as it stands. A message that was taken in before becomes none.
func Decide(s State, c Take) ([]eventstore.New, error) {
	decided, _, err := Understand(s, c)
	return decided, err
}

// Understand is Decide. silent are the notes of messages that were taken in and became no event, which nothing else tells.
func Understand(s State, c Take) (decided []eventstore.New, silent []string, err error) {
	if status := s.Record.Customer.Status; status == customer.StatusErased || status == customer.StatusErasing {
		return nil, nil, nil // suppressed: accepted and not stored
	}
	past := maps.Clone(c.Past)
	inBatch := map[string]bool{}
	for _, m := range c.Messages {
		if inBatch[m.Fingerprint] || s.Seen.Has(m.Fingerprint) || c.Known[m.Fingerprint] {
			continue
		}
		inBatch[m.Fingerprint] = true
		before := len(decided)
		happens := func(events []any, notes []string) {
			for _, event := range events {
				next := eventstore.New{Data: event, OccurredAt: m.OccurredAt, Message: m.Fingerprint, Notes: notes}
				decided = append(decided, next)
				s.Record = s.after(next, c.Now).Record
				id := order.EventOrder(event)
				if h, needed := past[id]; needed {
					past[id] = h.After(event, m.OccurredAt)
				}
			}
		}
		if m.Part != OfOrder {
			if c.Customer && m.OfBrowser(c.Source) {
				m.Notes = together(m.Notes, []string{"context.consent:" + foreign.Untrusted})
			}
			choice, err := chosen(c, s.Record, m)
			if err != nil {
				return nil, nil, err
			}
			happens(choice, m.Notes)
			if ingest.Behaviour(m.Message, c.Source) && !mayAnalyse(s.Record.Consent, m.Message, c.Source, c.Now) {
				if len(decided) == before {
					silent = append(silent, m.Notes...)
				}
				continue // accepted and not kept
			}
		}
		facts, unread, err := meaning(c, s.Record.Customer, m)
		if err != nil {
			return nil, nil, err
		}
		events, rounded, err := agreed(c, s.Record.Order, past, facts)
		if err != nil {
			return nil, nil, err
		}
		notes := together(m.Notes, append(unread, rounded...))
		events = begun(s.Record, events, c.Source, m.OccurredAt)
		happens(append(events, Consequences(s.Record, events, m.OccurredAt)...), notes)
		if len(decided) == before {
			silent = append(silent, notes...)
		}
	}
	return decided, silent, nil
}

// Links are the links with visitors that messages in an erased customer's name would have made, were the customer unknown: by the same
// rules. The messages are not taken in, and still say which visitors are the customer's.
func Links(c Take) []customer.VisitorLinked {
	var links []customer.VisitorLinked
	for _, m := range c.Messages {
		if m.Part == OfOrder {
			continue
		}
		m.Part = Rest // what is told of orders links nobody
		c.Messages = []Message{m}
		decided, err := Decide(State{}, c)
		if err != nil { // it would not have been taken in
			continue
		}
		for _, e := range decided {
			switch d := e.Data.(type) {
			case customer.VisitorLinked:
				links = append(links, d)
			case customer.Aliased: // a former id that is a customer's is erased where it is asked for
				links = append(links, customer.VisitorLinked{VisitorID: d.PreviousID, LinkedAt: d.LinkedAt})
			}
		}
	}
	return links
}

// together are the notes of the message's own fields and of what it says.
func together(notes, more []string) []string {
	var all foreign.Notes
	all.All(notes)
	all.All(more)
	return all.List()
}

// agreed is the facts, with what agrees with the orders in the place of reports. An order that is stored already, elsewhere or so long ago
// that it left the state, is not placed again. rounded notes an amount with more digits than the order's currency has.
func agreed(c Take, s order.State, past map[string]order.History, facts []any) (events []any, rounded []string, err error) {
	for _, fact := range facts {
		report, ok := fact.(order.Report)
		if !ok {
			events = append(events, fact)
			continue
		}
		told, places := report.(order.ReportPlaced)
		placed, stored := c.Placed[report.Order()]
		if _, known := s.Order(report.Order()); places && stored && !known {
			if placed == nil {
				continue
			}
			if err := told.Again(placed.Currency, placed.TotalMinor, placed.TotalMinor); err != nil {
				return nil, nil, err
			}
			continue
		}
		more, err := order.Reported(s, past, report)
		if err != nil {
			return nil, nil, err
		}
		if order.Rounds(report, more) {
			rounded = []string{"properties.total:" + foreign.Rounded}
		}
		events = append(events, more...)
	}
	return events, rounded, nil
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
