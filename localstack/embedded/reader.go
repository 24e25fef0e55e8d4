package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"defter/pkg/lambdaio"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-lambda-go/events"
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
)

// reader is a Lambda event source mapping: it polls a stream, calls the function with batches of what its filter
// passes, and remembers how far it came. A record that fails for good is parked and passed by.
type reader struct {
	system   *System
	function topology.Function
	handler  lambdaio.Handler
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
	r := &reader{system: s, function: f, handler: s.handlers[f.Name], failures: map[string]int{}}
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
		if wait > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
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

func (r *reader) passes(record types.Record) bool {
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
	var batch events.DynamoDBEvent
	for _, record := range records {
		if r.passes(record) {
			batch.Records = append(batch.Records, streamRecord(record))
		}
	}
	last := sequence(records[len(records)-1])
	if len(batch.Records) == 0 {
		return last, false, nil
	}
	payload, err := json.Marshal(batch)
	if err != nil {
		return 0, false, err
	}
	answer, err := r.handler.Invoke(ctx, payload)
	var out events.DynamoDBEventResponse
	switch {
	case err != nil:
		out.BatchItemFailures = []events.DynamoDBBatchItemFailure{{ItemIdentifier: batch.Records[0].Change.SequenceNumber}}
		slog.WarnContext(ctx, "function failed", "function", r.function.Name, "error", err)
	default:
		if err := json.Unmarshal(answer, &out); err != nil {
			return 0, false, fmt.Errorf("answer of %s: %w", r.function.Name, err)
		}
	}
	if len(out.BatchItemFailures) == 0 {
		clear(r.failures)
		return last, false, nil
	}
	numbers := make([]int64, len(out.BatchItemFailures))
	for i, f := range out.BatchItemFailures {
		numbers[i], _ = strconv.ParseInt(f.ItemIdentifier, 10, 64)
	}
	first := slices.Min(numbers)
	id := strconv.FormatInt(first, 10)
	if r.failures[id]++; r.failures[id] > r.function.Retries {
		slog.ErrorContext(ctx, "record parked", "function", r.function.Name, "sequenceNumber", id)
		return first, true, r.park(ctx, batch, id)
	}
	return first - 1, true, nil
}

// streamRecord is a record as Lambda would give it.
func streamRecord(record types.Record) events.DynamoDBEventRecord {
	image := make(map[string]events.DynamoDBAttributeValue, len(record.Dynamodb.NewImage))
	for name, value := range record.Dynamodb.NewImage {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			image[name] = events.NewStringAttribute(v.Value)
		case *types.AttributeValueMemberN:
			image[name] = events.NewNumberAttribute(v.Value)
		case *types.AttributeValueMemberB:
			image[name] = events.NewBinaryAttribute(v.Value)
		default: // in no item of ours: the function will not understand it
			image[name] = events.NewNullAttribute()
		}
	}
	return events.DynamoDBEventRecord{
		EventID: aws.ToString(record.EventID), EventName: string(record.EventName), EventSource: "aws:dynamodb",
		Change: events.DynamoDBStreamRecord{NewImage: image, SequenceNumber: aws.ToString(record.Dynamodb.SequenceNumber), StreamViewType: "NEW_IMAGE"},
	}
}

func sequence(record types.Record) int64 {
	n, _ := strconv.ParseInt(aws.ToString(record.Dynamodb.SequenceNumber), 10, 64)
	return n
}

// park notes which record failed for good, as Lambda would: where it is, not what it says.
func (r *reader) park(ctx context.Context, batch events.DynamoDBEvent, number string) error {
	at := slices.IndexFunc(batch.Records, func(e events.DynamoDBEventRecord) bool { return e.Change.SequenceNumber == number })
	if at < 0 {
		return fmt.Errorf("%s reports record %s, which it was not given", r.function.Name, number)
	}
	image := batch.Records[at].Change.NewImage
	payload, err := json.Marshal(map[string]string{"stream": image["pk"].String(), "record": image["sk"].String()})
	if err != nil {
		return err
	}
	return r.system.park(ctx, r.function.Name, number, payload)
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
