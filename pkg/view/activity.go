package view

import (
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
	"defter/pkg/fault"
)

const (
	activityWorkers = 8
	quarantineFor   = 30 * 24 * time.Hour
)

// ProjectActivity folds commits as the stream delivers them, in batches and in order per customer, into profiles and
// timelines. A customer whose record cannot be folded is quarantined and does not hold up the others: the next record of
// theirs reads the gap from the store, and so tries again. It returns the indexes of commits to deliver again.
func (v *Views) ProjectActivity(ctx context.Context, commits []eventstore.Commit) (failed []int) {
	streams := map[string][]int{}
	var keys [][2]string
	for i, c := range commits {
		if streams[c.Stream] == nil {
			keys = append(keys, [2]string{c.Stream, Profiles.Name})
		}
		streams[c.Stream] = append(streams[c.Stream], i)
	}
	rows, err := v.Table.GetMany(ctx, keys)
	if err != nil {
		slog.WarnContext(ctx, "project activity", "error", err)
		return all(len(commits))
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	turns := make(chan struct{}, activityWorkers)
	for _, k := range keys {
		group.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; group.Done() }()
			own := streams[k[0]]
			some := make([]eventstore.Commit, len(own))
			for j, i := range own {
				some[j] = commits[i]
			}
			if err := v.projectStream(ctx, rows[k], k[0], some); err != nil {
				if !fault.Retryable(err) || errors.Is(err, errPoison) {
					err = v.quarantine(ctx, k[0], some[0].First, err)
				}
				if err != nil {
					slog.WarnContext(ctx, "project activity", "error", err)
					mu.Lock()
					failed = append(failed, own...)
					mu.Unlock()
				}
			}
		}()
	}
	group.Wait()
	slices.Sort(failed)
	return failed
}

// errPoison: the record itself cannot be read, however often.
var errPoison = errors.New("the record cannot be read")

func (v *Views) projectStream(ctx context.Context, profile Row, stream string, commits []eventstore.Commit) error {
	var lines []Row
	var events []eventstore.Event
	erased := int64(0)
	for _, c := range commits {
		if c.Last() <= profile.Version {
			continue
		}
		opened, err := v.Log.Open(ctx, c)
		if err != nil {
			return fmt.Errorf("%w: %w", errPoison, err)
		}
		if missing := profile.Version + 1; c.First > missing && len(events) == 0 {
			for late, err := range v.Log.Store.Read(ctx, stream, missing, c.First-1) {
				if err != nil {
					return err
				}
				before, err := v.Log.Open(ctx, late)
				if err != nil {
					return fmt.Errorf("%w: %w", errPoison, err)
				}
				row, err := timelineRow(stream, before)
				if err != nil {
					return err
				}
				events, lines = append(events, before...), append(lines, row)
			}
		}
		row, err := timelineRow(stream, opened)
		if err != nil {
			return err
		}
		events, lines = append(events, opened...), append(lines, row)
		if _, gone := opened[len(opened)-1].Data.(customer.DataDeleted); gone {
			erased = c.First
		}
	}
	if len(events) == 0 {
		return nil
	}
	if erased > 0 { // nothing of the timeline outlives the customer but the erasure itself
		old, err := v.Table.Keys(ctx, stream, timelinePrefix)
		if err != nil {
			return err
		}
		lines = slices.DeleteFunc(lines, func(r Row) bool { return r.Version < erased })
		if err := v.Table.Delete(ctx, old...); err != nil {
			return err
		}
	}
	if err := v.Table.PutMany(ctx, lines); err != nil { // before the profile, whose version is their checkpoint
		return err
	}
	return Profiles.ApplyTo(ctx, v, profile, stream, events)
}

// quarantine notes a record that cannot be folded, without what is personal in it.
func (v *Views) quarantine(ctx context.Context, stream string, version int64, reason error) error {
	slog.ErrorContext(ctx, "record quarantined", "metric", "RecordsQuarantined", "version", version, "error", reason)
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
