package app

import (
	"context"
	"slices"

	"defter/pkg/customer"
	"defter/pkg/identity"
	"defter/pkg/record"
	"defter/pkg/view"
)

// person loads the records of everything that is one person's: the stream's owner's, and of what that owns. It returns the
// owner's stream and the records, the owner's first.
func (a *App) person(ctx context.Context, stream string) (string, []record.State, error) {
	load := func(stream string) (record.State, error) {
		head, err := a.Log.Load(ctx, stream, record.Fold)
		if err != nil {
			return record.State{}, err
		}
		return record.Fold.Of(head), nil
	}
	s, err := load(stream)
	if err != nil {
		return "", nil, err
	}
	id, _ := view.CustomerID(stream)
	above := map[string]record.State{id: s}
	owners, err := identity.Follow(id, s.Identity, func(id string) (identity.State, error) {
		s, err := load(view.CustomerStream(id))
		above[id] = s
		return s.Identity, err
	})
	if err != nil {
		return "", nil, err
	}
	if n := len(owners.List); n > 0 {
		stream, s = view.CustomerStream(owners.List[n-1]), above[owners.List[n-1]]
	}
	return below(stream, s, load)
}

// customerOf is the stream of the customer whose a stream is, "" for a visitor's that is nobody's.
func (a *App) customerOf(ctx context.Context, stream string) (string, error) {
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return "", err
	}
	id, isCustomer := view.CustomerID(stream)
	owners, err := identity.Follow(id, record.Fold.Of(head).Identity, a.claimsOn(ctx))
	switch n := len(owners.List); {
	case err != nil:
		return "", err
	case n > 0:
		return view.CustomerStream(owners.List[n-1]), nil
	case isCustomer:
		return stream, nil
	}
	return "", nil
}

// below is a stream with its record, and the records of what it owns. It begins with the head of a circle, if there is one: what owns that
// one in turn was seen before.
func below(stream string, s record.State, load func(string) (record.State, error)) (string, []record.State, error) {
	person, err := view.Person(stream, s, map[string]bool{stream: true}, view.Streams[record.State]{
		Load: func(streams []string) (map[string]record.State, error) {
			known := make(map[string]record.State, len(streams))
			for _, linked := range streams {
				var err error
				if known[linked], err = load(linked); err != nil {
					return nil, err
				}
			}
			return known, nil
		},
		Claims: func(s record.State) identity.State { return s.Identity },
		Linked: linkedStreams,
	})
	if err != nil {
		return "", nil, err
	}
	all := []record.State{s}
	for _, o := range person {
		all = append(all, o.Of)
	}
	return stream, all, nil
}

// linkedStreams are the streams that a customer's record remembers to be linked with.
func linkedStreams(s record.State) []string {
	return view.Linked(linkedFacts(s.Customer))
}

// linkedFacts are the links that a customer's record remembers, as a profile has them.
func linkedFacts(s customer.State) view.Facts {
	claimed := slices.DeleteFunc(slices.Clone(s.Visitors), func(l customer.Link) bool { return !l.Public })
	return view.Facts{Visitors: linkedIDs(s.Visitors), Claimed: linkedIDs(claimed), Aliases: linkedIDs(s.Aliases)}
}

func linkedIDs(links []customer.Link) []string {
	var list []string
	for _, l := range links {
		list = append(list, l.ID)
	}
	return list
}

// claimsOn returns the claims on a customer, by the record.
func (a *App) claimsOn(ctx context.Context) func(id string) (identity.State, error) {
	return func(id string) (identity.State, error) {
		head, err := a.Log.Load(ctx, view.CustomerStream(id), record.Fold)
		if err != nil {
			return identity.State{}, err
		}
		return record.Fold.Of(head).Identity, nil
	}
}
