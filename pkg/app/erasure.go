package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/identity"
	"defter/pkg/ingest"
	"defter/pkg/metric"
	"defter/pkg/record"
	"defter/pkg/view"
)

const (
	erasureStep     = 20 * time.Second // of work in a call of the machine
	erasureStreams  = 25               // looked at before it is noted how far the erasure has come
	erasureLinks    = 100              // likewise
	erasureTail     = 1000             // likewise, of events that are not projected
	erasureRows     = 500              // likewise, of a view
	erasurePause    = 30 * time.Second // after a step that failed, and longer after each
	erasureMaxPause = time.Hour
	erasureLookback = 1000 // events among the last of a stream, one of which asks for the erasure: nearly nothing follows it

	erasureKey   = "PROGRESS"
	foundPrefix  = "STREAM#" // streams that are the person's
	followPrefix = "FOLLOW#" // those of them whose links are not followed yet

	erasedShards = 16
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

// system is a place where something personal is.
type system struct {
	name, action string
	// erase removes it of one stream of the person, a piece at a time, and returns how many items it removed and where it goes on, "" at
	// the end. It is nil for a system that has nothing personal of its own.
	erase func(a *App, ctx context.Context, e *erasure, stream, cursor string) (items int, next string, err error)
}

// systems are all places where something of a person may be, in the order in which they are worked off: the keys after everything that could
// not be found any more without them. The first follows links.
var systems = []system{
	{"identities", "followed", nil},
	{"lookup by email", "removed", (*App).eraseEmail},
	{"mail provider and mailbox", "forgotten", (*App).eraseMails},
	{"messages", "removed", (*App).eraseMessages},
	{"timelines", "removed", (*App).eraseTimeline},
	{"quarantine and waiting reports", "removed", (*App).eraseQuarantine},
	{"lookups by cart", "removed", (*App).eraseHints},
	{"profiles, consents, preferences and their lookups", "removed", (*App).eraseDocuments},
	{"other views", "removed", (*App).eraseViews},
	{"data keys and snapshots", "destroyed", (*App).eraseKeys},
	{"event streams", "closed; what is personal in them ended with the keys", (*App).closeStream},
	{"archive", "what is personal in it ended with the keys", nil},
	{"bus, queues and state machines", "hold nothing personal", nil},
	{"idempotency answers, budgets and the payment provider's answers", "hold nothing personal", nil},
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

// followLinks finds streams of the person by the links of those that were found: to the end, however many and however deep. It
// counts them.
func (a *App) followLinks(ctx context.Context, e *erasure, at *Erased) (ended bool, err error) {
	rows, _, err := a.Views.Table.List(ctx, complianceKey(e.Stream), followPrefix, "", 1, false)
	if err != nil || len(rows) == 0 {
		return err == nil, err
	}
	stream := strings.TrimPrefix(rows[0].SK, followPrefix)
	links, next, err := a.linksFrom(ctx, stream, e.Cursor)
	if err != nil {
		return false, err
	}
	for _, l := range links {
		for _, other := range l.Streams() {
			if !l.Linked || other == e.Stream || other == e.Head {
				continue
			}
			if err := a.findStream(ctx, e, stream, other, l); err != nil {
				return false, err
			}
		}
	}
	if e.Cursor = next; next == "" {
		at.Items++
		return false, a.Views.Table.Delete(ctx, [2]string{rows[0].PK, rows[0].SK})
	}
	return false, nil
}

// linksFrom returns some links of a customer's, and where the next ones are, "" at the end. First it writes the rows of what is not projected
// yet of the stream: the cursor begins with "tail" so long, then with "rows".
func (a *App) linksFrom(ctx context.Context, stream, cursor string) (links []view.Link, next string, err error) {
	if _, isCustomer := view.CustomerID(stream); !isCustomer {
		return nil, "", nil
	}
	phase, at, _ := strings.Cut(cursor, " ")
	if phase == "rows" {
		if links, next, err = a.Views.Links(ctx, stream, at, erasureLinks); next != "" {
			next = "rows " + next
		}
		return links, next, err
	}
	from, err := int64(0), error(nil)
	if phase == "" {
		from, err = a.Views.Projected(ctx, stream)
		from++
	} else {
		from, err = strconv.ParseInt(at, 10, 64)
	}
	if err != nil {
		return nil, "", err
	}
	if from, err = a.Views.ProjectLinks(ctx, stream, from, erasureTail); err != nil || from > 0 {
		return nil, fmt.Sprintf("tail %d", from), err
	}
	return nil, "rows ", nil
}

// findStream adds a stream to the person's, if it is theirs: what a customer was linked with is claimed first, as it would be a little later by
// itself, and then it is asked whose it is. It is told that it is erased before anything else happens.
func (a *App) findStream(ctx context.Context, e *erasure, owner, stream string, l view.Link) error {
	if _, known, err := a.Views.Table.Get(ctx, complianceKey(e.Stream), foundPrefix+stream); err != nil || known {
		return err
	}
	latest, err := a.Views.ProjectedLink(ctx, owner, l.Kind, l.ID) // it may have been undone since
	if err != nil || !latest.Linked {
		return err
	}
	id, _ := view.CustomerID(owner)
	meta := eventstore.Meta{Actor: erasureActor, Source: "system", CausationID: e.CertificateID}
	head, err := a.claimStream(ctx, stream, identity.Claimed{CustomerID: id, Since: l.At, Public: l.Public}, meta)
	if err != nil || head.Version == 0 {
		return err
	}
	s := record.Fold.Of(head)
	if s.Customer.Status == customer.StatusErased || !view.Belongs(owner, s.Identity) {
		return nil
	}
	if !erased(s) && s.Order.MoneyMoves() {
		return fault.New(fault.Busy, "payment-under-way", "a payment or a refund of a former id is under way")
	}
	_, _, err = a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true, Meta: meta,
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			if erased(record.Fold.Of(h)) {
				return eventstore.Decision{}, nil
			}
			return eventstore.Decision{Events: eventstore.Happened(customer.DeletionRequested{Reason: e.Reason, DeletionType: e.DeletionType})}, nil
		},
	})
	if err != nil {
		return err
	}
	rows := e.found(stream)
	_, err = a.Views.Table.Replace(ctx, rows[0], 0, rows[1:], nil)
	return err
}

func (a *App) eraseEmail(ctx context.Context, _ *erasure, stream, _ string) (int, string, error) {
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return 0, "", err
	}
	email := record.Fold.Of(head).Customer.Email
	if email == "" {
		return 0, "", nil
	}
	key, err := a.emailKey(ctx, email)
	if err != nil {
		return 0, "", err
	}
	return 1, "", a.Log.Store.Unclaim(ctx, key, stream)
}

func (a *App) eraseMails(ctx context.Context, _ *erasure, stream, _ string) (int, string, error) {
	id, isCustomer := view.CustomerID(stream)
	if !isCustomer {
		return 0, "", nil
	}
	return 1, "", a.Email.Forget(ctx, id)
}

func (a *App) eraseMessages(ctx context.Context, _ *erasure, stream, cursor string) (int, string, error) {
	return a.Views.RemoveRows(ctx, stream, view.MessagePrefix, cursor, erasureRows)
}

func (a *App) eraseTimeline(ctx context.Context, _ *erasure, stream, cursor string) (int, string, error) {
	return a.Views.RemoveRows(ctx, stream, view.TimelinePrefix, cursor, erasureRows)
}

func (a *App) eraseHints(ctx context.Context, _ *erasure, stream, _ string) (int, string, error) {
	hints, err := a.Views.KnownHints(ctx, stream)
	if err != nil {
		return 0, "", err
	}
	return len(hints), "", a.Views.Table.Delete(ctx, hints...)
}

func (a *App) eraseDocuments(ctx context.Context, _ *erasure, stream, _ string) (int, string, error) {
	asked, err := a.deletionOf(ctx, stream)
	if err != nil {
		return 0, "", err
	}
	removed, err := a.Views.EmptyDocuments(ctx, stream, asked.Version)
	return removed, "", err
}

// eraseViews removes what else there is of a stream in the views, but for the audit trail, which holds nothing personal.
func (a *App) eraseViews(ctx context.Context, _ *erasure, stream, cursor string) (int, string, error) {
	return a.Views.RemoveOthers(ctx, stream, cursor, erasureRows)
}

// eraseKeys notes that a stream's key is destroyed, so that it is destroyed again after a restore, and destroys it.
func (a *App) eraseKeys(ctx context.Context, e *erasure, stream, _ string) (int, string, error) {
	data, err := json.Marshal(erasedNote{e.CertificateID, e.RequestedAt})
	if err != nil {
		return 0, "", err
	}
	if err := a.Views.Table.Put(ctx, view.Row{PK: erasedKey(stream), SK: stream, Data: data}); err != nil {
		return 0, "", err
	}
	if err := errors.Join(a.dropSnapshots(ctx, stream), a.Keyring.Destroy(ctx, stream)); err != nil {
		return 0, "", err
	}
	a.Log.Cache.Forget(stream)
	return 1, "", nil
}

func (a *App) dropSnapshots(ctx context.Context, stream string) error {
	return a.Log.Store.DropSnapshots(ctx, stream, record.Fold.Name, ingest.SeenFold.Name, ingest.AllSeenFold.Name)
}

// closeStream records that a stream's personal data are gone, and removes what was on its way meanwhile.
func (a *App) closeStream(ctx context.Context, e *erasure, stream, _ string) (int, string, error) {
	_, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Fact: true, // no folds: without its key the stream has no snapshot, and would be read from its beginning
		Meta: eventstore.Meta{Actor: erasureActor, Source: "system", CausationID: e.CertificateID},
		Decide: func(*eventstore.Head) (eventstore.Decision, error) {
			if closed, err := a.closed(ctx, stream); err != nil || closed {
				return eventstore.Decision{}, err
			}
			return eventstore.Decision{Events: eventstore.Happened(customer.DataDeleted{
				DeletionType: e.DeletionType, CompletedAt: a.Now().UTC(), CertificateID: e.CertificateID,
			})}, nil
		},
	})
	if err != nil {
		return 0, "", err
	}
	if id, isCustomer := view.CustomerID(stream); isCustomer {
		if err := a.Email.Forget(ctx, id); err != nil {
			return 0, "", err
		}
	}
	return 1, "", a.dropSnapshots(ctx, stream)
}

// closed says whether a stream's last commit ends it.
func (a *App) closed(ctx context.Context, stream string) (bool, error) {
	for c, err := range a.Log.Store.ReadBack(ctx, stream, 0) {
		return err == nil && slices.ContainsFunc(c.Events, func(r eventstore.Record) bool { return a.Log.Catalog.Ends(r.Type) }), err
	}
	return false, nil
}

// erasedNote is a line of the journal of erasures: which key was destroyed, and why.
type erasedNote struct {
	CertificateID string    `json:"certificateId"`
	RequestedAt   time.Time `json:"requestedAt"`
}

func erasedKey(stream string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(stream)) // never fails
	return erasedShard(int(hash.Sum32() % erasedShards))
}

func erasedShard(shard int) string { return fmt.Sprintf("ERASED#%02d", shard) }

// ReapplyErasures destroys every key again that the journal of erasures says was destroyed: after a restore of the keys table from a backup,
// which holds them again. It returns how many it found.
func (a *App) ReapplyErasures(ctx context.Context) (destroyed int, err error) {
	for shard := range erasedShards {
		for cursor := ""; ; {
			rows, next, err := a.Views.Table.List(ctx, erasedShard(shard), "", cursor, maxLimit, false)
			if err != nil {
				return destroyed, err
			}
			for _, row := range rows {
				gone, err := a.Keyring.Destroyed(ctx, row.SK)
				if err != nil {
					return destroyed, err
				}
				if gone {
					continue
				}
				if err := errors.Join(a.Keyring.Destroy(ctx, row.SK), a.dropSnapshots(ctx, row.SK)); err != nil {
					return destroyed, err
				}
				a.Log.Cache.Forget(row.SK)
				destroyed++
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	return destroyed, nil
}
