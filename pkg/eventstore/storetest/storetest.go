// Package storetest is the contract that every event store passes, and given / when / then for deciders.
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/eventstore"
)

// Run holds a store to the contract. open makes an empty store whose clock is now.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) eventstore.Store) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, suite)
	}{
		{"every field comes back", everyField},
		{"any commit comes back", anyCommit},
		{"writers of different lengths: one wins", differentLengths},
		{"many writers at once: one wins", manyWriters},
		{"a retried append succeeds and stores once", retriedAppend},
		{"commits up to the limits", upToTheLimits},
		{"commits beyond the limits are refused", beyondTheLimits},
		{"a range is of first versions", ranges},
		{"a stream of many pages is read whole", manyPages},
		{"order is by version, not by time or id", orderByVersion},
		{"only commits are read as commits", onlyCommits},
		{"streams with similar names are apart", similarNames},
		{"snapshots", snapshots},
		{"a claim has one owner", claimOwner},
		{"a taken claim stops the commit whole", claimAtomic},
		{"a stale version counts before a taken claim", conflictFirst},
		{"a claim is released only by its owner", claimRelease},
		{"an expired claim is free", claimExpiry},
		{"many transactions for one claim: one wins", claimRace},
		{"a lost race for a version leaves no claim", claimOfLoser},
		{"a cancelled context stops everything", cancelled},
		{"a cancelled context stops a read under way", cancelledMidway},
		{"a scan yields every stream whole and only once", scan},
		{"fewer commits in the place of many", compaction},
		{"a compaction of what is there no more is refused", staleCompaction},
		{"a compaction beyond the limits is refused", wrongCompaction},
		{"many compactions at once: one wins", compactionRace},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := &clock{at: start}
			c.check(t, suite{Store: open(t, clock.now), clock: clock})
		})
	}
}

var start = time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC)

type suite struct {
	eventstore.Store
	clock *clock
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var lastID struct {
	sync.Mutex
	n int
}

// commit makes a commit of n small events with an id of its own.
func commit(stream string, first int64, n int) eventstore.Commit {
	lastID.Lock()
	lastID.n++
	c := eventstore.Commit{ID: id(1_000_000 + lastID.n), Stream: stream, First: first, RecordedAt: start, Events: make([]eventstore.Record, n)}
	lastID.Unlock()
	for i := range c.Events {
		c.Events[i] = eventstore.Record{Type: "Counted", Schema: 1, OccurredAt: start, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, first+int64(i)))}
	}
	return c
}

// id makes a commit's id of a number.
func id(n int) string { return fmt.Sprintf("0195f4d1-%04x-7%03x-8000-000000000000", n&0xffff, n>>16) }

// text is a JSON string of that many bytes.
func text(bytes int) json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat("x", bytes-2) + `"`)
}

func appendAll(t *testing.T, s suite, stream string, lengths ...int) []eventstore.Commit {
	t.Helper()
	all := make([]eventstore.Commit, len(lengths))
	next := int64(1)
	for i, n := range lengths {
		all[i] = commit(stream, next, n)
		must(t, s.Append(t.Context(), all[i]))
		next += int64(n)
	}
	return all
}

func version(t *testing.T, s suite, stream string) (int64, error) {
	for c, err := range s.ReadBack(t.Context(), stream, 0) {
		return c.Last(), err
	}
	return 0, nil
}

// whole expects a stream without gaps up to a version.
func whole(t *testing.T, s suite, stream string, last int64) {
	t.Helper()
	next := int64(1)
	for c, err := range s.Read(t.Context(), stream, 1, 0) {
		must(t, err)
		if c.First != next {
			t.Errorf("%s: a commit begins at version %d, want %d", stream, c.First, next)
		}
		next = c.Last() + 1
	}
	if next != last+1 {
		t.Errorf("%s ends at version %d, want %d", stream, next-1, last)
	}
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func sameCommits(t failer, got iter.Seq2[eventstore.Commit, error], want ...eventstore.Commit) {
	t.Helper()
	n := 0
	for c, err := range got {
		must(t, err)
		switch {
		case n >= len(want):
			t.Errorf("one commit too many: version %d of %s", c.First, c.Stream)
		case !reflect.DeepEqual(c, want[n]):
			t.Errorf("commit %d:\n got  %s\n want %s", n, short(c), short(want[n]))
		}
		n++
	}
	if n < len(want) {
		t.Errorf("%d commits, want %d", n, len(want))
	}
}

func short(c eventstore.Commit) string {
	text := fmt.Sprintf("%+v", c)
	for i, e := range c.Events {
		text += fmt.Sprintf(" [%d]=%s", i, e.Data)
	}
	return text[:min(len(text), 1000)]
}

func firsts(t *testing.T, commits iter.Seq2[eventstore.Commit, error]) []int64 {
	t.Helper()
	var all []int64
	for c, err := range commits {
		must(t, err)
		all = append(all, c.First)
	}
	return all
}

func held(t *testing.T, s suite, key, owner string) eventstore.Claim {
	t.Helper()
	c, ok, err := s.Claimed(t.Context(), key)
	must(t, err)
	if !ok || c.Owner != owner {
		t.Errorf("claim %s: held by %q (%t), want %s", key, c.Owner, ok, owner)
	}
	return c
}

func free(t *testing.T, s suite, key string) {
	t.Helper()
	c, ok, err := s.Claimed(t.Context(), key)
	must(t, err)
	if ok {
		t.Errorf("claim %s is held by %s, want free", key, c.Owner)
	}
}

func taken(t *testing.T, err error, key string) {
	t.Helper()
	if taken, ok := errors.AsType[*eventstore.TakenError](err); !ok || taken.Key != key {
		t.Errorf("claim %s: %v, want it to be taken", key, err)
	}
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}
