package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore/dynamo"
	"defter/pkg/meter"
	"defter/pkg/saga"
	"defter/pkg/topology"
)

const (
	million      = 1e6
	newCustomers = 10              // one batch in so many is the first of its customer: a million events make ten thousand customers
	secretsEvery = 5 * time.Minute // how often an instance in use reads each access key again
	perMonth     = 30 * 24         // hours
)

// dollars counts what a million events ask of AWS, prices it, and sets it beside a design that does everything event by
// event.
func (b *bench) dollars(ctx context.Context) (err error) {
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
	batches := b.size(200, 1_200)
	if err := f.prepare(ctx, batches); err != nil {
		return err
	}
	if err := f.logging(func() error { return f.run(ctx, batches) }); err != nil {
		return err
	}
	eventSize, err := bed.eventSize(ctx)
	if err != nil {
		return err
	}
	all := million / float64(batches*batchSize)
	sum, err := b.bill(p, f.used.scaled(all), f.used.keyRequests)
	if err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(f.outbox.units)) {
		b.info("million-events/write-units/"+kind, f.outbox.units[kind]*all, "of them")
	}
	b.info("million-events/bytes-per-event", eventSize, "bytes stored")
	b.info("million-events/storage", million*eventSize/1e9*(p.of("tableStorage", 1)+p.of("tableRecovery", 1)), "$ a month kept, extra")
	b.note("Batches of %d, one customer each, Zipf (%.2f) over %d customers, one batch in %d the first of its customer, over a day.", batchSize, skew, population, newCustomers)
	b.note("1 in %d events triggers a reaction: a bus rule calls a function that reads the customer's record and appends one event,", triggerShare)
	b.note("which is published and projected like any other. %d warm instances a function; stream readers get %d commit a call.", instances, commitsPerBatch)
	b.note("Lambda time is stated, not measured: %d ms a DynamoDB request, %d ms any other, %d ms of its own, at the topology's memory.", tableMs, serviceMs, handlerMs)
	naive := b.naive(p, eventSize)
	b.info("naive-design/all-in", naive, "$ per 1 M events")
	b.info("naive-design/ratio", naive/sum, "times as much")
	if err := b.sources(ctx, p); err != nil {
		return err
	}
	if err := b.welcome(p); err != nil {
		return err
	}
	return b.idle(ctx, p)
}

// dollarsFor is one line of a bill.
type dollarsFor struct {
	name    string
	dollars float64
}

// lines prices what was used.
func (p prices) lines(used usage, logBytes float64) []dollarsFor {
	return []dollarsFor{
		{"api-gateway", p.of("apiRequest", used.apiRequests)},
		{"lambda", p.of("invocation", used.invocations) + p.of("gigabyteSecond", used.gigabyteSeconds)},
		{"dynamodb-writes", p.of("writeUnit", used.writeUnits)},
		{"dynamodb-reads", p.of("readUnit", used.readUnits)},
		{"eventbridge", p.of("busEvent", used.busEvents)},
		{"sqs", p.of("queueRequest", used.queueRequests)},
		{"cloudwatch-logs", p.of("logGigabyte", (used.logBytes+logBytes)/1e9)},
	}
}

// bill prices a million events, line by line. keyReads is how often all instances together asked KMS when they started.
func (b *bench) bill(p prices, used usage, keyReads float64) (sum float64, err error) {
	line, err := accessLogLine()
	if err != nil {
		return 0, err
	}
	const days = million / eventsPerDay
	accessLog := used.apiRequests * float64(line)
	logBytes := used.logBytes + accessLog
	secretReads := instances * days * float64(24*time.Hour/secretsEvery)
	keys := dollarsFor{"kms-and-secrets", p.of("keyRequest", keyReads*restartsPerDay*days) + p.of("secretRequest", secretReads)}
	for _, l := range append(p.lines(used, accessLog), keys) {
		b.info("million-events/"+l.name, l.dollars, "$")
		sum += l.dollars
	}
	b.atMost("million-events/all-in", sum, "$ per 1 M events", 2.50)
	b.info("million-events/invocations", used.invocations, "Lambda invocations")
	b.info("million-events/lambda-gigabyte-seconds", used.gigabyteSeconds, "GB-s")
	b.info("million-events/bus-events", used.busEvents, "events on the bus")
	b.info("million-events/log-bytes", logBytes, "bytes")
	b.info("million-events/read-units", used.readUnits, "read units")
	b.info("million-events/write-units", used.writeUnits, "write units")
	return sum, nil
}

// run sends batches through the system.
func (f *fleet) run(ctx context.Context, batches int) error {
	v := newVisitors(1, population)
	for i := range batches {
		customer := v.next()
		if i%newCustomers == 0 {
			customer = fmt.Sprintf("newcomer-%d", i)
		}
		if err := f.ingest(ctx, customer, 1_000_000+i*batchSize); err != nil {
			return err
		}
	}
	return nil
}

// prepare gives the customers who come by a past, so that they are not new, and forgets what it cost.
func (f *fleet) prepare(ctx context.Context, batches int) error {
	known := map[string]bool{}
	v := newVisitors(1, population)
	for range batches {
		known[v.next()] = true
	}
	sequence := 0
	for _, customer := range slices.Sorted(maps.Keys(known)) {
		if err := f.ingest(ctx, customer, sequence); err != nil {
			return err
		}
		sequence += batchSize
	}
	keys := f.used.keyRequests
	f.used = usage{keyRequests: keys}
	clear(f.outbox.units)
	for _, fn := range f.functions {
		fn.calls, fn.cost = 0, meter.Cost{}
	}
	return nil
}

func (u usage) scaled(by float64) usage {
	for _, v := range []*float64{
		&u.apiRequests, &u.invocations, &u.gigabyteSeconds, &u.writeUnits, &u.readUnits, &u.busEvents, &u.queueRequests, &u.keyRequests, &u.logBytes,
	} {
		*v *= by
	}
	return u
}

// eventSize is how many bytes an ingested event takes in the events table, its share of the commit item included.
func (b *bed) eventSize(ctx context.Context) (float64, error) {
	size, count := 0, 0
	for commit, err := range dynamo.New(b.client, topology.Events, wallClock).Scan(ctx, 0, 1) {
		if err != nil {
			return 0, err
		}
		if commit.Source == "api" || commit.Source == "system" {
			continue
		}
		item, err := dynamo.Marshal(commit)
		if err != nil {
			return 0, err
		}
		size, count = size+meter.Size(item), count+len(commit.Events)
	}
	return float64(size) / float64(count), nil
}

// naive prices the design that many start with: one request, one function call, one item and one message for every
// event, and a handler that reads the customer's history to decide on it.
func (b *bench) naive(p prices, eventSize float64) float64 {
	const (
		history     = 100 // events read to decide on one
		views       = 4   // profile, timeline, segments, audit: a function call and a row each
		commandMs   = handlerMs + 4*tableMs
		projectMs   = handlerMs + 3*tableMs
		memory      = 0.5 // GB
		logLines    = 4   // START, END, REPORT and one of its own
		logLineSize = 250
	)
	calls := float64(1 + views) // the handler, and a projection for each view
	perEvent := p.of("apiRequest", 1) +
		p.of("invocation", calls) + p.of("gigabyteSecond", memory*(commandMs+views*projectMs)/1000) +
		p.of("readUnit", meter.ReadUnits(int(history*eventSize))) + // the history, strongly consistent
		p.of("writeUnit", meter.WriteUnits(int(eventSize))+1) + // the event, and a message id to recognise it by
		p.of("busEvent", 1) +
		p.of("readUnit", views) + p.of("writeUnit", 2*views) + // each view: its row read and written, and a dedupe row
		p.of("keyRequest", 1+views) + // the data key asked of KMS by whoever writes or reads
		p.of("logGigabyte", calls*logLines*logLineSize/1e9)
	triggered := p.of("busEvent", 1) + p.of("invocation", calls) + p.of("gigabyteSecond", memory*(commandMs+views*projectMs)/1000) +
		p.of("readUnit", meter.ReadUnits(int(history*eventSize))+views) + p.of("writeUnit", 2+2*views) +
		p.of("keyRequest", calls) + p.of("logGigabyte", calls*logLines*logLineSize/1e9)
	b.note("Naive design, per event: 1 request + %d calls (handler, %d projections) of %d and %d ms at %.0f MB + %d events read (%.0f units)",
		1+views, views, commandMs, projectMs, memory*1024, history, meter.ReadUnits(int(history*eventSize)))
	b.note("+ 2 writes (event, message id) + 1 bus event + each projection 1 read and 2 writes (row, dedupe) + %d KMS calls + %d log lines;", 1+views, int(calls)*logLines)
	b.note("and the same without the request for the %d %% that trigger.", 100/triggerShare)
	return million * (perEvent + triggered/triggerShare)
}

// welcome prices a journey of two emails: what waits in the state machine, and what SES takes. It is beside the million
// events, which send none.
func (b *bench) welcome(p prices) error {
	var machine struct {
		StartAt string
		States  map[string]struct{ Type, Next, Default string }
	}
	if err := json.Unmarshal([]byte(saga.Machine(topology.Machines[0].Task)), &machine); err != nil {
		return fmt.Errorf("read the state machine: %w", err)
	}
	const steps = 2
	entered, runs := 1, 0 // the start is a transition, too
	for at := machine.StartAt; at != ""; entered++ {
		s := machine.States[at]
		switch {
		case s.Type == "Task":
			runs++
			at = s.Next
		case s.Type == "Choice" && runs == steps:
			at = "Done"
		case s.Type == "Choice":
			at = s.Default
		default:
			at = s.Next
		}
	}
	b.info("welcome-journey/transitions", float64(entered), "transitions, 2 emails")
	b.info("welcome-journey/thousand", 1000*p.of("transition", float64(entered)), "$ Step Functions per 1,000")
	b.info("welcome-journey/emails", p.of("email", 2000), "$ SES per 1,000")
	return nil
}

// idle prices a month in which nothing happens, from what would be deployed.
func (b *bench) idle(ctx context.Context, p prices) (err error) {
	var alarms, dashboards, keys, secrets, logGroups, pollers int
	for _, stack := range []string{"data", "api", "journeys", "fan-out", "operations"} {
		t, err := golden(stack)
		if err != nil {
			return err
		}
		alarms += t.count("AWS::CloudWatch::Alarm")
		dashboards += t.count("AWS::CloudWatch::Dashboard")
		keys += t.count("AWS::KMS::Key")
		secrets += t.count("AWS::SecretsManager::Secret")
		logGroups += t.count("AWS::Logs::LogGroup")
	}
	for _, row := range topology.Functions {
		if row.Queue != nil {
			pollers++
		}
	}
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	f := newFleet(bed, wallClock())
	var scheduled usage
	for _, row := range topology.Functions {
		if row.Schedule == nil {
			continue
		}
		for range instances + 1 { // the first call of an instance reads keys; the last one here is what counts
			f.used = usage{}
			if err := f.logging(func() error { _, err := f.call(ctx, row.Name, []byte("{}")); return err }); err != nil {
				return err
			}
		}
		s := f.used.scaled(perMonth * 60 / float64(row.Schedule.EveryMinutes))
		scheduled.invocations += s.invocations
		scheduled.gigabyteSeconds += s.gigabyteSeconds
		scheduled.readUnits += s.readUnits
		scheduled.writeUnits += s.writeUnits
		scheduled.logBytes += s.logBytes
	}
	// Lambda polls a queue with five pollers that wait up to 20 s each.
	const queuePolls = 5 * 3 * 60 * perMonth
	sum := 0.0
	for _, l := range []struct {
		name    string
		dollars float64
	}{
		{fmt.Sprintf("%d-alarms", alarms), p.of("alarm", float64(alarms))},
		{fmt.Sprintf("%d-dashboards", dashboards), p.of("dashboard", float64(dashboards))},
		{fmt.Sprintf("%d-kms-keys", keys), p.of("keyMonth", float64(keys))},
		{fmt.Sprintf("%d-secrets", secrets), p.of("secretMonth", float64(secrets))},
		{fmt.Sprintf("%d-queues-polled", pollers), p.of("queueRequest", float64(pollers)*queuePolls)},
		{"schedules", p.of("invocation", scheduled.invocations) + p.of("gigabyteSecond", scheduled.gigabyteSeconds) +
			p.of("readUnit", scheduled.readUnits) + p.of("writeUnit", scheduled.writeUnits)},
		{fmt.Sprintf("%d-log-groups", logGroups), p.of("logGigabyte", scheduled.logBytes/1e9) + p.of("logStorage", scheduled.logBytes/1e9)},
	} {
		b.info("idle-month/"+l.name, l.dollars, "$")
		sum += l.dollars
	}
	b.atMost("idle-month/all-in", sum, "$ a month", 15)
	b.note("Counted in the deployment's golden templates, without free tiers. Tables, stream readers, the API, the bus and the state")
	b.note("machine cost nothing while nothing happens. The key costs a dollar more after each of its first two yearly rotations.")
	return nil
}

// accessLogLine is how long a line of the API's log is, by the format that would be deployed.
func accessLogLine() (int, error) {
	t, err := golden("api")
	if err != nil {
		return 0, err
	}
	for _, r := range t.Resources {
		if r.Type != "AWS::ApiGatewayV2::Stage" {
			continue
		}
		var stage struct{ AccessLogSettings struct{ Format string } }
		if err := json.Unmarshal(r.Properties, &stage); err != nil {
			return 0, err
		}
		line := strings.NewReplacer(
			"$context.requestTime", "02/Nov/2026:09:00:00 +0000", "$context.requestId", "bG2rjgqPIAMEJ8g=", "$context.routeKey", "POST /v1/batch",
			"$context.status", "200", "$context.responseLength", "16", "$context.responseLatency", "31", "$context.integrationLatency", "28",
			"$context.integrationStatus", "200",
		).Replace(stage.AccessLogSettings.Format)
		return len(line) + 26, nil // CloudWatch adds 26 to every line
	}
	return 0, errors.New("there is no API stage in the golden template")
}
