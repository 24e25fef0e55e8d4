package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"defter/pkg/view"
)

// maxAdvance is how far one call may move the clock.
const maxAdvance = 10 * 366 * 24 * time.Hour

// clock is the system's time: the machine's, moved forward by what was asked for. The move is kept.
type clock struct {
	table view.Table
	mu    sync.Mutex
	ahead time.Duration
	moved chan struct{} // closed and replaced when the clock is moved
}

var clockKey = [2]string{"CLOCK", "#"}

func openClock(ctx context.Context, table view.Table) (*clock, error) {
	c := &clock{table: table, moved: make(chan struct{})}
	row, ok, err := table.Get(ctx, clockKey[0], clockKey[1])
	if err != nil || !ok {
		return c, err
	}
	if err := json.Unmarshal(row.Data, &c.ahead); err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	return c, nil
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead).UTC().Truncate(time.Millisecond)
}

// Advance moves the clock forward for good.
func (c *clock) Advance(ctx context.Context, by time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := json.Marshal(c.ahead + by)
	if err != nil {
		return err
	}
	if err := c.table.Put(ctx, view.Row{PK: clockKey[0], SK: clockKey[1], Data: data}); err != nil {
		return err
	}
	c.ahead += by
	close(c.moved)
	c.moved = make(chan struct{})
	return nil
}

// Moved is closed at the next move.
func (c *clock) Moved() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moved
}
