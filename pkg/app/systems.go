package app

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/ingest"
	"defter/pkg/record"
	"defter/pkg/view"
)

const erasureRows = 500 // of a view, removed before it is noted how far the erasure has come

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
	head, _, err := a.Log.Handle(ctx, eventstore.Command{
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
	if err := a.dropSnapshots(ctx, stream); err != nil {
		return 0, "", err
	}
	return 1, "", a.Log.MarkEnded(ctx, head, record.Fold)
}

// closed says whether a stream's last commit ends it.
func (a *App) closed(ctx context.Context, stream string) (bool, error) {
	for c, err := range a.Log.Store.ReadBack(ctx, stream, 0) {
		return err == nil && slices.ContainsFunc(c.Events, func(r eventstore.Record) bool { return a.Log.Catalog.Ends(r.Type) }), err
	}
	return false, nil
}
