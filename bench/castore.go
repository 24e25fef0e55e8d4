package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/meter"
	"defter/pkg/record"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const castoreFolder = "bench/castore"

// castore compares appends with those of Castore's DynamoDB adapter: the same engine, a table each without a stream,
// events with the same payload, one append after the other on connections kept alive. Three events that belong together are
// one item here and three in a transaction there (castore/appender.mjs says how). Our side does more: it validates
// against the schema, seals what is personal and folds the state.
func (b *bench) castore(ctx context.Context) (err error) {
	if err := install(ctx, castoreFolder); err != nil {
		return err
	}
	bed, err := b.newBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	table, err := bed.createCastoreTable(ctx)
	if err != nil {
		return err
	}
	theirs, err := startAppender(ctx, bed.engine.Endpoint(), table)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, theirs.close()) }()
	total := new(meter.Meter)
	ours := bed.instance(meter.Client{API: bed.client, Total: total}, bed.master, wallClock, 10).Log
	rounds, appends, warmUp := b.size(8, 30), b.size(25, 60), 2
	var medians [4][]float64
	var ratios, singles []float64
	for round := range rounds + warmUp {
		var result [4]float64
		for side := range 4 {
			events := []int{1, 1, 3, 3}[side]
			var latencies []float64
			if side%2 == 0 {
				latencies, err = appendSized(ctx, ours, events, appends)
			} else {
				latencies, err = theirs.append(events, appends)
			}
			if err != nil {
				return err
			}
			result[side] = median(latencies)
		}
		if round < warmUp {
			continue
		}
		for side, value := range result {
			medians[side] = append(medians[side], value)
		}
		singles, ratios = append(singles, result[0]/result[1]), append(ratios, result[2]/result[3])
	}
	theirUnits, err := bed.castoreUnits(ctx, table)
	if err != nil {
		return err
	}
	b.info("append-1/defter", median(medians[0]), "ms")
	b.info("append-1/castore", median(medians[1]), "ms (pushEvent)")
	b.info("append-1/ratio", median(singles), "times Castore's")
	b.info("append-3/defter", median(medians[2]), "ms")
	b.info("append-3/castore", median(medians[3]), "ms (pushEventGroup)")
	b.atMost("append-3/ratio", median(ratios), "times Castore's", 0.75)
	b.info("append-3/castore-write-units", 3*2*theirUnits, "write units")
	b.note("Medians of %d rounds of %d appends each; the ratio is the median of the rounds' ratios.", rounds, appends)
	return nil
}

// appendSized appends so many times to one stream and returns the latencies in milliseconds. The first append, which
// loads the stream, is not among them.
func appendSized(ctx context.Context, log *eventstore.Log, events, count int) ([]float64, error) {
	stream := view.CustomerStream(newID())
	decision := sizedEvents(events)
	latencies := make([]float64, 0, count)
	for i := range count + 1 {
		began := time.Now()
		_, _, err := log.Handle(ctx, eventstore.Command{
			Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Meta: eventstore.Meta{Actor: "source:bench", Source: "browser"},
			Decide: func(*eventstore.Head) (eventstore.Decision, error) { return decision, nil },
		})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			latencies = append(latencies, milliseconds(time.Since(began)))
		}
	}
	return latencies, nil
}

// createCastoreTable makes the table that Castore's documentation asks for.
func (b *bed) createCastoreTable(ctx context.Context) (string, error) {
	const name = "castore"
	attribute := func(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: kind}
	}
	key := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash}, {AttributeName: aws.String(sort), KeyType: types.KeyTypeRange}}
	}
	_, err := b.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			attribute("aggregateId", types.ScalarAttributeTypeS), attribute("version", types.ScalarAttributeTypeN),
			attribute("eventStoreId", types.ScalarAttributeTypeS), attribute("timestamp", types.ScalarAttributeTypeS),
		},
		KeySchema: key("aggregateId", "version"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("initialEvents"), KeySchema: key("eventStoreId", "timestamp"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	})
	if err != nil {
		return "", fmt.Errorf("create Castore's table: %w", err)
	}
	return name, nil
}

// castoreUnits is what one of Castore's items costs to write once, outside of a transaction.
func (b *bed) castoreUnits(ctx context.Context, table string) (float64, error) {
	out, err := b.client.Scan(ctx, &dynamodb.ScanInput{TableName: &table, Limit: aws.Int32(5)})
	if err != nil || len(out.Items) < 5 {
		return 0, fmt.Errorf("read Castore's items: %w", err)
	}
	return meter.WriteUnits(meter.Size(out.Items[4])), nil
}

// appender is the Node process that appends through Castore.
type appender struct {
	process *exec.Cmd
	in      *json.Encoder
	out     *bufio.Reader
	stop    func() error
}

func startAppender(ctx context.Context, endpoint, table string) (*appender, error) {
	a := &appender{process: exec.CommandContext(ctx, "node", "--no-warnings", filepath.Join(castoreFolder, "appender.mjs"), endpoint, table, strconv.Itoa(base64.RawStdEncoding.EncodedLen(textBytes)))}
	in, err := a.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := a.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.in, a.out, a.stop = json.NewEncoder(in), bufio.NewReader(out), in.Close
	a.process.Stderr = os.Stderr
	return a, a.process.Start()
}

func (a *appender) append(events, count int) ([]float64, error) {
	if err := a.in.Encode(map[string]int{"events": events, "count": count}); err != nil {
		return nil, err
	}
	line, err := a.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("castore's side: %w", err)
	}
	var latencies []float64
	return latencies, json.Unmarshal(line, &latencies)
}

func (a *appender) close() error { return errors.Join(a.stop(), a.process.Wait()) }

// install fetches a folder's npm packages unless they are there.
func install(ctx context.Context, folder string) error {
	wanted, err := os.Stat(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		return err
	}
	if there, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json")); err == nil && !there.ModTime().Before(wanted.ModTime()) {
		return nil
	}
	return command(ctx, nil, "npm", "ci", "--prefix", folder, "--no-audit", "--no-fund", "--silent")
}
