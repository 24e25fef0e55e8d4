package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"defter/pkg/app"
	"defter/pkg/topology"

	"github.com/aws/aws-lambda-go/events"
)

const busBackoff = 50 * time.Millisecond

// bus is the event bus with its rules: it calls every function that asked for an event's type. It answers when all have
// handled it or given up, so that the reader's position does not pass what is not done.
type bus struct{ system *System }

func (b *bus) Publish(ctx context.Context, entries []app.Entry) ([]int, error) {
	var group sync.WaitGroup
	failed := make([]bool, len(entries))
	for i, e := range entries {
		for _, f := range topology.Functions {
			if f.Bus == nil || !slices.Contains(f.Bus.Types, e.Type) {
				continue
			}
			group.Go(func() {
				if err := b.deliver(ctx, f, e); err != nil {
					slog.WarnContext(ctx, "deliver event", "function", f.Name, "error", err)
					failed[i] = true
				}
			})
		}
	}
	group.Wait()
	var again []int
	for i, f := range failed {
		if f {
			again = append(again, i)
		}
	}
	return again, nil
}

// deliver calls one function, again after failures, and parks the event when it fails for good.
func (b *bus) deliver(ctx context.Context, f topology.Function, e app.Entry) error {
	id := newID()
	payload, err := json.Marshal(events.EventBridgeEvent{
		Version: "0", ID: id, DetailType: e.Type, Source: topology.BusSource, Time: e.At, Region: "local", Resources: []string{}, Detail: e.Detail,
	})
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	for try := 0; ; try++ {
		_, err := b.system.handlers[f.Name].Invoke(ctx, payload)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if try == f.Retries {
			slog.ErrorContext(ctx, "event parked", "function", f.Name, "type", e.Type, "error", err)
			return b.system.park(ctx, f.Name, id, payload)
		}
		select {
		case <-time.After(busBackoff << try):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
