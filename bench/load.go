package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"defter/pkg/topology"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	clients     = 16   // callers at once, on connections kept alive
	pacedRate   = 3000 // events/s under which an accepted event's way to the views is timed
	pacedAtOnce = 64   // requests under way at most
	probers     = 3    // at once, each with a customer of its own
	probePause  = 10 * time.Millisecond
)

// load sends events over HTTP to the embedded run, which shares this machine with whoever sends them. Clients send the
// next request when the last was answered, for a while; then the views have to catch up. In between, as many clients put
// items of the same size into a table of another engine, which is the most that this machine's engine could do.
func (b *bench) load(ctx context.Context) (err error) {
	s, err := b.startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	const table = "reference" // with a stream and its indexes, like the events table
	if err := errors.Join(bed.createTable(ctx, table, true), bed.engine.IndexStreams(ctx)); err != nil {
		return err
	}
	customers := b.size(1_000, population)
	l := &generator{server: s, visitors: newVisitors(3, customers)}
	if err := l.introduce(ctx, customers); err != nil {
		return err
	}
	span := time.Duration(b.size(2, 4)) * time.Second
	rounds, warmUp := b.size(1, 5), 1
	var batches, singles []burst
	var puts, bursts, sustained []float64
	for round := range rounds + warmUp {
		span := span
		if round < warmUp {
			span /= 4
		}
		batch, err := l.burst(ctx, span, batchSize)
		if err != nil {
			return err
		}
		put, err := bed.putRate(ctx, table, customers, span)
		if err != nil {
			return err
		}
		single, err := l.burst(ctx, span, 1)
		if err != nil {
			return err
		}
		if round >= warmUp {
			batches, singles, puts = append(batches, batch), append(singles, single), append(puts, put)
			bursts, sustained = append(bursts, single.rate()/put), append(sustained, single.sustained()/put)
		}
	}
	of := func(bursts []burst, value func(burst) float64) float64 {
		var values []float64
		for _, b := range bursts {
			values = append(values, value(b))
		}
		return median(values)
	}
	b.atLeast("batches-of-10/accepted", of(batches, burst.rate), "events/s", 3000)
	b.info("batches-of-10/accept-p50", of(batches, latency(50)), "ms")
	b.atMost("batches-of-10/accept-p99", of(batches, latency(99)), "ms", 100)
	b.info("batches-of-10/sustained", of(batches, burst.sustained), "events/s, views keeping up")
	b.info("batches-of-10/cpu-server", of(batches, burst.serverCPU), "ms of processor an event")
	b.info("batches-of-10/cpu-engine", of(batches, burst.engineCPU), "ms of processor an event")
	b.info("engine/conditional-puts", median(puts), "items/s")
	b.info("singles/accepted", of(singles, burst.rate), "events/s")
	b.info("singles/accept-p50", of(singles, latency(50)), "ms")
	b.info("singles/accept-p99", of(singles, latency(99)), "ms")
	b.atLeast("singles/burst-ratio", median(bursts), "of the engine's puts", 0.6)
	b.info("singles/sustained", of(singles, burst.sustained), "events/s, views keeping up")
	b.atLeast("singles/sustained-ratio", median(sustained), "of the engine's puts", 0.25)
	b.info("singles/cpu-server", of(singles, burst.serverCPU), "ms of processor an event")
	b.info("singles/cpu-engine", of(singles, burst.engineCPU), "ms of processor an event")
	b.note("%d clients, Zipf (%.2f) over %d customers, medians of %d rounds of %.0f s. Sustained: all events by the time until the", clients, skew, customers, rounds, span.Seconds())
	b.note("views show the last of them. Everything runs on this machine's cores together: server, engine and clients.")
	return b.visible(ctx, l)
}

// generator makes requests, each of another number.
type generator struct {
	*server
	mu       sync.Mutex
	visitors visitors
	sequence int
	settled  int
}

// introduce makes every customer known, so that what is measured afterwards is not their first event.
func (g *generator) introduce(ctx context.Context, customers int) error {
	const inRequest = 250
	for first := 0; first < customers; first += inRequest {
		body := []byte(`{"batch":[`)
		for i := range min(inRequest, customers-first) {
			if i > 0 {
				body = append(body, ',')
			}
			body = appendMessage(body, customerName(first+i), g.sequence, time.Now(), true)
			g.sequence++
		}
		if _, err := g.post(ctx, "/v1/batch", append(body, `]}`...)); err != nil {
			return err
		}
	}
	return g.settle(ctx, 0)
}

func (g *generator) next(events int) (path string, body []byte) {
	g.mu.Lock()
	customer, first := g.visitors.next(), g.sequence
	g.sequence += events
	g.mu.Unlock()
	if events == 1 {
		return singleRoute(first), appendMessage(nil, customer, first, time.Now(), false)
	}
	return "/v1/batch", appendBatch(nil, customer, first, events, time.Now())
}

// burst is what came of sending as fast as answers allow.
type burst struct {
	latencies []float64 // ms
	events    int
	span      time.Duration // of sending
	whole     time.Duration // until the views had caught up
	server    time.Duration // of processor time until then
	engine    time.Duration // likewise, of the server's engine
}

func (b burst) rate() float64      { return float64(b.events) / b.span.Seconds() }
func (b burst) sustained() float64 { return float64(b.events) / b.whole.Seconds() }
func (b burst) serverCPU() float64 { return milliseconds(b.server) / float64(b.events) }
func (b burst) engineCPU() float64 { return milliseconds(b.engine) / float64(b.events) }

func latency(p float64) func(burst) float64 {
	return func(b burst) float64 { return percentile(b.latencies, p) }
}

func (g *generator) burst(ctx context.Context, span time.Duration, events int) (burst, error) {
	server, engine := cpuTime(g.process.Process.Pid)
	began := time.Now()
	latencies, err := together(clients, func(each func(float64)) error {
		for time.Since(began) < span {
			path, body := g.next(events)
			took, err := g.post(ctx, path, body)
			if err != nil {
				return err
			}
			each(milliseconds(took))
		}
		return nil
	})
	b := burst{latencies: latencies, events: events * len(latencies), span: time.Since(began)}
	if err == nil {
		g.settled++
		err = g.settle(ctx, g.settled)
	}
	b.whole = time.Since(began)
	b.server, b.engine = cpuTime(g.process.Process.Pid)
	b.server, b.engine = b.server-server, b.engine-engine
	return b, err
}

// together runs n workers and collects what they report. It returns the first error of any.
func together(n int, work func(each func(float64)) error) ([]float64, error) {
	var group sync.WaitGroup
	values, errs := make([][]float64, n), make([]error, n)
	for i := range n {
		group.Go(func() { errs[i] = work(func(v float64) { values[i] = append(values[i], v) }) })
	}
	group.Wait()
	var all []float64
	for _, v := range values {
		all = append(all, v...)
	}
	for _, err := range errs {
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// putRate is how many commits a second the clients put into a table, each on the condition that it is not there: items
// of the shape and size of a single event's, for customers who come as often as the load's.
func (b *bed) putRate(ctx context.Context, table string, customers int, span time.Duration) (float64, error) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	public := `[{"t":"EventTracked","o":1790000000000,"m":"AAAAAAAAAAA","d":{}}]`
	sealed := bytes.Repeat([]byte{0xA5}, eventBytes-len(public))
	come := newVisitors(5, customers)
	var mu sync.Mutex
	var number int64
	run := newID()
	began := time.Now()
	puts, err := together(clients, func(each func(float64)) error {
		for time.Since(began) < span {
			mu.Lock()
			number++
			n, customer := number, come.next()
			mu.Unlock()
			_, err := b.client.PutItem(ctx, &dynamodb.PutItemInput{
				TableName: &table, ConditionExpression: aws.String("attribute_not_exists(pk)"),
				Item: map[string]types.AttributeValue{
					"pk": text("CUSTOMER#" + run + customer), "sk": text(fmt.Sprintf("%s%012d", topology.CommitPrefix, n)),
					"i": text(run), "at": &types.AttributeValueMemberN{Value: "1790000000000"}, "a": text("source:dev"), "s": text("browser"),
					"e": text(public), "p": &types.AttributeValueMemberB{Value: sealed},
				},
			})
			if err != nil {
				return err
			}
			each(0)
		}
		return nil
	})
	rate := float64(len(puts)) / time.Since(began).Seconds()
	if err == nil {
		_, err = b.engine.TrimStream(ctx, table, number)
	}
	return rate, err
}

// visible times an accepted event's way into a view, the timeline, while others send batches at pacedRate.
func (b *bench) visible(ctx context.Context, g *generator) error {
	span := time.Duration(b.size(4, 20)) * time.Second
	probing, stop := context.WithTimeout(ctx, span+settles) // the last ones may come late, and count
	defer stop()
	end := time.Now().Add(span)
	var waits []float64
	var probeErr error
	var group sync.WaitGroup
	group.Go(func() {
		var number atomic.Int64
		waits, probeErr = together(probers, func(each func(float64)) error {
			return g.probe(probing, fmt.Sprintf("probe-%d", number.Add(1)), end, each)
		})
	})
	latencies, err := g.paced(ctx, span)
	group.Wait()
	if err := errors.Join(err, probeErr); err != nil {
		return err
	}
	if len(waits) == 0 {
		return errors.New("no accepted event became visible")
	}
	b.info("paced/accepted", float64(len(latencies)*batchSize)/span.Seconds(), "events/s, batches of 10")
	b.info("paced/accept-p50", percentile(latencies, 50), "ms")
	b.info("paced/accept-p99", percentile(latencies, 99), "ms")
	b.info("visible/p50", percentile(waits, 50), "ms from accepted to shown")
	b.atMost("visible/p99", percentile(waits, 99), "ms from accepted to shown", 250)
	b.note("%d probes: an event, and its customer's timeline every %d ms until it is there; %d at once, under batches that are sent", len(waits), probePause.Milliseconds(), probers)
	b.note("when they are due, %d events/s. Their latency counts from then.", pacedRate)
	return nil
}

// probe sends one event of a customer after the other and tells how long it took from its acceptance until it was shown.
func (g *generator) probe(ctx context.Context, customer string, end time.Time, each func(ms float64)) error {
	for shown := int64(0); time.Now().Before(end); time.Sleep(2 * probePause) {
		g.mu.Lock()
		number := g.sequence
		g.sequence++
		g.mu.Unlock()
		if _, err := g.post(ctx, singleRoute(number), appendMessage(nil, customer, number, time.Now(), false)); err != nil {
			return err
		}
		accepted := time.Now()
		for before := shown; shown == before; time.Sleep(probePause) {
			version, err := g.newest(ctx, customer)
			if err != nil {
				return fmt.Errorf("wait for an accepted event: %w", err)
			}
			if version > shown {
				each(milliseconds(time.Since(accepted)))
				shown = version
			}
		}
	}
	return nil
}

// paced sends batches when they are due and returns how long each took from then, in milliseconds.
func (g *generator) paced(ctx context.Context, span time.Duration) ([]float64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	due := make(chan time.Time, pacedRate)
	every := time.Second * batchSize / pacedRate
	began := time.Now()
	go func() {
		defer close(due)
		for at := began; at.Before(began.Add(span)) && ctx.Err() == nil; at = at.Add(every) {
			time.Sleep(time.Until(at))
			select {
			case due <- at:
			case <-ctx.Done():
			}
		}
	}()
	latencies, err := together(pacedAtOnce, func(each func(float64)) error {
		for at := range due {
			path, body := g.next(batchSize)
			if _, err := g.post(ctx, path, body); err != nil {
				return err
			}
			if time.Since(began) < span {
				each(milliseconds(time.Since(at)))
			}
		}
		return nil
	})
	return latencies, err
}
