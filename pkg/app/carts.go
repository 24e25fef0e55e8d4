package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"defter/pkg/cart"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/metric"
	"defter/pkg/record"
	"defter/pkg/view"
)

const (
	cartPage  = 100
	cartAgain = 2 * time.Hour      // looked back at each run: for views that were behind
	cartSweep = 7 * 24 * time.Hour // looked back at the first run of a day, after everything else
)

// cartsSeen is how far carts were looked at.
type cartsSeen struct {
	To    time.Time // all hints until then
	Swept string    // the day of the last look at a whole week
}

// DetectAbandonment finds the carts and checkouts with which nothing has happened for a while, by the hints of when something
// happened with them, and says so once an episode. A hint that was followed is gone, so that looking back costs little; how far
// it came is kept by the hour, so that a run which is cut off is gone on with.
func (a *App) DetectAbandonment(ctx context.Context) error {
	const pk, sk = "CHECKPOINT", "detect-abandonment"
	now := a.Now().UTC()
	to := now.Add(-a.cartIdle() - view.CartBucket)
	row, ok, err := a.Views.Table.Get(ctx, pk, sk)
	if err != nil {
		return err
	}
	seen := cartsSeen{To: to.Add(-cartSweep)}
	if ok {
		if err := json.Unmarshal(row.Data, &seen); err != nil {
			return fmt.Errorf("decode checkpoint: %w", err)
		}
	}
	save := func() error {
		data, err := json.Marshal(seen)
		if err != nil {
			return err
		}
		return a.Views.Table.Put(ctx, view.Row{PK: pk, SK: sk, Data: data})
	}
	from := seen.To.Add(-cartAgain)
	if oldest := to.Add(-cartSweep); from.Before(oldest) { // hints are kept no longer
		from = oldest
	}
	for hour := from.Truncate(view.CartHour); !hour.After(to); hour = hour.Add(view.CartHour) {
		if err := a.abandonTouched(ctx, hour, to, now); err != nil {
			return err
		}
		if end := hour.Add(view.CartHour); end.After(seen.To) {
			if seen.To = end; end.After(to) {
				seen.To = to
			}
			if err := save(); err != nil {
				return err
			}
		}
	}
	today := now.Format(time.DateOnly)
	if seen.Swept == today {
		return nil
	}
	for hour := to.Add(-cartSweep).Truncate(view.CartHour); hour.Before(from); hour = hour.Add(view.CartHour) {
		if err := a.abandonTouched(ctx, hour, to, now); err != nil {
			return err
		}
	}
	seen.Swept = today
	return save()
}

func (a *App) cartIdle() time.Duration {
	if a.Settings.CartIdle > 0 {
		return a.Settings.CartIdle
	}
	return cart.DefaultIdle
}

func (a *App) abandonTouched(ctx context.Context, hour, to, now time.Time) error {
	for cursor := ""; ; {
		hints, next, err := a.Views.TouchedCarts(ctx, hour, to, cursor, cartPage)
		if err != nil {
			return err
		}
		for _, hint := range hints {
			err := a.abandon(ctx, view.StreamOf(hint), now)
			if err != nil && fault.Retryable(err) {
				return err // the hour is looked at again
			}
			if err != nil {
				slog.ErrorContext(ctx, "cart not looked at", metric.Count(metric.EventsParked, 1), "error", err)
			}
			if err := a.Views.Table.Delete(ctx, [2]string{hint.PK, hint.SK}); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// abandon looks at the carts of whoever the stream is: what was put into a cart before somebody was known counts with what
// was put into it, or ordered of it, afterwards.
func (a *App) abandon(ctx context.Context, stream string, now time.Time) error {
	stream, person, err := a.person(ctx, stream)
	if err != nil {
		return err
	}
	var others []cart.State
	for _, s := range person[1:] {
		others = append(others, s.Cart)
	}
	_, _, err = a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
		Meta: eventstore.Meta{Actor: "system:detect-abandonment", Source: "system"},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h)
			if erased(s) {
				return eventstore.Decision{}, nil
			}
			events, err := cart.Decide(cart.Joined(append(others[:len(others):len(others)], s.Cart)...), cart.Abandon{At: now, Idle: a.cartIdle()})
			return eventstore.Decision{Events: eventstore.Happened(events...)}, err
		},
	})
	return err
}
