package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"defter/pkg/app"
	"defter/pkg/eventstore"
	"defter/pkg/journey"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/privacy"
	"defter/pkg/record"
	"defter/pkg/topology"

	lambdaevents "github.com/aws/aws-lambda-go/events"
)

// What a deployment is assumed to be like. The program's own requests are counted, these are not.
const (
	instances       = 4                                // warm instances of each function, called in turn; each has its own memory
	eventsPerDay    = 1_000_000                        // sets the clock's pace, and with it what memory has forgotten: a key is kept for a minute
	commitsPerBatch = 1                                // of a stream, in one call of a reader: at this rate the next commit is not there yet
	tableMs         = 5                                // a request to DynamoDB, one after the other although some are made side by side
	serviceMs       = 20                               // a request to another service
	handlerMs       = 3                                // what a handler does itself
	restartsPerDay  = 24                               // of each instance, each reading every key anew
	logLineExtra    = len(`,"requestId":""`) + 36 + 26 // what Lambda's logger and CloudWatch add to a line
	triggerShare    = 10                               // one in so many ingested events triggers a reaction
	reaction        = "reaction"                       // stands for a function that a bus rule calls
)

// usage is what AWS would bill.
type usage struct {
	apiRequests, invocations, gigabyteSeconds float64
	writeUnits, readUnits                     float64
	busEvents, queueRequests, keyRequests     float64
	logBytes                                  float64 // of functions
}

// fleet is the functions of the deployment as AWS would run them for one batch after the other, on a real DynamoDB
// engine. What a function appends comes by on the outbox, as on the table's stream; what it publishes comes by on the
// bus, whose rules are the topology's.
type fleet struct {
	bed       *bed
	clock     *simulated
	total     meter.Meter
	outbox    *outbox
	functions map[string]*lambda
	published []app.Entry
	used      usage
	chance    *rand.Rand // whether an event triggers
	calm      bool       // no event triggers
	writeKey  string     // of a source that is stored, so that reading it is counted
	crowd     int        // of addresses that requests come from, one after the other; 0 for one
}

type lambda struct {
	row       topology.Function
	instances []lambdaio.Handler
	calls     int
	cost      meter.Cost
	others    int // requests to services other than DynamoDB, made in the current call
}

func newFleet(bed *bed, at time.Time) *fleet {
	f := &fleet{bed: bed, clock: &simulated{at: at}, functions: map[string]*lambda{}, chance: rand.New(rand.NewPCG(1, 2))}
	f.outbox = &outbox{Client: bed.client, units: map[string]float64{}}
	client := meter.Client{API: f.outbox, Total: &f.total}
	build := map[string]func(*app.App) lambdaio.Handler{ // of the functions that events reach
		reaction:        react,
		"ingest-events": app.IngestEvents, "publish-events": app.PublishEvents, "project-activity": app.ProjectActivity,
		"project-consent": app.ProjectConsent, "project-preferences": app.ProjectPreferences, "project-audit": app.ProjectAudit,
		"send-verification": app.SendVerification, "trigger-journeys": app.TriggerJourneys, "join-identities": app.JoinIdentities, "expire-consents": app.ExpireConsents,
		"archive-behaviour": app.ArchiveBehaviour, "detect-abandonment": app.DetectAbandonment, "release-reports": app.ReleaseReports,
	}
	rows := append([]topology.Function{{Name: reaction, MemoryMB: 256}}, topology.Functions...)
	for _, row := range rows {
		handler := build[row.Name]
		if handler == nil {
			continue
		}
		fn := &lambda{row: row}
		f.functions[row.Name] = fn
		for range instances {
			a := bed.instance(client, counted{bed.master, &f.used}, f.clock.now, 0) // like pkg/cloud, without cached heads
			a.Bus, a.Emails, a.Journeys = busOf{f, fn}, queueOf{f, fn}, machineOf{f, fn}
			fn.instances = append(fn.instances, handler(a))
		}
	}
	return f
}

// react is a reaction that acts: it reads what is known of the customer, and appends one event.
func react(a *app.App) lambdaio.Handler {
	return lambdaio.Bus(func(ctx context.Context, p lambdaio.Published) error {
		_, _, err := a.Log.Handle(ctx, eventstore.Command{
			Stream: p.Stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
			Meta: eventstore.Meta{Actor: "system:" + reaction, Source: "system", CorrelationID: p.CorrelationID, CausationID: p.ID},
			Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				return eventstore.Decision{Events: eventstore.Happened(journey.Entered{Journey: "browse-abandonment", Version: 1, RunID: p.ID})}, nil
			},
		})
		return err
	})
}

// ingest sends one batch through the system to its end.
func (f *fleet) ingest(ctx context.Context, customer string, first int) (err error) {
	if f.writeKey == "" {
		if f.writeKey, err = f.connect(ctx, `{"name":"shop","kind":"server","requestsPerSecond":10000}`); err != nil {
			return err
		}
	}
	return f.send(ctx, "POST", "/v1/batch", appendBatch(nil, customer, first, batchSize, f.clock.now()), batchSize)
}

// settle runs the stream's readers and the bus until nothing is left to do.
func (f *fleet) settle(ctx context.Context) error {
	for len(f.outbox.items)+len(f.published) > 0 {
		for len(f.outbox.items) > 0 {
			n := min(commitsPerBatch, len(f.outbox.items))
			var records lambdaevents.DynamoDBEvent
			for _, item := range f.outbox.items[:n] {
				records.Records = append(records.Records, lambdaevents.DynamoDBEventRecord{
					EventName: "INSERT", Change: lambdaevents.DynamoDBStreamRecord{NewImage: item, SequenceNumber: "1"},
				})
			}
			f.outbox.items = f.outbox.items[n:]
			payload, err := json.Marshal(records)
			if err != nil {
				return err
			}
			for _, row := range topology.Functions {
				if row.Stream == nil {
					continue
				}
				answer, err := f.call(ctx, row.Name, payload)
				var out lambdaevents.DynamoDBEventResponse
				if err == nil {
					err = json.Unmarshal(answer, &out)
				}
				if err != nil || len(out.BatchItemFailures) > 0 {
					return fmt.Errorf("%s answered %s: %w", row.Name, answer, err)
				}
			}
		}
		entries := f.published
		f.published = nil
		for _, e := range entries {
			if err := f.deliver(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver calls what the bus's rules say, and for one in triggerShare of the ingested events the reaction.
func (f *fleet) deliver(ctx context.Context, e app.Entry) error {
	payload, err := json.Marshal(lambdaevents.EventBridgeEvent{ID: newID(), DetailType: e.Type, Source: topology.BusSource, Time: e.At, Detail: e.Detail})
	if err != nil {
		return err
	}
	var names []string
	for _, row := range topology.Functions {
		if row.Bus != nil && slices.Contains(row.Bus.Types, e.Type) {
			names = append(names, row.Name)
		}
	}
	var p lambdaio.Published
	if err := json.Unmarshal(e.Detail, &p); err != nil {
		return err
	}
	if p.Source != "api" && p.Source != "system" {
		if !f.calm && f.chance.IntN(triggerShare) == 0 {
			names = append(names, reaction)
		}
	}
	for _, name := range names {
		if _, err := f.call(ctx, name, payload); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// address is where the next request comes from.
func (f *fleet) address() string {
	if f.crowd > 0 {
		f.crowd++
	}
	return fmt.Sprintf("198.18.%d.%d", f.crowd>>8&255, f.crowd&255)
}

// call invokes a function on its next instance and bills it.
func (f *fleet) call(ctx context.Context, name string, payload []byte) ([]byte, error) {
	fn := f.functions[name]
	if fn == nil {
		return nil, fmt.Errorf("the fleet has no function %q", name)
	}
	fn.calls++
	fn.others = 0
	var answer []byte
	cost, err := costOf(&f.total, func() (err error) {
		answer, err = fn.instances[fn.calls%instances].Invoke(ctx, payload)
		return err
	})
	ms := float64(handlerMs + tableMs*cost.Requests + serviceMs*fn.others)
	f.used.invocations++
	f.used.gigabyteSeconds += float64(fn.row.MemoryMB) / 1024 * ms / 1000
	f.used.writeUnits += cost.WriteUnits
	f.used.readUnits += cost.ReadUnits
	fn.cost = meter.Cost{Requests: fn.cost.Requests + cost.Requests, WriteUnits: fn.cost.WriteUnits + cost.WriteUnits, ReadUnits: fn.cost.ReadUnits + cost.ReadUnits}
	return answer, err
}

// Write counts what the functions log: the fleet is their log for a while.
func (f *fleet) Write(line []byte) (int, error) {
	f.used.logBytes += float64(len(line) + logLineExtra)
	return len(line), nil
}

// logging runs work with the fleet as the log of everything.
func (f *fleet) logging(work func() error) error {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(f, nil)))
	defer slog.SetDefault(before)
	return work()
}

type busOf struct {
	*fleet
	by *lambda
}

func (b busOf) Publish(_ context.Context, entries []app.Entry) ([]int, error) {
	b.by.others++
	for _, e := range entries {
		b.used.busEvents += math.Ceil(float64(len(e.Detail)+len(e.Type)+len(topology.BusSource)) / (64 << 10))
	}
	b.published = append(b.published, entries...)
	return nil, nil
}

type queueOf struct {
	*fleet
	by *lambda
}

func (q queueOf) Send(context.Context, []byte) error {
	q.by.others++
	q.used.queueRequests += 3 // sent, received and deleted
	return nil
}

type machineOf struct {
	*fleet
	by *lambda
}

func (m machineOf) Start(context.Context, string, []byte) error {
	m.by.others++
	return nil
}

// counted counts what is asked of KMS.
type counted struct {
	privacy.Master
	used *usage
}

func (c counted) Wrap(ctx context.Context, name string, key []byte) ([]byte, error) {
	c.used.keyRequests++
	return c.Master.Wrap(ctx, name, key)
}

func (c counted) Unwrap(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
	c.used.keyRequests++
	return c.Master.Unwrap(ctx, name, wrapped)
}

// simulated is a clock that moves with the load.
type simulated struct {
	mu sync.Mutex
	at time.Time
}

func (c *simulated) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.UTC().Truncate(time.Millisecond)
}

func (c *simulated) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// golden reads a template of the infrastructure's tests: what would be deployed.
func golden(stack string) (template, error) {
	var t template
	data, err := os.ReadFile("infra/testdata/" + stack + ".golden.json")
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(data, &t)
}

type template struct {
	Resources map[string]struct {
		Type       string
		Properties json.RawMessage
	}
}

func (t template) count(kind string) int {
	n := 0
	for _, r := range t.Resources {
		if r.Type == kind {
			n++
		}
	}
	return n
}
