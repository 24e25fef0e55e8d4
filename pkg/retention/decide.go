package retention

import (
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// How long behaviour is kept.
const (
	KeepFor    = 90 * 24 * time.Hour // in detail, unless the deployment says otherwise
	MinKeepFor = 8 * 24 * time.Hour  // messages that come again are recognised by it for 7 days, and heads are remembered for one
	Pause      = 7 * 24 * time.Hour  // between two archivings of a stream, each of which is an event
)

// State is what decisions need to know.
type State struct {
	ArchivedTo int64 `json:"archivedTo,omitempty"` // the version up to which behaviour is in the archive
}

// Evolve folds one event.
func Evolve(s State, event any) State {
	if e, ok := event.(Archived); ok {
		s.ArchivedTo = max(s.ArchivedTo, e.UpTo)
	}
	return s
}

// Archive: the behaviour of these versions is in the archive.
type Archive struct {
	From, UpTo int64
	Events     int64
	Object     string
	Left       *Oldest // the oldest behaviour after UpTo, nil for none
}

// Decide records it, once: behaviour of which some was archived before changes nothing.
func Decide(s State, c Archive) ([]any, error) {
	if c.From < 1 || c.UpTo < c.From || c.Events < 1 || c.Events > c.UpTo-c.From+1 {
		return nil, fault.New(fault.Internal, "invalid-range", "%d events in versions %d to %d", c.Events, c.From, c.UpTo)
	}
	if c.From <= s.ArchivedTo {
		return nil, nil
	}
	e := Archived{From: c.From, UpTo: c.UpTo, Events: c.Events, Object: c.Object}
	if c.Left != nil {
		e.OldestLeft, e.OldestRecordedAt = c.Left.Version, &c.Left.RecordedAt
	}
	return []any{e}, nil
}

// Oldest is the oldest behaviour of a stream that is not in the archive.
type Oldest struct {
	Version    int64      `json:"version"`
	RecordedAt time.Time  `json:"recordedAt"`
	ArchivedAt *time.Time `json:"archivedAt,omitempty"` // when what was before it was archived
}

// EvolveOldest folds one event into the oldest behaviour of a stream, nil for none.
func EvolveOldest(o *Oldest, e eventstore.Event) *Oldest {
	if d, ok := e.Data.(Archived); ok {
		if d.OldestRecordedAt == nil {
			return nil
		}
		return &Oldest{d.OldestLeft, *d.OldestRecordedAt, &e.RecordedAt}
	}
	if o == nil && e.Behaviour {
		return &Oldest{Version: e.Version, RecordedAt: e.RecordedAt}
	}
	return o
}

// Due says whether it is to be archived now, and all that is old with it.
func (o Oldest) Due(now time.Time, keepFor time.Duration) bool {
	return Old(o.RecordedAt, now, keepFor) && (o.ArchivedAt == nil || now.Sub(*o.ArchivedAt) >= Pause)
}

// Old says whether behaviour recorded then is kept no longer.
func Old(recordedAt, now time.Time, keepFor time.Duration) bool {
	return now.Sub(recordedAt) >= keepFor
}

// Together says whether two commits may become one: summaries are by month, so that a year of them still tells a story.
func Together(a, b eventstore.Commit) bool {
	x, y := a.RecordedAt.UTC(), b.RecordedAt.UTC()
	return a.Last()+1 == b.First && x.Year() == y.Year() && x.Month() == y.Month()
}

// Began is when an event happened, or the first of those that it stands for.
func Began(e eventstore.Event) time.Time {
	if d, ok := e.Data.(Summarised); ok {
		return d.FirstOccurredAt
	}
	return e.OccurredAt
}

// IsSummary says whether a record is a summary.
func IsSummary(r eventstore.Record) bool { return r.Type == "BehaviourSummarised" }

// Summary makes the event that stands for others next to each other: behaviour, and summaries of such.
func Summary(events []eventstore.Event) eventstore.New {
	var s Summarised
	count := func(eventType string, n int64, first, last time.Time) {
		if s.Events == 0 || first.Before(s.FirstOccurredAt) {
			s.FirstOccurredAt = first
		}
		if s.Events == 0 || last.After(s.LastOccurredAt) {
			s.LastOccurredAt = last
		}
		s.Events += n
		at, found := slices.BinarySearchFunc(s.ByType, eventType, func(o OfType, t string) int { return strings.Compare(o.Type, t) })
		if !found {
			s.ByType = slices.Insert(s.ByType, at, OfType{Type: eventType})
		}
		s.ByType[at].Events += n
	}
	seen := func(on Seen) {
		at, found := slices.BinarySearchFunc(s.Seen, on.Source, func(o Seen, source string) int { return strings.Compare(o.Source, source) })
		switch {
		case !found:
			s.Seen = slices.Insert(s.Seen, at, on)
		default:
			if on.FirstAt.Before(s.Seen[at].FirstAt) {
				s.Seen[at].FirstAt = on.FirstAt
			}
			if on.LastAt.After(s.Seen[at].LastAt) {
				s.Seen[at].LastAt = on.LastAt
			}
		}
	}
	for _, e := range events {
		summary, ok := e.Data.(Summarised)
		if !ok {
			count(e.Type, 1, e.OccurredAt, e.OccurredAt)
			seen(Seen{e.Source, e.OccurredAt, e.OccurredAt})
			continue
		}
		for _, on := range summary.Seen {
			seen(on)
		}
		for _, o := range summary.ByType {
			count(o.Type, o.Events, summary.FirstOccurredAt, summary.LastOccurredAt)
		}
	}
	return eventstore.New{Data: s, OccurredAt: s.LastOccurredAt}
}
