package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"defter/pkg/activity"
	"defter/pkg/app"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/record"
	"defter/pkg/view"
)

// eventBytes is how large a stored event is that the budgets are about: its record and what of it is sealed, textBytes of
// which are a text of its own that does not get smaller when it is compressed.
const (
	eventBytes = 550
	textBytes  = eventBytes - len(`{"t":"EventTracked","o":1790000000000,"m":"AAAAAAAAAAA","d":{}},`) - len(`{"event":"Sized","properties":{"text":""}},`)
)

// commands counts what each command asks of DynamoDB. The function is warm, its customer is not in memory: keys and
// secrets have been read, the stream has not.
func (b *bench) commands(ctx context.Context) (err error) {
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	total := new(meter.Meter)
	a := bed.instance(meter.Client{API: bed.client, Total: total}, bed.master, wallClock, 0)
	customers := b.size(3, 10)
	ids := make([]string, 0, customers)
	register := func(i int) error {
		body := fmt.Appendf(nil, `{"email":"shopper%d@example.com","firstName":"Ada","lastName":"Yılmaz","phone":"+905321234567","marketingConsent":true,"termsAccepted":true}`, i)
		raw, err := ask(ctx, app.RegisterCustomer(a), "POST", "/v1/customers", body)
		if err != nil {
			return err
		}
		var answer struct {
			CustomerID string `json:"customerId"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return err
		}
		ids = append(ids, answer.CustomerID)
		return nil
	}
	for i := range 40 { // enough to read or make every key-encryption key and secret
		if err := register(-1 - i); err != nil {
			return err
		}
	}
	ids = ids[:0]
	sequence := 0
	api := func(h lambdaio.Handler, method, route, body string, params ...string) func(int) error {
		return func(i int) error {
			_, err := ask(ctx, h, method, route, []byte(strings.ReplaceAll(body, "$i", fmt.Sprint(i))), append([]string{ids[i]}, params...)...)
			return err
		}
	}
	batch := func(n int) func(int) error {
		return func(i int) error {
			body := appendBatch(nil, ids[i], sequence, n, time.Now())
			sequence += n
			_, err := ask(ctx, app.IngestEvents(a), "POST", "/v1/batch", body)
			return err
		}
	}
	for _, c := range []struct {
		name   string
		run    func(i int) error
		budget float64 // of write units, 0 for none
	}{
		{"register (3 events, email claimed)", register, 0},
		{"grant-consent", api(app.GrantConsent(a), "POST", "/v1/customers/{id}/consents", `{"purpose":"marketing","channel":"sms"}`), 1},
		{"revoke-consent", api(app.RevokeConsent(a), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "", "marketing", "sms"), 1},
		{"set-preferences", api(app.SetPreferences(a), "PUT", "/v1/customers/{id}/preferences", `{"emailFrequency":"weekly","categories":["outdoor","shoes"],"timezone":"Europe/Istanbul"}`), 1},
		{"patch-profile", api(app.UpdateProfile(a), "PATCH", "/v1/customers/{id}", `{"firstName":"Zeynep"}`), 1},
		{"change-email (2 events, claim moved)", api(app.ChangeEmail(a), "PUT", "/v1/customers/{id}/email", `{"email":"other$i@example.com"}`), 0},
		{"ingest-single", batch(1), 1},
		{"ingest-batch-of-10", batch(10), 0},
	} {
		var sum meter.Cost
		for i := range customers {
			cost, err := costOf(total, func() error { return c.run(i) })
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			sum.Requests, sum.WriteUnits, sum.ReadUnits = sum.Requests+cost.Requests, sum.WriteUnits+cost.WriteUnits, sum.ReadUnits+cost.ReadUnits
		}
		if sum.WriteUnits == 0 {
			return fmt.Errorf("%s wrote nothing", c.name)
		}
		b.cost("command/"+c.name, sum, float64(customers), c.budget)
		if strings.HasPrefix(c.name, "register") {
			b.atMost("command/"+c.name+"/requests-of-a-registration", float64(sum.Requests)/float64(customers), "requests", 4)
		}
	}
	if err := b.appends(ctx, bed); err != nil {
		return err
	}
	b.note("A commit pays by its size, which ingest-batch-of-10 shows.")
	return nil
}

func (b *bench) cost(name string, sum meter.Cost, runs, budget float64) {
	b.info(name+"/requests", float64(sum.Requests)/runs, "requests")
	if budget > 0 {
		b.atMost(name+"/write-units", sum.WriteUnits/runs, "write units", budget)
	} else {
		b.info(name+"/write-units", sum.WriteUnits/runs, "write units")
	}
	b.info(name+"/read-units", sum.ReadUnits/runs, "read units")
}

// appends counts bare appends of events of eventBytes to a stream whose head is in memory.
func (b *bench) appends(ctx context.Context, bed *bed) error {
	total := new(meter.Meter)
	a := bed.instance(meter.Client{API: bed.client, Total: total}, bed.master, wallClock, 10)
	var sizes []int
	for _, c := range []struct {
		events int
		budget float64
	}{{1, 1}, {3, 2}} {
		stream := view.CustomerStream(newID())
		appendEvents := func() error {
			_, _, err := a.Log.Handle(ctx, eventstore.Command{
				Stream: stream, Folds: []eventstore.AnyFold{record.Fold},
				Meta:   eventstore.Meta{Actor: "source:bench", Source: "browser", CorrelationID: newID()},
				Decide: func(*eventstore.Head) (eventstore.Decision, error) { return sizedEvents(c.events), nil },
			})
			return err
		}
		if err := appendEvents(); err != nil {
			return err
		}
		cost, err := costOf(total, appendEvents)
		if err != nil {
			return err
		}
		b.cost(fmt.Sprintf("append/%d-event", c.events), cost, 1, c.budget)
		for commit, err := range a.Log.Store.ReadBack(ctx, stream, 0) {
			if err != nil {
				return err
			}
			item, err := dynamo.Marshal(commit)
			if err != nil {
				return err
			}
			sizes = append(sizes, meter.Size(item))
			break
		}
	}
	b.info("append/event-bytes", float64(sizes[1]-sizes[0])/2, "bytes an event, stored")
	return nil
}

// sizedEvents decides on n events of eventBytes each.
// noise is text that holds n random bytes, the same ones in every run.
func noise(n int) string {
	b := make([]byte, n)
	random.Read(b)
	return base64.RawStdEncoding.EncodeToString(b)
}

var random = rand.NewChaCha8([32]byte{1})

func sizedEvents(n int) eventstore.Decision {
	var d eventstore.Decision
	for range n {
		d.Events = append(d.Events, eventstore.New{
			Data:    activity.EventTracked{Event: "Sized", Properties: fmt.Appendf(nil, `{"text":%q}`, noise(textBytes))},
			Message: "AAAAAAAAAAA", OccurredAt: wallClock().Add(-time.Second),
		})
	}
	return d
}
