package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

var localCredentials = credentials.NewStaticCredentialsProvider("local", "local", "")

func client(e *Engine) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String(e.Endpoint()), Region: "us-east-1", Credentials: localCredentials,
	})
}

func streamClient(e *Engine) *dynamodbstreams.Client {
	return dynamodbstreams.New(dynamodbstreams.Options{
		BaseEndpoint: aws.String(e.Endpoint()), Region: "us-east-1", Credentials: localCredentials,
	})
}

// createTable makes a table with a stream of new images.
func createTable(t *testing.T, e *Engine, name string) {
	t.Helper()
	_, err := client(e).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeN}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func putItem(ctx context.Context, c *dynamodb.Client, table string, key int64) error {
	_, err := c.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &table,
		Item:      map[string]types.AttributeValue{"pk": &types.AttributeValueMemberN{Value: strconv.FormatInt(key, 10)}},
	})
	return err
}

// putItems writes the keys from first to last, one stream record each.
func putItems(t *testing.T, e *Engine, table string, first, last int64) {
	t.Helper()
	c := client(e)
	for key := first; key <= last; key++ {
		if err := putItem(t.Context(), c, table, key); err != nil {
			t.Fatal(err)
		}
	}
}

func countItems(t *testing.T, e *Engine, table string) int32 {
	t.Helper()
	found, err := client(e).Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, Select: types.SelectCount})
	if err != nil {
		t.Fatal(err)
	}
	return found.Count
}

// horizon is an iterator at the oldest record kept.
func horizon(t *testing.T, e *Engine, table string) *string {
	t.Helper()
	described, err := client(e).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	arn := described.Table.LatestStreamArn
	s := streamClient(e)
	stream, err := s.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(stream.StreamDescription.Shards); n != 1 {
		t.Fatalf("the stream of %s has %d shards, want 1", table, n)
	}
	iterator, err := s.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn:         arn,
		ShardId:           stream.StreamDescription.Shards[0].ShardId,
		ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	return iterator.ShardIterator
}

// page reads at most a thousand records: their sequence numbers, and the iterator that goes on.
func page(ctx context.Context, s *dynamodbstreams.Client, iterator *string) ([]int64, *string, error) {
	got, err := s.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator})
	if err != nil {
		return nil, nil, err
	}
	numbers := make([]int64, len(got.Records))
	for i, r := range got.Records {
		if numbers[i], err = strconv.ParseInt(*r.Dynamodb.SequenceNumber, 10, 64); err != nil {
			return nil, nil, err
		}
	}
	return numbers, got.NextShardIterator, nil
}

// readStream expects exactly these records and returns the iterator that goes on.
func readStream(t *testing.T, e *Engine, iterator *string, want ...int64) *string {
	t.Helper()
	got, next, err := page(t.Context(), streamClient(e), iterator)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the stream has the records %v, want %v", got, want)
	}
	return next
}

func TestIndexStreamsServesTheQueriesOfTheEngine(t *testing.T) {
	e := start(t, t.TempDir())
	createTable(t, e, "events")
	plan := func(query string) string {
		t.Helper()
		rows, err := e.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "events", 7, 100, 100)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var steps []string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(steps, "; ")
	}
	queries := map[string]string{ // as the engine words them
		"the number of the next record": `SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
			FROM _stream_records WHERE table_name = ?1`,
		"the records of a shard": `SELECT event_name, keys_json, new_image, old_image, sequence_number, created_at, user_identity
			FROM _stream_records
			WHERE table_name = ?1 AND shard_id = ?2 AND CAST(sequence_number AS INTEGER) > ?3
			ORDER BY CAST(sequence_number AS INTEGER) ASC LIMIT ?4`,
		"our trimming": trimRecords,
	}
	for range 2 {
		if err := e.IndexStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, query := range queries {
		if got := plan(query); strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") ||
			!strings.Contains(got, "INDEX defter_stream_") {
			t.Errorf("%s is not served by an index: %s", name, got)
		}
	}
	putItems(t, e, "events", 1, 3) // the engine keeps them up to date
	readStream(t, e, horizon(t, e, "events"), 1, 2, 3)
}

func TestTrimStreamKeepsTheNewestRecord(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	createTable(t, e, "events")
	if n, err := e.TrimStream(t.Context(), "events", 10); n != 0 || err != nil {
		t.Errorf("trimming an empty stream removed %d, %v", n, err)
	}
	putItems(t, e, "events", 1, 5)
	if n, err := e.TrimStream(t.Context(), "events", 1_000_000); n != 4 || err != nil {
		t.Errorf("removed %d, %v; want 4", n, err)
	}
	stop(t, e)

	e = start(t, dir)
	putItems(t, e, "events", 6, 6)
	readStream(t, e, horizon(t, e, "events"), 5, 6) // and not 1
}

// The trimmer follows a reader which follows four writers, as in the embedded run.
func TestTrimStreamWhileOthersReadAndWrite(t *testing.T) {
	const records = 1600 // more than three batches
	e := start(t, t.TempDir())
	createTable(t, e, "events")
	createTable(t, e, "views")
	putItems(t, e, "views", 1, 3)
	if err := e.IndexStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := horizon(t, e, "events")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	var work sync.WaitGroup
	var written, consumed, removed atomic.Int64
	for range 4 {
		work.Go(func() {
			c := client(e)
			for key := written.Add(1); key <= records; key = written.Add(1) {
				if err := putItem(ctx, c, "events", key); err != nil {
					fail(err)
					return
				}
			}
		})
	}
	work.Go(func() {
		s, iterator := streamClient(e), first
		for consumed.Load() < records && ctx.Err() == nil {
			numbers, next, err := page(ctx, s, iterator)
			if err != nil {
				fail(err)
				return
			}
			for _, n := range numbers {
				if want := consumed.Add(1); n != want {
					fail(fmt.Errorf("record %d was read after %d", n, want-1))
					return
				}
			}
			iterator = next
		}
	})
	work.Go(func() {
		for ctx.Err() == nil {
			upTo := consumed.Load()
			n, err := e.TrimStream(ctx, "events", upTo)
			if err != nil {
				fail(err)
				return
			}
			removed.Add(n)
			if upTo == records {
				return
			}
		}
	})
	work.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatal(err)
	}
	if got := removed.Load(); got != records-1 {
		t.Errorf("%d records removed, want %d", got, records-1)
	}
	readStream(t, e, first, records)
	readStream(t, e, horizon(t, e, "views"), 1, 2, 3)
	if got := countItems(t, e, "events"); got != records {
		t.Errorf("%d items, want %d", got, records)
	}
}

func TestTrimStreamInBatchesUpToTheGivenRecord(t *testing.T) {
	const records = 2*trimBatch + 7
	e := start(t, t.TempDir())
	createTable(t, e, "events")
	putItems(t, e, "events", 1, records)
	n, err := e.TrimStream(t.Context(), "events", records-2)
	if n != records-3 || err != nil {
		t.Errorf("removed %d, %v; want %d", n, err, records-3)
	}
	readStream(t, e, horizon(t, e, "events"), records-2, records-1, records)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.TrimStream(ctx, "events", records); err == nil {
		t.Error("a cancelled trimming gives no error")
	}
}
