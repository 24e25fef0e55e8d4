package view

import (
	"context"
	"iter"
	"slices"
	"strings"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
)

// MaxReread is how many events are read again to tell how something was after a command.
const MaxReread = 1000

// ShowCustomer returns the customer as of now: the profile row and what the store has beyond it, so that whoever wrote
// sees what they wrote. ok is false for an id that is not known.
func (v *Views) ShowCustomer(ctx context.Context, id string) (c Customer, ok bool, err error) {
	stream := CustomerStream(id)
	p, version, err := Profiles.Load(ctx, v, stream)
	if err != nil {
		return c, false, err
	}
	return v.show(ctx, stream, p, version, 0, nil)
}

// ShowCustomerAt returns the customer as folded from the events that until accepts, from the first on: what joined from
// other streams, and carts, are of now, and left out.
func (v *Views) ShowCustomerAt(ctx context.Context, id string, until func(eventstore.Event) bool) (c Customer, ok bool, err error) {
	return v.show(ctx, CustomerStream(id), Profile{}, 0, 0, until)
}

// events are those of versions from … to (0: to the end), none where from is beyond.
func (v *Views) events(ctx context.Context, stream string, from, to int64) iter.Seq2[eventstore.Event, error] {
	if to > 0 && from > to {
		return func(func(eventstore.Event, error) bool) {}
	}
	return v.Log.Events(ctx, stream, from, to)
}

// ShowNewCustomer is ShowCustomerUpTo of one who was made a moment ago, of whom nothing can be projected.
func (v *Views) ShowNewCustomer(ctx context.Context, id string, version int64) (c Customer, ok bool, err error) {
	return v.show(ctx, CustomerStream(id), Profile{}, 0, version, func(eventstore.Event) bool { return true })
}

// ShowCustomerUpTo is the customer as of a version, as ShowCustomerAt shows them. It begins with what is projected, unless that is
// beyond the version already: a command's answer must not cost the whole history. Where it is, and the history long, the answer is as of
// what is projected.
func (v *Views) ShowCustomerUpTo(ctx context.Context, id string, version int64) (c Customer, ok bool, err error) {
	stream := CustomerStream(id)
	p, projected, err := Profiles.Load(ctx, v, stream)
	if err != nil {
		return c, false, err
	}
	switch {
	case projected > version && version > MaxReread:
		version = projected
	case projected > version:
		p, projected = Profile{}, 0
	}
	return v.show(ctx, stream, p, projected, version, func(eventstore.Event) bool { return true })
}

// show folds into a profile what came after its version, up to another (0: to the end) or until the first event that is not accepted.
func (v *Views) show(ctx context.Context, stream string, p Profile, version, to int64, until func(eventstore.Event) bool) (Customer, bool, error) {
	for e, err := range v.events(ctx, stream, version+1, to) {
		if err != nil {
			return Customer{}, false, err
		}
		if e.Erased { // nothing is shown of a customer who was erased, not even as of before
			id, _ := CustomerID(stream)
			return Customer{Version: e.Version, Facts: Facts{CustomerID: id, Status: customer.StatusErased}}, true, nil
		}
		if until != nil && !until(e) {
			break
		}
		p, version = evolveProfile(p, e), e.Version
	}
	if p.MergedInto != "" {
		owners, err := v.Owners(ctx, stream, p)
		if err != nil {
			return Customer{}, false, err
		}
		p.MergedInto = owners.Owner()
	}
	var carts []CartShown
	if until == nil && version > 0 && strings.HasPrefix(stream, customerPrefix) {
		others, err := v.owned(ctx, stream, p)
		if err != nil {
			return Customer{}, false, err
		}
		person := append([]owned{{stream, p}}, others...)
		if carts, err = v.carts(ctx, person); err != nil {
			return Customer{}, false, err
		}
		attributes, err := v.attributes(ctx, person)
		if err != nil {
			return Customer{}, false, err
		}
		p = join(p, others)
		p.Personal.Attributes = attributes
	}
	p.Claimed = slices.Sorted(slices.Values(p.Claimed))
	p.Visitors, p.Aliases, p.Groups = slices.Sorted(slices.Values(p.Visitors)), slices.Sorted(slices.Values(p.Aliases)), slices.Sorted(slices.Values(p.Groups))
	return Customer{Version: version, Facts: p.Facts, Personal: p.Personal, Carts: carts}, version > 0, nil
}
