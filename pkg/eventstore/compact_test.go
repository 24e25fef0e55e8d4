package eventstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"testing"
	"time"

	"defter/pkg/eventstore"

	"pgregory.net/rapid"
)

// What owners of accounts look at is behaviour.
type (
	Looked struct {
		Page string `json:"page,omitempty" pii:"url"`
	}
	LooksSummed struct {
		Count int64     `json:"count" pii:"-"`
		Last  time.Time `json:"last" pii:"-"`
	}
)

var withBehaviour = eventstore.NewCatalog([]eventstore.Declaration{
	eventstore.Declare[Opened]("AccountOpened"),
	eventstore.Declare[Deposited]("MoneyDeposited"),
	eventstore.Declare[LooksSummed]("LooksSummed"),
}, eventstore.Behaviour(eventstore.Declare[Looked]("PageLookedAt")))

// looks is a fold over behaviour that takes a summary for what it stands for, wholly or in part.
var looks = &eventstore.Fold[time.Time]{Name: "looks", Version: 1, Evolve: func(last time.Time, e eventstore.Event) time.Time {
	switch d := e.Data.(type) {
	case Looked:
		return latest(last, e.OccurredAt)
	case LooksSummed:
		return latest(last, d.Last)
	}
	return last
}}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func looked(r eventstore.Record) bool {
	return withBehaviour.Behaviour(r.Type) || r.Type == "LooksSummed"
}

func summed(events []eventstore.Event) eventstore.New {
	var sum LooksSummed
	for _, e := range events {
		switch d := e.Data.(type) {
		case Looked:
			sum.Count, sum.Last = sum.Count+1, latest(sum.Last, e.OccurredAt)
		case LooksSummed:
			sum.Count, sum.Last = sum.Count+d.Count, latest(sum.Last, d.Last)
		}
	}
	return eventstore.New{Data: sum, OccurredAt: sum.Last}
}

func (w world) withBehaviour() world {
	w = w.another()
	w.Catalog = withBehaviour
	return w
}

func (w world) looks(t failer, stream string, data ...any) {
	t.Helper()
	_, _, err := w.Handle(t.Context(), eventstore.Command{Stream: stream, Folds: []eventstore.AnyFold{account, looks}, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
		return eventstore.Decision{Events: eventstore.Happened(data...)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.pass(time.Hour)
}

func (w world) compact(t failer, old ...eventstore.Commit) eventstore.Commit {
	t.Helper()
	by, err := w.Compact(t.Context(), old, looked, summed)
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// TestCompactLeavesTheRestAsItWas: ids, versions, times and private fields of what is not behaviour.
func TestCompactLeavesTheRestAsItWas(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		const stream = "ACCOUNT#1"
		w = w.withBehaviour()
		w.looks(t, stream, Looked{"/a"}, Opened{Owner: "Ayşe"}, Looked{"/b"}, Looked{"/c"}, Deposited{Amount: 1, Memo: "rent"}, Looked{})
		w.looks(t, stream, Deposited{Amount: 2})
		before := w.all(t, stream)
		for range 2 { // asked again, it finds nothing to do
			w.compact(t, w.commits(t, stream)[0])
		}
		after := w.all(t, stream)
		var kept, want []eventstore.Event
		for _, e := range before {
			if !e.Behaviour {
				want = append(want, e)
			}
		}
		for _, e := range after {
			if e.Type != "LooksSummed" {
				kept = append(kept, e)
			}
		}
		if !reflect.DeepEqual(kept, want) {
			t.Errorf("kept\n got  %+v\n want %+v", kept, want)
		}
		if got, want := versions(after), []int64{1, 2, 4, 5, 6, 7}; !slices.Equal(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
		if sum := after[2]; sum.First() != 3 || sum.Span != 2 || sum.ID != before[2].ID || sum.Data != (LooksSummed{2, before[3].OccurredAt}) {
			t.Errorf("the summary is %+v", sum)
		}
		if c := w.commits(t, stream)[0]; c.Compacted != 1 || c.Last() != 6 {
			t.Errorf("the commit is number %d and ends at %d", c.Compacted, c.Last())
		}
		w.vault.destroy(stream)
		for _, e := range w.all(t, stream)[:5] {
			if !e.Erased || e.Data == (Opened{Owner: "Ayşe"}) {
				t.Errorf("of a destroyed key: %+v", e)
			}
		}
	})
}

func TestCompactRefuses(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		const stream = "ACCOUNT#1"
		w = w.withBehaviour()
		w.looks(t, stream, Looked{"/a"})
		w.looks(t, stream, Looked{"/b"}, Deposited{Amount: 1, Memo: "rent"})
		w.looks(t, stream, Looked{"/c"})
		all := w.commits(t, stream)
		for name, old := range map[string][]eventstore.Commit{"none": nil, "the last one": all[2:], "what stays, with others": all[:2], "a gap": {all[0], all[2]}} {
			if _, err := w.Compact(t.Context(), old, looked, summed); err == nil || errors.Is(err, eventstore.ErrConflict) {
				t.Errorf("%s: %v, want a refusal", name, err)
			}
		}
		w.compact(t, all[1])
		if _, err := w.Compact(t.Context(), all[1:2], looked, summed); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("what was compacted meanwhile: %v, want ErrConflict", err)
		}
		w.vault.destroy(stream)
		if _, err := w.Compact(t.Context(), all[:1], looked, summed); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("what can no longer be read: %v, want ErrErased", err)
		}
	})
}

// TestCompactedStreamsFoldTheSame: from the beginning, from every snapshot and over every range, whatever was compacted.
func TestCompactedStreamsFoldTheSame(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const stream = "ACCOUNT#1"
		w := inMemory().withBehaviour()
		n := rapid.IntRange(2, 30).Draw(r, "commits")
		var snapshots []eventstore.Snapshot
		for range n {
			var data []any
			for range rapid.IntRange(1, 4).Draw(r, "events") {
				if rapid.IntRange(0, 4).Draw(r, "kind") == 0 {
					data = append(data, Deposited{Amount: 1, Memo: "m"})
				} else {
					data = append(data, Looked{fmt.Sprint("/", len(data))})
				}
			}
			w.looks(r, stream, data...)
			h := w.load(r, stream, account, looks)
			for name, state := range map[string]any{"account": account.Of(h), "looks": looks.Of(h)} {
				snapshots = append(snapshots, w.sealed(r, stream, name, h, state))
			}
		}
		w.looks(r, stream, Deposited{Amount: 1})
		want := w.load(r, stream, account, looks)
		ids := map[int64]string{}
		for _, e := range w.all(r, stream) {
			ids[e.First()] = e.ID
		}
		for range rapid.IntRange(1, 10).Draw(r, "compactions") {
			commits := w.commits(r, stream)
			from := rapid.IntRange(0, len(commits)-2).Draw(r, "from")
			old := commits[from : from+1]
			for len(old) < eventstore.MaxCompact && from+len(old) < len(commits)-1 && pure(old[0]) && pure(commits[from+len(old)]) {
				old = commits[from : from+len(old)+1]
			}
			w.compact(r, old...)
		}
		same := func(what string) {
			got := w.load(r, stream, account, looks)
			if got.Version != want.Version || got.RecordedAt != want.RecordedAt || account.Of(got) != account.Of(want) || !looks.Of(got).Equal(looks.Of(want)) {
				r.Fatalf("%s: %d %+v %v, want %d %+v %v", what, got.Version, account.Of(got), looks.Of(got), want.Version, account.Of(want), looks.Of(want))
			}
		}
		same("from the beginning")
		for _, s := range snapshots {
			if err := w.Store.SaveSnapshot(r.Context(), s); err != nil {
				r.Fatal(err)
			}
			same(fmt.Sprintf("from %s at %d", s.Fold, s.Version))
		}
		next := int64(1)
		for _, e := range w.all(r, stream) {
			if e.First() != next || e.ID != ids[e.First()] {
				r.Fatalf("an event of %d to %d with id %s after version %d", e.First(), e.Version, e.ID, next-1)
			}
			next = e.Version + 1
		}
		from := rapid.Int64Range(1, want.Version).Draw(r, "first")
		to := rapid.Int64Range(from, want.Version+2).Draw(r, "last")
		for _, e := range collect(r, w.Events(r.Context(), stream, from, to)) {
			if e.Version < from || e.Version > to {
				r.Fatalf("version %d is not in %d to %d", e.Version, from, to)
			}
		}
	})
}

func pure(c eventstore.Commit) bool {
	return !slices.ContainsFunc(c.Events, func(r eventstore.Record) bool { return !looked(r) })
}

// overtaken is a store whose commits become fewer while they are read: after the n-th one.
type overtaken struct {
	eventstore.Store
	after   int
	compact func()
}

func (o *overtaken) Read(ctx context.Context, stream string, from, to int64) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) {
		next, n := from, 0
		for { // a page is one commit
			found := false
			for c, err := range o.Store.Read(ctx, stream, next, to) {
				found, next = true, c.First+1
				if !yield(c, err) {
					return
				}
				break
			}
			if !found {
				return
			}
			if n++; n == o.after {
				o.compact()
			}
		}
	}
}

// TestCompactedWhileRead: who reads sees part of it as it was and the rest as it is, and every version.
func TestCompactedWhileRead(t *testing.T) {
	const stream = "ACCOUNT#1"
	for after := 1; after <= 7; after++ {
		read := func(what string, read func(w world)) {
			w := inMemory().withBehaviour()
			w.looks(t, stream, Opened{})
			for range 5 {
				w.looks(t, stream, Looked{"/"}, Looked{"/"})
			}
			w.looks(t, stream, Deposited{Amount: 7})
			want := w.load(t, stream, account, looks)
			through := w.another()
			through.Store = &overtaken{Store: w.Store, after: after, compact: func() { w.compact(t, w.commits(t, stream)[1:6]...) }}
			read(through)
			got := w.load(t, stream, account, looks)
			if account.Of(got) != account.Of(want) || looks.Of(got) != looks.Of(want) {
				t.Errorf("%s, compacted after %d: %+v, want %+v", what, after, got, want)
			}
		}
		read("load", func(w world) {
			if h := w.load(t, stream, account, looks); h.Version != 12 || account.Of(h).Balance != 7 {
				t.Errorf("compacted after %d commits: %+v", after, h)
			}
		})
		read("events", func(w world) {
			next := int64(1)
			for _, e := range w.all(t, stream) {
				if e.First() > next || e.Version < next {
					t.Errorf("compacted after %d commits: %d to %d comes after %d", after, e.First(), e.Version, next-1)
				}
				next = e.Version + 1
			}
			if next != 13 {
				t.Errorf("compacted after %d commits: it ends at %d", after, next-1)
			}
		})
	}
}

// TestOldHeadsAreReadAgain: the commit that would be in the way of a stale append may be compacted away, after months.
func TestOldHeadsAreReadAgain(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		const stream = "ACCOUNT#1"
		w = w.withBehaviour()
		w.looks(t, stream, Opened{}, Looked{"/"})
		stale := w.withBehaviour().cached(10)
		stale.looks(t, stream, Looked{"/a"}) // and remembers version 3
		w.looks(t, stream, Looked{"/b"})
		w.looks(t, stream, Deposited{Amount: 5})
		w.clock.pass(25 * time.Hour)
		w.compact(t, w.commits(t, stream)[1:3]...)
		stale.looks(t, stream, Deposited{Amount: 1})
		if got, want := versions(w.all(t, stream)), []int64{1, 2, 4, 5, 6}; !slices.Equal(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
		if h := w.load(t, stream, account); account.Of(h).Balance != 6 {
			t.Errorf("the balance is %d", account.Of(h).Balance)
		}
	})
}

// sealed is a fold's snapshot at a head.
func (w world) sealed(t failer, stream, fold string, h *eventstore.Head, state any) eventstore.Snapshot {
	t.Helper()
	data, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	layout := map[string]int{"account": account.Version, "looks": looks.Version}[fold]
	sealed, err := w.vault.Seal(t.Context(), stream, "S#"+stream+"#"+fold, data)
	if err != nil {
		t.Fatal(err)
	}
	return eventstore.Snapshot{Stream: stream, Fold: fold, Version: h.Version, State: layout, RecordedAt: h.RecordedAt, Sealed: sealed}
}
