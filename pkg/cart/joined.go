package cart

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

func toldLast(a, b Cart) int {
	switch {
	case a.Told == b.Told:
		return 0
	case a.Told:
		return 1
	}
	return -1
}

// Joined are the carts of several streams that are one person's: what was put into a cart before and after somebody was
// known. It is the same in whatever order they are joined.
func Joined(states ...State) State {
	carts := map[string]Cart{}
	var ordered *time.Time
	for _, s := range states {
		if s.Ordered != nil && (ordered == nil || s.Ordered.After(*ordered)) {
			ordered = s.Ordered
		}
		for id, c := range s.Carts {
			if other, both := carts[id]; both {
				c = joined(other, c)
			}
			carts[id] = c
		}
	}
	all := State{Carts: carts}
	if ordered != nil {
		all = all.ordered(*ordered)
	}
	return all
}

func joined(a, b Cart) Cart {
	if a.Active.After(b.Active) || a.Active.Equal(b.Active) && a.Episode > b.Episode {
		a, b = b, a
	}
	c := b // what is decided by the latest activity
	if a.Ended != nil && (c.Ended == nil || a.Ended.After(*c.Ended)) {
		c.Ended = a.Ended
	}
	if a.Abandoned != nil && (c.Abandoned == nil || a.Abandoned.After(*c.Abandoned)) {
		c.Abandoned = a.Abandoned
	}
	c.Episode = max(a.Episode, b.Episode)
	if c.Abandoned != nil && c.Active.After(*c.Abandoned) { // taken up again, in another stream
		c.Abandoned, c.Episode = nil, c.Episode+1
	}
	if a.Began.Before(c.Began) && a.Abandoned == nil {
		c.Began = a.Began
	}
	c.Touched = later(a.Touched, b.Touched)
	c.Currency = cmp.Or(c.Currency, a.Currency)
	if c.Checkout == nil && c.Abandoned == nil {
		c.Checkout = a.Checkout
	}
	c.Lines = maps.Clone(b.Lines)
	for product, line := range a.Lines {
		if c.Lines == nil {
			c.Lines = map[string]Line{}
		}
		other := c.Lines[product]
		c.Lines[product] = Line{
			cmp.Or(other.Name, line.Name), cmp.Or(other.PriceMinor, line.PriceMinor), cmp.Or(other.Currency, line.Currency), sorted(slices.Concat(other.Moves, line.Moves)),
		}
	}
	return c.pruned()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
