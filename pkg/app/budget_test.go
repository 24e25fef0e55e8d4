package app

import (
	"testing"
	"time"
)

// TestS4_BudgetsAreShared by all processes: what one has spent, another has not, and each lets a share of its own through at most.
func TestS4_BudgetsAreShared(t *testing.T) {
	w := begin(t)
	const processes, limit = 3, 100
	spent := int64(0)
	for range processes {
		process := w.another()
		for range limit {
			ok, err := process.spend(t.Context(), "messages#s1", 1, limit)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				spent++
			}
		}
	}
	if spent < limit || spent > limit+processes*share(limit) {
		t.Errorf("%d were let through, of a budget of %d", spent, limit)
	}
	w.clock.advance(time.Minute)
	if ok, err := w.spend(t.Context(), "messages#s1", 1, limit); err != nil || !ok {
		t.Errorf("the next minute: %v, %v", ok, err)
	}
}
