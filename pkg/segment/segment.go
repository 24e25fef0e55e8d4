// Package segment says which groups of customers somebody is in. Three words: a segment is such a group; somebody is added when
// a rule comes to hold, and removed when it holds no longer; those who ever paid are buyers.
package segment

import (
	"slices"

	"defter/pkg/eventstore"
)

// Buyers are those with a payment that succeeded, however often. The name is what the segment is called on screens.
const (
	Buyers     = "buyers"
	buyersName = "Satin Alan Musteriler"
)

// Added: the customer is in a segment from now on.
type Added struct {
	SegmentID   string `json:"segmentId" pii:"-" jsonschema:"maxLength=100"`
	SegmentName string `json:"segmentName,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Source      string `json:"source,omitempty" pii:"-" jsonschema:"maxLength=150"`
}

// Removed: the customer is in it no longer.
type Removed struct {
	SegmentID string `json:"segmentId" pii:"-" jsonschema:"maxLength=100"`
	Source    string `json:"source,omitempty" pii:"-" jsonschema:"maxLength=150"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Added]("CustomerSegmentAdded"),
	eventstore.Declare[Removed]("CustomerSegmentRemoved"),
}

// State is the ids of the segments that a customer is in, sorted.
type State []string

// Decider holds the rules.
var Decider = eventstore.Decider[State, any, any]{Evolve: Evolve, Decide: Decide}

// Evolve folds one event; events of other packages change nothing here.
func Evolve(s State, event any) State {
	switch e := event.(type) {
	case Added:
		if at, in := slices.BinarySearch(s, e.SegmentID); !in {
			return slices.Insert(slices.Clone(s), at, e.SegmentID)
		}
	case Removed:
		if at, in := slices.BinarySearch(s, e.SegmentID); in {
			return slices.Delete(slices.Clone(s), at, at+1)
		}
	}
	return s
}

// Paid is the command that follows a payment that succeeded.
type Paid struct{}

// Decide decides on one command. Asked again, it returns no events.
func Decide(s State, _ any) ([]any, error) {
	if slices.Contains(s, Buyers) {
		return nil, nil
	}
	return []any{Added{SegmentID: Buyers, SegmentName: buyersName, Source: "rule:first-payment"}}, nil
}
