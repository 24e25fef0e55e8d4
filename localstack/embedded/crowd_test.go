package embedded

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestReadersYieldToABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &System{}
		r := &reader{system: s}
		waits := func(what string, want bool) {
			t.Helper()
			if got := r.yields(0) > 0; got != want {
				t.Errorf("%s: a reader waits: %v", what, got)
			}
		}
		waits("nobody", false)
		for range 16 {
			s.crowd.enter()
		}
		waits("a moment", false)
		time.Sleep(time.Second)
		waits("a second of 16 requests", true)
		if r.yields(yieldMost) > 0 {
			t.Error("a reader waits for ever")
		}
		for range 16 {
			s.crowd.leave()
		}
		waits("they are answered", false)
		time.Sleep(time.Second)
		for range 6 {
			s.crowd.enter()
		}
		waits("others come after a while", false)
		time.Sleep(time.Minute)
		waits("six at once, which is no burst", false)
	})
}
