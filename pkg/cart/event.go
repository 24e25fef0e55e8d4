// Package cart follows carts and checkouts, and says when one was left. Three words: an episode is a stretch of activity with a
// cart; it is abandoned when nothing happened for a while; a cart that is taken up again begins another episode.
package cart

import (
	"time"

	"defter/pkg/eventstore"
)

// Item is a product in a cart.
type Item struct {
	ProductID   string `json:"productId" pii:"-" jsonschema:"maxLength=200"`
	ProductName string `json:"productName,omitempty" pii:"-" jsonschema:"maxLength=500"`
	Quantity    int64  `json:"quantity" pii:"-" jsonschema:"minimum=0,maximum=1000000"`
	PriceMinor  int64  `json:"priceMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
}

// Created: a cart was begun, by the first product put into it.
type Created struct {
	CartID    string `json:"cartId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	SessionID string `json:"sessionId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Source    string `json:"source" pii:"-" jsonschema:"enum=web,enum=mobile,enum=api"`
}

// Abandoned: nothing happened with the cart for a while. TimeInCart is in seconds, from the episode's first to its last
// activity. Amounts are in minor units of Currency.
type Abandoned struct {
	CartID          string    `json:"cartId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Episode         int       `json:"episode" pii:"-"`
	Items           []Item    `json:"items" pii:"unless-opaque" jsonschema:"maxItems=100"`
	TotalValueMinor int64     `json:"totalValueMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency        string    `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	AbandonedAt     time.Time `json:"abandonedAt" pii:"-"`
	TimeInCart      int64     `json:"timeInCart" pii:"-"`
	CheckoutStarted bool      `json:"checkoutStarted,omitempty" pii:"-"`
}

// CheckoutAbandoned: a checkout was begun and nothing happened for a while. TimeInCheckout is in seconds.
type CheckoutAbandoned struct {
	CartID              string    `json:"cartId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Episode             int       `json:"episode" pii:"-"`
	LastCompletedStep   string    `json:"lastCompletedStep,omitempty" pii:"-" jsonschema:"enum=shipping,enum=payment,enum=review"`
	AbandonedValueMinor int64     `json:"abandonedValueMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	Currency            string    `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	AbandonedAt         time.Time `json:"abandonedAt" pii:"-"`
	TimeInCheckout      int64     `json:"timeInCheckout" pii:"-"`
}

// Events are the event types of this package.
var Events = eventstore.Behaviour(
	eventstore.Declare[Created]("CartCreated"),
	eventstore.Declare[Abandoned]("CartAbandoned"),
	eventstore.Declare[CheckoutAbandoned]("CheckoutAbandoned"),
)
