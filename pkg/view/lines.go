package view

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"defter/pkg/eventstore"
)

// The prefixes of the sort keys of lines.
const (
	timelinePrefix = "TIMELINE#"
	auditPrefix    = "AUDIT#"
)

// Line is one event in a timeline. It says what happened and when; the event itself is in the store.
type Line struct {
	Version    int64     `json:"version"`
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	OccurredAt time.Time `json:"occurredAt"`
	RecordedAt time.Time `json:"recordedAt"`
	Source     string    `json:"source,omitempty"`
}

func lineOf(e eventstore.Event) Line {
	return Line{e.Version, e.ID, e.Type, e.OccurredAt, e.RecordedAt, e.Source}
}

// timelineRow is the row of one commit's events.
func timelineRow(stream string, events []eventstore.Event) (Row, error) {
	lines := make([]Line, len(events))
	for i, e := range events {
		lines[i] = lineOf(e)
	}
	data, err := json.Marshal(lines)
	if err != nil {
		return Row{}, fmt.Errorf("encode timeline: %w", err)
	}
	first := events[0].Version
	return Row{PK: stream, SK: fmt.Sprintf("%s%012d", timelinePrefix, first), Version: first, Data: data}, nil
}

// Timeline returns lines newest first.
func (v *Views) Timeline(ctx context.Context, stream, cursor string, limit int) (lines []Line, next string, err error) {
	rows, next, err := v.Table.List(ctx, stream, timelinePrefix, cursor, limit, true)
	if err != nil {
		return nil, "", err
	}
	lines = []Line{}
	for _, row := range rows {
		var some []Line
		if err := json.Unmarshal(row.Data, &some); err != nil {
			return nil, "", fmt.Errorf("decode timeline: %w", err)
		}
		for i := len(some) - 1; i >= 0; i-- {
			lines = append(lines, some[i])
		}
	}
	return lines, next, nil
}

// Audit is one entry of the audit trail: who changed what, when and at whose request. The values are in the event, under
// the customer's data key, and are gone once that is destroyed.
type Audit struct {
	Line
	Actor         string `json:"actor,omitempty"`
	CorrelationID string `json:"correlationId"`
	CausationID   string `json:"causationId,omitempty"`
}

// RecordAudit writes an event's audit entry; again, it writes the same.
func (v *Views) RecordAudit(ctx context.Context, e eventstore.Event) error {
	row, err := auditRow(e)
	if err != nil {
		return err
	}
	return v.Table.Put(ctx, row)
}

func auditRow(e eventstore.Event) (Row, error) {
	data, err := json.Marshal(Audit{lineOf(e), e.Actor, e.CorrelationID, e.CausationID})
	if err != nil {
		return Row{}, fmt.Errorf("encode audit entry: %w", err)
	}
	return Row{PK: e.Stream, SK: fmt.Sprintf("%s%012d", auditPrefix, e.Version), Version: e.Version, Data: data}, nil
}

// AuditTrail returns entries in order.
func (v *Views) AuditTrail(ctx context.Context, stream, cursor string, limit int) (entries []Audit, next string, err error) {
	rows, next, err := v.Table.List(ctx, stream, auditPrefix, cursor, limit, false)
	if err != nil {
		return nil, "", err
	}
	entries = make([]Audit, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal(row.Data, &entries[i]); err != nil {
			return nil, "", fmt.Errorf("decode audit entry: %w", err)
		}
	}
	return entries, next, nil
}
