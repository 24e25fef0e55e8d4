package lambdaio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/fault"
	"defter/pkg/metric"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
)

// IsBusy says whether the error means "try again".
func IsBusy(err error) bool {
	return errors.Is(err, eventstore.ErrBusy) || errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) == fault.Busy
}

// CommitReader handles commits from the events table's stream and returns the indexes of those to deliver again; the
// stream resumes at the first of them. As a Handler it gets a stream's records; a reader in this process calls Read.
type CommitReader func(ctx context.Context, commits []eventstore.Commit) (failed []int)

// Stream makes a function of a CommitReader.
func Stream(handle CommitReader) Handler { return handle }

// StreamRecord is a record of the stream that holds a commit, or the reason why it cannot be read.
type StreamRecord struct {
	Number string // the record's sequence number
	Commit eventstore.Commit
	Err    error
}

func (c CommitReader) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var in events.DynamoDBEvent
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("read the stream's event: %w", err)
	}
	var records []StreamRecord
	for _, record := range in.Records {
		if record.EventName != "INSERT" {
			continue // commits are never changed; only expired or removed items of other kinds come by
		}
		image := record.Change.NewImage
		r := StreamRecord{Number: record.Change.SequenceNumber}
		r.Commit, r.Err = dynamo.Decode(func(name string) string { return text(image, name) }, binary(image, "p"))
		records = append(records, r)
	}
	out := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	for _, number := range c.Read(ctx, records) {
		out.BatchItemFailures = append(out.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: number})
	}
	return json.Marshal(out)
}

// Read handles records and returns the numbers of those to deliver again. One that can never be read is logged and
// passed by: holding up the shard would not help.
func (c CommitReader) Read(ctx context.Context, records []StreamRecord) (again []string) {
	var commits []eventstore.Commit
	var numbers []string
	for _, r := range records {
		if r.Err != nil {
			slog.ErrorContext(ctx, "record quarantined", metric.Count(metric.RecordsQuarantined, 1), "sequenceNumber", r.Number, "error", r.Err)
			continue
		}
		commits, numbers = append(commits, r.Commit), append(numbers, r.Number)
	}
	if len(commits) == 0 {
		return nil
	}
	for _, i := range c(ctx, commits) {
		again = append(again, numbers[i])
	}
	return again
}

func text(image map[string]events.DynamoDBAttributeValue, name string) string {
	v, ok := image[name] // the zero value calls itself binary
	switch {
	case ok && v.DataType() == events.DataTypeString:
		return v.String()
	case ok && v.DataType() == events.DataTypeNumber:
		return v.Number()
	}
	return ""
}

func binary(image map[string]events.DynamoDBAttributeValue, name string) []byte {
	if v, ok := image[name]; ok && v.DataType() == events.DataTypeBinary {
		return v.Binary()
	}
	return nil
}

// Published is an event as it travels on the bus: nothing personal in it.
type Published struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	SchemaVersion int             `json:"schemaVersion"`
	Stream        string          `json:"stream"`
	CustomerID    string          `json:"customerId,omitempty"`
	Version       int64           `json:"version"`
	OccurredAt    string          `json:"occurredAt"`
	RecordedAt    string          `json:"recordedAt"`
	CorrelationID string          `json:"correlationId"`
	CausationID   string          `json:"causationId,omitempty"`
	Actor         string          `json:"actor,omitempty"`
	Source        string          `json:"source,omitempty"`
	Notes         []string        `json:"notes,omitempty"` // what could not be read of the message that it came in, as "field:reason"
	Data          json.RawMessage `json:"data,omitempty"`
	Omitted       bool            `json:"omitted,omitempty"` // the data are too large for the bus: the store has them
}

// Bus makes a function that gets one published event per call. An error that may pass is returned, and the event
// delivered again; any other is logged and the event given up, since it would fail for ever.
func Bus(handle func(ctx context.Context, p Published) error) Handler {
	return HandlerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
		var in events.EventBridgeEvent
		var p Published
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, fmt.Errorf("read EventBridge's event: %w", err)
		}
		if err := json.Unmarshal(in.Detail, &p); err != nil {
			return nil, fmt.Errorf("read the event's detail: %w", err)
		}
		return nil, parked(ctx, handle(ctx, p), p.ID)
	})
}

// Queue makes a function that gets the bodies of queued messages, one at a time.
func Queue(handle func(ctx context.Context, body []byte) error) Handler {
	return HandlerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
		var in events.SQSEvent
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, fmt.Errorf("read SQS's event: %w", err)
		}
		out := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		for _, message := range in.Records {
			if err := parked(ctx, handle(ctx, []byte(message.Body)), message.MessageId); err != nil {
				slog.WarnContext(ctx, "message will be delivered again", "messageId", message.MessageId, "error", err)
				out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: message.MessageId})
			}
		}
		return json.Marshal(out)
	})
}

// parked passes on what is worth another try, and logs the rest.
func parked(ctx context.Context, err error, id string) error {
	if err == nil || fault.Retryable(err) {
		return err
	}
	slog.ErrorContext(ctx, "parked", metric.Count(metric.EventsParked, 1), "id", id, "error", err)
	return nil
}

// Task makes a function that a state machine calls with an In and that answers an Out. Errors are named by their kind.
func Task[In, Out any](handle func(ctx context.Context, in In) (Out, error)) Handler {
	return HandlerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
		var in In
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, messages.InvokeResponse_Error{Type: string(fault.Invalid), Message: err.Error()}
		}
		out, err := handle(ctx, in)
		if err != nil {
			kind := fault.KindOf(err)
			if IsBusy(err) {
				kind = fault.Busy
			}
			return nil, messages.InvokeResponse_Error{Type: string(kind), Message: err.Error()}
		}
		return json.Marshal(out)
	})
}

// Schedule makes a function that a schedule calls.
func Schedule(handle func(ctx context.Context) error) Handler {
	return HandlerFunc(func(ctx context.Context, _ []byte) ([]byte, error) { return nil, handle(ctx) })
}
