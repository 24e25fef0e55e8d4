package view

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// The prefixes of the sort keys of lines.
const (
	timelinePrefix = "TIMELINE#"
	auditPrefix    = "AUDIT#"
)

// Line is one event in a timeline. It says what happened and when; the event itself is in the store.
type Line struct {
	Version    int64     `json:"version"`
	Span       int       `json:"span,omitempty" description:"how many events a summary stands for, versions up to this one"`
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	OccurredAt time.Time `json:"occurredAt"`
	RecordedAt time.Time `json:"recordedAt"`
	Source     string    `json:"source,omitempty"`
	Of         string    `json:"of,omitempty" description:"the visitor or former id whose it was"`
}

func lineOf(e eventstore.Event) Line {
	return Line{e.Version, e.Span, e.ID, e.Type, e.OccurredAt, e.RecordedAt, e.Source, ""}
}

// commitLines is how one commit's lines rest: what they share is said once, because every kilobyte is billed.
type commitLines struct {
	ID         string   `json:"i"` // of the first event
	RecordedAt int64    `json:"r"` // Unix milliseconds
	Source     string   `json:"s,omitempty"`
	Types      []string `json:"t"`
	Occurred   []int64  `json:"o"`           // milliseconds before RecordedAt, negative for after
	Spans      []int    `json:"n,omitempty"` // absent if each is one event
}

// timelineRow is the row of one commit's events.
func timelineRow(stream string, events []eventstore.Event) (Row, error) {
	first := events[0]
	c := commitLines{ID: first.ID, RecordedAt: first.RecordedAt.UnixMilli(), Source: first.Source}
	if slices.ContainsFunc(events, func(e eventstore.Event) bool { return e.Span > 0 }) {
		c.Spans = make([]int, len(events))
	}
	for i, e := range events {
		if c.Spans != nil {
			c.Spans[i] = e.Span
		}
		c.Types = append(c.Types, e.Type)
		c.Occurred = append(c.Occurred, e.RecordedAt.UnixMilli()-e.OccurredAt.UnixMilli())
	}
	data, err := json.Marshal(c)
	if err != nil {
		return Row{}, fmt.Errorf("encode timeline: %w", err)
	}
	return Row{PK: stream, SK: timelineKey(first.First()), Version: first.First(), Data: data}, nil
}

func timelineKey(first int64) string { return fmt.Sprintf("%s%012d", timelinePrefix, first) }

// linesOf reads a row's lines, in order.
func linesOf(row Row) ([]Line, error) {
	var c commitLines
	if err := json.Unmarshal(row.Data, &c); err != nil || len(c.Types) != len(c.Occurred) || c.Spans != nil && len(c.Spans) != len(c.Types) {
		return nil, fmt.Errorf("decode timeline: %w", errors.Join(err, eventstore.ErrCorrupt))
	}
	lines := make([]Line, len(c.Types))
	commit := eventstore.Commit{ID: c.ID, First: row.Version, Events: make([]eventstore.Record, len(c.Types))}
	for i, span := range c.Spans {
		commit.Events[i].Span = span
	}
	for i, t := range c.Types {
		lines[i] = Line{
			commit.Version(i), commit.Events[i].Span, commit.EventID(i), t, time.UnixMilli(c.RecordedAt - c.Occurred[i]).UTC(), time.UnixMilli(c.RecordedAt).UTC(), c.Source, "",
		}
	}
	return lines, nil
}

// maxLines is how many lines a page has, beyond those of its first commit: one commit may have a thousand.
const maxLines = 5_000

// maxTimelines are joined in one, the customer's own among them.
const maxTimelines = 20

// Timeline returns the lines of up to limit commits, the newest first: the stream's, and those of what it owns. The cursor says how
// far each of them was read. known is the customer as far as it says whose streams are theirs.
func (v *Views) Timeline(ctx context.Context, stream string, known Profile, cursor string, limit int) (lines []Line, next string, err error) {
	streams := []string{stream}
	others, err := v.owned(ctx, stream, known)
	if err != nil {
		return nil, "", err
	}
	for _, o := range others {
		if o.FirstSeenAt != nil && len(streams) < maxTimelines { // else nothing happened there but that it was claimed
			streams = append(streams, o.stream)
		}
	}
	at, err := timelineCursor(cursor, len(streams))
	if err != nil {
		return nil, "", err
	}
	commits, more, err := v.newestCommits(ctx, streams, at, limit)
	if err != nil {
		return nil, "", err
	}
	lines = []Line{}
	shown := 0
	for _, c := range commits[:min(limit, len(commits))] {
		if shown > 0 && len(lines)+len(c.lines) > maxLines {
			break
		}
		lines = append(lines, c.lines...)
		at[c.of] = strings.TrimPrefix(c.row.SK, timelinePrefix)
		shown++
	}
	if !more && shown == len(commits) {
		return lines, "", nil
	}
	return lines, strings.Join(at, ","), nil
}

// timelineCursor is the sort key before which each stream goes on: "" for its newest row, "-" for one that was read to its end.
func timelineCursor(cursor string, streams int) ([]string, error) {
	if cursor == "" {
		return make([]string, streams), nil
	}
	at := strings.Split(cursor, ",")
	for _, part := range at {
		if part != "" && part != "-" && (len(part) != len("000000000001") || strings.Trim(part, "0123456789") != "") {
			return nil, errCursor()
		}
	}
	if len(at) != streams {
		return nil, fault.New(fault.Invalid, "invalid-cursor", "who this customer is has changed meanwhile: begin again")
	}
	return at, nil
}

// shownCommit is what a timeline shows of a commit of one of its streams.
type shownCommit struct {
	of    int
	row   Row
	lines []Line
}

// newestCommits are up to limit of each stream from where it goes on, the newest first, and whether there are more. It notes which
// streams were read to their end.
func (v *Views) newestCommits(ctx context.Context, streams, at []string, limit int) (commits []shownCommit, more bool, err error) {
	for i, s := range streams {
		if at[i] == "-" { // read to its end
			continue
		}
		from := at[i]
		if from != "" {
			from = timelinePrefix + from
		}
		rows, rest, err := v.Table.List(ctx, s, timelinePrefix, from, limit, true)
		if err != nil {
			return nil, false, err
		}
		more = more || rest != ""
		for _, row := range rows {
			some, err := linesOf(row)
			if err != nil {
				return nil, false, err
			}
			for k := range some {
				if i > 0 {
					some[k].Of = s[strings.IndexByte(s, '#')+1:]
				}
			}
			slices.Reverse(some)
			commits = append(commits, shownCommit{i, row, some})
		}
		if rest == "" && len(rows) == 0 {
			at[i] = "-"
		}
	}
	slices.SortFunc(commits, func(x, y shownCommit) int {
		return cmp.Or(y.lines[0].RecordedAt.Compare(x.lines[0].RecordedAt), cmp.Compare(x.of, y.of), strings.Compare(y.row.SK, x.row.SK))
	})
	return commits, more, nil
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
