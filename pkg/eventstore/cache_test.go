package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"

	"defter/pkg/eventstore"
)

// counting counts how often streams are read.
type counting struct {
	eventstore.Store
	mu    sync.Mutex
	loads int
}

func (c *counting) LoadSnapshots(ctx context.Context, stream string, folds ...string) ([]eventstore.Snapshot, error) {
	c.mu.Lock()
	c.loads++
	c.mu.Unlock()
	return c.Store.LoadSnapshots(ctx, stream, folds...)
}

func (c *counting) Read(ctx context.Context, stream string, from, to int64) iter.Seq2[eventstore.Commit, error] {
	c.mu.Lock()
	c.loads++
	c.mu.Unlock()
	return c.Store.Read(ctx, stream, from, to)
}

func (c *counting) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.loads
	c.loads = 0
	return n
}

func countingWorld(size int) (world, *counting) {
	w := inMemory().cached(size)
	store := &counting{Store: w.Store}
	w.Store = store
	return w, store
}

func TestCacheKeepsTheLastUsed(t *testing.T) {
	w, store := countingWorld(2)
	deposit := func(n, amount int, folds ...eventstore.AnyFold) (loaded bool) {
		store.taken()
		head, _, err := w.Handle(t.Context(), eventstore.Command{
			Stream: fmt.Sprintf("ACCOUNT#%d", n), Folds: folds,
			Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				if amount == 0 {
					return eventstore.Decision{}, nil
				}
				return eventstore.Decision{Events: eventstore.Happened(Deposited{Amount: 1})}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		loaded = store.taken() > 0
		for _, f := range folds {
			if f == account && account.Of(head).Balance != head.Version || f == trail && trail.Of(head).Events != head.Version {
				t.Errorf("%s at version %d is wrong", head.Stream, head.Version)
			}
		}
		return loaded
	}
	for i, step := range []struct {
		stream int
		folds  []eventstore.AnyFold
		loads  bool
	}{
		{1, []eventstore.AnyFold{account}, true},
		{2, []eventstore.AnyFold{account}, true},
		{1, []eventstore.AnyFold{account}, false}, // 1 is now the last used
		{3, []eventstore.AnyFold{account}, true},  // 2 has to go
		{1, []eventstore.AnyFold{account}, false},
		{2, []eventstore.AnyFold{account}, true},
		{2, []eventstore.AnyFold{account, trail}, true}, // one fold more than it was kept with
		{2, []eventstore.AnyFold{trail}, false},
		{2, []eventstore.AnyFold{trail}, false},
		{2, []eventstore.AnyFold{account}, true}, // only the trail went on
		{2, nil, false},
	} {
		if loaded := deposit(step.stream, 1, step.folds...); loaded != step.loads {
			t.Errorf("step %d, stream %d: loaded is %t", i, step.stream, loaded)
		}
	}
	w.Cache.Forget("ACCOUNT#2")
	w.Cache.Forget("ACCOUNT#99")
	if !deposit(2, 1, account) {
		t.Error("a head was kept although it was to be forgotten")
	}
	deposit(1, 1, account)
	deposit(2, 0, account) // nothing to do is a use, too
	deposit(3, 1, account)
	if deposit(2, 1, account) {
		t.Error("the head used last was dropped")
	}
}

// TestCacheTakesTurns: commands on one stream in one process do not conflict with each other.
func TestCacheTakesTurns(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w = w.cached(10)
		const streams, writers, facts = 2, 5, 8
		var decided lockedCount
		var group sync.WaitGroup
		for i := range streams * writers {
			group.Go(func() {
				for range facts {
					_, _, err := w.Handle(t.Context(), eventstore.Command{
						Stream: fmt.Sprintf("ACCOUNT#%d", i%streams), Folds: []eventstore.AnyFold{account},
						Decide: func(*eventstore.Head) (eventstore.Decision, error) {
							decided.add(1)
							return eventstore.Decision{Events: eventstore.Happened(Deposited{Amount: 1})}, nil
						},
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if decided.n != streams*writers*facts {
			t.Errorf("%d decisions for %d facts", decided.n, streams*writers*facts)
		}
		for i := range streams {
			if head := w.load(t, fmt.Sprintf("ACCOUNT#%d", i), account); account.Of(head).Balance != writers*facts {
				t.Errorf("stream %d: balance %d, want %d", i, account.Of(head).Balance, writers*facts)
			}
		}
	})
}

// TestCacheWaiting: who waits for its turn stops with its context, and only waits for the same stream.
func TestCacheWaiting(t *testing.T) {
	w := inMemory().cached(10)
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, _, err := w.Handle(t.Context(), eventstore.Command{Stream: "ACCOUNT#1", Decide: func(*eventstore.Head) (eventstore.Decision, error) {
			close(inside)
			<-leave
			return eventstore.Decision{Events: eventstore.Happened(Opened{})}, nil
		}})
		left <- err
	}()
	<-inside
	w.record(t, "ACCOUNT#2", Opened{}) // does not wait
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.Handle(ctx, withdraw("ACCOUNT#1", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with a cancelled context: %v", err)
	}
	close(leave)
	if err := <-left; err != nil {
		t.Error(err)
	}
	if head := w.record(t, "ACCOUNT#1", Closed{}); head.Version != 2 {
		t.Errorf("version %d, want 2", head.Version)
	}
}
