package app

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"defter/pkg/eventstore"
	"defter/pkg/foreign"
	"defter/pkg/ingest"
	"defter/pkg/metric"
)

// unread counts what could not be read of a request's messages, by reason. Streams are written side by side.
type unread struct {
	mu      sync.Mutex
	reasons map[string]int
}

// add counts the notes of a commit, those of a message that became several events once, and those of messages that became none.
func (u *unread) add(events []eventstore.New, silent []string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reasons == nil {
		u.reasons = map[string]int{}
	}
	for _, note := range silent {
		u.reasons[foreign.Reason(note)]++
	}
	noted := map[string]bool{}
	for _, e := range events {
		for _, note := range e.Notes {
			if key := e.Message + " " + note; !noted[key] {
				noted[key] = true
				u.reasons[foreign.Reason(note)]++
			}
		}
	}
}

// tell makes metrics of what was counted.
func (u *unread) tell(ctx context.Context, source ingest.Source) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, reason := range slices.Sorted(maps.Keys(u.reasons)) {
		slog.InfoContext(ctx, "values left unread", metric.CountBy(metric.ValuesUnread, u.reasons[reason], "source", source.ID, "reason", reason))
	}
}
