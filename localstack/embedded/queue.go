package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"defter/pkg/lambdaio"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-lambda-go/events"
)

const (
	queueIdle  = 250 * time.Millisecond
	queueRetry = 2 * time.Second // before a failed message is seen again
)

// queue is a durable work queue, ordered by when a message may be seen. Its times are the machine's, as retries are.
type queue struct {
	system  *System
	row     topology.Queue
	handler lambdaio.Handler
	batch   int
	wake    chan struct{}
}

type queued struct {
	ID       string `json:"id"`
	Body     string `json:"body"`
	Receives int    `json:"receives"`
}

func newQueue(s *System, row topology.Queue) *queue {
	q := &queue{system: s, row: row, wake: make(chan struct{}, 1)}
	for _, f := range topology.Functions {
		if f.Queue != nil && f.Queue.Queue == row.Name {
			q.handler, q.batch = s.handlers[f.Name], f.Queue.BatchSize
		}
	}
	return q
}

func (q *queue) partition() string { return "QUEUE#" + q.row.Name }

// Send stores the message; it is worked on at least once.
func (q *queue) Send(ctx context.Context, body []byte) error {
	if err := q.put(ctx, queued{ID: newID(), Body: string(body)}, 0); err != nil {
		return err
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

func (q *queue) put(ctx context.Context, m queued, after time.Duration) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return q.system.local.Put(ctx, view.Row{PK: q.partition(), SK: dueKey(time.Now().Add(after), m.ID), Data: data})
}

// dueKey sorts by time, and then by id.
func dueKey(at time.Time, id string) string { return fmt.Sprintf("%015d#%s", at.UnixMilli(), id) }

func (q *queue) run(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := q.work(ctx)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "work on the queue", "queue", q.row.Name, "error", err)
		}
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-time.After(queueIdle):
		}
	}
}

// work handles one batch of the messages that may be seen.
func (q *queue) work(ctx context.Context) (int, error) {
	rows, _, err := q.system.local.List(ctx, q.partition(), "", "", q.batch, false)
	if err != nil {
		return 0, err
	}
	now := dueKey(time.Now(), "~")
	rows = slices.DeleteFunc(rows, func(r view.Row) bool { return r.SK > now })
	if len(rows) == 0 {
		return 0, nil
	}
	var in events.SQSEvent
	messages := map[string]queued{}
	for _, row := range rows {
		var m queued
		if err := json.Unmarshal(row.Data, &m); err != nil {
			return 0, fmt.Errorf("queued message: %w", err)
		}
		messages[m.ID] = m
		in.Records = append(in.Records, events.SQSMessage{MessageId: m.ID, Body: m.Body, EventSource: "aws:sqs"})
	}
	payload, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	var out events.SQSEventResponse
	answer, err := q.handler.Invoke(ctx, payload)
	if ctx.Err() != nil {
		return 0, ctx.Err() // they stay as they are
	}
	if err == nil {
		err = json.Unmarshal(answer, &out)
	}
	for _, row := range rows {
		id := row.SK[16:]
		again := err != nil || slices.ContainsFunc(out.BatchItemFailures, func(f events.SQSBatchItemFailure) bool { return f.ItemIdentifier == id })
		if again {
			if err := q.again(ctx, messages[id]); err != nil {
				return 0, err
			}
		}
		if err := q.system.local.Delete(ctx, [2]string{row.PK, row.SK}); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// again puts a failed message back, or parks it.
func (q *queue) again(ctx context.Context, m queued) error {
	m.Receives++
	if m.Receives >= q.row.MaxReceives {
		slog.ErrorContext(ctx, "message parked", "queue", q.row.Name, "messageId", m.ID)
		return q.system.park(ctx, q.row.Name, m.ID, []byte(m.Body))
	}
	return q.put(ctx, m, queueRetry)
}
