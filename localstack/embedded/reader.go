package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"defter/pkg/eventstore/dynamo"
	"defter/pkg/lambdaio"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

const (
	readPage  = 1000                  // records a poll reads
	readIdle  = 20 * time.Millisecond // between polls when there is nothing
	readPause = 15 * time.Millisecond // between polls that do not fill a page, so that a busy customer's row is written once
	readRetry = 100 * time.Millisecond
	trimEvery = 2 * time.Second
	yieldMost = 5 * time.Second
)

// reader is a Lambda event source mapping: it polls a stream, calls the function with batches of what its filter
// passes, and remembers how far it came. A record that fails for good is parked and passed by.
type reader struct {
	system   *System
	function topology.Function
	handler  lambdaio.CommitReader
	arn      string
	shard    string
	done     atomic.Int64 // sequence number up to which everything is handled
	failures map[string]int
	iterator *string // where the next poll reads, nil to begin after done
}

type position struct {
	Sequence int64 `json:"sequence"`
}

func newReader(ctx context.Context, s *System, f topology.Function) (*reader, error) {
	r := &reader{system: s, function: f, handler: s.handlers[f.Name].(lambdaio.CommitReader), failures: map[string]int{}}
	streams, err := s.streams.ListStreams(ctx, &dynamodbstreams.ListStreamsInput{TableName: &f.Stream.Table})
	if err != nil || len(streams.Streams) == 0 {
		return nil, fmt.Errorf("stream of %s: %w", f.Stream.Table, err)
	}
	r.arn = aws.ToString(streams.Streams[0].StreamArn)
	stream, err := s.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &r.arn})
	if err != nil || len(stream.StreamDescription.Shards) != 1 {
		return nil, fmt.Errorf("stream of %s must have one shard: %w", f.Stream.Table, err)
	}
	r.shard = aws.ToString(stream.StreamDescription.Shards[0].ShardId)
	row, ok, err := s.local.Get(ctx, "POSITION", f.Name)
	if err != nil || !ok {
		return r, err
	}
	var p position
	if err := json.Unmarshal(row.Data, &p); err != nil {
		return nil, fmt.Errorf("position of %s: %w", f.Name, err)
	}
	r.done.Store(p.Sequence)
	return r, nil
}

func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := r.poll(ctx)
		wait := time.Duration(0)
		switch {
		case err != nil && ctx.Err() == nil:
			slog.WarnContext(ctx, "read the stream", "function", r.function.Name, "error", err)
			wait = readRetry
		case n == 0:
			wait = readIdle
		case n < readPage:
			wait = readPause
		}
		for began := time.Now(); wait > 0; wait = r.yields(time.Since(began)) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	}
}

// yields says how much longer a reader that has caught up waits, because requests take all of the machine. On AWS
// functions have processors of their own; here the views of a burst come after it, or yieldMost later.
func (r *reader) yields(waited time.Duration) time.Duration {
	if waited >= yieldMost || !r.system.crowd.dense() {
		return 0
	}
	return readPause
}

// crowd counts the requests that are being answered.
type crowd struct {
	mu      sync.Mutex
	now     int
	changed time.Time
	many    bool
	lately  float64 // the mean over time, the last half second counting most
}

func (c *crowd) enter() { c.change(1) }
func (c *crowd) leave() { c.change(-1) }

// dense says whether requests come faster than they are answered: once there are many, until there are few.
func (c *crowd) dense() bool { return c.change(0) }

func (c *crowd) change(by int) (dense bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Now()
	c.lately += (float64(c.now) - c.lately) * -math.Expm1(-2.5*at.Sub(c.changed).Seconds())
	c.changed = at
	c.now += by
	switch {
	case c.lately >= 12:
		c.many = true
	case c.lately < 10.5:
		c.many = false
	}
	return c.many && c.now > 0
}

// position returns an iterator after what is done.
func (r *reader) position(ctx context.Context) (*string, error) {
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &r.arn, ShardId: &r.shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if done := r.done.Load(); done > 0 {
		in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, aws.String(strconv.FormatInt(done, 10))
	}
	out, err := r.system.streams.GetShardIterator(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.ShardIterator, nil
}

// lag is how many commits are not handled yet, at most a page.
func (r *reader) lag(ctx context.Context) (int, error) {
	iterator, err := r.position(ctx)
	if err != nil {
		return 0, err
	}
	out, err := r.system.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(readPage)})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, record := range out.Records {
		if r.passes(record) {
			n++
		}
	}
	return n, nil
}

// passes is the filter of the event source mapping: inserted commits alone. Those that Compact changes or removes were
// read when they were new.
func (r *reader) passes(record types.Record) bool {
	if record.EventName != types.OperationTypeInsert {
		return false
	}
	key, _ := record.Dynamodb.Keys["sk"].(*types.AttributeValueMemberS)
	return key != nil && strings.HasPrefix(key.Value, topology.CommitPrefix)
}

func (r *reader) poll(ctx context.Context) (int, error) {
	var err error
	if r.iterator == nil {
		if r.iterator, err = r.position(ctx); err != nil {
			return 0, err
		}
	}
	page, err := r.system.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: r.iterator, Limit: aws.Int32(readPage)})
	r.iterator = nil // until everything of the page is handled
	if err != nil {
		return 0, err
	}
	records := page.Records
	if len(records) == 0 {
		r.iterator = page.NextShardIterator
		return 0, nil
	}
	done := r.done.Load()
	for rest := records; len(rest) > 0; {
		n := min(len(rest), r.function.Stream.BatchSize)
		upTo, failed, err := r.call(ctx, rest[:n])
		if upTo > 0 {
			done = upTo
			r.done.Store(done)
		}
		if err != nil || failed {
			if saveErr := r.save(ctx, done); saveErr != nil {
				return 0, saveErr
			}
			if err == nil {
				err = fmt.Errorf("%s asked for record %d again", r.function.Name, done+1)
			}
			return 0, err
		}
		rest = rest[n:]
	}
	if err := r.save(ctx, done); err != nil {
		return 0, err
	}
	r.iterator = page.NextShardIterator
	return len(records), nil
}

func (r *reader) save(ctx context.Context, done int64) error {
	data, err := json.Marshal(position{done})
	if err != nil {
		return err
	}
	return r.system.local.Put(context.WithoutCancel(ctx), view.Row{PK: "POSITION", SK: r.function.Name, Data: data})
}

// call hands a batch over. It returns the sequence number up to which everything is handled.
func (r *reader) call(ctx context.Context, records []types.Record) (upTo int64, failed bool, err error) {
	var batch []lambdaio.StreamRecord
	for _, record := range records {
		if r.passes(record) {
			batch = append(batch, streamRecord(record))
		}
	}
	last := sequence(records[len(records)-1])
	again := r.handler.Read(ctx, batch)
	if len(again) == 0 {
		clear(r.failures)
		return last, false, nil
	}
	numbers := make([]int64, len(again))
	for i, number := range again {
		numbers[i], _ = strconv.ParseInt(number, 10, 64)
	}
	first := slices.Min(numbers)
	id := strconv.FormatInt(first, 10)
	if r.failures[id]++; r.function.Retries != topology.WithoutEnd && r.failures[id] > r.function.Retries {
		slog.ErrorContext(ctx, "record parked", "function", r.function.Name, "sequenceNumber", id)
		return first, true, r.park(ctx, records, first)
	}
	return first - 1, true, nil
}

// streamRecord is a record as the function would get it.
func streamRecord(record types.Record) lambdaio.StreamRecord {
	image := record.Dynamodb.NewImage
	text := func(name string) string {
		switch v := image[name].(type) {
		case *types.AttributeValueMemberS:
			return v.Value
		case *types.AttributeValueMemberN:
			return v.Value
		}
		return ""
	}
	var sealed []byte
	if p, ok := image["p"].(*types.AttributeValueMemberB); ok {
		sealed = p.Value
	}
	r := lambdaio.StreamRecord{Number: aws.ToString(record.Dynamodb.SequenceNumber)}
	r.Commit, r.Err = dynamo.Decode(text, sealed)
	return r
}

func sequence(record types.Record) int64 {
	n, _ := strconv.ParseInt(aws.ToString(record.Dynamodb.SequenceNumber), 10, 64)
	return n
}

// park notes which record failed for good, as Lambda would: where it is, not what it says.
func (r *reader) park(ctx context.Context, records []types.Record, number int64) error {
	at := slices.IndexFunc(records, func(record types.Record) bool { return sequence(record) == number })
	if at < 0 {
		return fmt.Errorf("%s reports record %d, which it was not given", r.function.Name, number)
	}
	where := map[string]string{}
	for name, key := range map[string]string{"stream": "pk", "record": "sk"} {
		if v, ok := records[at].Dynamodb.Keys[key].(*types.AttributeValueMemberS); ok {
			where[name] = v.Value
		}
	}
	payload, err := json.Marshal(where)
	if err != nil {
		return err
	}
	return r.system.park(ctx, r.function.Name, strconv.FormatInt(number, 10), payload)
}

// parkedOwner is whose data key seals what is parked.
const parkedOwner = "SYSTEM#parked"

// park keeps what failed for good, as a dead-letter queue would, sealed because it may hold anything.
func (s *System) park(ctx context.Context, function, id string, payload []byte) error {
	row := view.Row{PK: "DLQ#" + function, SK: id}
	var err error
	if row.Sealed, err = s.App.Keyring.Seal(ctx, parkedOwner, row.PK+"#"+row.SK, payload); err != nil {
		return fmt.Errorf("seal what is parked: %w", err)
	}
	return s.local.Put(ctx, row)
}

// trim removes the stream records that every reader has handled: the engine keeps them for ever otherwise.
func (s *System) trim(ctx context.Context) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		done := s.readers[0].done.Load()
		for _, r := range s.readers {
			done = min(done, r.done.Load())
		}
		if _, err := s.engine.TrimStream(ctx, topology.Events, done); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "trim the stream", "error", err)
		}
	}
}
