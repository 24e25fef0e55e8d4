package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"defter/pkg/app"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/source"

	lambdaevents "github.com/aws/aws-lambda-go/events"
)

// What whoever has no key may cost at most, and whoever has a public one, as a multiple of what an honest message costs.
const (
	strangerMs     = 20
	strangerBytes  = 8 << 20
	publicMultiple = 5
)

// bomb is a few bytes that become many.
func bomb(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// strangers measures what those cost who may do little or nothing.
func (b *bench) strangers(ctx context.Context) (err error) {
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	door := door{b, bed, new(meter.Meter), nil}
	a := bed.instance(meter.Client{API: bed.client, Total: door.total}, bed.master, wallClock, 0)
	door.ingest = app.IngestEvents(a)
	answer, err := ask(ctx, app.CreateSource(a), "POST", "/v1/sources", []byte(`{"name":"shop","kind":"browser","messagesPerMinute":6000000,"newPeoplePerMinute":6000000}`))
	if err != nil {
		return err
	}
	var made app.SourceShown
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	if err := door.withoutKey(ctx); err != nil {
		return err
	}
	if err := door.withPublicKey(ctx, made.WriteKeys[0].WriteKey); err != nil {
		return err
	}
	if err := b.attack(ctx); err != nil {
		return err
	}
	return b.flood(ctx)
}

// zeros is a list that costs its sender little.
var zeros = strings.Repeat("0,", 2_000_000)

// door is where messages come in, and counts what they cost.
type door struct {
	*bench
	bed    *bed
	total  *meter.Meter
	ingest lambdaio.Handler
}

// withoutKey measures those who have no valid key.
func (d door) withoutKey(ctx context.Context) error {
	for _, c := range []struct {
		name, key string
		body      []byte
		zipped    bool
	}{
		{"a made-up key, 4 MB", "nobody", []byte(`{"batch":[` + zeros[:4_000_000] + `0]}`), false},
		{"a key of the right form", "caaaaaaaaaaaaaaaaaaaaaaaa", []byte(`{"batch":[{}]}`), false},
		{"no key, 4 MB", "", []byte(`{"batch":[` + zeros[:4_000_000] + `0]}`), false},
		{"no key, 4 KB of gzip for 4 MB", "", bomb(`{"batch":[` + zeros + `0]}`), true},
		{"no key, 500 KB of elements", "", []byte(`{"batch":[` + zeros[:500_000] + `0]}`), false},
		{"no key, 500 KB of depth", "", []byte(`{"batch":` + strings.Repeat("[", 250_000) + strings.Repeat("]", 250_000) + `}`), false},
	} {
		cost, err := d.sends(ctx, c.key, c.body, c.zipped)
		if err != nil {
			return err
		}
		d.atMost("stranger/"+c.name+"/time", cost.ms, "ms", strangerMs)
		d.atMost("stranger/"+c.name+"/memory", cost.bytes, "bytes allocated in all", strangerBytes)
		d.atMost("stranger/"+c.name+"/requests", cost.requests, "requests of the tables", 0)
	}
	return nil
}

// withPublicKey measures what a public key can make dear, beside an honest message.
func (d door) withPublicKey(ctx context.Context, key string) error {
	one, err := d.honest(ctx, key)
	if err != nil {
		return err
	}
	list := func(n int, each func(i int) string) []byte {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = each(i)
		}
		return []byte(`{"batch":[` + strings.Join(parts, ",") + `]}`)
	}
	if err := d.bed.grow(ctx, "busy", d.size(2000, 5000)); err != nil {
		return err
	}
	for _, c := range []struct {
		name     string
		messages float64
		runs     int
		body     func(run int) []byte
	}{
		{"512 KB that are no JSON", 1, 5, func(int) []byte { return []byte(`{"batch":[` + zeros[:500_000] + `}`) }},
		{"100 that cannot be taken in", 100, 5, func(run int) []byte {
			return list(100, func(i int) string { return fmt.Sprintf(`{"type":"dance","userId":"made-up-%d-%d"}`, run, i) })
		}},
		{"100 people never heard of", 100, 5, func(run int) []byte {
			return list(100, func(i int) string { return fmt.Sprintf(`{"type":"page","anonymousId":"new-%d-%d"}`, run, i) })
		}},
		{"a page of six days ago, of somebody busy", 1, 200, func(run int) []byte { // over a cycle of snapshots
			return fmt.Appendf(nil, `{"batch":[{"type":"page","userId":"busy","messageId":"late-%d","timestamp":%q}]}`, run, time.Now().AddDate(0, 0, -6).Format(time.RFC3339))
		}},
		{"50 traits of junk", 1, 5, func(run int) []byte {
			return fmt.Appendf(nil, `{"batch":[{"type":"identify","userId":"honest","messageId":"junk-%d","traits":{%s}}]}`, run, strings.Repeat(fmt.Sprintf(`"%d":"%s",`, run, strings.Repeat("x", 100)), 200)+`"a":1`)
		}},
	} {
		var times, units []float64
		for run := range c.runs + 1 {
			cost, err := d.sends(ctx, key, c.body(run), false)
			if err != nil {
				return err
			}
			if run > 0 { // the first one makes whom it is about
				times, units = append(times, cost.ms), append(units, cost.units)
			}
		}
		d.atMost("public/"+c.name+"/time-ratio", median(times)/c.messages/one.ms, "times an honest message, each", publicMultiple)
		d.atMost("public/"+c.name+"/units-ratio", mean(units)/c.messages/one.units, "times an honest message, each", publicMultiple)
	}
	return nil
}

// honest is what a message costs of somebody known.
func (d door) honest(ctx context.Context, key string) (each hostileCost, err error) {
	honest := func() []byte { return appendBatch(nil, "honest", int(time.Now().UnixNano()%1e12), 1, time.Now()) }
	for range 20 { // known, and warm
		if _, err := d.sends(ctx, key, honest(), false); err != nil {
			return each, err
		}
	}
	var times, units []float64
	for range 40 { // over a cycle of snapshots
		cost, err := d.sends(ctx, key, honest(), false)
		if err != nil {
			return each, err
		}
		times, units = append(times, cost.ms), append(units, cost.units)
	}
	each = hostileCost{ms: median(times), units: mean(units)}
	d.info("public/an honest message/time", each.ms, "ms")
	d.info("public/an honest message/units", each.units, "write units, reads at their price")
	return each, nil
}

func basicKey(key string) string { return "Basic " + base64Of([]byte(key+":")) }

func base64Of(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// hostileCost is what one request costs.
type hostileCost struct{ ms, bytes, requests, units float64 }

// sends sends a request as API Gateway would, and tells what it cost, whatever the answer.
func (d door) sends(ctx context.Context, key string, body []byte, zipped bool) (c hostileCost, err error) {
	authorization := ""
	if key != "" {
		authorization = basicKey(key)
	}
	address := fmt.Sprintf("198.18.%d.%d", rand.IntN(256), rand.IntN(256)) // each from another
	payload, err := requestFrom(address, authorization, "POST", "/v1/batch", body)
	if err != nil {
		return c, err
	}
	if zipped {
		if payload, err = asGzip(payload, body); err != nil {
			return c, err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	cost, err := costOf(d.total, func() error {
		_, err := d.ingest.Invoke(ctx, payload)
		return err
	})
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return hostileCost{milliseconds(took), float64(after.TotalAlloc - before.TotalAlloc), float64(cost.Requests), cost.WriteUnits + cost.ReadUnits/5}, err
}

// asGzip is a request with a compressed body, which API Gateway hands over in base64.
func asGzip(payload, body []byte) ([]byte, error) {
	var in lambdaevents.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	in.Headers["content-encoding"], in.Body, in.IsBase64Encoded = "gzip", base64Of(body), true
	return json.Marshal(in)
}

// attack prices a day of a megabyte a second with one public key, with the budgets of a source and without.
func (b *bench) attack(ctx context.Context) (err error) {
	const perSecond = 1e6 // bytes
	p, err := readPrices()
	if err != nil {
		return err
	}
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	f := newFleet(bed, time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	f.calm, f.crowd = true, 1
	if f.writeKey, err = f.connect(ctx, `{"name":"shop","kind":"browser","messagesPerMinute":6000000,"newPeoplePerMinute":6000000,"messagesPerRequest":2500}`); err != nil {
		return err
	}
	people := 0
	crowd := func(n int) []byte {
		parts := make([]string, n)
		for i := range parts {
			people++
			parts[i] = fmt.Sprintf(`{"type":"page","anonymousId":"v%d"}`, people)
		}
		return []byte(`{"batch":[` + strings.Join(parts, ",") + `]}`)
	}
	price := func(requests int, send func() error) (float64, error) {
		f.used = usage{}
		if err := f.logging(func() error {
			for range requests {
				if err := send(); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return 0, err
		}
		sum := 0.0
		for _, line := range p.lines(f.used.scaled(1/float64(requests)), 0) {
			sum += line.dollars
		}
		return sum, nil
	}
	const each = 100
	size := float64(len(crowd(each)))
	newcomers, err := price(b.size(3, 10), func() error { return f.send(ctx, "POST", "/v1/batch", crowd(each), each) })
	if err != nil {
		return err
	}
	known := 0 // of the people, one a request: what is said of one in a minute has a budget of its own
	seen := func() []byte {
		known++
		return []byte(`{"batch":[` + strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"type":"page","anonymousId":"v%d"},`, known), each), ",") + `]}`)
	}
	pages, err := price(b.size(3, 10), func() error { return f.send(ctx, "POST", "/v1/batch", seen(), each) })
	if err != nil {
		return err
	}
	refused, err := price(b.size(5, 20), func() error {
		f.used.apiRequests++
		payload, err := requestAs(basicKey("caaaaaaaaaaaaaaaaaaaaaaaa"), "POST", "/v1/batch", crowd(each))
		if err != nil {
			return err
		}
		_, err = f.call(ctx, "ingest-events", payload)
		return err
	})
	if err != nil {
		return err
	}
	requests := perSecond / size * 60 // a minute
	const minutes = 24 * 60
	before := requests * newcomers * minutes
	_, shared, newPeople := source.Settings{Kind: source.Browser}.Budget()
	messages, fresh := float64(shared), float64(newPeople)
	ofPeople := math.Min(requests, fresh/each)
	ofPages := math.Min(requests-ofPeople, (messages-fresh)/each)
	after := (ofPeople*newcomers + ofPages*pages + (requests-ofPeople-ofPages)*refused) * minutes
	b.info("attack/1 MB a second by one public key, without budgets", before, "$ a day")
	b.info("attack/1 MB a second by one public key, as delivered", after, "$ a day")
	b.info("attack/of it for what is refused", (requests-ofPeople-ofPages)*refused*minutes, "$ a day")
	b.note("Messages of people never heard of, %d in a request of %.0f bytes, from any number of addresses. Before, each of them is taken in; as", each, size)
	b.note("delivered a source's budgets end that within each minute: %.0f messages, of them %.0f of new people. What is refused costs", messages, fresh)
	b.note("API Gateway's and Lambda's price of a request alone; a WAF rule in front of it would cost less.")
	return nil
}

// flood measures commands on a stream that others flood with facts: none may be refused, and few may take long.
func (b *bench) flood(ctx context.Context) (err error) {
	const writers = 20
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	const customer = "flooded"
	if err := bed.grow(ctx, customer, young); err != nil {
		return err
	}
	flooding, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	var facts, lost atomic.Int64
	for w := range writers {
		a := bed.instance(bed.client, bed.master, wallClock, 2+w)
		ingest := app.IngestEvents(a)
		group.Go(func() {
			for i := 0; flooding.Err() == nil; i++ {
				if _, err := ask(ctx, ingest, "POST", "/v1/batch", appendBatch(nil, customer, w*1_000_000+i, 1, time.Now())); err != nil {
					lost.Add(1)
				}
				facts.Add(1)
			}
		})
	}
	prefer := app.SetPreferences(bed.instance(bed.client, bed.master, wallClock, 1))
	var times []float64
	refused := 0
	for i := range b.size(100, 1000) {
		began := time.Now()
		body := fmt.Appendf(nil, `{"emailFrequency":%q}`, []string{"daily", "weekly"}[i%2])
		if _, err := ask(ctx, prefer, "PUT", "/v1/customers/{id}/preferences", body, customer); err != nil {
			refused++
		}
		times = append(times, milliseconds(time.Since(began)))
	}
	stop()
	group.Wait()
	b.atMost("flood/commands refused", float64(refused), fmt.Sprintf("of %d", len(times)), 0)
	b.atMost("flood/command/p99", percentile(times, 99), "ms", 1000)
	b.info("flood/command/median", median(times), "ms")
	b.atMost("flood/facts lost", float64(lost.Load()), fmt.Sprintf("of %d", facts.Load()), 0)
	b.note("%d writers, each in a process's own memory, sent one message after the other to the same customer meanwhile.", writers)
	return nil
}
