package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/identity"
	"defter/pkg/record"
	"defter/pkg/view"
)

const (
	erasureLinks = 100  // looked at before it is noted how far the erasure has come
	erasureTail  = 1000 // likewise, of events that are not projected
)

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
