package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/identity"
	"defter/pkg/metric"
	"defter/pkg/view"
)

const (
	erasureStep     = 20 * time.Second // of work in a call of the machine
	erasureStreams  = 25               // looked at before it is noted how far the erasure has come
	erasurePause    = 30 * time.Second // after a step that failed, and longer after each
	erasureMaxPause = time.Hour
	erasureLookback = 1000 // events among the last of a stream, one of which asks for the erasure: nearly nothing follows it

	erasureKey   = "PROGRESS"
	foundPrefix  = "STREAM#" // streams that are the person's
	followPrefix = "FOLLOW#" // those of them whose links are not followed yet
)

// erasure is a saga: how far it has come, and where it goes on. Each step is repeatable and small; after each it is noted what is
// next, so that whoever goes on, after whatever interrupted it, begins there.
type erasure struct {
	Certificate
	Stream string `json:"stream"`           // whose
	Head   string `json:"head,omitempty"`   // of a circle of customers who claim each other: nobody's
	System int    `json:"at"`               // the system at work
	After  string `json:"after,omitempty"`  // the stream after which it goes on, "" for the first
	Cursor string `json:"cursor,omitempty"` // within the next stream
}

// RunErasureStep goes on with an erasure for a while, and says when to go on. A step that failed is made again, later and later, for as
// long as it takes: nobody is certified as erased who is not.
func (a *App) RunErasureStep(ctx context.Context, run ErasureRun) (ErasureRun, error) {
	if until, err := time.Parse(time.RFC3339, run.Until); err == nil && a.Now().Before(until) {
		return run, nil
	}
	err := a.beginErasure(ctx, run.Stream)
	if err == nil {
		run.Done, err = a.goOnErasing(ctx, run.Stream, erasureStep)
	}
	pause := time.Duration(0)
	if err == nil {
		run.Failures = 0
	} else {
		slog.ErrorContext(ctx, "erasure held up", metric.Count(metric.ErasuresHeldUp, 1), "failures", run.Failures, "error", err)
		pause = min(erasurePause<<min(run.Failures, 10), erasureMaxPause)
		run.Failures++
	}
	run.Until = a.Now().Add(pause).UTC().Format(time.RFC3339)
	return run, nil
}

// beginErasure makes the rows of an erasure that was asked for, once.
func (a *App) beginErasure(ctx context.Context, stream string) error {
	if _, ok, err := a.certificate(ctx, stream); err != nil || ok {
		return err
	}
	if _, ok, err := a.loadErasure(ctx, stream); err != nil || ok {
		return err
	}
	asked, err := a.deletionOf(ctx, stream)
	if err != nil {
		return err
	}
	e := erasure{Stream: stream, Certificate: Certificate{
		CertificateID: asked.ID, Status: erasureUnderWay, Reason: asked.Data.(customer.DeletionRequested).Reason, DeletionType: "anonymize", RequestedAt: asked.RecordedAt,
	}}
	id, isCustomer := view.CustomerID(stream)
	if isCustomer {
		e.CustomerID = id
	} else {
		e.VisitorID = strings.TrimPrefix(stream, view.VisitorStream(""))
	}
	for _, s := range systems {
		e.Systems = append(e.Systems, Erased{System: s.name, Action: s.action, Status: erasurePending})
	}
	own, err := a.claimsOn(ctx)(id)
	if err != nil {
		return err
	}
	owners, err := identity.Follow(id, own, a.claimsOn(ctx))
	if err != nil {
		return err
	}
	if owners.Head != "" && owners.Head != id {
		e.Head = view.CustomerStream(owners.Head)
	}
	row, err := e.row(1)
	if err != nil {
		return err
	}
	_, err = a.Views.Table.Replace(ctx, row, 0, e.found(stream), nil) // not written: somebody else just did
	return err
}

// found are the rows of a stream that is the person's, and whose links are to be followed.
func (e *erasure) found(stream string) []view.Row {
	pk := complianceKey(e.Stream)
	return []view.Row{{PK: pk, SK: foundPrefix + stream}, {PK: pk, SK: followPrefix + stream}}
}

func (e *erasure) row(version int64) (view.Row, error) {
	data, err := json.Marshal(e)
	return view.Row{PK: complianceKey(e.Stream), SK: erasureKey, Version: version, Data: data}, err
}

func (a *App) loadErasure(ctx context.Context, stream string) (e erasure, ok bool, err error) {
	e, version, err := a.readErasure(ctx, stream)
	return e, version > 0, err
}

func (a *App) readErasure(ctx context.Context, stream string) (e erasure, version int64, err error) {
	row, ok, err := a.Views.Table.Get(ctx, complianceKey(stream), erasureKey)
	if err != nil || !ok {
		return e, 0, err
	}
	if err := json.Unmarshal(row.Data, &e); err != nil {
		return e, 0, fmt.Errorf("decode erasure: %w", err)
	}
	return e, row.Version, nil
}

// deletionOf is the event that asks for a stream's erasure. Nearly nothing follows it, so that it is among the last ones.
func (a *App) deletionOf(ctx context.Context, stream string) (eventstore.Event, error) {
	looked := 0
	for c, err := range a.Log.Store.ReadBack(ctx, stream, 0) {
		if err != nil {
			return eventstore.Event{}, err
		}
		events, err := a.Log.Open(ctx, c)
		if err != nil {
			return eventstore.Event{}, err
		}
		for _, e := range events {
			if _, asked := e.Data.(customer.DeletionRequested); asked {
				return e, nil
			}
		}
		if looked += len(events); looked > erasureLookback {
			break
		}
	}
	return eventstore.Event{}, fault.New(fault.NotFound, "no-erasure", "nobody asked for this erasure")
}

// goOnErasing does steps until the erasure is done or the time is up. Two who go on at once do some steps both, which harms nothing.
func (a *App) goOnErasing(ctx context.Context, stream string, within time.Duration) (done bool, err error) {
	for began := a.Now(); a.Now().Sub(began) < within; {
		e, version, err := a.readErasure(ctx, stream)
		if err != nil || version == 0 {
			return err == nil, err // the certificate is written
		}
		if e.System == len(systems) {
			return true, a.certify(ctx, e)
		}
		if err := a.eraseSome(ctx, &e); err != nil {
			return false, fmt.Errorf("%s: %w", systems[e.System].name, err)
		}
		row, err := e.row(version + 1)
		if err != nil {
			return false, err
		}
		if _, err := a.Views.Table.Replace(ctx, row, version, nil, nil); err != nil { // not replaced: somebody else has come as far
			return false, err
		}
	}
	return false, nil
}

// certify writes the certificate in the place of the progress. That says nothing any more, but for which streams it was.
func (a *App) certify(ctx context.Context, e erasure) error {
	e.Status = erasureCompleted
	e.CompletedAt = e.Systems[len(systems)-1].CompletedAt
	data, err := json.Marshal(e.Certificate)
	if err != nil {
		return err
	}
	pk := complianceKey(e.Stream)
	_, err = a.Views.Table.Replace(ctx, view.Row{PK: pk, SK: certificateKey, Version: 1, Data: data}, 0, nil, [][2]string{{pk, erasureKey}})
	return err
}

// eraseSome does the next step.
func (a *App) eraseSome(ctx context.Context, e *erasure) error {
	at := &e.Systems[e.System]
	at.Status = erasureUnderWay
	var ended bool
	var err error
	switch s := systems[e.System]; {
	case e.System == 0:
		ended, err = a.followLinks(ctx, e, at)
	case s.erase == nil:
		ended = true
	default:
		ended, err = a.eraseStreams(ctx, e, s, at)
	}
	if err != nil || !ended {
		return err
	}
	at.Status, at.CompletedAt = erasureDone, a.Now().UTC()
	e.System, e.After, e.Cursor = e.System+1, "", ""
	return nil
}

// eraseStreams does one system's work on some streams of the person.
func (a *App) eraseStreams(ctx context.Context, e *erasure, s system, at *Erased) (ended bool, err error) {
	rows, next, err := a.Views.Table.List(ctx, complianceKey(e.Stream), foundPrefix, e.After, erasureStreams, false)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		items, cursor, err := s.erase(a, ctx, e, strings.TrimPrefix(row.SK, foundPrefix), e.Cursor)
		if err != nil {
			return false, err
		}
		at.Items += items
		if e.Cursor = cursor; cursor != "" {
			return false, nil
		}
		e.After = row.SK
	}
	return next == "", nil
}
