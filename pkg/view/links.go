package view

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/identity"
)

const linkPrefix = "LINK#"

// The kinds of what a customer is linked with.
const (
	AnonymousLink = "anonymous"
	UserLink      = "user"
)

// Link is what a customer's stream says of another id: that it is theirs, or not after all.
type Link struct {
	Kind   string    `json:"-"` // AnonymousLink or UserLink
	ID     string    `json:"-"`
	Linked bool      `json:"linked,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Public bool      `json:"public,omitempty"`
}

// Streams are the streams that the other id may have.
func (l Link) Streams() []string {
	if l.Kind == AnonymousLink {
		return Linked(Facts{Visitors: []string{l.ID}})
	}
	return Linked(Facts{Aliases: []string{l.ID}})
}

// LinkOf is what an event says of another id; ok is false for an event that says nothing of any.
func LinkOf(e eventstore.Event) (l Link, ok bool) {
	at := func(said *time.Time) time.Time {
		if said != nil {
			return *said
		}
		return e.OccurredAt
	}
	switch d := e.Data.(type) {
	case customer.VisitorLinked:
		return Link{AnonymousLink, d.VisitorID, true, at(d.LinkedAt), d.Public}, true
	case customer.VisitorUnlinked:
		return Link{Kind: AnonymousLink, ID: d.VisitorID}, true
	case customer.Aliased:
		return Link{UserLink, d.PreviousID, true, at(d.LinkedAt), false}, true
	case customer.Unaliased:
		return Link{Kind: UserLink, ID: d.PreviousID}, true
	}
	return Link{}, false
}

// linkRows adds the rows of what events say of other ids, one for each: however many there are, every one is found without reading the
// stream. They are the same whoever writes them, as the lines of the timeline are.
func linkRows(rows []Row, events []eventstore.Event) ([]Row, error) {
	for _, e := range events {
		l, ok := LinkOf(e)
		if !ok {
			continue
		}
		data, err := json.Marshal(l)
		if err != nil {
			return nil, fmt.Errorf("encode link: %w", err)
		}
		rows = append(rows, Row{PK: e.Stream, SK: fmt.Sprintf("%s%012d", linkKey(l.Kind, l.ID), e.Version), Version: e.Version, Data: data})
	}
	return rows, nil
}

func linkKey(kind, id string) string { return linkPrefix + kind + "#" + id + "#" }

func linkOfRow(row Row) (Link, error) {
	var l Link
	kind, rest, _ := strings.Cut(strings.TrimPrefix(row.SK, linkPrefix), "#")
	at := strings.LastIndexByte(rest, '#')
	if err := json.Unmarshal(row.Data, &l); err != nil || at < 0 {
		return l, fmt.Errorf("decode link %s: %w", kind, eventstore.ErrCorrupt)
	}
	l.Kind, l.ID = kind, rest[:at]
	return l, nil
}

// Links returns up to limit rows of what a stream's projected part says of other ids, by kind and id, the latest word on one last; and where the
// next page begins, "" at the end. What is not projected yet is not among them.
func (v *Views) Links(ctx context.Context, stream, cursor string, limit int) (list []Link, next string, err error) {
	rows, next, err := v.Table.List(ctx, stream, linkPrefix, cursor, limit, false)
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		l, err := linkOfRow(row)
		if err != nil {
			return nil, "", err
		}
		list = append(list, l)
	}
	return list, next, nil
}

// LatestLink is the last word of a stream on another id, from its row or, where that is not projected yet, from the stream. Linked is false
// where there is none.
func (v *Views) LatestLink(ctx context.Context, stream, kind, id string) (Link, error) {
	latest := Link{Kind: kind, ID: id}
	projected, err := v.Projected(ctx, stream) // before the rows, which are written first
	if err != nil {
		return latest, err
	}
	if latest, err = v.ProjectedLink(ctx, stream, kind, id); err != nil {
		return latest, err
	}
	for e, err := range v.Log.Events(ctx, stream, projected+1, 0) {
		if err != nil {
			return latest, err
		}
		if l, ok := LinkOf(e); ok && l.Kind == kind && l.ID == id {
			latest = l
		}
	}
	return latest, nil
}

// ProjectedLink is the last word of a stream's projected part on another id.
func (v *Views) ProjectedLink(ctx context.Context, stream, kind, id string) (Link, error) {
	rows, _, err := v.Table.List(ctx, stream, linkKey(kind, id), "", 1, true)
	if err != nil || len(rows) == 0 {
		return Link{Kind: kind, ID: id}, err
	}
	return linkOfRow(rows[0])
}

// ProjectLinks writes the rows of links of up to limit events from a version on, as the projection will, and returns the version at which
// it goes on, 0 at the end of the stream.
func (v *Views) ProjectLinks(ctx context.Context, stream string, from int64, limit int) (next int64, err error) {
	var rows []Row
	looked := 0
	for e, err := range v.Log.Events(ctx, stream, from, 0) {
		if err != nil {
			return 0, err
		}
		if rows, err = linkRows(rows, []eventstore.Event{e}); err != nil {
			return 0, err
		}
		if looked++; looked == limit {
			next = e.Version + 1
			break
		}
	}
	return next, v.Table.PutMany(ctx, rows)
}

// Projected is up to which version a stream's profile, its timeline and its links are projected.
func (v *Views) Projected(ctx context.Context, stream string) (int64, error) {
	row, _, err := v.Table.Get(ctx, stream, Profiles.Name)
	return row.Version, err
}

// Belongs says whether a stream with these claims is the customer's whose stream owner is: their claim on it is the one that counts. It is
// the one rule of whose a stream is; the profile, the timeline, the list of identities and an erasure all ask it. The head of a circle
// of customers who claim each other is nobody's, although it has an owner by this rule: Follow tells who that is.
func Belongs(owner string, claims identity.State) bool {
	id, ok := CustomerID(owner)
	return ok && claims.Owner() == id
}

// Streams reads what is known of streams, from profiles or from records.
type Streams[T any] struct {
	Load   func(streams []string) (map[string]T, error) // those that exist
	Claims func(T) identity.State
	Linked func(T) []string // the streams that a customer was linked with
}

// Owned is a stream that is somebody's, and what is known of it.
type Owned[T any] struct {
	Stream string
	Of     T
}

// Person returns the streams that turned out to be the customer's, visitors, former ids, and theirs in turn, as far as they are shown
// joined. A stream that was seen before is left out.
func Person[T any](stream string, s T, seen map[string]bool, of Streams[T]) ([]Owned[T], error) {
	var all []Owned[T]
	owners := []Owned[T]{{stream, s}}
	for depth := 0; depth < identity.MaxDepth && len(owners) > 0; depth++ {
		var streams []string
		by := map[string]string{} // who would own each
		for _, owner := range owners {
			for _, linked := range of.Linked(owner.Of) {
				if !seen[linked] && len(seen) <= identity.MaxOwned {
					seen[linked], by[linked] = true, owner.Stream
					streams = append(streams, linked)
				}
			}
		}
		if owners = nil; len(streams) == 0 {
			break
		}
		known, err := of.Load(streams)
		if err != nil {
			return nil, err
		}
		for _, linked := range streams {
			other, ok := known[linked]
			if !ok || !Belongs(by[linked], of.Claims(other)) {
				continue
			}
			all = append(all, Owned[T]{linked, other})
			if _, isCustomer := CustomerID(linked); isCustomer {
				owners = append(owners, Owned[T]{linked, other})
			}
		}
	}
	return all, nil
}
