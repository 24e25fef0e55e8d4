package cart

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/activity"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/order"
)

// DefaultIdle is how long nothing must happen with a cart before it counts as abandoned.
const DefaultIdle = time.Hour

// Limits of the state.
const (
	MaxCarts  = 10                  // remembered, those active last
	MaxItems  = 100                 // different products of a cart
	maxName   = 100                 // bytes of a product's name
	maxMany   = 1_000_000           // of a product, and
	maxPrice  = 10_000_000_000      // in minor units, so that no sum overflows
	forgotten = 30 * 24 * time.Hour // after its last activity a cart is
)

// Line is what is in a cart of one product. Quantity is what was put in less what was taken out, in whatever order that is
// told, and below zero where the taking out is told first.
type Line struct {
	Name       string `json:"name,omitempty"`
	Quantity   int64  `json:"quantity"`
	PriceMinor int64  `json:"priceMinor,omitempty"`
	Currency   string `json:"currency,omitempty"`
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
}

// State is the carts by their ids.
type State struct {
	Carts map[string]Cart `json:"carts,omitempty"`
}

// Items are what is in the cart, by product, and what it is worth in the cart's currency.
func (c Cart) Items() (items []Item, valueMinor int64) {
	for _, id := range slices.Sorted(maps.Keys(c.Lines)) {
		line := c.Lines[id]
		if line.Quantity <= 0 {
			continue
		}
		items = append(items, Item{id, line.Name, line.Quantity, line.PriceMinor})
		if line.Currency == c.Currency {
			valueMinor += line.Quantity * line.PriceMinor
		}
	}
	return items, valueMinor
}

// Open says whether the cart could still be abandoned: there is something in it or a checkout, and no order.
func (c Cart) Open() bool {
	if c.Abandoned != nil || c.Ended != nil {
		return false
	}
	items, _ := c.Items()
	return len(items) > 0 || c.Checkout != nil
}

// Decider holds the rules. Its Evolve knows no times; folds of streams call the function of that name.
var Decider = eventstore.Decider[State, any, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}, time.Time{}) },
	Decide: Decide,
}

// Evolve folds one event that happened at a time and was recorded at another; events of other packages only let time pass.
func Evolve(s State, event any, at, recorded time.Time) State {
	id, change := s.changed(event, at)
	old := slices.ContainsFunc(slices.Collect(maps.Values(s.Carts)), func(c Cart) bool { return at.Sub(c.Active) > forgotten })
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
		if !known || c.Ended != nil && at.After(*c.Ended) { // another cart of the same id
			episode := 0
			if known {
				episode = c.Episode + 1
			}
			c = Cart{Episode: episode, Began: at, Active: at}
		}
		carts[id] = change(c)
		if recorded.After(carts[id].Touched) {
			c := carts[id]
			c.Touched = recorded
			carts[id] = c
		}
	}
	for len(carts) > MaxCarts {
		delete(carts, slices.MinFunc(slices.Collect(maps.Keys(carts)), func(a, b string) int {
			return cmp.Or(carts[a].Active.Compare(carts[b].Active), cmp.Compare(a, b))
		}))
	}
	return State{carts}
}

// changed says which cart an event is about and what becomes of it, nil for no cart.
func (s State) changed(event any, at time.Time) (string, func(Cart) Cart) {
	switch e := event.(type) {
	case activity.ItemAddedToCart:
		return e.CartID, func(c Cart) Cart {
			return c.moved(at).with(e.ProductID, e.Quantity, Line{Name: clip(e.ProductName), PriceMinor: e.PriceMinor, Currency: e.Currency})
		}
	case activity.ItemRemovedFromCart:
		return e.CartID, func(c Cart) Cart { return c.moved(at).with(e.ProductID, -e.Quantity, Line{}) }
	case activity.CartViewed:
		if _, known := s.Carts[e.CartID]; known {
			return e.CartID, func(c Cart) Cart { return c.moved(at) }
		}
	case activity.CheckoutStarted:
		return cmp.Or(e.CartID, s.latest(), e.OrderID, "checkout"), func(c Cart) Cart {
			c = c.moved(at)
			if c.Ended == nil {
				c.Checkout = &Checkout{ID: e.OrderID, Began: at, ValueMinor: e.CartValueMinor, Currency: e.Currency}
			}
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
		if id := cmp.Or(e.CartID, s.latest()); id != "" {
			return id, func(c Cart) Cart {
				return Cart{Episode: c.Episode, Began: c.Began, Active: later(c.Active, at), Touched: c.Touched, Ended: &at}
			}
		}
	case Abandoned:
		return e.CartID, func(c Cart) Cart { c.Abandoned, c.Checkout = &e.AbandonedAt, nil; return c }
	case CheckoutAbandoned:
		return e.CartID, func(c Cart) Cart { c.Abandoned, c.Checkout = &e.AbandonedAt, nil; return c }
	}
	return "", nil
}

// moved is the cart after some activity. Activity after it was abandoned begins another episode; what happened before, and
// is only told afterwards, does not.
func (c Cart) moved(at time.Time) Cart {
	switch {
	case c.Ended != nil:
		c.Active = later(c.Active, at)
	case c.Episode == 0:
		c.Episode, c.Began, c.Active = 1, at, at
	case c.Abandoned != nil && at.After(*c.Abandoned):
		c.Episode, c.Began, c.Active, c.Abandoned, c.Checkout = c.Episode+1, at, at, nil, nil
	default:
		if at.Before(c.Began) && c.Episode == 1 {
			c.Began = at
		}
		c.Active = later(c.Active, at)
	}
	return c
}

// with is the cart with so many more of a product. A cart that an order ended holds nothing.
func (c Cart) with(product string, quantity int64, line Line) Cart {
	if c.Ended != nil {
		return c
	}
	old, known := c.Lines[product]
	if !known && len(c.Lines) >= MaxItems {
		return c
	}
	many := min(max(old.Quantity+min(max(quantity, -maxMany), maxMany), -maxMany), maxMany)
	price := min(max(cmp.Or(line.PriceMinor, old.PriceMinor), 0), maxPrice)
	line = Line{cmp.Or(line.Name, old.Name), many, price, cmp.Or(line.Currency, old.Currency)}
	c.Currency = cmp.Or(line.Currency, c.Currency)
	c.Lines = maps.Clone(c.Lines)
	if c.Lines == nil {
		c.Lines = map[string]Line{}
	}
	c.Lines[product] = line
	return c
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

// Begins says whether an event puts the first product into a cart.
func (s State) Begins(event any, at time.Time) (cartID string, begins bool) {
	e, ok := event.(activity.ItemAddedToCart)
	c, known := s.Carts[e.CartID]
	return e.CartID, ok && (!known || c.Ended != nil && at.After(*c.Ended))
}

// Abandon is the command that looks for carts with which nothing has happened for Idle.
type Abandon struct {
	At   time.Time
	Idle time.Duration
}

// Decide decides on one command. Asked again, it returns no events.
func Decide(s State, command any) ([]any, error) {
	c, ok := command.(Abandon)
	if !ok {
		return nil, fault.New(fault.Internal, "unknown-command", "cart does not know %T", command)
	}
	var events []any
	for _, id := range slices.Sorted(maps.Keys(s.Carts)) {
		cart := s.Carts[id]
		due := cart.Active.Add(c.Idle)
		if !cart.Open() || c.At.Before(due) {
			continue
		}
		items, value := cart.Items()
		if len(items) > 0 {
			events = append(events, Abandoned{
				CartID: id, Episode: cart.Episode, Items: items, TotalValueMinor: value, Currency: cart.Currency, AbandonedAt: due,
				TimeInCart: int64(cart.Active.Sub(cart.Began).Seconds()), CheckoutStarted: cart.Checkout != nil,
			})
		}
		if checkout := cart.Checkout; checkout != nil {
			left := CheckoutAbandoned{
				CartID: id, Episode: cart.Episode, LastCompletedStep: checkout.Step, AbandonedValueMinor: checkout.ValueMinor, Currency: checkout.Currency,
				AbandonedAt: due, TimeInCheckout: int64(max(cart.Active.Sub(checkout.Began), 0).Seconds()),
			}
			if left.AbandonedValueMinor == 0 {
				left.AbandonedValueMinor, left.Currency = value, cmp.Or(cart.Currency, left.Currency)
			}
			events = append(events, left)
		}
	}
	return events, nil
}

// Joined are the carts of several streams that are one person's: what was put into a cart before and after somebody was
// known. It is the same in whatever order they are joined.
func Joined(states ...State) State {
	carts := map[string]Cart{}
	for _, s := range states {
		for id, c := range s.Carts {
			if other, both := carts[id]; both {
				c = joined(other, c)
			}
			carts[id] = c
		}
	}
	return State{carts}
}

func joined(a, b Cart) Cart {
	if a.Active.After(b.Active) || a.Active.Equal(b.Active) && a.Episode > b.Episode {
		a, b = b, a
	}
	c := b // what is decided by the latest activity
	if a.Ended != nil && (c.Ended == nil || a.Ended.After(*c.Ended)) {
		c.Ended = a.Ended
	}
	if c.Ended != nil && !c.Active.After(*c.Ended) {
		c.Lines, c.Checkout = nil, nil
		return c
	}
	if c.Ended != nil { // b went on after a's order
		c.Ended = nil
		return c
	}
	if a.Abandoned != nil && c.Abandoned == nil && !c.Active.After(*a.Abandoned) {
		c.Abandoned = a.Abandoned
	}
	c.Episode = max(a.Episode, b.Episode)
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
			cmp.Or(other.Name, line.Name), other.Quantity + line.Quantity, cmp.Or(other.PriceMinor, line.PriceMinor), cmp.Or(other.Currency, line.Currency),
		}
	}
	return c
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// clip cuts a name to what is remembered of it, between characters.
func clip(name string) string {
	if len(name) <= maxName {
		return name
	}
	n := maxName
	for n > 0 && name[n]&0xC0 == 0x80 {
		n--
	}
	return name[:n]
}
