package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/intake"
	"defter/pkg/order"
	"defter/pkg/view"
)

// report is a message about an order that must be known before it. It is filed with whose order it is; what else it says is its
// sender's.
type report struct {
	intake.Message        // its part of the order
	order          string // its id
	sender         string // the stream of who sent it, "" where it names nobody
	rest           intake.Message
}

// notTold is why a report waits for an order that nobody has told of.
const notTold = "nobody has told of the order yet"

func reportOf(source ingest.Source, orderID, sender string, m intake.Message) report {
	r := report{Message: m, order: orderID, sender: sender, rest: m}
	r.rest.Part = intake.Rest
	r.Part, r.Fingerprint = intake.OfOrder, ofOrder(source, m.MessageID)
	return r
}

// ofOrder is the fingerprint of the part of a message that is about an order. It is another one than that of the rest, which may be taken
// into the same stream at another time.
func ofOrder(source ingest.Source, messageID string) string {
	return ingest.Fingerprint(source.ID, messageID+"\x00order")
}

// file takes in reports, each with its order's owner, and what else they say with who sent them. One whose order nobody knows waits for
// it.
func (a *App) file(ctx context.Context, c *Call, source ingest.Source, reports []report) error {
	var messages streams
	for _, r := range reports {
		owner, _, known, err := a.ownerOf(ctx, r.order)
		if err != nil {
			return err
		}
		if known {
			messages.add(owner, r.Message)
		} else if err := a.wait(ctx, c, source, r.sender, r.Message, notTold); err != nil {
			return err
		}
		if r.sender != "" {
			messages.add(r.sender, r.rest)
		}
	}
	return a.takeStreams(ctx, c, source, &messages)
}

// fileOne takes in one report of an order that is in a stream, and fails if they do not agree.
func (a *App) fileOne(ctx context.Context, c *Call, source ingest.Source, owner string, r report) error {
	var err error
	if r.Another, err = a.anothers(ctx, owner, r.sender); err != nil {
		return err
	}
	if err := a.takeAll(ctx, c, source, owner, []intake.Message{r.Message}); err != nil || r.sender == "" {
		return err
	}
	return a.takeAll(ctx, c, source, r.sender, []intake.Message{r.rest})
}

// toldBefore is an order that messages of one stream tell again, as it was placed there, nil where it turned out to be in another one. What
// they say of that is filed there; what contradicts it waits with who sent it.
func (a *App) toldBefore(ctx context.Context, c *Call, source ingest.Source, stream, orderID string, messages []intake.Message) (*order.Placed, error) {
	owner, version, known, err := a.ownerOf(ctx, orderID)
	if err != nil || !known {
		return nil, err
	}
	if owner == stream {
		return a.placedAt(ctx, stream, version)
	}
	another, err := a.anothers(ctx, owner, stream)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if told := intake.Report(m.Message, source); told == nil || told.Order() != orderID {
			continue
		}
		m.Part, m.Fingerprint, m.Another = intake.OfOrder, ofOrder(source, m.MessageID), another
		err := a.takeAll(ctx, c, source, owner, []intake.Message{m})
		if err := a.apart(ctx, c, source, stream, m, err); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// placedAt is the order that was placed in a stream at a version.
func (a *App) placedAt(ctx context.Context, stream string, version int64) (*order.Placed, error) {
	events, err := a.orderEvents(ctx, stream, []int64{version})
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if placed, ok := e.Data.(order.Placed); ok {
			return &placed, nil
		}
	}
	return nil, fmt.Errorf("no order begins at version %d: %w", version, eventstore.ErrCorrupt)
}

// anothers says whether what is told in the name of one stream, of an order in another one, is told of another customer than the order's. A
// visitor who is nobody's may be either.
func (a *App) anothers(ctx context.Context, owner, sender string) (bool, error) {
	if owner == sender || sender == "" {
		return false, nil
	}
	whose, err := a.customerOf(ctx, owner)
	if err != nil {
		return false, err
	}
	who, err := a.customerOf(ctx, sender)
	return whose != "" && who != "" && whose != who, err
}

// waiting is what is kept of a report that waits for its order: where in the quarantine it is.
type waiting struct {
	PK string `json:"pk"`
	SK string `json:"sk"`
}

func (a *App) waitingFor(ctx context.Context, orderID string) (string, error) {
	key, err := a.orderKey(ctx, orderID)
	return "WAITING#" + key, err
}

// wait puts a message aside that does not agree with its order, with the reason, until more is known of the order; once however often it
// comes. It is in the quarantine meanwhile.
func (a *App) wait(ctx context.Context, c *Call, source ingest.Source, stream string, m intake.Message, reason string) error {
	told := intake.Report(m.Message, source)
	if told == nil {
		return fault.New(fault.Internal, "no-report", "a message waits for an order that it does not name")
	}
	if m.Part == intake.Whole {
		rest := m
		rest.Part = intake.Rest
		if err := a.takeAll(ctx, c, source, stream, []intake.Message{rest}); err != nil {
			return err
		}
		m.Fingerprint = ofOrder(source, m.MessageID)
	}
	if stream == "" {
		stream = quarantineOwner
	}
	now := a.Now()
	kept := aside{Origin: m.Origin, MessageID: m.MessageID}
	rows, err := a.quarantineRows(ctx, source, stream, m.Raw, reason, kept, fmt.Sprintf("%013d#%s", now.UnixMilli(), a.NewID()), now)
	if errors.Is(err, eventstore.ErrErased) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(waiting{rows[0].PK, rows[0].SK})
	if err != nil {
		return err
	}
	place, err := a.waitingFor(ctx, told.Order())
	if err != nil {
		return err
	}
	hint := view.Row{PK: place, SK: source.ID + "#" + m.Fingerprint, Version: 1, Data: data, TTL: rows[0].TTL}
	put, err := a.Views.Table.Replace(ctx, hint, 0, rows, nil)
	if err != nil || !put { // it waits already
		return err
	}
	tellAside(ctx, source, reason)
	// More may have become known of the order since it was looked at, and then nobody would look for what waits.
	if _, _, known, err := a.ownerOf(ctx, told.Order()); err != nil || !known {
		return err
	}
	return a.release(ctx, hint)
}

// ReleaseReports tries what waits for an order again, when more is known of it.
func (a *App) ReleaseReports(ctx context.Context, e eventstore.Event) error {
	id := order.EventOrder(e.Data)
	if id == "" {
		return nil
	}
	place, err := a.waitingFor(ctx, id)
	if err != nil {
		return err
	}
	for cursor := ""; ; {
		rows, next, err := a.Views.Table.List(ctx, place, "", cursor, maxLimit, false)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := a.release(ctx, row); err != nil {
				return err
			}
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// release takes in a report that waits, unless it still does not agree with its order. What is no longer in the quarantine, or cannot be
// taken in as what it is, waits no more.
func (a *App) release(ctx context.Context, hint view.Row) error {
	var at waiting
	if err := json.Unmarshal(hint.Data, &at); err != nil {
		return fmt.Errorf("what waits for an order: %w", err)
	}
	row, ok, err := a.Views.Table.Get(ctx, at.PK, at.SK)
	if err != nil {
		return err
	}
	var gone [][2]string
	if ok && !expired(row, a.Now()) {
		switch err := a.takeWaiting(ctx, row); {
		case fault.SlugOf(err) == order.Contradicts:
			return nil
		case err == nil || errors.Is(err, eventstore.ErrErased):
			gone = [][2]string{{row.PK, row.SK}}
		case fault.Retryable(err):
			return err
		default:
			slog.WarnContext(ctx, "a report waits no more", "error", err)
		}
	}
	_, err = a.Views.Table.Remove(ctx, hint, gone) // somebody else may have done so
	return err
}

func (a *App) takeWaiting(ctx context.Context, row view.Row) error {
	shown, kept, err := a.showQuarantined(ctx, row)
	if err != nil {
		return err
	}
	source, hook, err := a.sourceByID(ctx, shown.SourceID)
	if err != nil {
		return err
	}
	messages, err := kept.again(source, hook, shown.ReceivedAt)
	if err != nil {
		return fault.Because(err, fault.Rejected, "still-invalid", "%s", err)
	}
	for _, m := range messages {
		if err := a.takeOne(ctx, &Call{Actor: "source:" + source.ID}, source, m); err != nil {
			return err
		}
	}
	return nil
}
