package cart

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/activity"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/money"
)

// DefaultIdle is how long nothing must happen with a cart before it counts as abandoned.
const DefaultIdle = time.Hour

// Limits of the state.
const (
	MaxCarts  = 10                  // remembered, those active last
	MaxItems  = 50                  // different products of a cart
	maxName   = 100                 // bytes of a product's name
	maxMoves  = 8                   // of a product, told apart
	maxMany   = money.MaxQuantity   // of a product
	forgotten = 30 * 24 * time.Hour // after its last activity a cart is
)

// Decider holds the rules. Its Evolve knows no times; folds of streams call the function of that name.
var Decider = eventstore.Decider[State, any, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}, time.Time{}) },
	Decide: Decide,
}

// Touches says whether an event is something done with a cart, after which it may come to be abandoned.
func Touches(event any) bool {
	switch event.(type) {
	case activity.ItemAddedToCart, activity.ItemRemovedFromCart, activity.CartViewed, activity.CheckoutStarted, activity.CheckoutStepCompleted:
		return true
	}
	return false
}

// Begins says whether an event puts the first product into a cart.
func (s State) Begins(event any, at time.Time) (cartID string, begins bool) {
	e, ok := event.(activity.ItemAddedToCart)
	c, known := s.Carts[e.CartID]
	return e.CartID, ok && (!known || c.Ended != nil && at.After(*c.Ended) && len(c.Lines) == 0)
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
