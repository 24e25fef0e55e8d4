package channel

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/consent"
	"defter/pkg/eventstore"
	"defter/pkg/preference"
)

// Class is what a message is for.
type Class string

// The classes. A transactional message answers something the customer did and needs no consent; a marketing message
// needs one for its very channel.
const (
	Transactional Class = "transactional"
	Marketing     Class = "marketing"
)

// Question is everything the decision whether to send depends on.
type Question struct {
	Class         Class
	Channel       consent.Channel
	At            time.Time
	Consent       consent.State
	Preferences   preference.Values
	Deactivated   bool
	Address       string // where the message would go, "" for unknown
	Undeliverable bool   // the address bounced for good
	Unproven      bool   // nobody has shown the address to be the customer's, and marketing may go to no such address
}

// Withhold returns why the message must not be sent now, "" if it may be. An unknown class is treated as marketing.
func Withhold(q Question) string {
	switch {
	case q.Address == "":
		return "no-address"
	case q.Undeliverable:
		return "address-undeliverable"
	case q.Class == Transactional:
		return ""
	case q.Deactivated:
		return "customer-deactivated"
	case !q.Consent.Allows(consent.Marketing, q.Channel, q.At):
		return "no-consent"
	case q.Unproven:
		return "address-unverified"
	}
	p := q.Preferences
	switch {
	case q.Channel == consent.Email && off(p.EmailEnabled), q.Channel == consent.Push && off(p.PushEnabled),
		q.Channel == consent.SMS && (off(p.SMSEnabled) || off(p.SMSForPromotions)):
		return "channel-disabled"
	case q.Channel == consent.Email && p.EmailFrequency != nil && *p.EmailFrequency == "never":
		return "frequency-never"
	}
	return ""
}

// off says whether a preference was set, and to no.
func off(preference *bool) bool { return preference != nil && !*preference }

// remembered outcomes, so that one that is recorded again is recognised.
const remembered = 50

// State is the idempotency keys of the latest messages whose outcome is recorded, and when.
type State struct {
	Recorded map[string]int64 `json:"recorded,omitempty"` // Unix milliseconds
}

// Evolve folds one event that was recorded at that time; events of other packages change nothing here.
func Evolve(s State, event any, at time.Time) State {
	key := keyOf(event)
	if key == "" {
		return s
	}
	recorded := maps.Clone(s.Recorded)
	if recorded == nil {
		recorded = map[string]int64{}
	}
	recorded[key] = at.UnixMilli()
	if len(recorded) > remembered {
		keys := slices.SortedFunc(maps.Keys(recorded), func(a, b string) int {
			return cmp.Or(cmp.Compare(recorded[a], recorded[b]), cmp.Compare(a, b))
		})
		delete(recorded, keys[0])
	}
	return State{recorded}
}

// Decider holds the rule that an outcome is recorded once.
var Decider = eventstore.Decider[State, any, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}) },
	Decide: Decide,
}

// Decide returns the outcome unless it is recorded already.
func Decide(s State, outcome any) ([]any, error) {
	key := keyOf(outcome)
	if _, recorded := s.Recorded[key]; recorded {
		return nil, nil
	}
	return []any{outcome}, nil
}

// keyOf is the idempotency key of an outcome, "" for an event that is none.
func keyOf(event any) string {
	switch e := event.(type) {
	case Sent:
		return e.IdempotencyKey
	case Suppressed:
		return e.IdempotencyKey
	case Failed:
		return e.IdempotencyKey
	}
	return ""
}
