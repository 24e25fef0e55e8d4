package lambdaio_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func commit(n int64) eventstore.Commit {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return eventstore.Commit{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-b3020%03d8000", n), Stream: fmt.Sprint("CUSTOMER#", n), First: n, RecordedAt: at, CorrelationID: "c", CausationID: "ca",
		Actor: "api:default", Source: "api", Sealed: []byte{0, 1, 254, 255},
		Events: []eventstore.Record{
			{Type: "PageViewed", Schema: 1, OccurredAt: at.Add(-time.Minute), Message: "m1", Data: json.RawMessage(`{"sessionId":"ş"}`)},
			{Type: "ConsentGranted", Schema: 2, OccurredAt: at, Data: json.RawMessage(`{}`)},
		},
	}
}

// record is a stream's record as Lambda gets it.
func record(t *testing.T, name string, number int, image map[string]types.AttributeValue) map[string]any {
	t.Helper()
	wire := map[string]any{}
	for attribute, value := range image {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			wire[attribute] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			wire[attribute] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberB:
			wire[attribute] = map[string]any{"B": base64.StdEncoding.EncodeToString(v.Value)}
		default:
			t.Fatalf("%s is a %T", attribute, value)
		}
	}
	return map[string]any{"eventName": name, "dynamodb": map[string]any{"SequenceNumber": fmt.Sprint(number), "NewImage": wire}}
}

func marshal(t *testing.T, c eventstore.Commit) map[string]types.AttributeValue {
	t.Helper()
	item, err := dynamo.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// TestStream hands over the commits as they were appended, and answers which to deliver again.
func TestStream(t *testing.T) {
	log := logged(t)
	broken := marshal(t, commit(3))
	broken["e"] = &types.AttributeValueMemberS{Value: "{"}
	snapshot := marshal(t, commit(4))
	snapshot["sk"] = &types.AttributeValueMemberS{Value: "S#record"}
	in := map[string]any{"Records": []any{
		record(t, "INSERT", 101, marshal(t, commit(1))), record(t, "MODIFY", 102, marshal(t, commit(2))), record(t, "REMOVE", 103, nil),
		record(t, "INSERT", 104, broken), record(t, "INSERT", 105, snapshot), record(t, "INSERT", 106, marshal(t, commit(6))), record(t, "INSERT", 107, marshal(t, commit(7))),
	}}
	var got []eventstore.Commit
	out := invoke(t, lambdaio.Stream(func(_ context.Context, commits []eventstore.Commit) []int {
		got = commits
		return []int{1, 2}
	}), in)
	if want := []eventstore.Commit{commit(1), commit(6), commit(7)}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if want := `{"batchItemFailures":[{"itemIdentifier":"106"},{"itemIdentifier":"107"}]}`; string(out) != want {
		t.Errorf("answered %s, want %s", out, want)
	}
	if n := strings.Count(log.String(), `"RecordsQuarantined":1`); n != 2 {
		t.Errorf("%d records are quarantined, want 2: %s", n, log)
	}
}

// TestNoFailuresAreAnEmptyList: Lambda takes null for a failure of the whole batch.
func TestNoFailuresAreAnEmptyList(t *testing.T) {
	const none = `{"batchItemFailures":[]}`
	stream := lambdaio.Stream(func(context.Context, []eventstore.Commit) []int { return nil })
	for _, in := range []any{map[string]any{"Records": []any{record(t, "INSERT", 1, marshal(t, commit(1)))}}, map[string]any{"Records": []any{record(t, "REMOVE", 1, nil)}}, map[string]any{}} {
		if out := invoke(t, stream, in); string(out) != none {
			t.Errorf("%s", out)
		}
	}
	queue := lambdaio.Queue(func(context.Context, []byte) error { return nil })
	for _, in := range []any{map[string]any{"Records": []any{map[string]any{"messageId": "1", "body": "x"}}}, map[string]any{}} {
		if out := invoke(t, queue, in); string(out) != none {
			t.Errorf("%s", out)
		}
	}
}

// outcomes are errors, and whether an event that met them is worth delivering again.
var outcomes = []struct {
	err   error
	again bool
}{
	{nil, false},
	{errors.New("connection refused"), true},
	{eventstore.ErrBusy, true},
	{context.DeadlineExceeded, true},
	{fault.New(fault.Internal, "slug", "detail"), true},
	{fault.New(fault.Busy, "slug", "detail"), true},
	{fault.New(fault.Conflict, "slug", "detail"), true},
	{fault.New(fault.Invalid, "slug", "detail"), false},
	{fault.New(fault.Unauthorized, "slug", "detail"), false},
	{fault.New(fault.NotFound, "slug", "detail"), false},
	{fmt.Errorf("send: %w", fault.New(fault.Rejected, "slug", "detail")), false},
}

// TestQueue: each message is taken by itself, and those alone come again that may then succeed. The rest is parked.
func TestQueue(t *testing.T) {
	log := logged(t)
	var records []any
	var want []string
	parked := 0
	for i, o := range outcomes {
		id := fmt.Sprint("message-", i)
		records = append(records, map[string]any{"messageId": id, "body": fmt.Sprint(i)})
		if o.again {
			want = append(want, id)
		} else if o.err != nil {
			parked++
		}
	}
	var bodies []string
	out := invoke(t, lambdaio.Queue(func(_ context.Context, body []byte) error {
		bodies = append(bodies, string(body))
		var i int
		if err := json.Unmarshal(body, &i); err != nil {
			t.Fatal(err)
		}
		return outcomes[i].err
	}), map[string]any{"Records": records})
	var answer struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range answer.BatchItemFailures {
		got = append(got, f.ItemIdentifier)
	}
	if !slices.Equal(got, want) || len(bodies) != len(outcomes) {
		t.Errorf("%d taken, again %v, want %v", len(bodies), got, want)
	}
	if n := strings.Count(log.String(), `"EventsParked":1`); n != parked {
		t.Errorf("%d parked, want %d", n, parked)
	}
}

func TestBus(t *testing.T) {
	logged(t)
	sent := lambdaio.Published{ID: "e1", Type: "ConsentGranted", SchemaVersion: 2, Stream: "CUSTOMER#1", CustomerID: "1", Version: 3, Data: json.RawMessage(`{"purpose":"marketing"}`)}
	for _, o := range outcomes {
		var got lambdaio.Published
		payload, err := json.Marshal(map[string]any{"id": "bus-1", "detail-type": sent.Type, "source": "crm.customer", "detail": sent})
		if err != nil {
			t.Fatal(err)
		}
		_, err = lambdaio.Bus(func(_ context.Context, p lambdaio.Published) error {
			got = p
			return o.err
		}).Invoke(t.Context(), payload)
		if !reflect.DeepEqual(got, sent) {
			t.Errorf("got %+v, want %+v", got, sent)
		}
		if (err != nil) != o.again {
			t.Errorf("%v: %v, want it again: %v", o.err, err, o.again)
		}
	}
}

// TestEventsThatCannotBeRead fail the call, so that they end where failed calls do, with an alarm.
func TestEventsThatCannotBeRead(t *testing.T) {
	never := func() error {
		t.Error("the handler is called")
		return nil
	}
	for name, h := range map[string]lambdaio.Handler{
		"stream": lambdaio.Stream(func(context.Context, []eventstore.Commit) []int { _ = never(); return nil }),
		"queue":  lambdaio.Queue(func(context.Context, []byte) error { return never() }),
		"bus":    lambdaio.Bus(func(context.Context, lambdaio.Published) error { return never() }),
		"task":   lambdaio.Task(func(context.Context, struct{}) (any, error) { return nil, never() }),
	} {
		for _, payload := range []string{``, `{`, `[]`, `"text"`} {
			if out, err := h.Invoke(t.Context(), []byte(payload)); err == nil {
				t.Errorf("%s takes %q, and answers %s", name, payload, out)
			}
		}
	}
	bus := lambdaio.Bus(func(context.Context, lambdaio.Published) error { return never() })
	if _, err := bus.Invoke(t.Context(), []byte(`{"detail":"text"}`)); err == nil {
		t.Error("a detail that is no event is taken")
	}
}

// TestTask: a state machine gets an answer, or an error whose name is its kind, which its retries name.
func TestTask(t *testing.T) {
	type step struct{ N int }
	next := lambdaio.Task(func(_ context.Context, s step) (step, error) { return step{s.N + 1}, nil })
	if out := invoke(t, next, step{1}); string(out) != `{"N":2}` {
		t.Errorf("answered %s", out)
	}
	for _, c := range []struct {
		err  error
		name string
	}{
		{fault.New(fault.Invalid, "slug", "detail"), "Invalid"},
		{fault.New(fault.Unauthorized, "slug", "detail"), "Unauthorized"},
		{fault.New(fault.NotFound, "slug", "detail"), "NotFound"},
		{fault.New(fault.Conflict, "slug", "detail"), "Conflict"},
		{fault.New(fault.Rejected, "slug", "detail"), "Rejected"},
		{fault.New(fault.Busy, "slug", "detail"), "Busy"},
		{fault.New(fault.Internal, "slug", "detail"), "Internal"},
		{errors.New("connection refused"), "Internal"},
		{fmt.Errorf("append: %w", eventstore.ErrBusy), "Busy"},
		{context.DeadlineExceeded, "Busy"},
	} {
		_, err := lambdaio.Task(func(context.Context, step) (step, error) { return step{}, fmt.Errorf("run step: %w", c.err) }).Invoke(t.Context(), []byte(`{}`))
		named, ok := err.(messages.InvokeResponse_Error) // as the Lambda runtime looks for it: not wrapped
		if !ok || named.Type != c.name || !strings.Contains(named.Message, c.err.Error()) {
			t.Errorf("%v is %#v, want %s", c.err, err, c.name)
		}
	}
	_, err := next.Invoke(t.Context(), []byte(`{"N":"one"}`))
	if named, ok := err.(messages.InvokeResponse_Error); !ok || named.Type != "Invalid" {
		t.Errorf("an input that cannot be read is %#v", err)
	}
}

func TestSchedule(t *testing.T) {
	called := 0
	failure := errors.New("connection refused")
	h := lambdaio.Schedule(func(context.Context) error {
		called++
		return failure
	})
	if _, err := h.Invoke(t.Context(), nil); !errors.Is(err, failure) || called != 1 {
		t.Errorf("called %d times, %v", called, err)
	}
}
