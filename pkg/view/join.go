package view

import (
	"context"
	"maps"
	"slices"

	"defter/pkg/customer"
	"defter/pkg/identity"
	"defter/pkg/insight"
	"defter/pkg/money"
	"defter/pkg/record"
)

// owned is a stream that is somebody's, and its profile.
type owned struct {
	stream string
	Profile
}

// owned returns the profiles of the streams that turned out to be the customer's, as the projections have them.
func (v *Views) owned(ctx context.Context, stream string, p Profile) ([]owned, error) {
	owners, err := v.Owners(ctx, stream, p)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{stream: true}
	if owners.Head != "" { // nobody's, though somebody claims it
		seen[CustomerStream(owners.Head)] = true
	}
	return v.below(ctx, stream, p, seen)
}

// Owners follows up who owns a stream, whose profile is known.
func (v *Views) Owners(ctx context.Context, stream string, p Profile) (identity.Owners, error) {
	id, _ := CustomerID(stream)
	return identity.Follow(id, p.Identity, func(id string) (identity.State, error) {
		other, _, err := Profiles.Load(ctx, v, CustomerStream(id))
		return other.Identity, err
	})
}

// below are the profiles of what a stream owns, but for streams that were seen before.
func (v *Views) below(ctx context.Context, stream string, p Profile, seen map[string]bool) ([]owned, error) {
	person, err := Person(stream, p, seen, Streams[Profile]{
		Load:   func(streams []string) (map[string]Profile, error) { return v.profiles(ctx, streams) },
		Claims: func(p Profile) identity.State { return p.Identity },
		Linked: func(p Profile) []string { return Linked(p.Facts) },
	})
	if err != nil {
		return nil, err
	}
	var all []owned
	for _, o := range person {
		all = append(all, owned{o.Stream, o.Of})
	}
	return all, nil
}

// profiles reads the profiles that exist of several streams, in one request.
func (v *Views) profiles(ctx context.Context, streams []string) (map[string]Profile, error) {
	keys := make([][2]string, len(streams))
	for i, s := range streams {
		keys[i] = [2]string{s, Profiles.Name}
	}
	rows, err := v.Table.GetMany(ctx, keys)
	if err != nil {
		return nil, err
	}
	known := make(map[string]Profile, len(rows))
	for key, row := range rows {
		if known[key[0]], err = Profiles.decode(ctx, v, row); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// Linked are the streams that a customer was linked with: visitors, and former ids, which may be either. Those of whom anybody could have said
// so are the last, since only so many are joined.
func Linked(f Facts) []string {
	var streams, claimed []string
	for _, id := range f.Aliases {
		streams = append(streams, VisitorStream(id), CustomerStream(id))
	}
	for _, id := range f.Visitors {
		if slices.Contains(f.Claimed, id) {
			claimed = append(claimed, VisitorStream(id))
			continue
		}
		streams = append(streams, VisitorStream(id))
	}
	return append(streams, claimed...)
}

// fields are the traits that have fields of their own: who somebody is called is only what they said as themselves.
var fields = []string{"email", "firstName", "first_name", "lastName", "last_name", "name", "phone", "birthday", "dateOfBirth", "address"}

// join adds to a profile what is known of the same person elsewhere, with the same result in whatever order. What
// the customer is called, consents and preferences stay the profile's own.
func join(p Profile, others []owned) Profile {
	for _, o := range others {
		p.Orders = money.Add(p.Orders, o.Orders)
		for _, m := range o.LifetimeValue {
			p.LifetimeValue = added(p.LifetimeValue, m.Currency, m.AmountMinor)
		}
		for _, a := range o.AverageOrder {
			p.AverageOrder = paid(p.AverageOrder, a.Currency, a.Payments)
		}
		if o.FirstOrderAt != nil {
			p.FirstOrderAt, p.LastOrderAt = earlier(p.FirstOrderAt, *o.FirstOrderAt), later(p.LastOrderAt, *o.LastOrderAt)
		}
		if o.FirstSeenAt != nil {
			p.FirstSeenAt, p.LastSeenAt = earlier(p.FirstSeenAt, *o.FirstSeenAt), later(p.LastSeenAt, *o.LastSeenAt)
		}
		for on, at := range o.LastSeen {
			p = seenOn(p, on, at)
		}
		if o.CreatedAt != nil {
			p.CreatedAt = earlier(p.CreatedAt, *o.CreatedAt)
		}
		p.UpdatedAt = *later(&p.UpdatedAt, o.UpdatedAt)
		for _, id := range o.Segments {
			if at, in := slices.BinarySearch(p.Segments, id); !in {
				p.Segments = slices.Insert(slices.Clone(p.Segments), at, id)
			}
		}
		for _, id := range o.Groups {
			p.Groups = appended(p.Groups, id, customer.MaxGroups)
		}
		p.Personal.State = insight.Joined(p.Personal.State, o.Personal.State)
		p.Personal.Claims = p.Personal.Claims.Joined(o.Personal.Claims)
	}
	p.AverageOrder = averages(p.LifetimeValue, p.AverageOrder)
	return p
}

// attributes are those of one person's streams, the customer's own the first. What was said last counts, and when that was, of customers
// their records know: a profile row would be written larger at every turn.
func (v *Views) attributes(ctx context.Context, person []owned) (map[string]any, error) {
	own := person[0].Personal.Attributes
	var visitors []customer.Said
	var customers []string
	more := false
	for _, o := range person {
		if _, ok := CustomerID(o.stream); ok {
			customers = append(customers, o.stream)
			continue
		}
		said := customer.Said{Attributes: o.Personal.Attributes, Stamps: maps.Clone(o.Stamps)}
		maps.DeleteFunc(said.Stamps, func(name string, _ int64) bool { return slices.Contains(fields, name) })
		for name := range said.Stamps {
			_, known := own[name]
			more = more || !known && said.Attributes[name] != nil
		}
		visitors = append(visitors, said)
	}
	if len(customers) == 1 && !more {
		return own, nil
	}
	var said []customer.Said
	for _, stream := range customers {
		head, err := v.Log.Load(ctx, stream, record.Fold)
		if err != nil {
			return nil, err
		}
		said = append(said, record.Fold.Of(head).Customer.Said())
	}
	return customer.JoinedAttributes(said, visitors), nil
}
