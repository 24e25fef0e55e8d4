package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"testing"
	"time"

	"defter/pkg/eventstore"
)

func ranges(t *testing.T, s suite) {
	appendAll(t, s, "CUSTOMER#1", 3, 3, 1) // versions 1 to 3, 4 to 6, 7
	for _, c := range []struct {
		from, to int64
		want     []int64
	}{
		{1, 0, []int64{1, 4, 7}},
		{0, 0, []int64{1, 4, 7}},
		{1, 4, []int64{1, 4}},
		{2, 6, []int64{4}},
		{4, 4, []int64{4}},
		{5, 0, []int64{7}},
		{5, 6, nil},
		{8, 0, nil},
		{6, 3, nil},
		{1, eventstore.MaxVersion, []int64{1, 4, 7}},
	} {
		if got := firsts(t, s.Read(t.Context(), "CUSTOMER#1", c.from, c.to)); !slices.Equal(got, c.want) {
			t.Errorf("read from %d to %d: commits %v, want %v", c.from, c.to, got, c.want)
		}
	}
	for from, want := range map[int64][]int64{0: {7, 4, 1}, 7: {7, 4, 1}, 99: {7, 4, 1}, 6: {4, 1}, 4: {4, 1}, 3: {1}, 1: {1}} {
		if got := firsts(t, s.ReadBack(t.Context(), "CUSTOMER#1", from)); !slices.Equal(got, want) {
			t.Errorf("read back from %d: commits %v, want %v", from, got, want)
		}
	}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0))
	sameCommits(t, s.ReadBack(t.Context(), "CUSTOMER#2", 0))
}

func manyPages(t *testing.T, s suite) {
	all := pagesOf(t, s, "CUSTOMER#1")
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), all...)
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", all[3].First, all[37].First), all[3:38]...)
	back := slices.Clone(all)
	slices.Reverse(back)
	sameCommits(t, s.ReadBack(t.Context(), "CUSTOMER#1", 0), back...)
	sameCommits(t, s.ReadBack(t.Context(), "CUSTOMER#1", all[36].First), back[3:]...)

	read := s.Read(t.Context(), "CUSTOMER#1", 1, 0)
	for range 2 { // an iterator left early begins anew
		n := 0
		for c, err := range read {
			must(t, err)
			if n++; c.First != all[n-1].First {
				t.Fatalf("commit %d begins at version %d, want %d", n, c.First, all[n-1].First)
			}
			if n == 20 {
				break
			}
		}
	}
}

// pagesOf fills a stream with 2.4 MB: a page of DynamoDB ends after 1 MB.
func pagesOf(t *testing.T, s suite, stream string) []eventstore.Commit {
	all := make([]eventstore.Commit, 40)
	for i := range all {
		all[i] = commit(stream, int64(1+3*i), 3)
		for j := range all[i].Events {
			all[i].Events[j].Data = text(20_000 + i)
		}
		must(t, s.Append(t.Context(), all[i]))
	}
	return all
}

func orderByVersion(t *testing.T, s suite) {
	all := make([]eventstore.Commit, 0, 13)
	next := int64(1)
	for i, n := range []int{1, 8, 1, 1, 88, 1, 900, 1, 999, 1} { // over 9, 10, 99, 100, 999, 1000
		c := commit("CUSTOMER#1", next, n)
		c.ID, c.RecordedAt = id(1000-i), start.Add(-time.Duration(i/2)*time.Hour)
		must(t, s.Append(t.Context(), c))
		all, next = append(all, c), next+int64(n)
	}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), all...)
	slices.Reverse(all)
	sameCommits(t, s.ReadBack(t.Context(), "CUSTOMER#1", 0), all...)
}

func onlyCommits(t *testing.T, s suite) {
	const stream = "CUSTOMER#1"
	c := commit(stream, 1, 2)
	must(t, s.Append(t.Context(), c, eventstore.Claim{Key: stream, Owner: stream}))
	for _, fold := range []string{"", "#", "A", "E#", "E#000000000002", "account", "~"} {
		must(t, s.SaveSnapshot(t.Context(), eventstore.Snapshot{Stream: stream, Fold: fold, Version: 2, State: 1, RecordedAt: start, Sealed: []byte("{}")}))
	}
	must(t, s.Claim(t.Context(), eventstore.Claim{Key: "E#000000000001", Owner: stream}))
	must(t, s.Claim(t.Context(), eventstore.Claim{Key: "CUSTOMER#2", Owner: stream}))
	sameCommits(t, s.Read(t.Context(), stream, 1, 0), c)
	sameCommits(t, s.ReadBack(t.Context(), stream, 0), c)
	sameCommits(t, s.Scan(t.Context(), 0, 1), c)
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0))
}

func similarNames(t *testing.T, s suite) {
	names := []string{"CUSTOMER#1", "CUSTOMER#11", "CUSTOMER#1#", "customer#1", "CUSTOMER# 1", "CUSTOMER", "CUSTOMER#Ş", "CUSTOMER#S\u0327"}
	all := make([]eventstore.Commit, len(names))
	for i, name := range names {
		all[i] = commit(name, 1, i+1)
		must(t, s.Append(t.Context(), all[i]))
	}
	for i, name := range names {
		sameCommits(t, s.Read(t.Context(), name, 1, 0), all[i])
	}
}

func cancelled(t *testing.T, s suite) {
	held1 := commit("CUSTOMER#1", 1, 1)
	must(t, s.Append(t.Context(), held1, eventstore.Claim{Key: "held", Owner: "CUSTOMER#1"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	drain := func(commits iter.Seq2[eventstore.Commit, error]) error {
		for _, err := range commits {
			return err
		}
		return nil
	}
	snapshot := eventstore.Snapshot{Stream: "CUSTOMER#1", Fold: "account", Version: 1, State: 1, RecordedAt: start, Sealed: []byte("{}")}
	for name, call := range map[string]func() error{
		"Append":  func() error { return s.Append(ctx, commit("CUSTOMER#2", 1, 1)) },
		"Compact": func() error { return s.Compact(ctx, instead(held1), held1) },
		"Append with claims": func() error {
			return s.Append(ctx, commit("CUSTOMER#2", 1, 1), eventstore.Claim{Key: "free", Owner: "CUSTOMER#2"})
		},
		"Read":          func() error { return drain(s.Read(ctx, "CUSTOMER#1", 1, 0)) },
		"ReadBack":      func() error { return drain(s.ReadBack(ctx, "CUSTOMER#1", 0)) },
		"Scan":          func() error { return drain(s.Scan(ctx, 0, 1)) },
		"Claimed":       func() error { _, _, err := s.Claimed(ctx, "held"); return err },
		"Claim":         func() error { return s.Claim(ctx, eventstore.Claim{Key: "free", Owner: "CUSTOMER#2"}) },
		"Unclaim":       func() error { return s.Unclaim(ctx, "held", "CUSTOMER#1") },
		"LoadSnapshots": func() error { _, err := s.LoadSnapshots(ctx, "CUSTOMER#1", "account", "segments"); return err },
		"SaveSnapshot":  func() error { return s.SaveSnapshot(ctx, snapshot) },
		"DropSnapshots": func() error { return s.DropSnapshots(ctx, "CUSTOMER#1", "account") },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		}
	}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), held1)
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0))
	held(t, s, "held", "CUSTOMER#1")
	free(t, s, "free")
	if found, err := s.LoadSnapshots(t.Context(), "CUSTOMER#1", "account"); err != nil || len(found) > 0 {
		t.Errorf("snapshots %v, %v: saved although cancelled", found, err)
	}
}

func cancelledMidway(t *testing.T, s suite) {
	all := pagesOf(t, s, "CUSTOMER#1")
	for name, read := range map[string]func(context.Context) iter.Seq2[eventstore.Commit, error]{
		"Read":     func(ctx context.Context) iter.Seq2[eventstore.Commit, error] { return s.Read(ctx, "CUSTOMER#1", 1, 0) },
		"ReadBack": func(ctx context.Context) iter.Seq2[eventstore.Commit, error] { return s.ReadBack(ctx, "CUSTOMER#1", 0) },
		"Scan":     func(ctx context.Context) iter.Seq2[eventstore.Commit, error] { return s.Scan(ctx, 0, 1) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		var last error
		for _, err := range read(ctx) {
			if last = err; err == nil {
				n++
			}
			cancel()
		}
		cancel()
		if !errors.Is(last, context.Canceled) || n >= len(all) {
			t.Errorf("%s cancelled after its first commit: %d of %d commits, then %v", name, n, len(all), last)
		}
	}
}

func scan(t *testing.T, s suite) {
	all := map[string][]eventstore.Commit{"CUSTOMER#long": pagesOf(t, s, "CUSTOMER#long")}
	for i := range 60 {
		stream := fmt.Sprintf("CUSTOMER#%d", i)
		lengths := make([]int, 1+i%12)
		for j := range lengths {
			lengths[j] = 1 + (i+j)%5
		}
		all[stream] = appendAll(t, s, stream, lengths...)
		must(t, s.SaveSnapshot(t.Context(), eventstore.Snapshot{Stream: stream, Fold: "account", Version: 1, State: 1, RecordedAt: start, Sealed: []byte("{}")}))
		must(t, s.Claim(t.Context(), eventstore.Claim{Key: fmt.Sprintf("UNIQUE#email#%d", i), Owner: stream}))
	}
	for _, n := range []int{1, 2, 7} {
		seen := map[string]bool{}
		busy := 0
		for segment := range n {
			streams := byStream(t, s.Scan(t.Context(), segment, n))
			if len(streams) > 0 {
				busy++
			}
			for _, commits := range streams {
				stream := commits[0].Stream
				if seen[stream] {
					t.Errorf("%s comes more than once, or in pieces, in %d segments", stream, n)
				}
				seen[stream] = true
				if !reflect.DeepEqual(commits, all[stream]) {
					t.Errorf("scan in %d segments: %d commits of %s, want %d", n, len(commits), stream, len(all[stream]))
				}
			}
		}
		if len(seen) != len(all) {
			t.Errorf("scan in %d segments: %d streams, want %d", n, len(seen), len(all))
		}
		if busy < min(n, 2) {
			t.Errorf("scan in %d segments: only %d of them yield anything", n, busy)
		}
	}
}

// byStream cuts a scan wherever the stream changes.
func byStream(t *testing.T, commits iter.Seq2[eventstore.Commit, error]) [][]eventstore.Commit {
	var streams [][]eventstore.Commit
	for c, err := range commits {
		must(t, err)
		if last := len(streams) - 1; last >= 0 && streams[last][0].Stream == c.Stream {
			streams[last] = append(streams[last], c)
		} else {
			streams = append(streams, []eventstore.Commit{c})
		}
	}
	return streams
}
