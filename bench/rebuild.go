package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"defter/pkg/app"
	"defter/pkg/view"
)

// rebuild measures how fast every view is made again from the store: into an empty table, since rows that are there
// already are left as they are.
func (b *bench) rebuild(ctx context.Context) (err error) {
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	a := bed.instance(bed.client, bed.master, wallClock, population)
	ingest, v := app.IngestEvents(a), newVisitors(2, population)
	events := b.size(4_000, 20_000)
	for sequence := 0; sequence < events; sequence += batchSize {
		if _, err := ask(ctx, ingest, "POST", "/v1/batch", appendBatch(nil, v.next(), sequence, batchSize, time.Now())); err != nil {
			return err
		}
	}
	var rates []float64
	var rebuilt int64
	for round := range 4 {
		table := fmt.Sprintf("views-%d", round)
		if err := bed.createTable(ctx, table, false); err != nil {
			return err
		}
		began := time.Now()
		views := view.Views{Table: view.Table{Client: bed.client, Name: table}, Log: a.Log}
		if rebuilt, err = views.Rebuild(ctx); err != nil {
			return err
		}
		if round > 0 {
			rates = append(rates, float64(rebuilt)/time.Since(began).Seconds())
		}
	}
	if rebuilt < int64(events) {
		return fmt.Errorf("%d events were rebuilt, %d are stored", rebuilt, events)
	}
	b.info("rebuild/rate", median(rates), "events/s")
	b.note("Median of %d rebuilds of %d events in batches of %d.", len(rates), rebuilt, batchSize)
	return nil
}
