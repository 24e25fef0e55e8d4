package dynamo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) eventstore.Store {
		client := dynamotest.Client(t)
		return dynamo.New(client, dynamotest.Table(t, client), now)
	})
}

// TestLostAnswers: DynamoDB did what it was asked, the answer never came, and the client asked again.
func TestLostAnswers(t *testing.T) {
	for name, claims := range map[string][]eventstore.Claim{
		"PutItem":            nil,
		"TransactWriteItems": {{Key: "UNIQUE#email#1", Owner: "CUSTOMER#1"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := dynamotest.Client(t)
			table := dynamotest.Table(t, client)
			options := client.Options()
			loser := &losesAnswers{to: options.HTTPClient, lose: 1}
			options.HTTPClient = loser
			store := dynamo.New(dynamodb.New(options), table, time.Now)
			if err := store.Append(t.Context(), commit(1, "Counted"), claims...); err != nil {
				t.Errorf("append whose first answer was lost: %v", err)
			}
			if n := loser.asked.Load(); n != 2 {
				t.Errorf("asked %d times, want 2", n)
			}
			if err := store.Append(t.Context(), commit(1, "Other"), claims...); !errors.Is(err, eventstore.ErrConflict) {
				t.Errorf("append at the same version: %v, want ErrConflict", err)
			}
		})
	}
}

// losesAnswers passes requests on and loses the first answers.
type losesAnswers struct {
	to    dynamodb.HTTPClient
	lose  int32
	asked atomic.Int32
}

func (l *losesAnswers) Do(r *http.Request) (*http.Response, error) {
	response, err := l.to.Do(r)
	if l.asked.Add(1) > l.lose || err != nil {
		return response, err
	}
	_ = response.Body.Close()
	return nil, io.ErrUnexpectedEOF
}

// TestRefusals: what DynamoDB refuses, as its documentation spells it. The engine never refuses for contention or load.
func TestRefusals(t *testing.T) {
	cancelled := func(codes ...string) string {
		reasons := make([]string, len(codes))
		for i, code := range codes {
			reasons[i] = fmt.Sprintf(`{"Code":%q}`, code)
		}
		return fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","CancellationReasons":[%s]}`, strings.Join(reasons, ","))
	}
	simple := func(name string) string { return fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s"}`, name) }
	claims := []eventstore.Claim{{Key: "one", Owner: "CUSTOMER#1"}, {Key: "two", Owner: "CUSTOMER#1"}}
	for _, c := range []struct {
		answer string
		claims []eventstore.Claim
		want   error
	}{
		{simple("TransactionConflictException"), nil, eventstore.ErrConflict},
		{simple("ProvisionedThroughputExceededException"), nil, eventstore.ErrBusy},
		{simple("RequestLimitExceeded"), nil, eventstore.ErrBusy},
		{simple("ThrottlingException"), nil, eventstore.ErrBusy},
		{simple("TransactionInProgressException"), claims, eventstore.ErrBusy},
		{cancelled("None", "TransactionConflict", "None"), claims, eventstore.ErrConflict},
		{cancelled("TransactionConflict", "None", "ThrottlingError"), claims, eventstore.ErrConflict},
		{cancelled("None", "ThrottlingError", "None"), claims, eventstore.ErrBusy},
		{cancelled("ProvisionedThroughputExceeded", "None", "None"), claims, eventstore.ErrBusy},
		{cancelled("ConditionalCheckFailed", "ConditionalCheckFailed", "None"), claims, eventstore.ErrConflict},
	} {
		if err := answering(c.answer).Append(t.Context(), commit(1, "Counted"), c.claims...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.answer, err, c.want)
		}
	}
	err := answering(cancelled("None", "None", "ConditionalCheckFailed")).Append(t.Context(), commit(1, "Counted"), claims...)
	if taken, ok := errors.AsType[*eventstore.TakenError](err); !ok || taken.Key != "two" {
		t.Errorf("second claim refused: %v, want it to be taken", err)
	}
	contended := answering(simple("TransactionConflictException"))
	if err := contended.Claim(t.Context(), claims[0]); !errors.Is(err, eventstore.ErrBusy) {
		t.Errorf("claim in the way of a transaction: %v, want ErrBusy", err)
	}
	if err := contended.Unclaim(t.Context(), "one", "CUSTOMER#1"); !errors.Is(err, eventstore.ErrBusy) {
		t.Errorf("unclaim in the way of a transaction: %v, want ErrBusy", err)
	}
	denied := answering(simple("AccessDeniedException")).Append(t.Context(), commit(1, "Counted"))
	if denied == nil || errors.Is(denied, eventstore.ErrBusy) || errors.Is(denied, eventstore.ErrConflict) {
		t.Errorf("access denied: %v, want an error that is not tried again", denied)
	}
}

// answering is a store whose DynamoDB answers every request with the same refusal.
func answering(body string) *dynamo.Store {
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://dynamodb.invalid"), Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		HTTPClient: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
				Body: io.NopCloser(strings.NewReader(body)),
			}, nil
		}),
	})
	return dynamo.New(client, "events", time.Now)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestB06_EveryReadIsConsistent: an engine on one machine has no stale reads to show, so the requests are looked at.
func TestB06_EveryReadIsConsistent(t *testing.T) {
	client := dynamotest.Client(t)
	asked := &reads{API: client}
	store := dynamo.New(asked, dynamotest.Table(t, client), time.Now)
	for range store.Read(t.Context(), "CUSTOMER#1", 1, 0) {
	}
	for range store.ReadBack(t.Context(), "CUSTOMER#1", 0) {
	}
	for range store.Scan(t.Context(), 0, 1) {
	}
	_, _, claimed := store.Claimed(t.Context(), "UNIQUE#email#1")
	_, one := store.LoadSnapshots(t.Context(), "CUSTOMER#1", "one")
	_, two := store.LoadSnapshots(t.Context(), "CUSTOMER#1", "one", "two")
	if err := errors.Join(claimed, one, two); err != nil {
		t.Fatal(err)
	}
	want := []string{"Query", "Query", "Scan", "GetItem", "GetItem", "BatchGetItem"}
	if !slices.Equal(asked.consistent, want) || len(asked.stale) > 0 {
		t.Errorf("consistent reads %v, want %v; others %v", asked.consistent, want, asked.stale)
	}
}

// reads notes which reads ask for consistency.
type reads struct {
	meter.API
	consistent, stale []string
}

func (r *reads) note(name string, strong *bool) {
	if aws.ToBool(strong) {
		r.consistent = append(r.consistent, name)
	} else {
		r.stale = append(r.stale, name)
	}
}

func (r *reads) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	r.note("GetItem", in.ConsistentRead)
	return r.API.GetItem(ctx, in, o...)
}

func (r *reads) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	for _, keys := range in.RequestItems {
		r.note("BatchGetItem", keys.ConsistentRead)
	}
	return r.API.BatchGetItem(ctx, in, o...)
}

func (r *reads) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	r.note("Query", in.ConsistentRead)
	return r.API.Query(ctx, in, o...)
}

func (r *reads) Scan(ctx context.Context, in *dynamodb.ScanInput, o ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	r.note("Scan", in.ConsistentRead)
	return r.API.Scan(ctx, in, o...)
}

func TestB07_OtherItemsInThePartition(t *testing.T) {
	client := dynamotest.Client(t)
	table := dynamotest.Table(t, client)
	store := dynamo.New(client, table, time.Now)
	for _, first := range []int64{1, 2} {
		if err := store.Append(t.Context(), commit(first, "Counted")); err != nil {
			t.Fatal(err)
		}
	}
	for _, sk := range []string{"#", "A", "D~", "E", "EVENT#2026-01-01", "F#000000000001", "META#", "S#account", "SNAPSHOT#1", "e#000000000003", "~"} {
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "CUSTOMER#1"}, "sk": &types.AttributeValueMemberS{Value: sk},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, read := range map[string]func(func(eventstore.Commit, error) bool){
		"Read":     store.Read(t.Context(), "CUSTOMER#1", 1, 0),
		"ReadBack": store.ReadBack(t.Context(), "CUSTOMER#1", 0),
		"Scan":     store.Scan(t.Context(), 0, 1),
	} {
		n := 0
		for _, err := range read {
			if n++; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n != 2 {
			t.Errorf("%s yields %d commits, want 2", name, n)
		}
	}
}

// TestStreamNotation: the stream of the table spells an item otherwise, and the same commit comes out.
func TestStreamNotation(t *testing.T) {
	want := commit(7, "Counted", "Counted")
	want.Sealed, want.Actor, want.CausationID = []byte{0xff, 0}, "api:7", "cause"
	item, err := dynamo.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	image := map[string]string{}
	for name, value := range item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			image[name] = v.Value
		case *types.AttributeValueMemberN:
			image[name] = v.Value
		}
	}
	got, err := dynamo.Decode(func(name string) string { return image[name] }, want.Sealed)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	for _, sk := range []string{"", "E#", "E#x", "S#account", "#", "META#1"} {
		image["sk"] = sk
		if c, err := dynamo.Decode(func(name string) string { return image[name] }, nil); err == nil {
			t.Errorf("an item with sort key %q was read as a commit: %+v", sk, c)
		}
	}
}

// TestSizeIsAnUpperBound: what Check lets pass, DynamoDB stores.
func TestSizeIsAnUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[A-Za-z0-9:#-]{0,40}`)
		c := commit(rapid.Int64Range(1, eventstore.MaxVersion).Draw(t, "first"))
		c.Stream, c.Actor, c.Source = word.Draw(t, "stream"), word.Draw(t, "actor"), word.Draw(t, "source")
		c.CorrelationID, c.CausationID = word.Draw(t, "correlation"), word.Draw(t, "causation")
		c.Sealed = bytes.Repeat([]byte{1}, rapid.IntRange(0, 2000).Draw(t, "sealed"))
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			data, err := json.Marshal(word.Draw(t, "data"))
			if err != nil {
				t.Fatal(err)
			}
			c.Events = append(c.Events, eventstore.Record{
				Type: word.Draw(t, "type"), Schema: rapid.IntRange(1, 99).Draw(t, "schema"), Message: word.Draw(t, "message"), Data: data,
				Notes:      slices.Repeat([]string{word.Draw(t, "note")}, rapid.IntRange(0, 3).Draw(t, "notes")),
				OccurredAt: c.RecordedAt.Add(-time.Duration(rapid.IntRange(0, 1e6).Draw(t, "late")) * time.Millisecond),
			})
		}
		sizeIsAnUpperBound(t, c)
	})
	c := commit(eventstore.MaxVersion-eventstore.MaxCommitEvents, slices.Repeat([]string{"ProductViewed"}, eventstore.MaxCommitEvents)...)
	for i := range c.Events {
		c.Events[i].Schema, c.Events[i].OccurredAt, c.Events[i].Message = 99, c.RecordedAt.Add(-time.Hour), "0123456789abcdef01234567"
	}
	sizeIsAnUpperBound(t, c)
}

func sizeIsAnUpperBound(t rapid.TB, c eventstore.Commit) {
	item, err := dynamo.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if stored, size := meter.Size(item), c.Size(); stored > size || size > stored+150+48*len(c.Events) {
		t.Errorf("%d events are %d bytes when stored, Size says %d", len(c.Events), stored, size)
	}
}

var lastID atomic.Int64

func commit(first int64, eventTypes ...string) eventstore.Commit {
	at := time.Date(2026, 3, 29, 1, 0, 0, int(time.Millisecond), time.UTC)
	c := eventstore.Commit{ID: fmt.Sprintf("0195f4d1-%04x-7000-8000-000000000000", lastID.Add(1)), Stream: "CUSTOMER#1", First: first, RecordedAt: at}
	for _, name := range eventTypes {
		c.Events = append(c.Events, eventstore.Record{Type: name, Schema: 1, OccurredAt: at, Data: json.RawMessage("{}")})
	}
	return c
}
