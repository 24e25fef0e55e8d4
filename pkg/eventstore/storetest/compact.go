package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"defter/pkg/eventstore"
)

// instead is one commit for several that follow each other: one event that stands for all of theirs.
func instead(old ...eventstore.Commit) eventstore.Commit {
	by, span := old[0], 0
	by.Sealed = nil
	for _, c := range old {
		span += int(c.Last() - c.First + 1)
		by.RecordedAt, by.Compacted = c.RecordedAt, max(by.Compacted, c.Compacted)
	}
	by.Compacted++
	by.Events = []eventstore.Record{{Type: "Summed", Schema: 1, OccurredAt: start, Span: span, Data: json.RawMessage(fmt.Sprintf(`{"of":%d}`, span))}}
	return by
}

func compaction(t *testing.T, s suite) {
	all := appendAll(t, s, "CUSTOMER#1", 1, 3, 1, 2, 5, 1) // versions 1, 2 to 4, 5, 6 to 7, 8 to 12, 13
	other := appendAll(t, s, "CUSTOMER#2", 1, 3, 1)
	two := instead(all[1], all[2], all[3])
	must(t, s.Compact(t.Context(), two, all[1], all[2], all[3]))
	want := []eventstore.Commit{all[0], two, all[4], all[5]}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), want...)
	whole(t, s, "CUSTOMER#1", 13)

	again := instead(two, all[4]) // what is compacted already may go on
	must(t, s.Compact(t.Context(), again, two, all[4]))
	one := instead(all[0]) // one alone is changed in its place
	must(t, s.Compact(t.Context(), one, all[0]))
	want = []eventstore.Commit{one, again, all[5]}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), want...)
	slices.Reverse(want)
	sameCommits(t, s.ReadBack(t.Context(), "CUSTOMER#1", 0), want...)
	slices.Reverse(want)
	sameCommits(t, s.ReadBack(t.Context(), "CUSTOMER#1", 7), again, one)
	whole(t, s, "CUSTOMER#1", 13)
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0), other...)

	next := commit("CUSTOMER#1", 14, 1)
	must(t, s.Append(t.Context(), next))
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), append(want, next)...)

	many := appendAll(t, s, "CUSTOMER#3", slices.Repeat([]int{40}, eventstore.MaxCompact)...)
	most := instead(many...)
	must(t, s.Compact(t.Context(), most, many...))
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#3", 1, 0), most)
	if most.Last() != 1000 {
		t.Errorf("it ends at version %d", most.Last())
	}
}

func staleCompaction(t *testing.T, s suite) {
	all := appendAll(t, s, "CUSTOMER#1", 2, 2, 2)
	first := instead(all[0], all[1])
	must(t, s.Compact(t.Context(), first, all[0], all[1]))
	foreign := all[2]
	foreign.ID = id(999_999)
	ahead := first
	ahead.Compacted++
	for name, old := range map[string][]eventstore.Commit{
		"the same again":        {all[0], all[1]},
		"one that was changed":  {all[0]},
		"one that is gone":      {all[1], all[2]},
		"all, as they were":     all,
		"one of another id":     {first, foreign},
		"one of another number": {ahead, all[2]},
		"one that never was":    {commit("CUSTOMER#1", 7, 1)},
		"of no stream":          {commit("CUSTOMER#9", 1, 1)},
	} {
		if err := s.Compact(t.Context(), instead(old...), old...); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
		sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), first, all[2])
	}
}

func wrongCompaction(t *testing.T, s suite) {
	all := appendAll(t, s, "CUSTOMER#1", slices.Repeat([]int{2}, eventstore.MaxCompact+1)...)
	for name, c := range map[string]struct {
		change func(by *eventstore.Commit)
		old    []eventstore.Commit
	}{
		"of none":             {func(by *eventstore.Commit) {}, nil},
		"of too many":         {func(by *eventstore.Commit) {}, all},
		"out of order":        {func(by *eventstore.Commit) {}, []eventstore.Commit{all[1], all[0]}},
		"with a gap":          {func(by *eventstore.Commit) {}, []eventstore.Commit{all[0], all[2]}},
		"of another stream":   {func(by *eventstore.Commit) { by.Stream = "CUSTOMER#2" }, all[:2]},
		"too short":           {func(by *eventstore.Commit) { by.Events[0].Span-- }, all[:2]},
		"too long":            {func(by *eventstore.Commit) { by.Events[0].Span++ }, all[:2]},
		"with an old number":  {func(by *eventstore.Commit) { by.Compacted = 0 }, all[:2]},
		"that begins earlier": {func(by *eventstore.Commit) { by.First-- }, all[1:3]},
		"of no events":        {func(by *eventstore.Commit) { by.Events = nil }, all[:2]},
		"that is too large":   {func(by *eventstore.Commit) { by.Events[0].Data = text(400 << 10) }, all[:2]},
	} {
		by := instead(append(slices.Clone(c.old), all[:1]...)...)
		if len(c.old) > 0 {
			by = instead(c.old...)
		}
		c.change(&by)
		err := s.Compact(t.Context(), by, c.old...)
		if err == nil || errors.Is(err, eventstore.ErrConflict) || errors.Is(err, eventstore.ErrBusy) {
			t.Errorf("a compaction %s: %v, want a refusal", name, err)
		}
	}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), all...)
}

func compactionRace(t *testing.T, s suite) {
	all := appendAll(t, s, "CUSTOMER#1", slices.Repeat([]int{1}, 20)...)
	const rivals = 12
	errs := make([]error, rivals)
	var group sync.WaitGroup
	for i := range rivals {
		old := all[i%4 : 10+i%7] // ranges that overlap
		group.Go(func() { errs[i] = s.Compact(t.Context(), instead(old...), old...) })
	}
	group.Wait()
	winners := 0
	for i, err := range errs {
		switch {
		case err == nil:
			winners++
		case !errors.Is(err, eventstore.ErrConflict) && !errors.Is(err, eventstore.ErrBusy):
			t.Errorf("compaction %d: %v, want ErrConflict", i, err)
		}
	}
	if winners != 1 {
		t.Errorf("%d compactions won, want 1", winners)
	}
	whole(t, s, "CUSTOMER#1", 20)
}
