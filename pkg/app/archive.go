package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/metric"
	"defter/pkg/record"
	"defter/pkg/retention"
	"defter/pkg/view"
)

const (
	archiveBytes    = 8 << 20 // of lines in one object, before compression
	archiveObjects  = 100     // one stream may fill in a run
	archiveStreams  = 200     // whose behaviour is in one object: its checkpoint is one row
	archivePage     = 100
	archiveLookback = 24  // months looked back on the very first run
	archiveMonths   = 240 // months one run looks through
	archiveWithin   = 4 * time.Minute
	compactAttempts = 10 // of what another run compacts too

	archiveSK = "archive-behaviour" // of its checkpoint, and before "#" of each object's
)

// archiveCheckpoint is how far the lookup by month is done.
type archiveCheckpoint struct {
	Month time.Time `json:"month"` // the first that may hold anything
}

// archiving is an object of the archive, and what is to be done once it is there. It is a checkpoint from then until all of
// it is done, so that nothing of it is left undone, whenever the run ends.
type archiving struct {
	Object  string     `json:"object"`
	Streams []archived `json:"streams"`
	lines   []byte
}

// archived is a range of a stream whose behaviour is in an object.
type archived struct {
	Stream string `json:"stream"`
	From   int64  `json:"from"`
	UpTo   int64  `json:"upTo"`
	Events int64  `json:"events"`
}

// ArchiveBehaviour copies old behaviour into the archive, records that in its streams and compacts it there. It finds what is
// due by the views' lookup by month, so that it looks at nobody who has nothing old.
func (a *App) ArchiveBehaviour(ctx context.Context) error {
	now, keepFor := a.Now().UTC(), a.keepFor()
	if err := a.finishArchiving(ctx); err != nil {
		return err
	}
	month, err := a.firstMonth(ctx, now)
	if err != nil {
		return err
	}
	object, first := a.newObject(now), month
	empty := true // every month so far
	for n := 0; n < archiveMonths && retention.Old(month, now, keepFor); n++ {
		for cursor := ""; ; {
			list, next, err := a.Views.ListUnarchived(ctx, month, cursor, archivePage)
			if err != nil {
				return err
			}
			empty = empty && len(list) == 0
			for _, u := range list {
				if !u.Oldest.Due(now, keepFor) {
					continue
				}
				if a.Now().Sub(now) > archiveWithin { // the next run goes on
					return a.closeObject(ctx, object)
				}
				if object, err = a.archiveStream(ctx, object, u, now); err != nil {
					return err
				}
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		month = month.AddDate(0, 1, 0)
		if empty && retention.Old(month, now, keepFor) { // the last one is looked at again until all of it is old
			first = month
		}
	}
	if err := a.closeObject(ctx, object); err != nil {
		return err
	}
	return a.putCheckpoint(ctx, archiveSK, archiveCheckpoint{first})
}

// keepFor is how long behaviour is kept in detail.
func (a *App) keepFor() time.Duration {
	return max(cmp.Or(a.Settings.KeepFor, retention.KeepFor), retention.MinKeepFor)
}

// firstMonth is where the lookup begins.
func (a *App) firstMonth(ctx context.Context, now time.Time) (time.Time, error) {
	row, ok, err := a.Views.Table.Get(ctx, checkpointPK, archiveSK)
	if err != nil {
		return time.Time{}, err
	}
	if !ok {
		return time.Date(now.Year(), now.Month()-archiveLookback, 1, 0, 0, 0, 0, time.UTC), nil
	}
	var done archiveCheckpoint
	if err := json.Unmarshal(row.Data, &done); err != nil {
		return time.Time{}, fmt.Errorf("decode checkpoint: %w", err)
	}
	return done.Month, nil
}

func (a *App) putCheckpoint(ctx context.Context, sk string, done any) error {
	data, err := json.Marshal(done)
	if err != nil {
		return err
	}
	return a.Views.Table.Put(ctx, view.Row{PK: checkpointPK, SK: sk, Data: data})
}

func (a *App) newObject(now time.Time) *archiving {
	return &archiving{Object: "behaviour/" + now.Format("2006/01/02/") + a.NewID() + ".ndjson.zst"}
}

// archiveStream adds a stream's old behaviour to the object, and to others where it does not fit. It returns the one that is
// not closed.
func (a *App) archiveStream(ctx context.Context, object *archiving, u view.Unarchived, now time.Time) (*archiving, error) {
	for range archiveObjects {
		full, err := a.gather(ctx, object, u, now)
		if err != nil && hopeless(ctx, err) {
			slog.ErrorContext(ctx, "behaviour not archived", metric.Count(metric.EventsParked, 1), "error", err)
			return object, nil
		}
		if err != nil {
			return object, err
		}
		if !full && len(object.Streams) < archiveStreams {
			return object, nil
		}
		if err := a.closeObject(ctx, object); err != nil {
			return object, err
		}
		if object = a.newObject(now); !full {
			return object, nil
		}
	}
	return object, nil // the next run goes on
}

// hopeless says whether trying again would end the same.
func hopeless(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (errors.Is(err, eventstore.ErrCorrupt) || !fault.Retryable(err))
}

// gather adds the lines of a stream's old behaviour to the object. Nothing is taken that the profile has not folded: until
// then a projection may write the timeline as it was. full says that there is more than the object can hold.
func (a *App) gather(ctx context.Context, object *archiving, u view.Unarchived, now time.Time) (full bool, err error) {
	projected, err := a.Views.CheckUnarchived(ctx, u)
	if err != nil || projected == 0 {
		return false, err
	}
	head, err := a.Log.Load(ctx, u.Stream, record.Fold)
	if err != nil {
		return false, err
	}
	s := record.Fold.Of(head)
	if gone(s) {
		return false, nil
	}
	found := archived{Stream: u.Stream}
	from := s.Retention.ArchivedTo + 1 // which the stream knows best
	for c, err := range a.Log.Store.Read(ctx, u.Stream, a.beginning(ctx, u.Stream, from), projected) {
		if err != nil {
			return false, err
		}
		if !retention.Old(c.RecordedAt, now, a.keepFor()) || c.Last() > projected {
			break
		}
		events, first := int64(0), int64(0)
		for i, r := range c.Events {
			if a.Log.Catalog.Behaviour(r.Type) && c.Version(i) >= from {
				if events++; first == 0 {
					first = c.Version(i)
				}
			}
		}
		if events == 0 {
			continue
		}
		line, err := json.Marshal(retention.LineOf(c))
		if err != nil {
			return false, err
		}
		if len(object.lines) > 0 && len(object.lines)+len(line) >= archiveBytes {
			full = true
			break
		}
		object.lines = append(append(object.lines, line...), '\n')
		if found.Events += events; found.From == 0 {
			found.From = first
		}
		found.UpTo = c.Last()
	}
	if found.Events > 0 {
		object.Streams = append(object.Streams, found)
	}
	return full, nil
}

// beginning is where the commit begins that holds a version.
func (a *App) beginning(ctx context.Context, stream string, version int64) int64 {
	for c, err := range a.Log.Store.ReadBack(ctx, stream, version) {
		if err == nil && c.Last() >= version {
			return c.First
		}
		break
	}
	return version // what cannot be read is reported by whoever reads on from here
}

// gone says whether a customer was erased, or is being erased.
func gone(s record.State) bool { return fault.SlugOf(existing(s)) == "customer-erased" }

// closeObject puts an object into the archive and does what follows.
func (a *App) closeObject(ctx context.Context, object *archiving) error {
	if len(object.Streams) == 0 {
		return nil
	}
	if err := a.Archive.Put(ctx, object.Object, object.lines); err != nil {
		return fmt.Errorf("archive behaviour: %w", err)
	}
	if err := a.putCheckpoint(ctx, archiveSK+"#"+object.Object, object); err != nil {
		return err
	}
	return a.finishObject(ctx, object)
}

// finishArchiving does what was left undone of objects that are in the archive.
func (a *App) finishArchiving(ctx context.Context) error {
	for cursor := ""; ; {
		rows, next, err := a.Views.Table.List(ctx, checkpointPK, archiveSK+"#", cursor, archivePage, false)
		if err != nil {
			return err
		}
		for _, row := range rows {
			var object archiving
			if err := json.Unmarshal(row.Data, &object); err != nil {
				return fmt.Errorf("decode checkpoint: %w", err)
			}
			if err := a.finishObject(ctx, &object); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// finishObject records and compacts what is in an object.
func (a *App) finishObject(ctx context.Context, object *archiving) error {
	events := int64(0)
	for _, s := range object.Streams {
		err := a.finishStream(ctx, object.Object, s)
		switch {
		case errors.Is(err, eventstore.ErrErased): // meanwhile: nothing of it can be read any more
		case err != nil && !hopeless(ctx, err):
			return err // the next run goes on with it
		case err != nil:
			slog.ErrorContext(ctx, "behaviour not compacted", metric.Count(metric.EventsParked, 1), "from", s.From, "upTo", s.UpTo, "error", err)
		default:
			events += s.Events
		}
	}
	slog.InfoContext(ctx, "behaviour archived", "object", object.Object, "streams", len(object.Streams), "events", events)
	return a.Views.Table.Delete(ctx, [2]string{checkpointPK, archiveSK + "#" + object.Object})
}

// finishStream records that a range of a stream is in the archive, then compacts it, then its timeline. The record comes
// first: the stream goes on after what is compacted, so that nobody takes its versions for free.
func (a *App) finishStream(ctx context.Context, object string, s archived) error {
	head, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: s.Stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
		Meta: eventstore.Meta{Actor: "system:archive-behaviour", Source: "system"},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			state := record.Fold.Of(h)
			if gone(state) {
				return eventstore.Decision{}, nil
			}
			left, err := a.oldestBehaviour(ctx, s.Stream, s.UpTo+1, h.Version)
			if err != nil {
				return eventstore.Decision{}, err
			}
			events, err := retention.Decide(state.Retention, retention.Archive{From: s.From, UpTo: s.UpTo, Events: s.Events, Object: object, Left: left})
			return eventstore.Decision{Events: eventstore.Happened(events...)}, err
		},
	})
	if err != nil {
		return err
	}
	if state := record.Fold.Of(head); gone(state) || state.Retention.ArchivedTo < s.UpTo {
		return nil // another run archived part of it, and compacts that
	}
	for attempt := 1; ; attempt++ {
		err := a.compact(ctx, s)
		if err == nil {
			return a.Views.Retell(ctx, s.Stream, s.From, s.UpTo)
		}
		if !errors.Is(err, eventstore.ErrConflict) {
			return err
		}
		if attempt == compactAttempts {
			return fault.Because(err, fault.Busy, "compacted-by-others", "a stream is compacted by others")
		}
	}
}

// oldestBehaviour returns the oldest behaviour among versions from … to, nil for none.
func (a *App) oldestBehaviour(ctx context.Context, stream string, from, to int64) (*retention.Oldest, error) {
	if from > to {
		return nil, nil
	}
	for c, err := range a.Log.Store.Read(ctx, stream, from, to) {
		if err != nil {
			return nil, err
		}
		for i, r := range c.Events {
			if a.Log.Catalog.Behaviour(r.Type) {
				return &retention.Oldest{Version: c.Version(i), RecordedAt: c.RecordedAt}, nil
			}
		}
	}
	return nil, nil
}

// compact puts summaries in the place of the behaviour of a range, which is in the archive: within a commit that holds other
// events too, and of commits next to each other one for all. A summary right before it goes on.
func (a *App) compact(ctx context.Context, s archived) error {
	belongs := func(r eventstore.Record) bool { return a.Log.Catalog.Behaviour(r.Type) || retention.IsSummary(r) }
	var group []eventstore.Commit
	merge := func() error {
		if len(group) == 0 {
			return nil
		}
		by, err := a.Log.Compact(ctx, group, belongs, retention.Summary)
		group = []eventstore.Commit{by}
		return err
	}
	from := a.beginning(ctx, s.Stream, s.From)
	if from > 1 {
		for c, err := range a.Log.Store.ReadBack(ctx, s.Stream, from-1) {
			if err != nil {
				return err
			}
			if len(c.Events) == 1 && retention.IsSummary(c.Events[0]) {
				from = c.First
			}
			break
		}
	}
	for c, err := range a.Log.Store.Read(ctx, s.Stream, from, s.UpTo) {
		if err != nil {
			return err
		}
		alone := slices.ContainsFunc(c.Events, func(r eventstore.Record) bool { return !belongs(r) })
		if alone || len(group) > 0 && !retention.Together(group[len(group)-1], c) {
			if err := merge(); err != nil {
				return err
			}
			group = nil
		}
		group = append(group, c)
		if alone || len(group) == eventstore.MaxCompact {
			if err := merge(); err != nil {
				return err
			}
		}
		if alone {
			group = nil
		}
	}
	return merge()
}
