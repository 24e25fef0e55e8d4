package embedded

import (
	"testing"
	"time"

	"defter/pkg/topology"
)

// TestD14_EachScheduleAtItsOwnInterval: a function that runs once a day is not called whenever the most frequent one is.
func TestD14_EachScheduleAtItsOwnInterval(t *testing.T) {
	s, now := schedule{}, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	calls := map[string]int{}
	for end := now.Add(24 * time.Hour); now.Before(end); {
		for _, f := range s.due(now) {
			calls[f.Name]++
		}
		if len(s.due(now)) > 0 {
			t.Fatal("called, it is due at once")
		}
		now = now.Add(max(s.wait(now), time.Second))
	}
	for _, f := range topology.Functions {
		if f.Schedule == nil {
			continue
		}
		if want := 24 * 60 / f.Schedule.EveryMinutes; calls[f.Name] != max(want, 1) {
			t.Errorf("%s is called %d times a day, want %d", f.Name, calls[f.Name], max(want, 1))
		}
	}
	if clear(s); len(s.due(now)) == 0 {
		t.Error("after the clock was moved nothing is due")
	}
}
