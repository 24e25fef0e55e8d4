package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/timeline"
	"defter/pkg/view"
)

// pageBytes is how much one page of anything may hold, beyond its first entry: Lambda's answers have at most 6 MB.
const pageBytes = 3 << 20

// maxScan is how many events one page may look at when it filters; the cursor goes on from there.
const maxScan = 5000

// EventShown is an event as the API shows it.
type EventShown struct {
	ID            string    `json:"id"`
	Type          string    `json:"type"`
	Version       int64     `json:"version"`
	Span          int       `json:"span,omitempty" description:"how many events a summary stands for, versions up to this one"`
	SchemaVersion int       `json:"schemaVersion"`
	OccurredAt    time.Time `json:"occurredAt"`
	RecordedAt    time.Time `json:"recordedAt"`
	CorrelationID string    `json:"correlationId"`
	CausationID   string    `json:"causationId,omitempty"`
	Actor         string    `json:"actor,omitempty"`
	Source        string    `json:"source,omitempty"`
	Notes         []string  `json:"notes,omitempty" maxItems:"16" description:"what could not be read of the message that it came in, as field:reason, such as properties.currency:unreadable; no values"`
	Data          any       `json:"data"`
}

// EventList is a page of a customer's events.
type EventList struct {
	Events     []EventShown `json:"events"`
	NextCursor string       `json:"nextCursor,omitempty" description:"give it as ?cursor= for the next page; absent at the end"`
}

// listEvents answers GET /v1/customers/{id}/events?types=&from=&to=&cursor=&limit=, from the store, oldest first.
func (a *App) listEvents(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.existingStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	limit, err := limitOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	next := int64(1)
	if cursor := c.Query.Get("cursor"); cursor != "" {
		parts, err := view.ParseCursor(cursor, 1)
		if err != nil {
			return lambdaio.Response{}, err
		}
		if next, err = strconv.ParseInt(parts[0], 10, 64); err != nil || next < 1 || next > eventstore.MaxVersion {
			return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-cursor", "cursor must be a nextCursor of an earlier answer")
		}
	}
	wanted, err := a.filter(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list := EventList{Events: []EventShown{}}
	looked, size := 0, 0
	for e, err := range a.Log.Events(ctx, stream, next, 0) {
		if err != nil {
			return lambdaio.Response{}, err
		}
		if len(list.Events) == limit || looked == maxScan {
			list.NextCursor = view.Cursor(strconv.FormatInt(e.Version, 10))
			break
		}
		looked++
		if !wanted(e) {
			continue
		}
		shown := eventShown(e)
		text, err := json.Marshal(shown)
		if err != nil {
			return lambdaio.Response{}, fmt.Errorf("show an event: %w", err)
		}
		if size += len(text); size > pageBytes && len(list.Events) > 0 {
			list.NextCursor = view.Cursor(strconv.FormatInt(e.Version, 10))
			break
		}
		list.Events = append(list.Events, shown)
	}
	return lambdaio.Response{Status: 200, Body: list}, nil
}

func eventShown(e eventstore.Event) EventShown {
	if d, ok := e.Data.(order.PaymentInitiated); ok {
		d.PaymentToken = "" // nobody needs to see it again
		e.Data = d
	}
	return EventShown{e.ID, e.Type, e.Version, e.Span, e.Schema, e.OccurredAt, e.RecordedAt, e.CorrelationID, e.CausationID, e.Actor, e.Source, e.Notes, e.Data}
}

func (a *App) filter(c *Call) (func(eventstore.Event) bool, error) {
	var types []string
	if raw := c.Query.Get("types"); raw != "" {
		types = strings.Split(raw, ",")
		for _, t := range types {
			if a.Log.Catalog.Schema(t) == 0 {
				return nil, fault.New(fault.Invalid, "invalid-types", "types must be a list of event types such as ConsentGranted,ConsentRevoked")
			}
		}
	}
	var from, to time.Time
	for name, at := range map[string]*time.Time{"from": &from, "to": &to} {
		if raw := c.Query.Get(name); raw != "" {
			t, err := instant(raw, name)
			if err != nil {
				return nil, err
			}
			*at = t
		}
	}
	return func(e eventstore.Event) bool {
		return (types == nil || slices.Contains(types, e.Type)) &&
			(from.IsZero() || !e.OccurredAt.Before(from)) && (to.IsZero() || e.OccurredAt.Before(to))
	}, nil
}

// TimelineEntry is one event of a timeline, in the reader's words.
type TimelineEntry struct {
	view.Line
	Text string `json:"text"`
}

// TimelineList is a page of a customer's timeline.
type TimelineList struct {
	Timeline   []TimelineEntry `json:"timeline"`
	NextCursor string          `json:"nextCursor,omitempty"`
}

// listTimeline answers GET /v1/customers/{id}/timeline, newest first, in the language that Accept-Language asks for.
func (a *App) listTimeline(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, s, err := a.existingRecord(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	cursor, limit, err := pageOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	known := view.Profile{Facts: linkedFacts(s.Customer), Identity: s.Identity}
	lines, next, err := a.Views.Timeline(ctx, stream, known, cursor, limit)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list := TimelineList{Timeline: make([]TimelineEntry, len(lines)), NextCursor: pageCursor(next)}
	language := timeline.Language(c.Header["accept-language"])
	for i, line := range lines {
		list.Timeline[i] = TimelineEntry{line, timeline.Text(line.Type, language)}
	}
	return lambdaio.Response{Status: 200, Header: map[string]string{"content-language": language, "vary": "Accept-Language"}, Body: list}, nil
}

// AuditList is a page of a customer's audit trail.
type AuditList struct {
	Audit      []view.Audit `json:"audit"`
	NextCursor string       `json:"nextCursor,omitempty"`
}

// listAudit answers GET /v1/customers/{id}/audit. It outlives the customer's erasure: nothing personal is in it.
func (a *App) listAudit(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.Log.Load(ctx, stream)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if head.Version == 0 {
		return lambdaio.Response{}, fault.New(fault.NotFound, "customer-not-found", "there is no such customer")
	}
	cursor, limit, err := pageOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	entries, next, err := a.Views.AuditTrail(ctx, stream, cursor, limit)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: AuditList{entries, pageCursor(next)}}, nil
}

// MessageList is a page of what was sent to a customer or withheld.
type MessageList struct {
	Messages   []MessageShown `json:"messages"`
	NextCursor string         `json:"nextCursor,omitempty"`
}

// listMessages answers GET /v1/customers/{id}/messages.
func (a *App) listMessages(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, cursor, limit, err := a.page(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	messages, next, err := a.ledgerPage(ctx, stream, cursor, limit)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: MessageList{messages, pageCursor(next)}}, nil
}

// page reads what a paged query of an existing customer asks for.
func (a *App) page(ctx context.Context, c *Call) (stream, cursor string, limit int, err error) {
	if stream, err = a.existingStream(ctx, c); err != nil {
		return "", "", 0, err
	}
	cursor, limit, err = pageOf(c)
	return stream, cursor, limit, err
}

func pageOf(c *Call) (cursor string, limit int, err error) {
	if limit, err = limitOf(c); err != nil {
		return "", 0, err
	}
	if raw := c.Query.Get("cursor"); raw != "" {
		parts, err := view.ParseCursor(raw, 1)
		if err != nil {
			return "", 0, err
		}
		if parts[0] == "" || len(parts[0]) > 300 {
			return "", 0, fault.New(fault.Invalid, "invalid-cursor", "cursor must be a nextCursor of an earlier answer")
		}
		cursor = parts[0]
	}
	return cursor, limit, nil
}

func pageCursor(next string) string {
	if next == "" {
		return ""
	}
	return view.Cursor(next)
}

// existingStream is the stream of the customer in the path, who must exist.
func (a *App) existingStream(ctx context.Context, c *Call) (string, error) {
	stream, _, err := a.existingRecord(ctx, c)
	return stream, err
}

// existingRecord is that stream and its record.
func (a *App) existingRecord(ctx context.Context, c *Call) (string, record.State, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return "", record.State{}, err
	}
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return "", record.State{}, err
	}
	return stream, record.Fold.Of(head), existing(record.Fold.Of(head))
}
