package app

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"defter/pkg/metric"
)

// Jitter waits for a random time up to a limit, as eventstore.Log needs it.
func Jitter(ctx context.Context, atMost time.Duration) error {
	timer := time.NewTimer(rand.N(atMost + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SnapshotLost counts a snapshot that could not be kept or read: each makes loading dearer until there is one again.
func SnapshotLost(ctx context.Context, err error) {
	slog.WarnContext(ctx, "snapshot lost", metric.Count(metric.SnapshotsLost, 1), "error", err)
}
