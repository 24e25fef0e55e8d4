package eventstore_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"defter/pkg/eventstore"
)

// waits waits as production does. The tests run in bubbles of time, in which a wait takes none: how slow the machine is says nothing.
func waits(ctx context.Context, atMost time.Duration) error {
	select {
	case <-time.After(rand.N(atMost + 1)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slow is a store that is some way off: a request takes up to two milliseconds to get there, and its answer as long, so that writers meet.
type slow struct{ eventstore.Store }

func (s slow) Append(ctx context.Context, c eventstore.Commit, claims ...eventstore.Claim) error {
	s.travel()
	defer s.travel()
	return s.Store.Append(ctx, c, claims...)
}

func (slow) travel() { time.Sleep(rand.N(2 * time.Millisecond)) }

func pays(stream string, fact bool) eventstore.Command {
	return eventstore.Command{Stream: stream, Folds: []eventstore.AnyFold{account}, Fact: fact, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
		return eventstore.Decision{Events: eventstore.Happened(Deposited{Amount: 1})}, nil
	}}
}

// TestD8_SixtyWritersLoseNothing: facts are accepted however many write to one stream.
func TestD8_SixtyWritersLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory()
		w.record(t, "ACCOUNT#1", Opened{})
		const writers, facts = 60, 3
		var group sync.WaitGroup
		for range writers {
			log := *w.Log
			log.Store, log.Wait = slow{w.Store}, waits
			group.Go(func() {
				for range facts {
					if _, _, err := log.Handle(t.Context(), pays("ACCOUNT#1", true)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if got := account.Of(w.load(t, "ACCOUNT#1", account)).Balance; got != writers*facts {
			t.Errorf("%d of %d facts are there", got, writers*facts)
		}
	})
}

// TestS5_CommandsGetThroughAFlood: of the commands on a stream that twenty writers flood with facts none is refused.
func TestS5_CommandsGetThroughAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inMemory()
		w.record(t, "ACCOUNT#1", Opened{})
		var stop atomic.Bool
		var flood sync.WaitGroup
		for range 20 {
			log := *w.Log
			log.Store, log.Wait = slow{w.Store}, waits
			flood.Go(func() {
				for !stop.Load() {
					if _, _, err := log.Handle(t.Context(), pays("ACCOUNT#1", true)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		log := *w.Log
		log.Store, log.Wait = slow{w.Store}, waits
		for range 50 {
			if _, _, err := log.Handle(t.Context(), pays("ACCOUNT#1", false)); err != nil {
				t.Error(err)
			}
		}
		stop.Store(true)
		flood.Wait()
	})
}
