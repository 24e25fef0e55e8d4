package app

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/identity"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/record"
	"defter/pkg/view"
)

// IdentityRequest is the body of POST /v1/customers/{id}/identities: one of the two.
type IdentityRequest struct {
	AnonymousID *string `json:"anonymousId,omitempty" minLength:"1" maxLength:"256" description:"of a visitor who is this customer"`
	UserID      *string `json:"userId,omitempty" minLength:"1" maxLength:"256" description:"another id of this customer"`
}

// IdentityShown is another id of a customer.
type IdentityShown struct {
	ID       string    `json:"id" description:"as the stream knows it"`
	Kind     string    `json:"kind" enum:"anonymous,user"`
	LinkedAt time.Time `json:"linkedAt" description:"the earliest time that anybody said so"`
	Owned    bool      `json:"owned" description:"its history is joined to this customer's; false if somebody else was linked with it earlier, or the link is not yet worked off"`
}

// IdentityList is all ids of a customer.
type IdentityList struct {
	Identities []IdentityShown `json:"identities" description:"on the first page the latest, up to 50 of each kind; then all others"`
	NextCursor string          `json:"nextCursor,omitempty" description:"give it as ?cursor= for the next page; absent at the end"`
}

// JoinIdentities tells the streams of a visitor or a former id whose they are, and whose not after all.
func (a *App) JoinIdentities(ctx context.Context, e eventstore.Event) error {
	id, ok := view.CustomerID(e.Stream)
	if !ok {
		return nil
	}
	head, err := a.Log.Load(ctx, e.Stream, record.Fold) // as it stands: events come late, and again
	if err != nil {
		return err
	}
	link, ok := view.LinkOf(e)
	if !ok {
		return nil
	}
	s := record.Fold.Of(head)
	if erased(s) { // whoever erases it claims what is left
		return nil
	}
	if link, err = a.linkNow(ctx, e.Stream, s.Customer, link); err != nil {
		return err
	}
	var command any = identity.Released{CustomerID: id}
	if link.Linked {
		command = identity.Claimed{CustomerID: id, Since: link.At, Public: link.Public}
	}
	for _, stream := range link.Streams() {
		if stream == e.Stream {
			continue
		}
		head, err := a.claimStream(ctx, stream, command, reaction("join-identities", e))
		if err != nil {
			return err
		}
		if err := a.eraseWithOwner(ctx, stream, record.Fold.Of(head), reaction("join-identities", e)); err != nil {
			return err
		}
	}
	return nil
}

// eraseLate tells visitors whose they are, by what messages in an erased customer's name say, and asks for the erasure of those who turn out
// to be that customer's. Links by the same rules would have had them erased: anybody's word takes nothing that somebody else has.
func (a *App) eraseLate(ctx context.Context, c *Call, source ingest.Source, stream string, links []customer.VisitorLinked) error {
	id, _ := view.CustomerID(stream)
	meta := eventstore.Meta{Actor: c.Actor, Source: source.Kind, CorrelationID: a.correlation(c)}
	for _, link := range links {
		visitor := view.VisitorStream(link.VisitorID)
		head, err := a.Log.Load(ctx, visitor, record.Fold)
		if err != nil {
			return err
		}
		known := record.Fold.Of(head)
		claim := identity.Claimed{CustomerID: id, Since: *link.LinkedAt, Public: link.Public}
		said, err := identity.Decide(known.Identity, claim)
		if err != nil {
			return err
		}
		if erased(known) || !known.Identity.MayBecome(id) {
			continue
		}
		if len(said) > 0 { // an erasure costs more than somebody new does
			if err := a.affordPeople(ctx, source, c.SourceIP, 1); err != nil {
				return err
			}
			if head, err = a.claimStream(ctx, visitor, claim, meta); err != nil {
				return err
			}
		}
		if err := a.eraseWithOwner(ctx, visitor, record.Fold.Of(head), meta); err != nil {
			return err
		}
	}
	return nil
}

// eraseWithOwner asks for the erasure of a stream that turned out to be a customer's who is erased, or is being so: their own erasure does not
// look, or has looked, when it was still somebody else's.
func (a *App) eraseWithOwner(ctx context.Context, stream string, s record.State, meta eventstore.Meta) error {
	owner := s.Identity.Owner()
	if owner == "" || erased(s) {
		return nil
	}
	head, err := a.Log.Load(ctx, view.CustomerStream(owner), record.Fold)
	if err != nil || !erased(record.Fold.Of(head)) {
		return err
	}
	_, _, err = a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true, Meta: meta,
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			if s := record.Fold.Of(h); erased(s) || s.Identity.Owner() != owner {
				return eventstore.Decision{}, nil
			}
			return eventstore.Decision{Events: eventstore.Happened(customer.DeletionRequested{Reason: "gdpr-request", DeletionType: "anonymize"})}, nil
		},
	})
	return err
}

// linkNow is what a customer says of another id by now. The record remembers some links, the views all.
func (a *App) linkNow(ctx context.Context, stream string, s customer.State, l view.Link) (view.Link, error) {
	links := s.Visitors
	if l.Kind == view.UserLink {
		links = s.Aliases
	}
	at := slices.IndexFunc(links, func(known customer.Link) bool { return known.ID == l.ID })
	switch {
	case at >= 0:
		return view.Link{Kind: l.Kind, ID: l.ID, Linked: true, At: time.UnixMilli(links[at].At).UTC(), Public: links[at].Public}, nil
	case len(links) < customer.MaxPublicVisitors: // the record has forgotten none
		return view.Link{Kind: l.Kind, ID: l.ID}, nil
	}
	return a.Views.LatestLink(ctx, stream, l.Kind, l.ID)
}

// claimStream tells a stream whose it is, or whose not after all, and returns its head after that.
func (a *App) claimStream(ctx context.Context, stream string, command any, meta eventstore.Meta) (*eventstore.Head, error) {
	head, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true, Meta: meta,
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h)
			_, released := command.(identity.Released)
			if erased(s) || h.Version == 0 && (released || meta.Actor == erasureActor) { // nothing is there to be erased, or was ever claimed
				return eventstore.Decision{}, nil
			}
			events, err := identity.Decide(s.Identity, command)
			if err != nil || len(events) == 0 {
				return eventstore.Decision{}, err
			}
			if released && s.Identity.Left {
				left, err := a.claimsLeftOut(ctx, stream, identity.Evolve(s.Identity, command, time.Time{}), command)
				if err != nil {
					return eventstore.Decision{}, err
				}
				events = append(events, left...)
			}
			return eventstore.Decision{Events: eventstore.Happened(events...)}, nil
		},
	})
	return head, err
}

// claimsLeftOut are claims on a stream that its state had no room for until one was released. They are looked for in its events: there is
// hardly a stream that more than twenty customers claim, and there it happens once for each who is wrongly linked.
func (a *App) claimsLeftOut(ctx context.Context, stream string, s identity.State, released any) ([]any, error) {
	var claims []any
	for e, err := range a.Log.Events(ctx, stream, 1, 0) {
		if err != nil {
			return nil, err
		}
		switch e.Data.(type) {
		case identity.Claimed, identity.Released:
			claims = append(claims, e.Data)
		}
	}
	var left []any
	for _, claim := range s.LeftOut(append(claims, released)) {
		left = append(left, claim)
	}
	return left, nil
}

// linkIdentity answers POST /v1/customers/{id}/identities.
func (a *App) linkIdentity(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in IdentityRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	raw := cmp.Or(in.AnonymousID, in.UserID)
	if in.AnonymousID != nil && in.UserID != nil || raw == nil || len(*raw) > ingest.MaxID || a.Settings.Placeholders.Blocks(foreign.ID(*raw)) {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-id", "give either anonymousId or userId, of at most %d bytes, and no placeholder such as null", ingest.MaxID)
	}
	other, _, err := a.resolve(ctx, *raw)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.identities(ctx, c, 201, func(id string, at time.Time) (customer.Command, error) {
		if in.AnonymousID != nil {
			return customer.LinkVisitor{VisitorID: other, At: at, Asked: true}, nil
		}
		if other == id {
			return nil, fault.New(fault.Rejected, "same-customer", "a customer cannot be merged with itself")
		}
		return customer.Alias{PreviousID: other, At: at, Asked: true}, nil
	})
}

// unlinkIdentity answers DELETE /v1/customers/{id}/identities/{kind}/{identity}: what was merged wrongly is apart again, and is not
// linked again by itself.
func (a *App) unlinkIdentity(ctx context.Context, c *Call) (lambdaio.Response, error) {
	raw, kind, reason := foreign.ID(c.Params["identity"]), c.Params["kind"], c.Query.Get("reason")
	if raw == "" || len(raw) > ingest.MaxID || kind != "anonymous" && kind != "user" {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-id", "the path ends in anonymous/<id> or user/<id>")
	}
	if foreign.Check([]byte(reason)) != nil {
		return lambdaio.Response{}, fault.New(fault.Invalid, "invalid-text", "reason must be text")
	}
	other, _, err := a.resolve(ctx, raw)
	if err != nil {
		return lambdaio.Response{}, err
	}
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	known, err := a.Views.LatestLink(ctx, stream, kind, other) // the record remembers some only
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.identities(ctx, c, 200, func(string, time.Time) (customer.Command, error) {
		if kind == "user" {
			return customer.Unalias{PreviousID: other, Reason: reason, Linked: known.Linked}, nil
		}
		return customer.UnlinkVisitor{VisitorID: other, Reason: reason, Linked: known.Linked}, nil
	})
}

func (a *App) identities(ctx context.Context, c *Call, status int, command func(id string, at time.Time) (customer.Command, error)) (lambdaio.Response, error) {
	id, err := a.customerID(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	s, _, err := a.command(ctx, c, view.CustomerStream(id), status, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		if err := existing(s); err != nil {
			return nil, nil, err
		}
		ask, err := command(id, at)
		if err != nil {
			return nil, nil, err
		}
		events, err := customer.Decide(s.Customer, ask)
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.identityAnswer(ctx, id, s, status)
}

// listIdentities answers GET /v1/customers/{id}/identities.
func (a *App) listIdentities(ctx context.Context, c *Call) (lambdaio.Response, error) {
	id, err := a.customerID(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.Log.Load(ctx, view.CustomerStream(id), record.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	s := record.Fold.Of(head)
	if err := existing(s); err != nil {
		return lambdaio.Response{}, err
	}
	cursor, limit, err := pageOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if cursor != "" {
		return a.moreIdentities(ctx, id, s, cursor, limit)
	}
	return a.identityAnswer(ctx, id, s, 200)
}

// allLinks is the cursor of the first page of all links, beside those that the record remembers.
const allLinks = "all"

// moreIdentities are a page of the links that the record does not remember, as far as the views know of them.
func (a *App) moreIdentities(ctx context.Context, id string, s record.State, cursor string, limit int) (lambdaio.Response, error) {
	if cursor == allLinks {
		cursor = ""
	}
	stream := view.CustomerStream(id)
	owners, err := a.Views.Owners(ctx, stream, view.Profile{Identity: s.Identity})
	if err != nil {
		return lambdaio.Response{}, err
	}
	links, next, err := a.Views.Links(ctx, stream, cursor, limit)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list := IdentityList{Identities: []IdentityShown{}, NextCursor: pageCursor(next)}
	remembered := append(linkedIDs(s.Customer.Visitors), linkedIDs(s.Customer.Aliases)...)
	for i, link := range links {
		again := i+1 < len(links) && links[i+1].Kind == link.Kind && links[i+1].ID == link.ID // the last word counts
		if again || !link.Linked || slices.Contains(remembered, link.ID) {
			continue
		}
		shown, err := a.identityShown(ctx, stream, owners.Head, link)
		if err != nil {
			return lambdaio.Response{}, err
		}
		list.Identities = append(list.Identities, shown)
	}
	return lambdaio.Response{Status: 200, Body: list}, nil
}

// identityShown is a link, and whether what it names is the customer's.
func (a *App) identityShown(ctx context.Context, stream, head string, link view.Link) (IdentityShown, error) {
	shown := IdentityShown{ID: link.ID, Kind: link.Kind, LinkedAt: link.At.UTC()}
	for _, other := range link.Streams() {
		p, _, err := view.Profiles.Load(ctx, a.Views, other)
		if err != nil {
			return shown, err
		}
		shown.Owned = shown.Owned || view.Belongs(stream, p.Identity)
	}
	shown.Owned = shown.Owned && (link.Kind != view.UserLink || link.ID != head) // of a circle it is nobody's
	return shown, nil
}

func (a *App) repeatIdentities(ctx context.Context, _ *Call, stream string, _ int64, status int) (lambdaio.Response, error) {
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	id, _ := view.CustomerID(stream)
	return a.identityAnswer(ctx, id, record.Fold.Of(head), status)
}

func (a *App) identityAnswer(ctx context.Context, id string, s record.State, status int) (lambdaio.Response, error) {
	owners, err := a.Views.Owners(ctx, view.CustomerStream(id), view.Profile{Identity: s.Identity})
	if err != nil {
		return lambdaio.Response{}, err
	}
	list := IdentityList{Identities: []IdentityShown{}}
	for _, kind := range []struct {
		name  string
		links []customer.Link
	}{{view.AnonymousLink, s.Customer.Visitors}, {view.UserLink, s.Customer.Aliases}} {
		for _, link := range kind.links {
			shown, err := a.identityShown(ctx, view.CustomerStream(id), owners.Head, view.Link{Kind: kind.name, ID: link.ID, At: time.UnixMilli(link.At)})
			if err != nil {
				return lambdaio.Response{}, err
			}
			list.Identities = append(list.Identities, shown)
		}
		if len(kind.links) >= customer.MaxPublicVisitors { // the record may have forgotten some
			list.NextCursor = pageCursor(allLinks)
		}
	}
	slices.SortFunc(list.Identities, func(x, y IdentityShown) int {
		return cmp.Or(x.LinkedAt.Compare(y.LinkedAt), strings.Compare(x.ID, y.ID))
	})
	return lambdaio.Response{Status: status, Body: list}, nil
}
