package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"defter/pkg/app"
	"defter/pkg/eventstore"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/record"
	"defter/pkg/view"
)

// young is how many events a customer has that the older ones are compared with.
const young = 10

// grownAgo is when the history of an old customer ends: what they do now, they do some minutes after.
const grownAgo = 10 * time.Minute

// age measures whether a command gets slower or dearer with the customer's history. Nothing of the stream is in memory,
// as in a function that sees the customer for the first time. Customers of each age take turns; every round has a new
// young one, since a command adds an event.
func (b *bench) age(ctx context.Context) (err error) {
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	total := new(meter.Meter)
	a := bed.instance(meter.Client{API: bed.client, Total: total}, bed.master, wallClock, 0)
	rounds, warmUp := b.size(40, 120), 5 // over a whole cycle of snapshots
	ages := []int{1_000, b.size(10_000, 100_000)}
	var olds []string
	for _, events := range ages {
		name := fmt.Sprintf("of-%d-events", events)
		if err := bed.grow(ctx, name, events); err != nil {
			return err
		}
		olds = append(olds, name)
	}
	for _, c := range agedCommands(a) {
		times, units := make([][]float64, 1+len(ages)), make([][]float64, 1+len(ages))
		for round := range rounds + warmUp {
			fresh := fmt.Sprintf("young-%s-%d", c.name, round)
			if err := bed.grow(ctx, fresh, young); err != nil {
				return err
			}
			customers := append([]string{fresh}, olds...)
			for turn := range customers {
				side := (turn + round) % len(customers)
				customer := customers[side]
				if _, err := a.Log.Vault.Seal(ctx, view.CustomerStream(customer), "key", nil); err != nil { // into memory
					return err
				}
				began := time.Now()
				cost, err := costOf(total, func() error { return c.run(ctx, customer, round) })
				if err != nil {
					return err
				}
				took := milliseconds(time.Since(began))
				if err := bed.project(ctx, view.CustomerStream(customer)); err != nil {
					return err
				}
				if round >= warmUp {
					times[side], units[side] = append(times[side], took), append(units[side], cost.ReadUnits)
				}
			}
		}
		b.info(fmt.Sprintf("%s/%d-events/time", c.name, young), median(times[0]), "ms")
		b.info(fmt.Sprintf("%s/%d-events/read-units", c.name, young), mean(units[0]), "read units, mean")
		for i, events := range ages {
			name := fmt.Sprintf("%s/%d-events", c.name, events)
			b.atMost(name+"/time-ratio", median(times[i+1])/median(times[0]), "times the young one's", 1.2)
			b.atMost(name+"/read-units-ratio", mean(units[i+1])/mean(units[0]), "times the young one's", 1.2)
		}
	}
	b.note("Medians of %d rounds, taking turns. The old customers' histories ended %s ago, the young ones' just now.", rounds, grownAgo)
	return nil
}

// agedCommand is a command whose cost must not depend on how old the customer is.
type agedCommand struct {
	name string
	run  func(ctx context.Context, customer string, round int) error
}

func agedCommands(a *app.App) []agedCommand {
	keyed := func(name string, h lambdaio.Handler, method, route, idempotencyKey string, body func(round int) string, params ...string) agedCommand {
		return agedCommand{name, func(ctx context.Context, customer string, round int) error {
			key := ""
			if idempotencyKey != "" {
				key = fmt.Sprintf("%s-%s-%d", idempotencyKey, customer, round)
			}
			text := strings.ReplaceAll(body(round), "$customer", customer)
			if strings.Contains(route, "{id}") {
				_, err := askOnce(ctx, h, key, method, route, []byte(text), append([]string{customer}, params...)...)
				return err
			}
			_, err := askOnce(ctx, h, key, method, route, []byte(text))
			return err
		}}
	}
	api := func(name string, h lambdaio.Handler, method, route string, body func(round int) string, params ...string) agedCommand {
		return keyed(name, h, method, route, "", body, params...)
	}
	turns := func(bodies ...string) func(int) string {
		return func(round int) string {
			return strings.ReplaceAll(bodies[round%len(bodies)], "$round", fmt.Sprint(round))
		}
	}
	return []agedCommand{
		api("set-preferences", app.SetPreferences(a), "PUT", "/v1/customers/{id}/preferences", turns(`{"emailFrequency":"daily"}`, `{"emailFrequency":"weekly"}`)),
		keyed("set-preferences-once", app.SetPreferences(a), "PUT", "/v1/customers/{id}/preferences", "preferences", turns(`{"emailFrequency":"daily"}`, `{"emailFrequency":"weekly"}`)),
		api("patch-profile", app.UpdateProfile(a), "PATCH", "/v1/customers/{id}", turns(`{"firstName":"Ada"}`, `{"firstName":"Zeynep"}`)),
		api("grant-consent", app.GrantConsent(a), "POST", "/v1/customers/{id}/consents", turns(`{"purpose":"marketing","channel":"sms"}`)),
		api("change-email", app.ChangeEmail(a), "PUT", "/v1/customers/{id}/email", turns(`{"email":"$customer-$round@example.com"}`)),
		api("link-identity", app.LinkIdentity(a), "POST", "/v1/customers/{id}/identities", turns(`{"anonymousId":"$customer-visitor"}`)),
		{"ingest-single", func(ctx context.Context, customer string, round int) error {
			_, err := ask(ctx, app.IngestEvents(a), "POST", "/v1/batch", appendBatch(nil, customer, 1_000_000+round, 1, time.Now()))
			return err
		}},
		// The last: the old customers keep the orders, which the young ones of other rounds have not.
		keyed("place-order-once", app.PlaceOrder(a), "POST", "/v1/orders", "order", turns(`{"customerId":"$customer","currency":"EUR","items":[{"productId":"a","quantity":1,"priceMinor":1000}]}`)),
	}
}

// grow gives a customer so many events: the first of a long history in large commits, the last 200 by ones and threes,
// each written as any command would, snapshots included, and projected.
func (b *bed) grow(ctx context.Context, customer string, events int) error {
	at := func() time.Time { return wallClock().Add(-grownAgo) }
	if events <= young {
		at = wallClock
	}
	a := b.instance(b.client, b.master, at, 1)
	stream := view.CustomerStream(customer)
	for done := 0; done < events; {
		n := min(1+done%2*2, events-done)
		if left := events - done; left > 200 {
			n = min(200, left-200)
		}
		if done == 0 { // makes the customer
			if _, err := ask(ctx, app.IngestEvents(a), "POST", "/v1/batch", appendBatch(nil, customer, 0, 1, time.Now())); err != nil {
				return err
			}
			head, err := a.Log.Load(ctx, stream)
			if err != nil {
				return err
			}
			done = int(head.Version)
			continue
		}
		_, _, err := a.Log.Handle(ctx, eventstore.Command{
			Stream: stream, Folds: []eventstore.AnyFold{record.Fold, ingest.SeenFold}, Meta: eventstore.Meta{Actor: "source:bench", Source: "browser"},
			Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				d := sizedEvents(n)
				for i := range d.Events {
					d.Events[i].Message = ingest.Fingerprint("bench", fmt.Sprintf("%s-%d", customer, done+i))
				}
				return d, nil
			},
		})
		if err != nil {
			return err
		}
		done += n
	}
	return b.project(ctx, stream)
}
