package cart

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/activity"
	"defter/pkg/foreign"
	"defter/pkg/money"
	"defter/pkg/order"
)

// Line is what is in a cart of one product: what was put in and taken out, each with its time, so that it does not matter in
// which order that is told, nor whether before or after the order that ends it.
type Line struct {
	Name       string `json:"name,omitempty"`
	PriceMinor int64  `json:"priceMinor,omitempty"`
	Currency   string `json:"currency,omitempty"`
	Moves      []Move `json:"moves"` // by their times
}

// Move is when, in Unix milliseconds, how many pieces were put in, or taken out where it is negative.
type Move [2]int64

func (m Move) at() int64 { return m[0] }

func (m Move) quantity() int64 { return m[1] }

// Quantity is how many pieces there are.
func (l Line) Quantity() (n int64) {
	for _, m := range l.Moves {
		n += m.quantity()
	}
	return min(max(n, 0), maxMany)
}

// Checkout is one that is begun.
type Checkout struct {
	ID         string    `json:"id,omitempty"`
	Began      time.Time `json:"began"`
	Step       string    `json:"step,omitempty"` // completed last
	StepNumber int64     `json:"stepNumber,omitempty"`
	ValueMinor int64     `json:"valueMinor,omitempty"`
	Currency   string    `json:"currency,omitempty"`
}

// Cart is a cart as it stands.
type Cart struct {
	Lines     map[string]Line `json:"lines,omitempty"` // by product
	Currency  string          `json:"currency,omitempty"`
	Checkout  *Checkout       `json:"checkout,omitempty"`
	Episode   int             `json:"episode"`
	Began     time.Time       `json:"began"`               // the episode
	Active    time.Time       `json:"active"`              // last
	Touched   time.Time       `json:"touched"`             // when that was recorded
	Abandoned *time.Time      `json:"abandoned,omitempty"` // the episode, when
	Ended     *time.Time      `json:"ended,omitempty"`     // by an order, when
	Told      bool            `json:"told,omitempty"`      // a server began it: what pages say drives it out last
}

// State is the carts by their ids.
type State struct {
	Carts   map[string]Cart `json:"carts,omitempty"`
	Ordered *time.Time      `json:"ordered,omitempty"` // the last order that named no cart: it ended all there were
}

// Items are what is in the cart, by product, and what it is worth in the cart's currency.
func (c Cart) Items() (items []Item, valueMinor int64) {
	for _, id := range slices.Sorted(maps.Keys(c.Lines)) {
		line := c.Lines[id]
		quantity := line.Quantity()
		if quantity == 0 {
			continue
		}
		items = append(items, Item{id, line.Name, quantity, line.PriceMinor})
		if cost, ok := money.Of(line.PriceMinor, quantity); !ok {
			valueMinor = money.Max
		} else if line.Currency == c.Currency {
			valueMinor = bounded(valueMinor + cost)
		}
	}
	return items, valueMinor
}

// bounded is an amount within the bounds of one.
func bounded(amount int64) int64 { return min(max(amount, 0), money.Max) }

// Open says whether the cart could still be abandoned: there is something in it, or a checkout.
func (c Cart) Open() bool {
	if c.Abandoned != nil {
		return false
	}
	items, _ := c.Items()
	return len(items) > 0 || c.Checkout != nil
}

// Evolve folds one event that happened at a time and was recorded at another; events of other packages only let time pass.
func Evolve(s State, event any, at, recorded time.Time) State {
	if placed, ok := event.(order.Placed); ok && placed.CartID == "" {
		return s.ordered(foreign.Reach(at))
	}
	id, change := s.changed(event, at)
	old := false
	for _, c := range s.Carts {
		old = old || at.Sub(c.Active) > forgotten
	}
	if change == nil && !old {
		return s
	}
	carts := maps.Clone(s.Carts)
	if carts == nil {
		carts = map[string]Cart{}
	}
	maps.DeleteFunc(carts, func(_ string, c Cart) bool { return at.Sub(c.Active) > forgotten })
	if change != nil {
		c, known := carts[id]
		if !known {
			c = Cart{Began: at, Active: at, Ended: s.Ordered}
		}
		c = change(c).pruned()
		c.Touched = later(c.Touched, recorded)
		carts[id] = c
	}
	for len(carts) > MaxCarts {
		delete(carts, slices.MinFunc(slices.Collect(maps.Keys(carts)), func(a, b string) int {
			return cmp.Or(toldLast(carts[a], carts[b]), carts[a].Active.Compare(carts[b].Active), cmp.Compare(a, b))
		}))
	}
	if len(carts) == 0 {
		carts = nil
	}
	return State{carts, s.Ordered}
}

// ordered is the state after an order that does not say from which cart.
func (s State) ordered(at time.Time) State {
	if s.Ordered != nil && s.Ordered.After(at) {
		at = *s.Ordered
	}
	carts := maps.Clone(s.Carts)
	for id, c := range carts {
		carts[id] = c.over(at)
	}
	return State{carts, &at}
}

// over is the cart after an order.
func (c Cart) over(at time.Time) Cart {
	if c.Ended == nil || at.After(*c.Ended) {
		c.Ended = &at
	}
	c.Active = later(c.Active, at)
	return c.pruned()
}

// pruned is the cart without what happened before an order ended it.
func (c Cart) pruned() Cart {
	if c.Ended == nil {
		return c
	}
	ended := c.Ended.UnixMilli()
	if len(c.Lines) > 0 {
		lines := map[string]Line{}
		for id, line := range c.Lines {
			line.Moves = slices.DeleteFunc(slices.Clone(line.Moves), func(m Move) bool { return m.at() <= ended })
			if len(line.Moves) > 0 {
				lines[id] = line
			}
		}
		c.Lines = lines
	}
	if len(c.Lines) == 0 {
		c.Lines = nil
	}
	if c.Checkout != nil && !c.Checkout.Began.After(*c.Ended) {
		c.Checkout = nil
	}
	if c.Abandoned != nil && !c.Abandoned.After(*c.Ended) {
		c.Abandoned = nil
	}
	return c
}

// changed says which cart an event is about and what becomes of it, nil for no cart.
func (s State) changed(event any, at time.Time) (string, func(Cart) Cart) {
	switch e := event.(type) {
	case Created:
		if e.Source == "api" {
			return e.CartID, func(c Cart) Cart {
				c.Told = true
				return c
			}
		}
	case activity.ItemAddedToCart:
		return e.CartID, func(c Cart) Cart {
			return c.moved(at).with(at, e.ProductID, e.Quantity, Line{Name: foreign.Clip(e.ProductName, maxName), PriceMinor: e.PriceMinor, Currency: e.Currency})
		}
	case activity.ItemRemovedFromCart:
		return e.CartID, func(c Cart) Cart { return c.moved(at).with(at, e.ProductID, -e.Quantity, Line{}) }
	case activity.CartViewed:
		if _, known := s.Carts[e.CartID]; known {
			return e.CartID, func(c Cart) Cart { return c.moved(at) }
		}
	case activity.CheckoutStarted:
		return cmp.Or(e.CartID, s.latest(), e.OrderID, "checkout"), func(c Cart) Cart {
			c = c.moved(at)
			c.Checkout = &Checkout{ID: e.OrderID, Began: at, ValueMinor: bounded(e.CartValueMinor), Currency: e.Currency}
			return c
		}
	case activity.CheckoutStepCompleted:
		if id := s.checkout(e.CheckoutID); id != "" {
			return id, func(c Cart) Cart {
				c = c.moved(at)
				if c.Checkout != nil && e.StepNumber > c.Checkout.StepNumber {
					checkout := *c.Checkout
					checkout.Step, checkout.StepNumber = cmp.Or(e.Step, checkout.Step), e.StepNumber
					c.Checkout = &checkout
				}
				return c
			}
		}
	case order.Placed:
		return e.CartID, func(c Cart) Cart { return c.over(foreign.Reach(at)) }
	case Abandoned:
		return e.CartID, func(c Cart) Cart { return c.left(e.Episode, e.AbandonedAt) }
	case CheckoutAbandoned:
		return e.CartID, func(c Cart) Cart { return c.left(e.Episode, e.AbandonedAt) }
	}
	return "", nil
}

// left is the cart after an episode was abandoned.
func (c Cart) left(episode int, at time.Time) Cart {
	c.Episode, c.Abandoned, c.Checkout = max(c.Episode, episode), &at, nil
	if c.Active.After(at) { // it was joined of several streams' carts, and this one is not active since
		c.Active = at
	}
	return c
}

// moved is the cart after some activity. Activity after it was abandoned, or ended by an order, begins another episode; what
// happened before, and is only told afterwards, does not.
func (c Cart) moved(at time.Time) Cart {
	again := c.Abandoned != nil && at.After(*c.Abandoned)
	again = again || c.Ended != nil && at.After(*c.Ended) && len(c.Lines) == 0 && c.Checkout == nil && c.Episode > 0
	switch {
	case again:
		c.Episode, c.Began, c.Active, c.Abandoned, c.Checkout = c.Episode+1, at, later(c.Active, at), nil, nil
	case c.Ended != nil && !at.After(*c.Ended):
		c.Active = later(c.Active, at)
	default:
		if c.Episode == 0 {
			c.Episode, c.Began = 1, at
		} else if at.Before(c.Began) && c.Episode == 1 {
			c.Began = at
		}
		c.Active = later(c.Active, at)
	}
	return c
}

// with is the cart with so many more of a product.
func (c Cart) with(at time.Time, product string, quantity int64, said Line) Cart {
	line, known := c.Lines[product]
	if !known && len(c.Lines) >= MaxItems {
		return c
	}
	move := Move{at.UnixMilli(), min(max(quantity, -maxMany), maxMany)}
	last := len(line.Moves) == 0 || move.at() >= line.Moves[len(line.Moves)-1].at()
	line.Moves = sorted(append(slices.Clone(line.Moves), move))
	said.PriceMinor = bounded(said.PriceMinor)
	if last { // what is said last of a product counts
		said = Line{Name: cmp.Or(said.Name, line.Name), PriceMinor: cmp.Or(said.PriceMinor, line.PriceMinor), Currency: cmp.Or(said.Currency, line.Currency)}
	} else {
		said = Line{Name: cmp.Or(line.Name, said.Name), PriceMinor: cmp.Or(line.PriceMinor, said.PriceMinor), Currency: cmp.Or(line.Currency, said.Currency)}
	}
	line.Name, line.PriceMinor, line.Currency = said.Name, said.PriceMinor, said.Currency
	c.Currency = cmp.Or(line.Currency, c.Currency)
	c.Lines = maps.Clone(c.Lines)
	if c.Lines == nil {
		c.Lines = map[string]Line{}
	}
	c.Lines[product] = line
	return c
}

// sorted are moves by their times, the first ones taken together so that there are at most maxMoves.
func sorted(moves []Move) []Move {
	slices.SortFunc(moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(a.at(), b.at()), cmp.Compare(a.quantity(), b.quantity()))
	})
	for len(moves) > maxMoves {
		moves[1][1] = min(max(moves[0].quantity()+moves[1].quantity(), -maxMany), maxMany)
		moves = moves[1:]
	}
	return moves
}

// latest is the open cart that was active last, "" for none.
func (s State) latest() (id string) {
	for name, c := range s.Carts {
		if c.Open() && (id == "" || cmp.Or(c.Active.Compare(s.Carts[id].Active), cmp.Compare(id, name)) > 0) {
			id = name
		}
	}
	return id
}

// checkout is the cart of a checkout, "" for none.
func (s State) checkout(checkoutID string) (id string) {
	for name, c := range s.Carts {
		if c.Checkout != nil && checkoutID != "" && c.Checkout.ID == checkoutID {
			return name
		}
	}
	for name, c := range s.Carts {
		if c.Checkout != nil && (id == "" || cmp.Or(c.Active.Compare(s.Carts[id].Active), cmp.Compare(id, name)) > 0) {
			id = name
		}
	}
	return id
}
