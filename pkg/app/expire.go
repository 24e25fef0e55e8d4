package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"defter/pkg/consent"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/metric"
	"defter/pkg/record"
	"defter/pkg/view"
)

const (
	expirePage    = 100
	expireLookout = 45   // days looked back on the very first run
	expireMaxDays = 1500 // days one run works off

	checkpointPK = "CHECKPOINT" // of the functions that run by the clock
)

type checkpoint struct {
	Day string `json:"day"` // the last day that is done, YYYY-MM-DD
}

// ExpireConsents ends the consents whose term is over and announces those that end within 30 days. It works off the days
// since the last run by the views' due-date lookup, so it looks at nobody who is not due.
func (a *App) ExpireConsents(ctx context.Context) error {
	const pk, sk = checkpointPK, "expire-consents"
	now := a.Now().UTC()
	today := now.Truncate(24 * time.Hour)
	day := today.AddDate(0, 0, -expireLookout)
	row, ok, err := a.Views.Table.Get(ctx, pk, sk)
	if err != nil {
		return err
	}
	if ok {
		var done checkpoint
		if err := json.Unmarshal(row.Data, &done); err != nil {
			return fmt.Errorf("decode checkpoint: %w", err)
		}
		last, err := time.Parse(time.DateOnly, done.Day)
		if err != nil {
			return fmt.Errorf("decode checkpoint: %w", err)
		}
		day = last.AddDate(0, 0, 1)
	}
	for n := 0; n < expireMaxDays && !day.After(today); n++ {
		if err := a.expireDay(ctx, day, now); err != nil {
			return err
		}
		if day.Before(today) { // today is looked at again until it is over
			data, err := json.Marshal(checkpoint{day.Format(time.DateOnly)})
			if err != nil {
				return err
			}
			if err := a.Views.Table.Put(ctx, view.Row{PK: pk, SK: sk, Data: data}); err != nil {
				return err
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return nil
}

func (a *App) expireDay(ctx context.Context, day, now time.Time) error {
	for cursor := ""; ; {
		ids, next, err := a.Views.DueConsents(ctx, day, cursor, expirePage)
		if err != nil {
			return err
		}
		for _, id := range ids {
			_, _, err := a.Log.Handle(ctx, eventstore.Command{
				Stream: view.CustomerStream(id), Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
				Meta: eventstore.Meta{Actor: "system:expire-consents", Source: "system"},
				Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
					s := record.Fold.Of(h)
					if !s.Customer.Exists() {
						return eventstore.Decision{}, nil
					}
					events, err := consent.Decide(s.Consent, consent.Expire{At: now})
					return eventstore.Decision{Events: eventstore.Happened(events...)}, err
				},
			})
			if err != nil && fault.Retryable(err) {
				return err // the day is worked off again
			}
			if err != nil {
				slog.ErrorContext(ctx, "consent not expired", metric.Count(metric.EventsParked, 1), "error", err)
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
