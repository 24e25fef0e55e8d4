package embedded

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Killed under load, again and again: whatever was acknowledged is there, once, and in a gapless history.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const customers, senders, rounds = 4, 8, 3
	var mu sync.Mutex
	acknowledged, attempted := map[string][]string{}, map[string]bool{} // events by customer
	patched := map[string]int{}
	var number atomic.Int64
	var registered []customer
	for round := range rounds {
		s := program(t, dir)
		if round == 0 {
			for range customers {
				registered = append(registered, s.consents())
			}
		}
		acknowledgedNow := new(atomic.Int64)
		var group sync.WaitGroup
		for sender := range senders {
			group.Go(func() {
				for {
					n := number.Add(1)
					c := registered[int(n)%customers]
					name := fmt.Sprint("event-", n)
					mu.Lock()
					attempted[name] = true
					mu.Unlock()
					var a *reply
					if sender%4 == 0 {
						a = s.with("Idempotency-Key", name).try("PATCH", c.path(""), m{"attributes": m{name: int(n)}})
					} else {
						a = s.sdk().try("POST", "/v1/batch", m{"batch": []m{{"type": "track", "userId": c.id, "event": name, "messageId": name}}})
					}
					if a.err != nil {
						return // it is gone
					}
					if a.status == 200 {
						mu.Lock()
						if sender%4 == 0 {
							patched[c.id]++
						} else {
							acknowledged[c.id] = append(acknowledged[c.id], name)
						}
						mu.Unlock()
						acknowledgedNow.Add(1)
					}
				}
			})
		}
		eventually(t, "some load", func() bool { return acknowledgedNow.Load() > 150 })
		s.end(syscall.SIGKILL)
		group.Wait()
	}

	s := program(t, dir)
	for _, c := range registered {
		c.story = s
		seen := map[string]int{}
		events := c.events()
		for i, e := range events {
			if e["version"] != float64(i+1) {
				t.Fatalf("version %v comes at place %d", e["version"], i+1)
			}
			if e["type"] == "EventTracked" {
				seen[at(e["data"], "event").(string)]++
			}
		}
		for _, name := range acknowledged[c.id] {
			if seen[name] != 1 {
				t.Errorf("%s was acknowledged and is there %d times", name, seen[name])
			}
		}
		for name, n := range seen {
			if n != 1 || !attempted[name] {
				t.Errorf("%s is there %d times", name, n)
			}
		}
		if n := c.happened("CustomerAttributesUpdated"); n < patched[c.id] || patched[c.id] == 0 {
			t.Errorf("%d changes of attributes, %d were acknowledged", n, patched[c.id])
		}
		// The views catch up, and the mail that was due is there once.
		eventually(t, "the timeline is complete", func() bool {
			return len(c.pages(c.path("/timeline?limit=500"), "timeline")) >= len(events)
		})
		c.mailed(c.email, 1)
		if got := c.subjects(); !slices.Equal(got, []string{"welcome"}) {
			t.Errorf("mails are %v", got)
		}
		some := acknowledged[c.id]
		for _, name := range some[:min(20, len(some))] { // a client that heard nothing sends it again
			s.sdk().post("/v1/batch", m{"batch": []m{{"type": "track", "userId": c.id, "event": name, "messageId": name}}}).expect(200)
		}
		if again := len(c.tracked()); again != len(seen) {
			t.Errorf("sent again, %d events are there, were %d", again, len(seen))
		}
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
	s.end(syscall.SIGTERM)
}

func TestB44_KilledDuringTheWait(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := program(t, dir)
	c := s.consents()
	c.mailed(c.email, 1)
	eventually(t, "it waits", func() bool { return s.get("/_local/stats").number("waits") == 1 })
	s.end(syscall.SIGKILL)

	s = program(t, dir)
	c.story = s
	s.get("/_local/stats").expect(200).has("waits", 1, "customers", 1)
	s.advance("23h")
	if n := len(s.mails(c.email)); n != 1 {
		t.Errorf("%d mails before the wait is over", n)
	}
	s.end(syscall.SIGKILL)

	s = program(t, dir)
	c.story = s
	s.advance("2h")
	s.mailed(c.email, 2)
	eventually(t, "it waits no more", func() bool { return s.get("/_local/stats").number("waits") == 0 })
	if got := c.subjects(); !slices.Equal(got, []string{"welcome", "tips"}) {
		t.Errorf("mails are %v", got)
	}
	s.end(syscall.SIGTERM)
}

func TestWhatCannotStart(t *testing.T) {
	logger := slog.Default()
	t.Cleanup(func() { slog.SetDefault(logger) })
	busy := t.TempDir()
	s := program(t, busy)
	port := s.url[strings.LastIndexByte(s.url, ':')+1:]
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		environment map[string]string
		says        []string
	}{
		{map[string]string{"PORT": port}, []string{"port " + port, "in use"}},
		{map[string]string{"DATA_DIR": busy}, []string{busy, "another engine"}},
		{map[string]string{"DATA_DIR": file}, []string{"data folder", file}},
		{map[string]string{"PORT": "http"}, []string{"PORT", `"http"`, "number"}},
		{map[string]string{"PORT": "70000"}, []string{"PORT", "70000"}},
		{map[string]string{"PORT": "-1"}, []string{"PORT", "-1"}},
		{map[string]string{"WELCOME_DELAY": "a day"}, []string{"WELCOME_DELAY", "a day", "24h"}},
		{map[string]string{"WELCOME_DELAY": "-1h"}, []string{"WELCOME_DELAY", "positive"}},
		{map[string]string{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL", "loud", "debug"}},
		{map[string]string{"PORT": "x", "WELCOME_DELAY": "y", "LOG_LEVEL": "z"}, []string{"PORT", "WELCOME_DELAY", "LOG_LEVEL"}}, // all at once
	} {
		for name, value := range map[string]string{"PORT": "0", "DATA_DIR": t.TempDir(), "WELCOME_DELAY": "", "LOG_LEVEL": ""} {
			t.Setenv(name, value)
		}
		for _, name := range slices.Sorted(maps.Keys(c.environment)) {
			t.Setenv(name, c.environment[name])
		}
		err := Main(t.Context(), io.Discard)
		for _, text := range c.says {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("with %v: %v, want it to say %q", c.environment, err, text)
			}
		}
	}
}

// A start that fails half way leaves nothing behind that would be in the way of the next.
func TestStartAgainAfterAFailure(t *testing.T) {
	s := begin(t)
	c := s.consents()
	c.expectMails("welcome")
	config := s.system.config
	if err := s.system.Stop(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := config
	elsewhere.Port = taken.Addr().(*net.TCPAddr).Port
	if _, err := Start(context.Background(), elsewhere); err == nil {
		t.Fatal("started on a port that is in use")
	}
	key := filepath.Join(config.DataDir, "master.key")
	whole, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, whole[:7], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(context.Background(), config); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("with half a master key: %v", err)
	}
	if err := os.WriteFile(key, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	s.start(elsewhere)
	customer{s, c.id, c.email}.shown().expect(200).has("email", c.email)
	if !strings.HasSuffix(s.url, fmt.Sprint(":", elsewhere.Port)) {
		t.Errorf("it answers on %s", s.url)
	}
}
