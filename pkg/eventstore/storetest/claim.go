package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"defter/pkg/eventstore"
)

func claimOwner(t *testing.T, s suite) {
	const key = "UNIQUE#email#1"
	free(t, s, key)
	mine := eventstore.Claim{Key: key, Owner: "CUSTOMER#1", Value: []byte{1, 0, 0xff}, ExpiresAt: start.Add(time.Minute)}
	for name, take := range map[string]func(stream string, c eventstore.Claim) error{
		"with a commit": func(stream string, c eventstore.Claim) error {
			head, err := version(t, s, stream)
			must(t, err)
			return s.Append(t.Context(), commit(stream, head+1, 1), c)
		},
		"alone": func(_ string, c eventstore.Claim) error { return s.Claim(t.Context(), c) },
	} {
		must(t, take("CUSTOMER#1", mine))
		if got := held(t, s, key, "CUSTOMER#1"); !reflect.DeepEqual(got, mine) {
			t.Errorf("%s: claimed as %+v, want %+v", name, got, mine)
		}
		taken(t, take("CUSTOMER#2", eventstore.Claim{Key: key, Owner: "CUSTOMER#2"}), key)
		held(t, s, key, "CUSTOMER#1")

		again := eventstore.Claim{Key: key, Owner: "CUSTOMER#1", Value: []byte("another")}
		must(t, take("CUSTOMER#1", again))
		if got := held(t, s, key, "CUSTOMER#1"); !reflect.DeepEqual(got, again) {
			t.Errorf("%s: retaken as %+v, want %+v", name, got, again)
		}
		must(t, s.Unclaim(t.Context(), key, "CUSTOMER#2"))
		held(t, s, key, "CUSTOMER#1")
		must(t, s.Unclaim(t.Context(), key, "CUSTOMER#1"))
		free(t, s, key)
		must(t, s.Unclaim(t.Context(), key, "CUSTOMER#1"))
	}
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0))
}

func claimAtomic(t *testing.T, s suite) {
	must(t, s.Claim(t.Context(), eventstore.Claim{Key: "taken", Owner: "CUSTOMER#1"}))
	must(t, s.Claim(t.Context(), eventstore.Claim{Key: "mine", Owner: "CUSTOMER#2", Value: []byte("old")}))
	err := s.Append(t.Context(), commit("CUSTOMER#2", 1, 3),
		eventstore.Claim{Key: "before", Owner: "CUSTOMER#2"},
		eventstore.Claim{Key: "mine", Owner: "CUSTOMER#2", Release: true},
		eventstore.Claim{Key: "taken", Owner: "CUSTOMER#2"},
		eventstore.Claim{Key: "after", Owner: "CUSTOMER#2"},
	)
	taken(t, err, "taken")
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0))
	free(t, s, "before")
	free(t, s, "after")
	held(t, s, "taken", "CUSTOMER#1")
	held(t, s, "mine", "CUSTOMER#2")
}

// conflictFirst: who decided on a stale version has to decide again, and may no longer want the claim.
func conflictFirst(t *testing.T, s suite) {
	must(t, s.Claim(t.Context(), eventstore.Claim{Key: "taken", Owner: "CUSTOMER#1"}))
	must(t, s.Append(t.Context(), commit("CUSTOMER#2", 1, 1)))
	err := s.Append(t.Context(), commit("CUSTOMER#2", 1, 2), eventstore.Claim{Key: "taken", Owner: "CUSTOMER#2"})
	if !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("stale, and the claim taken: %v, want ErrConflict", err)
	}
}

func claimRelease(t *testing.T, s suite) {
	must(t, s.Append(t.Context(), commit("CUSTOMER#1", 1, 1), eventstore.Claim{Key: "old", Owner: "CUSTOMER#1"}))
	release := eventstore.Claim{Key: "old", Owner: "CUSTOMER#2", Release: true}
	taken(t, s.Append(t.Context(), commit("CUSTOMER#2", 1, 1), release), "old")
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0))
	held(t, s, "old", "CUSTOMER#1")

	release.Owner = "CUSTOMER#1"
	swap := []eventstore.Claim{release, {Key: "new", Owner: "CUSTOMER#1"}}
	must(t, s.Append(t.Context(), commit("CUSTOMER#1", 2, 1), swap...))
	free(t, s, "old")
	held(t, s, "new", "CUSTOMER#1")
	must(t, s.Append(t.Context(), commit("CUSTOMER#1", 3, 1), release)) // nobody holds it: nothing to give up
	must(t, s.Append(t.Context(), commit("CUSTOMER#2", 1, 1), eventstore.Claim{Key: "old", Owner: "CUSTOMER#2"}))
}

func claimExpiry(t *testing.T, s suite) {
	const life = time.Minute
	takes := map[string]func(c eventstore.Claim) error{
		"append":  func(c eventstore.Claim) error { return s.Append(t.Context(), commit("of "+c.Key, 1, 1), c) },
		"claim":   func(c eventstore.Claim) error { return s.Claim(t.Context(), c) },
		"release": nil,
	}
	for key := range takes {
		must(t, s.Claim(t.Context(), eventstore.Claim{Key: key, Owner: "CUSTOMER#1", ExpiresAt: s.clock.now().Add(life)}))
	}
	s.clock.pass(life - time.Second)
	for key, take := range takes {
		held(t, s, key, "CUSTOMER#1")
		if take != nil {
			taken(t, take(eventstore.Claim{Key: key, Owner: "CUSTOMER#2"}), key)
		}
	}
	s.clock.pass(time.Second)
	for key, take := range takes {
		free(t, s, key)
		if take != nil {
			must(t, take(eventstore.Claim{Key: key, Owner: "CUSTOMER#2"}))
			held(t, s, key, "CUSTOMER#2")
		}
	}
	release := eventstore.Claim{Key: "release", Owner: "CUSTOMER#2", Release: true}
	must(t, s.Append(t.Context(), commit("CUSTOMER#2", 1, 1), release))
	free(t, s, "release")
}

func claimRace(t *testing.T, s suite) {
	const racers = 10
	errs := make([]error, racers)
	var group sync.WaitGroup
	for i := range racers {
		stream := fmt.Sprintf("CUSTOMER#%d", i)
		c := commit(stream, 1, 1)
		group.Go(func() {
			for range 50 { // transactions in each other's way may all be cancelled: then it is tried again
				errs[i] = s.Append(t.Context(), c, eventstore.Claim{Key: "UNIQUE#email#1", Owner: stream})
				if !errors.Is(errs[i], eventstore.ErrConflict) {
					return
				}
			}
		})
	}
	group.Wait()
	winner := ""
	for i, err := range errs {
		stream := fmt.Sprintf("CUSTOMER#%d", i)
		if err == nil {
			if winner != "" {
				t.Errorf("%s and %s both won", winner, stream)
			}
			winner = stream
			continue
		}
		taken(t, err, "UNIQUE#email#1")
		sameCommits(t, s.Read(t.Context(), stream, 1, 0))
	}
	if winner == "" {
		t.Fatalf("nobody won: %v", errs)
	}
	held(t, s, "UNIQUE#email#1", winner)
	whole(t, s, winner, 1)
}

func claimOfLoser(t *testing.T, s suite) {
	const racers = 8
	errs := make([]error, racers)
	var group sync.WaitGroup
	for i := range racers {
		c := commit("CUSTOMER#1", 1, i+1)
		group.Go(func() {
			errs[i] = s.Append(t.Context(), c, eventstore.Claim{Key: fmt.Sprintf("UNIQUE#email#%d", i), Owner: "CUSTOMER#1"})
		})
	}
	group.Wait()
	won := int64(0)
	for i, err := range errs {
		key := fmt.Sprintf("UNIQUE#email#%d", i)
		switch {
		case err == nil && won == 0:
			won = int64(i + 1)
			held(t, s, key, "CUSTOMER#1")
		case err == nil:
			t.Errorf("two transactions won")
		case !errors.Is(err, eventstore.ErrConflict):
			t.Errorf("append: %v, want ErrConflict", err)
		default:
			free(t, s, key)
		}
	}
	whole(t, s, "CUSTOMER#1", won)
}
