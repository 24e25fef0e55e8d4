package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/metric"
	"defter/pkg/view"
)

// The bus takes this much in one call.
const (
	publishEntries = 10
	publishBytes   = 256 << 10
	publishTries   = 5
)

// PublishEvents puts the commits' events on the bus, personal fields left out, and sends again what was not taken. It
// returns the indexes of the commits to deliver again.
func (a *App) PublishEvents(ctx context.Context, commits []eventstore.Commit) (failed []int) {
	var entries []Entry
	var of []int // the commit of each entry
	for i, c := range commits {
		for j := range c.Events {
			entry, err := published(c, j, false)
			if err == nil && entrySize(entry) > publishBytes {
				entry, err = published(c, j, true)
			}
			if err != nil {
				slog.ErrorContext(ctx, "record quarantined", metric.Count(metric.RecordsQuarantined, 1), "version", c.First, "error", err)
				continue
			}
			entries, of = append(entries, entry), append(of, i)
		}
	}
	left := make([]int, len(entries))
	for i := range left {
		left[i] = i
	}
	for try := 1; len(left) > 0; try++ {
		left = a.publish(ctx, entries, left)
		if len(left) == 0 {
			break
		}
		if try == publishTries {
			slog.WarnContext(ctx, "events not taken by the bus", "count", len(left))
			return []int{of[left[0]]} // the stream resumes there
		}
		select {
		case <-time.After(time.Duration(try*try) * 50 * time.Millisecond):
		case <-ctx.Done():
			return []int{of[left[0]]}
		}
	}
	return nil
}

// publish sends the entries named by their indexes and returns those that were not taken.
func (a *App) publish(ctx context.Context, entries []Entry, indexes []int) (left []int) {
	for len(indexes) > 0 {
		n, size := 0, 0
		for n < len(indexes) && n < publishEntries {
			if size += entrySize(entries[indexes[n]]); size > publishBytes && n > 0 {
				break
			}
			n++
		}
		some := make([]Entry, n)
		for i := range some {
			some[i] = entries[indexes[i]]
		}
		failed, err := a.Bus.Publish(ctx, some)
		if err != nil {
			slog.WarnContext(ctx, "publish", "error", err)
			left = append(left, indexes[:n]...)
		}
		for _, i := range failed {
			left = append(left, indexes[i])
		}
		indexes = indexes[n:]
	}
	return left
}

func entrySize(e Entry) int { return len(e.Type) + len(e.Detail) + 64 }

// published makes the bus entry of a commit's event, which refers to the store where it would be too large. It is made of the commit as stored, whose personal fields are
// sealed: there is nothing to leave out by mistake.
func published(c eventstore.Commit, i int, omitted bool) (Entry, error) {
	r := c.Events[i]
	p := lambdaio.Published{
		ID: c.EventID(i), Type: r.Type, SchemaVersion: r.Schema, Stream: c.Stream, Version: c.Version(i),
		OccurredAt: r.OccurredAt.Format(time.RFC3339Nano), RecordedAt: c.RecordedAt.Format(time.RFC3339Nano),
		CorrelationID: c.CorrelationID, CausationID: c.CausationID, Actor: c.Actor, Source: c.Source, Notes: r.Notes, Data: r.Data,
	}
	if omitted {
		p.Data, p.Omitted = nil, true
	}
	p.CustomerID, _ = view.CustomerID(c.Stream)
	if p.CorrelationID == "" {
		p.CorrelationID = c.ID
	}
	detail, err := json.Marshal(p)
	if err != nil {
		return Entry{}, fmt.Errorf("encode event: %w", err)
	}
	return Entry{Type: r.Type, Detail: detail, At: c.RecordedAt}, nil
}

// Stored is the event that one from the bus tells of, whole and as every other reader has it: a view that is fed from the bus must
// not differ from one that is made again from the store.
func (a *App) Stored(ctx context.Context, p lambdaio.Published) (eventstore.Event, error) {
	for e, err := range a.Log.Events(ctx, p.Stream, p.Version, p.Version) {
		return e, err
	}
	return eventstore.Event{}, fault.New(fault.Busy, "event-not-readable", "version %d is not in the store", p.Version)
}

// Event makes an event of one from the bus, without its personal fields, for who reacts to what it says in public.
func (a *App) Event(ctx context.Context, p lambdaio.Published) (eventstore.Event, error) {
	if p.Omitted {
		return a.Stored(ctx, p)
	}
	data, err := a.Log.Catalog.Decode(p.Type, p.SchemaVersion, p.Data, nil)
	if err != nil && fault.KindOf(err) != fault.Busy {
		err = fmt.Errorf("%w: %w", eventstore.ErrCorrupt, err)
	}
	if err != nil {
		return eventstore.Event{}, err
	}
	occurred, err := time.Parse(time.RFC3339Nano, p.OccurredAt)
	if err != nil {
		return eventstore.Event{}, fmt.Errorf("occurredAt: %w", err)
	}
	recorded, err := time.Parse(time.RFC3339Nano, p.RecordedAt)
	if err != nil {
		return eventstore.Event{}, fmt.Errorf("recordedAt: %w", err)
	}
	return eventstore.Event{
		ID: p.ID, Type: p.Type, Schema: a.Log.Catalog.Schema(p.Type), Stream: p.Stream, Version: p.Version,
		OccurredAt: occurred, RecordedAt: recorded, CorrelationID: p.CorrelationID, CausationID: p.CausationID,
		Actor: p.Actor, Source: p.Source, Notes: p.Notes, Data: data,
	}, nil
}
