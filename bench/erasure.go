package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"defter/pkg/app"
	"defter/pkg/eventstore"
	"defter/pkg/meter"
	"defter/pkg/view"
)

// erasure measures an erasure as it depends on the history: each step must end within a function's time, and the machine comes to the
// certificate without help.
func (b *bench) erasure(ctx context.Context) (err error) {
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	total := new(meter.Meter)
	events := b.size(20_000, 1_000_000)
	for _, size := range []int{young, events} {
		customer := fmt.Sprintf("of-%d-events", size)
		if err := bed.grow(ctx, customer, size); err != nil {
			return err
		}
		a := bed.instance(meter.Client{API: bed.client, Total: total}, bed.master, wallClock, 0)
		a.Email = nobodysMail{}
		var answer []byte
		began := time.Now()
		cost, err := costOf(total, func() (err error) {
			answer, err = ask(ctx, app.EraseCustomer(a), "POST", "/v1/customers/{id}/erasure", []byte("{}"), customer)
			return err
		})
		if err != nil {
			return err
		}
		longest, steps := time.Since(began), 1
		for run := (app.ErasureRun{Stream: view.CustomerStream(customer)}); !run.Done; steps++ {
			began := time.Now()
			more, err := costOf(total, func() (err error) {
				run, err = a.RunErasureStep(ctx, run)
				return err
			})
			if err != nil {
				return err
			}
			if run.Failures > 0 {
				return fmt.Errorf("step %d failed", steps)
			}
			cost.Requests, cost.ReadUnits, cost.WriteUnits = cost.Requests+more.Requests, cost.ReadUnits+more.ReadUnits, cost.WriteUnits+more.WriteUnits
			longest = max(longest, time.Since(began))
		}
		if answer, err = ask(ctx, app.GetErasure(a), "GET", "/v1/customers/{id}/erasure", nil, customer); err != nil {
			return err
		}
		var certificate app.Certificate
		if err := json.Unmarshal(answer, &certificate); err != nil || certificate.Status != "completed" {
			return fmt.Errorf("the certificate is %s: %w", answer, err)
		}
		name := fmt.Sprintf("erasure/%d-events", size)
		b.atMost(name+"/longest-step", longest.Seconds(), "s", 30)
		b.info(name+"/steps", float64(steps), "steps")
		b.info(name+"/requests", float64(cost.Requests), "requests")
		b.info(name+"/read-units", cost.ReadUnits, "read units")
		b.info(name+"/write-units", cost.WriteUnits, "write units")
	}
	b.note("What grows is the timeline: a row for each commit.")
	return nil
}

// project projects what of a stream is not yet, as its reader would.
func (b *bed) project(ctx context.Context, stream string) error {
	a := b.instance(b.client, b.master, wallClock, 0)
	_, projected, err := view.Profiles.Load(ctx, a.Views, stream)
	if err != nil {
		return err
	}
	var batch []eventstore.Commit
	flush := func() error {
		if failed := a.Views.ProjectActivity(ctx, batch); len(failed) > 0 {
			return fmt.Errorf("%d commits were not projected", len(failed))
		}
		batch = nil
		return nil
	}
	for c, err := range a.Log.Store.Read(ctx, stream, projected+1, 0) {
		if err != nil {
			return err
		}
		if batch = append(batch, c); len(batch) == 500 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// nobodysMail is a provider that knows nobody.
type nobodysMail struct{}

func (nobodysMail) Send(context.Context, app.Mail) (string, error) { return "", nil }
func (nobodysMail) Idempotent() bool                               { return true }
func (nobodysMail) Forget(context.Context, string) error           { return nil }
