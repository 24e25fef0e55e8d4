package view

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"defter/pkg/cart"
)

// CartBucket is how finely the lookup of carts knows when something happened with them last, CartHour what it reads at once.
const (
	CartBucket = 5 * time.Minute
	CartHour   = time.Hour
)

// forgotten is how long a row of the lookup stays that nobody removes: one of a visitor whose cart is another one's.
const forgotten = 32 * 24 * time.Hour

// CartShown is a cart in a profile.
type CartShown struct {
	CartID          string     `json:"cartId"`
	Status          string     `json:"status" enum:"open,abandoned"`
	Items           int64      `json:"items" description:"how many pieces"`
	ValueMinor      int64      `json:"valueMinor"`
	Currency        string     `json:"currency,omitempty"`
	CheckoutStarted bool       `json:"checkoutStarted,omitempty"`
	LastActivityAt  time.Time  `json:"lastActivityAt"`
	AbandonedAt     *time.Time `json:"abandonedAt,omitempty"`
}

// cartsOf are the carts that are not ended, the last active first.
func cartsOf(s cart.State) []CartShown {
	var shown []CartShown
	for id, c := range s.Carts {
		items, value := c.Items()
		if len(items) == 0 && c.Checkout == nil {
			continue
		}
		line := CartShown{CartID: id, Status: "open", ValueMinor: value, Currency: c.Currency, CheckoutStarted: c.Checkout != nil, LastActivityAt: c.Active, AbandonedAt: c.Abandoned}
		if c.Abandoned != nil {
			line.Status = "abandoned"
		}
		for _, item := range items {
			line.Items += item.Quantity
		}
		shown = append(shown, line)
	}
	slices.SortFunc(shown, func(a, b CartShown) int {
		return cmp.Or(b.LastActivityAt.Compare(a.LastActivityAt), cmp.Compare(a.CartID, b.CartID))
	})
	return shown
}

// cartLookups are a row for each stretch of time in which something was recorded of an open cart last, so that those with
// which nothing happened since are found without looking at anybody else.
func cartLookups(stream string, p Profile) []Row {
	var rows []Row
	for _, c := range p.Carts.Carts {
		row := Row{PK: touchedKey(c.Touched), SK: c.Touched.UTC().Truncate(CartBucket).Format("15:04") + "#" + stream, TTL: c.Touched.Add(forgotten).Unix()}
		if c.Open() && !slices.ContainsFunc(rows, func(r Row) bool { return r.PK == row.PK && r.SK == row.SK }) {
			rows = append(rows, row)
		}
	}
	return rows
}

func touchedKey(at time.Time) string {
	return "DUE#cart#" + at.UTC().Format("2006-01-02T15")
}

// TouchedCarts returns up to limit streams in which something was recorded of an open cart last within an hour, up to the
// bucket of until.
func (v *Views) TouchedCarts(ctx context.Context, hour, until time.Time, cursor string, limit int) (streams []string, next string, err error) {
	rows, next, err := v.Table.List(ctx, touchedKey(hour), "", cursor, limit, false)
	for _, row := range rows {
		at, stream, _ := strings.Cut(row.SK, "#")
		if touchedKey(hour) == touchedKey(until) && at > until.UTC().Format("15:04") {
			return streams, "", err
		}
		streams = append(streams, stream)
	}
	return streams, next, err
}
