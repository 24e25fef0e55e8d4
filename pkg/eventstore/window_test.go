package eventstore_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"defter/pkg/eventstore"

	"pgregory.net/rapid"
)

const newestMost = 50

// newest are the last versions of a stream.
var newest = &eventstore.Fold[[]int64]{Name: "newest", Version: 1, Evolve: func(s []int64, e eventstore.Event) []int64 {
	if e.Data != nil {
		panic("a window sees what is in an event")
	}
	s = append(slices.Clone(s), e.Version)
	return s[max(0, len(s)-newestMost):]
}}

func window(t failer, w world, stream string) []int64 {
	t.Helper()
	seen := 0
	state, err := eventstore.Window(t.Context(), w.Log, w.load(t, stream, account), newest, func(c eventstore.Commit) bool {
		seen += len(c.Events)
		return seen-len(c.Events) >= newestMost
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestAWindowIsTheNewestPart, whether it was computed before or not, and however much came since.
func TestAWindowIsTheNewestPart(t *testing.T) {
	asked, kept := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := inMemory()
		version := int64(0)
		for range rapid.IntRange(1, 20).Draw(t, "turns") {
			for range rapid.SampledFrom([]int{0, 1, 3, 60}).Draw(t, "commits") {
				data := rapid.SliceOfN(anyData(rapid.Just(long(400))), 1, 4).Draw(t, "data")
				head, _, err := w.Handle(t.Context(), eventstore.Command{
					Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{account},
					Decide: func(*eventstore.Head) (eventstore.Decision, error) {
						return eventstore.Decision{Events: eventstore.Happened(data...)}, nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				version = head.Version
			}
			var want []int64
			for v := max(1, version-newestMost+1); v <= version; v++ {
				want = append(want, v)
			}
			if got := window(t, w, "ACCOUNT#1"); !slices.Equal(got, want) {
				t.Fatalf("at version %d the window is %v", version, got)
			}
			asked++
		}
		if _, ok := snapshotOf(t, w, "ACCOUNT#1", "newest"); ok {
			kept++
		}
	})
	if kept == 0 {
		t.Errorf("in %d windows none was kept", asked)
	}
}

// TestAWindowFailsWithItsStore rather than say that something never came.
func TestAWindowFailsWithItsStore(t *testing.T) {
	w := inMemory()
	_, _, err := w.Handle(t.Context(), eventstore.Command{Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{account}, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
		return eventstore.Decision{Events: eventstore.Happened(Opened{Owner: "Ada", Currency: "EUR"})}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	head := w.load(t, "ACCOUNT#1", account)
	broken := errors.New("broken")
	w.Log.Store = brokenReads{w.Log.Store, broken}
	if _, err := eventstore.Window(t.Context(), w.Log, head, newest, func(eventstore.Commit) bool { return false }); !errors.Is(err, broken) {
		t.Errorf("answered %v", err)
	}
}

// brokenReads is a store whose commits cannot be read.
type brokenReads struct {
	eventstore.Store
	err error
}

func (b brokenReads) ReadBack(context.Context, string, int64) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) { yield(eventstore.Commit{}, b.err) }
}
