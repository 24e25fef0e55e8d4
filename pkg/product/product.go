// Package product follows what the back office says of products: how many there are and what they cost. Three words: a product is
// a stream of its own, about nobody; its stock is in pieces; its price in minor units of a currency.
package product

import (
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/money"
)

// InventoryChanged: there are more or fewer pieces. Old is absent where nobody had said.
type InventoryChanged struct {
	ProductID   string `json:"productId" pii:"-" jsonschema:"maxLength=200"`
	OldQuantity *int64 `json:"oldQuantity,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000"`
	NewQuantity int64  `json:"newQuantity" pii:"-" jsonschema:"minimum=0,maximum=1000000000"`
}

// PriceChanged: it costs more or less. Old is absent where nobody had said.
type PriceChanged struct {
	ProductID     string `json:"productId" pii:"-" jsonschema:"maxLength=200"`
	OldPriceMinor *int64 `json:"oldPriceMinor,omitempty" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	OldCurrency   string `json:"oldCurrency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	NewPriceMinor int64  `json:"newPriceMinor" pii:"-" jsonschema:"minimum=0,maximum=1000000000000"`
	NewCurrency   string `json:"newCurrency" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[InventoryChanged]("InventoryChanged"),
	eventstore.Declare[PriceChanged]("PriceChanged"),
}

const maxQuantity = 1_000_000_000 // pieces in stock

// State is a product as it stands.
type State struct {
	Quantity   *int64     `json:"quantity,omitempty"`
	PriceMinor *int64     `json:"priceMinor,omitempty"`
	Currency   string     `json:"currency,omitempty"`
	ChangedAt  *time.Time `json:"changedAt,omitempty"`
}

// Stream names a product's stream.
func Stream(id string) string { return "PRODUCT#" + id }

// Fold computes the State.
var Fold = &eventstore.Fold[State]{Name: "product", Version: 1, Evolve: func(s State, e eventstore.Event) State {
	s = Evolve(s, e.Data)
	s.ChangedAt = &e.OccurredAt
	return s
}}

// Decider holds the rules.
var Decider = eventstore.Decider[State, Report, any]{Evolve: Evolve, Decide: Decide}

// Evolve folds one event; events of other packages change nothing here.
func Evolve(s State, event any) State {
	switch e := event.(type) {
	case InventoryChanged:
		s.Quantity = &e.NewQuantity
	case PriceChanged:
		s.PriceMinor, s.Currency = &e.NewPriceMinor, e.NewCurrency
	}
	return s
}

// Report says what is so now. What is nil is not said.
type Report struct {
	ProductID            string
	Quantity, PriceMinor *int64
	Currency             string
}

// Decide returns what changed. Told again, it is nothing.
func Decide(s State, c Report) ([]any, error) {
	invalid := func(format string, args ...any) ([]any, error) {
		return nil, fault.New(fault.Invalid, "invalid-product", format, args...)
	}
	var events []any
	if c.Quantity != nil {
		if *c.Quantity < 0 || *c.Quantity > maxQuantity {
			return invalid("quantity must be 0 to %d", maxQuantity)
		}
		if s.Quantity == nil || *s.Quantity != *c.Quantity {
			events = append(events, InventoryChanged{c.ProductID, s.Quantity, *c.Quantity})
		}
	}
	if (c.PriceMinor != nil) != (c.Currency != "") {
		return invalid("priceMinor and currency are said together")
	}
	if c.PriceMinor != nil {
		if *c.PriceMinor < 0 || *c.PriceMinor > money.Max {
			return invalid("priceMinor must be 0 to %d", int64(money.Max))
		}
		if !money.IsCurrency(c.Currency) {
			return invalid("currency must be a code of three capital letters, such as TRY")
		}
		if s.PriceMinor == nil || *s.PriceMinor != *c.PriceMinor || s.Currency != c.Currency {
			events = append(events, PriceChanged{c.ProductID, s.PriceMinor, s.Currency, *c.PriceMinor, c.Currency})
		}
	}
	return events, nil
}
