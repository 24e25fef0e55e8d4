package view

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/topology"
)

const rebuildSegments = 4 // read side by side

// Rebuild makes the rows of every stream again from the store, side by side. It may
// run beside live projections: documents go through the version rule, lines are the same whoever writes
// them. Rows that are there already stay unless they are older, so Remove them first to prove that nothing else is
// needed. It returns how many events it folded.
func (v *Views) Rebuild(ctx context.Context) (int64, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var events atomic.Int64
	var group sync.WaitGroup
	for segment := range rebuildSegments {
		group.Go(func() {
			if err := v.rebuildSegment(ctx, segment, &events); err != nil {
				stop(err)
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return events.Load(), fmt.Errorf("rebuild views: %w", err)
	}
	return events.Load(), nil
}

func (v *Views) rebuildSegment(ctx context.Context, segment int, count *atomic.Int64) error {
	var stream []eventstore.Commit
	var lines []Row
	flush := func() error {
		if len(stream) == 0 {
			return nil
		}
		rows, n, err := v.rebuildStream(ctx, stream)
		count.Add(int64(n))
		stream = stream[:0]
		lines = append(lines, rows...)
		if err == nil && len(lines) >= 4*batchWrite {
			err = v.Table.PutMany(ctx, lines)
			lines = lines[:0]
		}
		return err
	}
	for commit, err := range v.Log.Store.Scan(ctx, segment, rebuildSegments) {
		if err != nil {
			return err
		}
		if len(stream) > 0 && stream[0].Stream != commit.Stream {
			if err := flush(); err != nil {
				return err
			}
		}
		if somebodys(commit.Stream) {
			stream = append(stream, commit)
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return v.Table.PutMany(ctx, lines)
}

// rebuildStream folds one whole stream: it writes the documents and returns the lines.
func (v *Views) rebuildStream(ctx context.Context, commits []eventstore.Commit) (lines []Row, count int, err error) {
	stream := commits[0].Stream
	var events []eventstore.Event
	consents, preferences := false, false
	for _, c := range commits {
		opened, err := v.Log.Open(ctx, c)
		if err != nil {
			return nil, 0, err
		}
		row, err := timelineRow(stream, opened)
		if err != nil {
			return nil, 0, err
		}
		if _, erased := opened[len(opened)-1].Data.(customer.DataDeleted); erased {
			lines = slices.DeleteFunc(lines, func(r Row) bool { return r.SK < auditPrefix || r.SK > auditPrefix+"~" })
			if err := v.removeLines(ctx, stream); err != nil {
				return nil, 0, err
			}
			consents, preferences = true, true
		}
		if lines, err = linkRows(append(lines, row), opened); err != nil {
			return nil, 0, err
		}
		if v.Log.Now().Sub(c.RecordedAt) < touchedFor {
			lines = withHint(lines, stream, opened)
		}
		for _, e := range opened {
			if slices.Contains(topology.AuditedEvents, e.Type) {
				entry, err := auditRow(e)
				if err != nil {
					return nil, 0, err
				}
				lines = append(lines, entry)
			}
			consents = consents || slices.Contains(topology.ConsentEvents, e.Type)
			preferences = preferences || slices.Contains(topology.PreferenceEvents, e.Type)
		}
		events = append(events, opened...)
	}
	if err := Profiles.Apply(ctx, v, stream, events); err != nil {
		return nil, 0, err
	}
	// A document ends at the version of the last event it was told of, as it does when events come one by one.
	if consents {
		if err := Consents.Apply(ctx, v, stream, upTo(events, topology.ConsentEvents)); err != nil {
			return nil, 0, err
		}
	}
	if preferences {
		if err := Preferences.Apply(ctx, v, stream, upTo(events, topology.PreferenceEvents)); err != nil {
			return nil, 0, err
		}
	}
	return lines, len(events), nil
}

// upTo returns the events up to the last one of the types.
func upTo(events []eventstore.Event, types []string) []eventstore.Event {
	for i := len(events) - 1; i >= 0; i-- {
		if slices.Contains(types, events[i].Type) {
			return events[:i+1]
		}
	}
	return nil
}

// Remove removes projected rows, beside live projections if need be. A document goes in one step with the rows derived
// from it, so that whoever folds it next finds neither and makes both.
func (v *Views) Remove(ctx context.Context, rows []Row) error {
	var consents []Row
	var lookups, keys [][2]string
	derived := map[[2]string]bool{}
	for _, row := range rows {
		if row.SK != Consents.Name {
			continue
		}
		consents = append(consents, row)
		of, err := Consents.derived(ctx, v, row)
		if err != nil {
			return err
		}
		for _, key := range of {
			derived[key] = true
		}
	}
	for _, row := range rows {
		switch key := [2]string{row.PK, row.SK}; {
		case row.SK == Consents.Name || derived[key]:
		case unarchivedLookup.has(row.PK):
			lookups = append(lookups, key)
		default:
			keys = append(keys, key)
		}
	}
	// The lookups of profiles before the profiles: whoever folds one meanwhile finds nothing to change about them.
	if err := v.Table.Delete(ctx, append(lookups, keys...)...); err != nil {
		return err
	}
	for _, row := range consents {
		if _, err := Consents.remove(ctx, v, row); err != nil {
			return err
		}
	}
	return nil
}

// Projected says whether a row of the views table is made by projections, and so can be made again from the store.
func Projected(row Row) bool {
	if consentedLookup.has(row.PK) || dueLookup.has(row.PK) {
		return true
	}
	for _, name := range []string{Profiles.Name, Consents.Name, Preferences.Name} {
		if row.SK == name {
			return true
		}
	}
	for _, prefix := range []string{timelinePrefix, auditPrefix, linkPrefix} {
		if len(row.SK) > len(prefix) && row.SK[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}
