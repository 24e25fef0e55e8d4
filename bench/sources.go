package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"defter/pkg/app"

	lambdaevents "github.com/aws/aws-lambda-go/events"
)

// sourceTypes are the ways events come in: how many in one request, and the request.
var sourceTypes = []struct {
	name   string
	source string // the body that makes it
	events int
	method string
	route  string
	body   func(customer string, first, n int, at time.Time) []byte
}{
	{"server, one by one", `{"name":"server","kind":"server"}`, 1, "POST", "/v1/batch", batchOf},
	{"server, batches of 100", `{"name":"import","kind":"server"}`, 100, "POST", "/v1/batch", batchOf},
	{"browser, batches of 10", `{"name":"shop","kind":"browser"}`, 10, "POST", "/v1/batch", batchOf},
	{"mobile, batches of 20", `{"name":"app","kind":"mobile"}`, 20, "POST", "/v1/batch", batchOf},
	{
		"webhook, one a delivery", `{"name":"tills","kind":"webhook","webhook":{"signature":"none","rules":[{"event":"Order Completed","userId":"$.body.customer",` +
			`"messageId":"$.body.receipt","properties":{"order_id":"$.body.receipt","total":"minor:$.body.cents","currency":"=TRY"}}]}}`,
		1, "POST", "/v1/webhook", func(customer string, first, _ int, _ time.Time) []byte {
			return fmt.Appendf(nil, `{"customer":%q,"receipt":"r-%d","cents":1999}`, customer, first)
		},
	},
}

func batchOf(customer string, first, n int, at time.Time) []byte {
	return appendBatch(nil, customer, first, n, at)
}

// sources prices a million events of each way that they come in, without reactions.
func (b *bench) sources(ctx context.Context, p prices) (err error) {
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = bed.close() }()
	f := newFleet(bed, time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	f.calm = true
	requests := b.size(60, 300)
	sequence := 0
	for _, t := range sourceTypes {
		if f.writeKey, err = f.connect(ctx, t.source); err != nil {
			return err
		}
		v := newVisitors(1, population)
		send := func() error {
			sequence += t.events
			return f.send(ctx, t.method, t.route, t.body(v.next(), sequence, t.events, f.clock.now()), t.events)
		}
		for range requests { // customers are known, and the source is
			if err := send(); err != nil {
				return err
			}
		}
		f.used = usage{}
		v = newVisitors(1, population)
		err := f.logging(func() error {
			for range requests {
				if err := send(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		each := f.used.scaled(1 / float64(requests*t.events))
		sum := 0.0
		for _, dollars := range p.lines(each.scaled(million), 0) {
			sum += dollars.dollars
		}
		b.info("source/"+t.name+"/write-units", each.writeUnits, "an event")
		b.info("source/"+t.name+"/read-units", each.readUnits, "an event")
		b.info("source/"+t.name+"/all-in", sum, "$ per 1 M events")
	}
	b.note("Customers who are known, Zipf (%.2f) over %d; without reactions, keys and secrets. Projected and published like all.", skew, population)
	return nil
}

// send takes one request through the system to its end: accepted, published, projected, and every reaction to it.
func (f *fleet) send(ctx context.Context, method, route string, body []byte, events int) error {
	f.clock.pass(24 * time.Hour * time.Duration(events) / eventsPerDay)
	payload, err := requestFrom(f.address(), f.writeKey, method, route, body)
	if err != nil {
		return err
	}
	f.used.apiRequests += math.Ceil(float64(len(body)) / (512 << 10))
	answer, err := f.call(ctx, "ingest-events", payload)
	if err != nil {
		return err
	}
	var out lambdaevents.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(answer, &out); err != nil || out.StatusCode != 200 {
		return fmt.Errorf("ingest answered %s", answer)
	}
	return f.settle(ctx)
}

// connect makes a source and returns how its clients say who they are.
func (f *fleet) connect(ctx context.Context, source string) (authorization string, err error) {
	a := f.bed.instance(f.bed.client, f.bed.master, f.clock.now, 0)
	answer, err := ask(ctx, app.CreateSource(a), "POST", "/v1/sources", []byte(source))
	if err != nil {
		return "", err
	}
	var made app.SourceShown
	if err := json.Unmarshal(answer, &made); err != nil {
		return "", err
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(made.WriteKeys[0].WriteKey+":")), nil
}
