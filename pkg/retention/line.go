package retention

import (
	"encoding/json"
	"time"

	"defter/pkg/eventstore"
)

// Line is a commit in the archive: one line of JSON, with everything that was stored. What is personal in it is still sealed
// under its owner's data key, and can no more be read than anything else once that is destroyed.
type Line struct {
	Stream        string    `json:"stream"`
	First         int64     `json:"first"` // version of the first event
	ID            string    `json:"id"`
	RecordedAt    time.Time `json:"recordedAt"`
	CorrelationID string    `json:"correlationId,omitempty"`
	CausationID   string    `json:"causationId,omitempty"`
	Actor         string    `json:"actor,omitempty"`
	Source        string    `json:"source,omitempty"`
	Events        []Entry   `json:"events"`
	Sealed        []byte    `json:"sealed,omitempty"`
	Compacted     int       `json:"compacted,omitempty"`
}

// Entry is one event of a Line.
type Entry struct {
	Type       string          `json:"type"`
	Schema     int             `json:"schemaVersion"`
	OccurredAt time.Time       `json:"occurredAt"`
	Message    string          `json:"message,omitempty"`
	Notes      []string        `json:"notes,omitempty"`
	Span       int             `json:"span,omitempty"`
	Data       json.RawMessage `json:"data"`
}

// LineOf makes the line of a commit.
func LineOf(c eventstore.Commit) Line {
	l := Line{
		Stream: c.Stream, First: c.First, ID: c.ID, RecordedAt: c.RecordedAt, CorrelationID: c.CorrelationID, CausationID: c.CausationID,
		Actor: c.Actor, Source: c.Source, Events: make([]Entry, len(c.Events)), Sealed: c.Sealed, Compacted: c.Compacted,
	}
	for i, r := range c.Events {
		l.Events[i] = Entry{r.Type, r.Schema, r.OccurredAt, r.Message, r.Notes, r.Span, r.Data}
	}
	return l
}

// Commit is the commit that a line was made of.
func (l Line) Commit() eventstore.Commit {
	c := eventstore.Commit{
		Stream: l.Stream, First: l.First, ID: l.ID, RecordedAt: l.RecordedAt, CorrelationID: l.CorrelationID, CausationID: l.CausationID,
		Actor: l.Actor, Source: l.Source, Events: make([]eventstore.Record, len(l.Events)), Sealed: l.Sealed, Compacted: l.Compacted,
	}
	for i, e := range l.Events {
		c.Events[i] = eventstore.Record{Type: e.Type, Schema: e.Schema, OccurredAt: e.OccurredAt, Message: e.Message, Notes: e.Notes, Span: e.Span, Data: e.Data}
	}
	return c
}
