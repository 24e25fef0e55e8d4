package eventstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"defter/pkg/eventstore"

	"pgregory.net/rapid"
)

func snapshotOf(t failer, w world, stream, fold string) (s eventstore.Snapshot, ok bool) {
	t.Helper()
	found, err := w.Store.LoadSnapshots(t.Context(), stream, fold)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return eventstore.Snapshot{}, false
	}
	return found[0], true
}

// TestSnapshotAndTailAreTheWholeFold: whichever commands ran in whichever process, with or without a cache.
func TestSnapshotAndTailAreTheWholeFold(t *testing.T) {
	snapshots, commands := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := inMemory()
		processes := []world{w, w.cached(1), w.cached(10)}
		for range rapid.IntRange(1, 25).Draw(t, "commands") {
			p := rapid.SampledFrom(processes).Draw(t, "process")
			folds := rapid.SampledFrom([][]eventstore.AnyFold{{account}, {trail}, {account, trail}, {trail, account}, nil}).Draw(t, "folds")
			memo := rapid.SampledFrom([]int{0, 100, 3000, 13_000}).Draw(t, "memo")
			data := rapid.SliceOfN(anyData(rapid.Just(long(memo))), 1, 4).Draw(t, "data")
			stream := rapid.SampledFrom([]string{"ACCOUNT#1", "ACCOUNT#2"}).Draw(t, "stream")
			_, _, err := p.Handle(t.Context(), eventstore.Command{Stream: stream, Folds: folds, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				return eventstore.Decision{Events: eventstore.Happened(data...)}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			commands++
		}
		for _, stream := range []string{"ACCOUNT#1", "ACCOUNT#2"} {
			var wholeAccount Account
			var wholeTrail Trail
			events := w.all(t, stream)
			for _, e := range events {
				wholeAccount, wholeTrail = account.Evolve(wholeAccount, e), trail.Evolve(wholeTrail, e)
			}
			for _, folds := range [][]eventstore.AnyFold{{account, trail}, {trail}, {account}, nil} {
				head := w.load(t, stream, folds...)
				if head.Version != int64(len(events)) || len(events) > 0 && !head.RecordedAt.Equal(events[len(events)-1].RecordedAt) {
					t.Fatalf("%s has %d events, loaded at version %d", stream, len(events), head.Version)
				}
				if slices.Contains(folds, eventstore.AnyFold(account)) && account.Of(head) != wholeAccount {
					t.Fatalf("%s: loaded %+v, folded %+v", stream, account.Of(head), wholeAccount)
				}
				if slices.Contains(folds, eventstore.AnyFold(trail)) && trail.Of(head) != wholeTrail {
					t.Fatalf("%s: loaded %+v, folded %+v", stream, trail.Of(head), wholeTrail)
				}
			}
			for _, fold := range []string{"account", "trail"} {
				if _, ok := snapshotOf(t, w, stream, fold); ok {
					snapshots++
				}
			}
		}
	})
	if snapshots == 0 {
		t.Errorf("%d commands, and no snapshot was ever taken", commands)
	}
}

// TestSnapshotEvery8KB: not before that many bytes of events, and not later than the command that reaches them.
func TestSnapshotEvery8KB(t *testing.T) {
	for name, w := range map[string]world{"loaded": inMemory(), "cached": inMemory().cached(10)} {
		bytes, last, taken := 0, int64(0), 0
		for range 200 {
			head := w.record(t, "ACCOUNT#1", Deposited{Amount: 1, Memo: long(350)}, Withdrawn{Amount: 1})
			size := collect(t, w.Store.ReadBack(t.Context(), "ACCOUNT#1", 0))[0].Size()
			bytes += size
			s, _ := snapshotOf(t, w, "ACCOUNT#1", "account")
			if s.Version == last {
				if bytes >= 8_000 {
					t.Fatalf("%s: %d bytes of events without a snapshot", name, bytes)
				}
				continue
			}
			if s.Version != head.Version || bytes < 8_000 || bytes >= 8_000+size {
				t.Fatalf("%s: a snapshot of version %d at version %d, after %d bytes of events", name, s.Version, head.Version, bytes)
			}
			if !s.RecordedAt.Equal(head.RecordedAt) || s.State != account.Version {
				t.Errorf("%s: snapshot %+v of a head recorded at %s", name, s, head.RecordedAt)
			}
			bytes, last, taken = 0, s.Version, taken+1
		}
		if taken < 8 {
			t.Errorf("%s: only %d snapshots", name, taken)
		}
	}
}

// TestLargeStateIsSavedRarely: a snapshot of 20 KB waits for twice as many bytes of events.
func TestLargeStateIsSavedRarely(t *testing.T) {
	large := &eventstore.Fold[string]{Name: "large", Version: 1, Evolve: func(string, eventstore.Event) string { return long(20_000) }}
	w := inMemory()
	bytes, last, taken := 0, int64(0), 0
	for range 250 {
		head, _, err := w.Handle(t.Context(), eventstore.Command{Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{large}, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
			return eventstore.Decision{Events: eventstore.Happened(Deposited{Memo: long(500)})}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		bytes += collect(t, w.Store.ReadBack(t.Context(), "ACCOUNT#1", 0))[0].Size()
		if s, ok := snapshotOf(t, w, "ACCOUNT#1", "large"); ok && s.Version != last {
			if size := len(s.Sealed); s.Version != head.Version || bytes < 2*(size-100) || bytes > 2*size+1_500 || size > 20_000 {
				t.Errorf("a snapshot of %d bytes, compressed, after %d bytes of events", size, bytes)
			}
			bytes, last, taken = 0, s.Version, taken+1
		}
	}
	if taken < 3 {
		t.Errorf("%d snapshots of %d bytes of events", taken, 250*800)
	}
}

// TestUselessSnapshots: one of another layout, or one that cannot be read, is as good as none.
func TestUselessSnapshots(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		for range 20 {
			w.record(t, "ACCOUNT#1", Deposited{Amount: 5, Memo: long(1000)})
		}
		old, ok := snapshotOf(t, w, "ACCOUNT#1", "account")
		if !ok {
			t.Fatal("no snapshot was taken")
		}
		type Counted struct {
			Balance int64 `json:"balance"`
			Events  int   `json:"events"`
		}
		newer := &eventstore.Fold[Counted]{Name: "account", Version: account.Version + 1, Evolve: func(c Counted, e eventstore.Event) Counted {
			return Counted{Balance: c.Balance + e.Data.(Deposited).Amount, Events: c.Events + 1}
		}}
		if got := newer.Of(w.load(t, "ACCOUNT#1", newer)); got != (Counted{Balance: 100, Events: 20}) {
			t.Errorf("with a snapshot of an older layout: %+v", got)
		}

		sealed, err := w.vault.Seal(t.Context(), "ACCOUNT#1", "S#ACCOUNT#1#account", []byte(`{"balance":"much"}`))
		if err != nil {
			t.Fatal(err)
		}
		old.Sealed = sealed
		if err := w.Store.SaveSnapshot(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if head := w.load(t, "ACCOUNT#1", account); account.Of(head).Balance != 100 || head.Version != 20 {
			t.Errorf("with a snapshot that cannot be read: version %d, %+v", head.Version, account.Of(head))
		}
		if err := w.Store.DropSnapshots(t.Context(), "ACCOUNT#1", "account"); err != nil {
			t.Fatal(err)
		}
		if head := w.load(t, "ACCOUNT#1", account); account.Of(head).Balance != 100 || head.Version != 20 {
			t.Errorf("with no snapshot: version %d, %+v", head.Version, account.Of(head))
		}
	})
}

// TestSnapshotIsUsed: or all of the above would hold without snapshots.
func TestSnapshotIsUsed(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		for range 20 {
			w.record(t, "ACCOUNT#1", Deposited{Amount: 5, Memo: long(1000)})
		}
		s, ok := snapshotOf(t, w, "ACCOUNT#1", "account")
		if !ok {
			t.Fatal("no snapshot was taken")
		}
		sealed, err := w.vault.Seal(t.Context(), "ACCOUNT#1", "S#ACCOUNT#1#account", []byte(`{"balance":1000000}`))
		if err != nil {
			t.Fatal(err)
		}
		s.Sealed = sealed
		if err := w.Store.SaveSnapshot(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if got, want := account.Of(w.load(t, "ACCOUNT#1", account)).Balance, 1_000_000+5*(20-s.Version); got != want {
			t.Errorf("balance %d, want %d from the snapshot of version %d", got, want, s.Version)
		}
	})
}

// TestSnapshotsAreBestEffort: a command does not fail for want of one.
func TestSnapshotsAreBestEffort(t *testing.T) {
	w := inMemory()
	w.Store = unsaving{w.Store}
	for range 20 {
		w.record(t, "ACCOUNT#1", Deposited{Amount: 5, Memo: long(1000)})
	}
	if head := w.load(t, "ACCOUNT#1", account); account.Of(head).Balance != 100 {
		t.Errorf("balance %d", account.Of(head).Balance)
	}
}

// unsaving is a store out of which snapshots do not come.
type unsaving struct{ eventstore.Store }

func (unsaving) SaveSnapshot(context.Context, eventstore.Snapshot) error {
	return errors.New("no room")
}
