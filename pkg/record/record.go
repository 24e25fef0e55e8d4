// Package record is what decisions need to know of one customer's stream: the states of all domains side by side,
// folded together and kept in one snapshot.
package record

import (
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/journey"
	"defter/pkg/preference"
	"defter/pkg/retention"
)

// State is the state of every domain.
type State struct {
	Customer   customer.State   `json:"customer"`
	Consent    consent.State    `json:"consent"`
	Preference preference.State `json:"preference"`
	Journey    journey.State    `json:"journey"`
	Message    channel.State    `json:"message"`
	Retention  retention.State  `json:"retention,omitzero"`
}

// Fold computes the State of a stream.
var Fold = &eventstore.Fold[State]{Name: "record", Version: 1, Evolve: Evolve}

// Evolve folds one event into the domain it belongs to.
func Evolve(s State, e eventstore.Event) State {
	if _, erased := e.Data.(customer.DataDeleted); erased {
		return State{Customer: customer.Evolve(s.Customer, e.Data)}
	}
	s.Customer = customer.Evolve(s.Customer, e.Data)
	s.Consent = consent.Evolve(s.Consent, e.Data, e.OccurredAt)
	s.Preference = preference.Evolve(s.Preference, e.Data, preference.Stamp{At: e.OccurredAt, EventID: e.ID})
	s.Journey = journey.Evolve(s.Journey, e.Data)
	s.Retention = retention.Evolve(s.Retention, e.Data)
	s.Message = channel.Evolve(s.Message, e.Data, e.RecordedAt)
	return s
}
