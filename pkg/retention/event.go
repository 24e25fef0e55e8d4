// Package retention says how long behaviour is kept in detail. What people did on a site is worth its details for months
// and its numbers for years; what was agreed, ordered, paid or sent is kept for good and is none of its business. Three
// words: behaviour is every event whose type is declared so; the archive holds old behaviour as it was stored, outside of
// the event store; a summary stands in a stream for behaviour that is in the archive.
package retention

import (
	"time"

	"defter/pkg/eventstore"
)

// Summarised stands for behaviour that followed each other in a stream and was archived. It is never decided: it takes the
// place of the events it stands for, and their versions.
type Summarised struct {
	Events          int64     `json:"events" pii:"-"`
	ByType          []OfType  `json:"byType" pii:"-"` // sorted by type
	FirstOccurredAt time.Time `json:"firstOccurredAt" pii:"-"`
	LastOccurredAt  time.Time `json:"lastOccurredAt" pii:"-"`
	Seen            []Seen    `json:"seen,omitempty" pii:"-"` // sorted by source
}

// Seen is when something happened by way of one source, first and last.
type Seen struct {
	Source  string    `json:"source" pii:"-" jsonschema:"maxLength=100"`
	FirstAt time.Time `json:"firstAt" pii:"-"`
	LastAt  time.Time `json:"lastAt" pii:"-"`
}

// OfType is how many events of one type a summary stands for.
type OfType struct {
	Type   string `json:"type" pii:"-" jsonschema:"maxLength=200"`
	Events int64  `json:"events" pii:"-"`
}

// Archived: the behaviour of versions From to UpTo, so many events, was copied into an object of the archive. What came
// after may be old enough later.
type Archived struct {
	From   int64  `json:"from" pii:"-"`
	UpTo   int64  `json:"upTo" pii:"-"`
	Events int64  `json:"events" pii:"-"`
	Object string `json:"object" pii:"-" jsonschema:"maxLength=200"`
	// The oldest behaviour that is left, absent for none.
	OldestLeft       int64      `json:"oldestLeft,omitempty" pii:"-"`
	OldestRecordedAt *time.Time `json:"oldestRecordedAt,omitempty" pii:"-"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Summarised]("BehaviourSummarised"),
	eventstore.Declare[Archived]("BehaviourArchived"),
}
