package view

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/metric"
)

const (
	defaultWorkers = 8
	quarantineFor  = 30 * 24 * time.Hour
)

// ProjectActivity folds commits as the stream delivers them, in batches and in order per customer, into profiles and
// timelines. A customer whose record cannot be read is quarantined and does not hold up the others: the next record of
// theirs reads the gap from the store, and so tries again. It returns the indexes of commits to deliver again.
func (v *Views) ProjectActivity(ctx context.Context, commits []eventstore.Commit) (failed []int) {
	var parts []*activityPart
	byStream := map[string]*activityPart{}
	var keys [][2]string
	for i, c := range commits {
		if !somebodys(c.Stream) {
			continue
		}
		part := byStream[c.Stream]
		if part == nil {
			part = &activityPart{stream: c.Stream}
			byStream[c.Stream], parts = part, append(parts, part)
			keys = append(keys, [2]string{c.Stream, Profiles.Name})
		}
		part.commits, part.indexes = append(part.commits, c), append(part.indexes, i)
	}
	profiles, err := v.Table.GetMany(ctx, keys)
	if err != nil {
		slog.WarnContext(ctx, "project activity", "error", err)
		return all(len(commits))
	}
	sideBySide(v.Workers, len(parts), func(i int) {
		part := parts[i]
		part.profile = profiles[[2]string{part.stream, Profiles.Name}]
		part.err = part.open(ctx, v)
	})
	var lines []Row
	for _, part := range parts {
		if part.err == nil {
			lines = append(lines, part.lines...)
		}
	}
	requests := slices.Collect(slices.Chunk(lines, batchWrite))
	errs := make([]error, len(requests))
	sideBySide(v.Workers, len(requests), func(i int) { errs[i] = v.Table.PutMany(ctx, requests[i]) })
	if err := errors.Join(errs...); err != nil { // before the profiles, whose versions are their checkpoint
		slog.WarnContext(ctx, "project activity", "error", err)
		return all(len(commits))
	}
	sideBySide(v.Workers, len(parts), func(i int) {
		part := parts[i]
		if part.err == nil && len(part.events) > 0 {
			part.err = Profiles.ApplyTo(ctx, v, part.profile, part.stream, part.events)
		}
		if errors.Is(part.err, eventstore.ErrCorrupt) {
			part.err = v.quarantine(ctx, part.stream, part.commits[0].First, part.err)
		}
	})
	for _, part := range parts {
		if part.err != nil {
			slog.WarnContext(ctx, "project activity", "error", part.err)
			failed = append(failed, part.indexes...)
		}
	}
	slices.Sort(failed)
	return failed
}

// activityPart is one stream's part of a batch.
type activityPart struct {
	stream  string
	commits []eventstore.Commit
	indexes []int // of the commits in the batch
	profile Row
	events  []eventstore.Event // beyond the profile's version, without gaps
	lines   []Row
	cartAt  *time.Time // of the profile, once it was looked at
	err     error
}

// open reads the part's events: what the profile has is left out, and what the batch does not have is read from the store. A long
// gap is worked off in pieces that are written, so that what was done of it is kept when time is up.
func (p *activityPart) open(ctx context.Context, v *Views) error {
	next := p.profile.Version + 1
	for _, c := range p.commits {
		if v.erases(c) && c.First > next { // what came before is gone: nobody reads it again, however long it is
			p.events, p.lines, next = nil, nil, c.First
		}
		if c.First < next {
			continue
		}
		if c.First > next {
			for missing, err := range v.Log.Store.Read(ctx, p.stream, next, c.First-1) {
				if err == nil {
					err = p.add(ctx, v, missing)
				}
				if err == nil && len(p.events) >= maxPiece {
					err = p.write(ctx, v)
				}
				if err != nil {
					return err
				}
			}
		}
		if err := p.add(ctx, v, c); err != nil {
			return err
		}
		next = c.Last() + 1
	}
	return nil
}

// erases says whether a commit says that its stream's personal data are gone.
func (v *Views) erases(c eventstore.Commit) bool {
	return slices.ContainsFunc(c.Events, func(r eventstore.Record) bool { return v.Log.Catalog.Ends(r.Type) })
}

// add takes the next commit.
func (p *activityPart) add(ctx context.Context, v *Views, c eventstore.Commit) error {
	events, err := v.Log.Open(ctx, c)
	if err != nil {
		return err
	}
	row, err := timelineRow(p.stream, events)
	if err != nil {
		return err
	}
	if _, erased := events[len(events)-1].Data.(customer.DataDeleted); erased {
		// Nothing of the timeline outlives the customer but the erasure itself.
		if err := v.removeLines(ctx, p.stream); err != nil {
			return err
		}
		hints, err := v.Hints(ctx, p.stream)
		if err != nil {
			return err
		}
		if err := v.Table.Delete(ctx, hints...); err != nil {
			return err
		}
		p.lines = nil
	}
	if p.lines, err = linkRows(append(p.lines, row), events); err != nil {
		return err
	}
	p.events, p.lines = append(p.events, events...), p.hinted(p.lines, events)
	return nil
}

// removeLines removes a stream's lines but for the audit trail.
func (v *Views) removeLines(ctx context.Context, stream string) error {
	for _, prefix := range []string{timelinePrefix, linkPrefix} {
		old, err := v.Table.Keys(ctx, stream, prefix)
		if err != nil {
			return err
		}
		if err := v.Table.Delete(ctx, old...); err != nil {
			return err
		}
	}
	return nil
}

// write writes what there is so far, the lines before the profile whose version is their checkpoint.
func (p *activityPart) write(ctx context.Context, v *Views) error {
	if err := v.Table.PutMany(ctx, p.lines); err != nil {
		return err
	}
	if err := Profiles.ApplyTo(ctx, v, p.profile, p.stream, p.events); err != nil {
		return err
	}
	row, _, err := v.Table.Get(ctx, p.stream, Profiles.Name)
	if err != nil {
		return err
	}
	p.profile, p.events, p.lines = row, nil, nil
	return nil
}

// sideBySide does n pieces of work, a few at a time: as many as workers says, 0 for the default.
func sideBySide(workers, n int, work func(i int)) {
	var group sync.WaitGroup
	turns := make(chan struct{}, cmp.Or(workers, defaultWorkers))
	for i := range n {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			work(i)
		})
	}
	group.Wait()
}

// quarantine notes a record that cannot be folded, without what is personal in it.
func (v *Views) quarantine(ctx context.Context, stream string, version int64, reason error) error {
	slog.ErrorContext(ctx, "record quarantined", metric.Count(metric.RecordsQuarantined, 1), "version", version, "error", reason)
	data, err := json.Marshal(map[string]string{"reason": reason.Error()})
	if err != nil {
		return fmt.Errorf("encode quarantine: %w", err)
	}
	row := Row{
		PK: "QUARANTINE#projection", SK: fmt.Sprintf("%s#%012d", stream, version), Version: version,
		Data: data, TTL: v.Log.Now().Add(quarantineFor).Unix(),
	}
	return v.Table.Put(ctx, row)
}

func all(n int) []int {
	indexes := make([]int, n)
	for i := range indexes {
		indexes[i] = i
	}
	return indexes
}
