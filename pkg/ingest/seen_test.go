package ingest_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/ingest"

	"pgregory.net/rapid"
)

func see(s ingest.Seen, fingerprint string, at time.Time) ingest.Seen {
	return ingest.SeenFold.Evolve(s, eventstore.Event{Message: fingerprint, RecordedAt: at})
}

func fingerprint(n int) string { return ingest.Fingerprint("web", fmt.Sprint("m", n)) }

func TestFingerprint(t *testing.T) {
	a := ingest.Fingerprint("web", "m1")
	if b := ingest.Fingerprint("web", "m1"); a != b || a == "" {
		t.Errorf("%q, then %q", a, b)
	}
	for _, other := range []string{ingest.Fingerprint("pos", "m1"), ingest.Fingerprint("web", "m2"), ingest.Fingerprint("we", "bm1"), ingest.Fingerprint("", "webm1")} {
		if other == a {
			t.Errorf("%q stands for two messages", a)
		}
	}
}

// TestSeenFor7Days: a message is recognised for seven days and, if others come, not much longer.
func TestSeenFor7Days(t *testing.T) {
	s := see(ingest.Seen{}, fingerprint(1), received)
	if !s.Has(fingerprint(1)) || s.Has(fingerprint(2)) {
		t.Errorf("seen 1: %v, 2: %v", s.Has(fingerprint(1)), s.Has(fingerprint(2)))
	}
	later := see(s, fingerprint(2), received.Add(ingest.SeenFor))
	if !later.Has(fingerprint(1)) || !later.Has(fingerprint(2)) {
		t.Error("forgotten after seven days, not beyond them")
	}
	later = see(later, fingerprint(3), received.Add(ingest.SeenFor+time.Minute))
	if later.Has(fingerprint(1)) || !later.Has(fingerprint(2)) || later.Count != 2 {
		t.Errorf("after more than seven days %d are remembered, the first too: %v", later.Count, later.Has(fingerprint(1)))
	}
	if !s.Has(fingerprint(1)) || s.Has(fingerprint(2)) || s.Count != 1 {
		t.Error("an earlier state was changed in place")
	}
}

// TestSeenIsSmall however many messages come, and says of which it does not know.
func TestSeenIsSmall(t *testing.T) {
	for name, gap := range map[string]time.Duration{"at once": 0, "ten a second": 100 * time.Millisecond, "one a second": time.Second, "one a minute": time.Minute, "one an hour": time.Hour} {
		var s ingest.Seen
		var times []time.Time
		for i := range 3 * ingest.MaxSeen {
			now := received.Add(time.Duration(i) * gap)
			s = see(s, fingerprint(i), now)
			if times = append(times, now); i%500 != 499 {
				continue
			}
			for _, back := range []int{0, 1, 100, 250, 400, 499} {
				first := times[i-back] // when it was recorded first, and when it happened
				tells := s.Tells(ingest.Message{OccurredAt: first, Timed: true}, now)
				inWindow := now.Sub(first) < ingest.SeenFor && back < ingest.MaxSeen
				if inWindow && !s.Has(fingerprint(i-back)) && tells {
					t.Fatalf("%s: after %d messages the one %d before is taken for new", name, i+1, back)
				}
			}
			if !s.Tells(ingest.Message{OccurredAt: now, Timed: true}, now) && gap > 0 {
				t.Fatalf("%s: after %d messages it cannot tell of one that just happened", name, i+1)
			}
		}
		data, err := json.Marshal(s)
		if limit := map[bool]int{true: 60_000, false: 20_000}[gap < time.Second]; err != nil || len(data) > limit {
			t.Errorf("%s: the state takes %d bytes, %v", name, len(data), err)
		}
		if gap >= time.Second && s.Count > 400 {
			t.Errorf("%s: %d are kept", name, s.Count)
		}
	}
}

// TestSeenCannotTell of messages that do not say when they happened, or say it wrongly, once it has forgotten any.
func TestSeenCannotTell(t *testing.T) {
	var s ingest.Seen
	now := received
	if !s.Tells(ingest.Message{}, now) {
		t.Error("nothing was forgotten yet")
	}
	for i := range 1000 {
		now = received.Add(time.Duration(i) * time.Minute)
		s = see(s, fingerprint(i), now)
	}
	for name, m := range map[string]ingest.Message{
		"untimed": {OccurredAt: now}, "of the future": {OccurredAt: now, Timed: true, Claimed: "2099-01-01"}, "of long ago": {OccurredAt: received.AddDate(-1, 0, 0), Timed: true},
	} {
		if s.Tells(m, now) {
			t.Errorf("%s: it is taken for new", name)
		}
	}
	later := now.Add(ingest.SeenFor + time.Hour)
	s = see(s, fingerprint(5000), later)
	if !s.Tells(ingest.Message{}, later) {
		t.Error("after seven days all that counts is there")
	}
}

// TestSeenIsEachMessageOnce: several events of a message, and the message again, count once; other events not at all.
func TestSeenIsEachMessageOnce(t *testing.T) {
	s := see(ingest.Seen{}, fingerprint(1), received)
	s = see(s, fingerprint(1), received)
	s = see(s, fingerprint(1), received.Add(time.Hour))
	for _, other := range []string{"", "not a fingerprint", "AAAA"} {
		s = see(s, other, received)
		if s.Has(other) {
			t.Errorf("%q is seen", other)
		}
	}
	if s.Count != 1 || len(s.Blocks) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestSeenIsNotShared: two that go on from the same state do not see each other's messages.
func TestSeenIsNotShared(t *testing.T) {
	var s ingest.Seen
	for i := range 5 {
		s = see(s, fingerprint(i), received)
	}
	a, b := see(s, fingerprint(100), received), see(s, fingerprint(200), received)
	if !a.Has(fingerprint(100)) || a.Has(fingerprint(200)) || !b.Has(fingerprint(200)) || b.Has(fingerprint(100)) {
		t.Error("what one saw the other has seen")
	}
}

// TestSeenInAnyOrder: within the window, what is remembered does not depend on the order, and survives a snapshot.
func TestSeenInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.IntRange(0, 400), 1, 300).Draw(t, "messages")
		fold := func(numbers []int) ingest.Seen {
			var s ingest.Seen
			for i, n := range numbers {
				s = see(s, fingerprint(n), received.Add(time.Duration(i)*20*time.Second))
			}
			return s
		}
		a, b := fold(numbers), fold(rapid.Permutation(numbers).Draw(t, "shuffled"))
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var c ingest.Seen
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		if a.Count != b.Count || c.Count != b.Count {
			t.Fatalf("%d, shuffled %d, from a snapshot %d", a.Count, b.Count, c.Count)
		}
		for n := range 401 {
			if f := fingerprint(n); a.Has(f) != b.Has(f) || c.Has(f) != b.Has(f) {
				t.Fatalf("message %d: %v, shuffled %v, from a snapshot %v", n, a.Has(f), b.Has(f), c.Has(f))
			}
		}
		for _, n := range numbers {
			if !a.Has(fingerprint(n)) {
				t.Fatalf("message %d is forgotten", n)
			}
		}
	})
}

// TestAllSeenIsTheWholeWindow: as many messages as are promised, and not much more in bytes.
func TestAllSeenIsTheWholeWindow(t *testing.T) {
	for name, gap := range map[string]time.Duration{"at once": 0, "one a second": time.Second, "one a minute": time.Minute, "one in two minutes": 2 * time.Minute} {
		var s ingest.Seen
		now := received
		for i := range 2 * ingest.MaxSeen {
			now = received.Add(time.Duration(i) * gap)
			s = ingest.AllSeenFold.Evolve(s, eventstore.Event{Message: fingerprint(i), RecordedAt: now})
		}
		for _, back := range []int{0, 1, 255, 256, 1000, 3500} {
			first := now.Add(-time.Duration(back) * gap)
			if !s.Has(fingerprint(2*ingest.MaxSeen-1-back)) && now.Sub(first) < ingest.SeenFor {
				t.Errorf("%s: the one %d before is forgotten", name, back)
			}
		}
		if data, err := json.Marshal(s); err != nil || len(data) > 60_000 || s.Count > ingest.MaxSeen {
			t.Errorf("%s: %d messages in %d bytes, %v", name, s.Count, len(data), err)
		}
	}
}
