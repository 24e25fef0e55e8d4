package eventstore

import (
	"slices"
	"strings"
	"time"
)

// Event is one event as the program sees it: its envelope, and its data as a value of the type declared in a Catalog,
// upcast to today's schema. Fields of an erased customer that held something personal are zero.
type Event struct {
	ID            string
	Type          string
	Schema        int // the version Data now has
	Stream        string
	Version       int64 // of the last event it stands for
	Span          int   // how many events a summary stands for; 0 for any other event
	OccurredAt    time.Time
	RecordedAt    time.Time
	CorrelationID string
	CausationID   string
	Actor         string
	Source        string
	Message       string   // fingerprint of the message it came in, "" for none
	Notes         []string // what could not be read of that message
	Data          any
	Erased        bool // its personal fields can no longer be read
	Behaviour     bool // its type is declared so: it is archived when it is old
}

// Dated says whether OccurredAt says when it happened.
func (e Event) Dated() bool {
	return !slices.ContainsFunc(e.Notes, func(note string) bool { return strings.HasPrefix(note, Undated) })
}

// First is the version of the first event it stands for.
func (e Event) First() int64 { return e.Version - int64(max(e.Span, 1)) + 1 }

// Limits of an event's notes.
const (
	MaxNotes     = 16
	MaxNoteBytes = 100
)

// Undated begins the note of an event whose client said when it happened in a way that nobody can read or believe: OccurredAt
// is when it arrived, and says nothing of what came before or after.
const Undated = "timestamp:"

// New is an event that was decided and not yet stored. Data's type must be in the Catalog. OccurredAt zero stands for the
// time of recording. Notes name what could not be read of the message that it came in, as "field:reason": fields that are known
// beforehand, and no value. They are stored in the open.
type New struct {
	Data       any
	OccurredAt time.Time
	Message    string
	Notes      []string
}

// Happened wraps decided data as new events that happen at the time of recording.
func Happened(data ...any) []New {
	events := make([]New, len(data))
	for i, d := range data {
		events[i] = New{Data: d}
	}
	return events
}

// Decider is a domain's rules as a plain record. C is its commands and E its events, as a rule interfaces or any.
type Decider[S, C, E any] struct {
	Initial S
	Evolve  func(S, E) S            // cannot fail: you cannot reject what has happened
	Decide  func(S, C) ([]E, error) // pure: time, ids and rates arrive inside the command
}

// Fold returns the state after the events.
func (d Decider[S, C, E]) Fold(events ...E) S {
	state := d.Initial
	for _, e := range events {
		state = d.Evolve(state, e)
	}
	return state
}
