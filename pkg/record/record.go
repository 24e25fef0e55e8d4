// Package record is what decisions need to know of one customer's stream: the states of all domains side by side,
// folded together and kept in one snapshot.
package record

import (
	"time"

	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/identity"
	"defter/pkg/journey"
	"defter/pkg/order"
	"defter/pkg/preference"
	"defter/pkg/retention"
	"defter/pkg/segment"
)

// State is the state of every domain.
type State struct {
	Customer   customer.State   `json:"customer"`
	Consent    consent.State    `json:"consent"`
	Preference preference.State `json:"preference"`
	Journey    journey.State    `json:"journey"`
	Message    channel.State    `json:"message"`
	Order      order.State      `json:"order,omitzero"`
	Identity   identity.State   `json:"identity,omitzero"`
	Segment    segment.State    `json:"segment,omitempty"`
	Cart       cart.State       `json:"cart,omitzero"`
	Retention  retention.State  `json:"retention,omitzero"`
}

// Fold computes the State of a stream.
var Fold = &eventstore.Fold[State]{Name: "record", Version: 5, Evolve: Evolve}

// Evolve folds one event into the domain it belongs to.
func Evolve(s State, e eventstore.Event) State {
	if _, erased := e.Data.(customer.DataDeleted); erased {
		return State{Customer: customer.Evolve(s.Customer, e.Data, e.OccurredAt)}
	}
	said := e.OccurredAt
	if !e.Dated() { // of a trait it is not known since when it holds, so that whoever says when they said theirs counts more
		said = time.Time{}
	}
	s.Customer = customer.Evolve(s.Customer, e.Data, said)
	s.Identity = identity.Evolve(s.Identity, e.Data, retention.Began(e))
	s.Consent = consent.Evolve(s.Consent, e.Data, e.OccurredAt)
	s.Preference = preference.Evolve(s.Preference, e.Data, preference.Stamp{At: e.OccurredAt, EventID: e.ID})
	s.Journey = journey.Evolve(s.Journey, e.Data)
	s.Order = order.Evolve(s.Order, e.Data, e.OccurredAt, e.Version)
	s.Segment = segment.Evolve(s.Segment, e.Data)
	s.Cart = cart.Evolve(s.Cart, e.Data, e.OccurredAt, e.RecordedAt)
	s.Retention = retention.Evolve(s.Retention, e.Data)
	s.Message = channel.Evolve(s.Message, e.Data, e.RecordedAt)
	return s
}
