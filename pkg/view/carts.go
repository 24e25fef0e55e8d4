package view

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/cart"
	"defter/pkg/eventstore"
	"defter/pkg/record"
)

// CartBucket is how finely the lookup of carts knows when something happened with them last, CartHour what it reads at once.
const (
	CartBucket = 10 * time.Minute
	CartHour   = time.Hour
)

const (
	forgotten  = 31 * 24 * time.Hour // after this the record has no cart any more
	touchedFor = 8 * 24 * time.Hour  // a row of the lookup is kept
)

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
	return shown[:min(len(shown), cart.MaxCarts)]
}

// carts are those of one person's streams, the customer's own the first, as the records have them: a profile row would be written larger at
// every turn. What was put into a cart as a visitor may have been bought as a customer, and that it was left is said of the customer.
func (v *Views) carts(ctx context.Context, person []owned) ([]CartShown, error) {
	recent := func(o owned) bool { return o.CartAt != nil && v.Log.Now().Sub(*o.CartAt) <= forgotten }
	if !slices.ContainsFunc(person, recent) {
		return nil, nil
	}
	var states []cart.State
	for i, o := range person {
		if i > 0 && !recent(o) && o.LastOrderAt == nil {
			continue
		}
		head, err := v.Log.Load(ctx, o.stream, record.Fold)
		if err != nil {
			return nil, err
		}
		states = append(states, record.Fold.Of(head).Cart)
	}
	return cartsOf(cart.Joined(states...)), nil
}

// Touched is the row of the lookup that an event stands for: that something was done with a cart in a stretch of time, so that
// those with which nothing happened since are found without looking at anybody else. It is a hint: one may be too many, none
// is missing, and they go by themselves.
func Touched(stream string, e eventstore.Event) (row Row, ok bool) {
	if !cart.Touches(e.Data) {
		return Row{}, false
	}
	return hintAt(stream, e.RecordedAt), true
}

func hintAt(stream string, at time.Time) Row {
	return Row{PK: touchedLookup.key(touchedIn(at), stream), SK: at.UTC().Truncate(CartBucket).Format("15:04") + "#" + stream, TTL: at.Add(touchedFor).Unix()}
}

// Hints are the rows of the lookup that stand for a stream and have not gone by themselves. They are looked for at each of the places
// where they can be: those are few, and a stream may be long.
func (v *Views) Hints(ctx context.Context, stream string) (found [][2]string, err error) {
	var places [][2]string
	now := v.Log.Now()
	for at := now.Add(-touchedFor).Truncate(CartBucket); !at.After(now); at = at.Add(CartBucket) {
		row := hintAt(stream, at)
		places = append(places, [2]string{row.PK, row.SK})
	}
	rows, err := v.Table.GetMany(ctx, places)
	return slices.Collect(maps.Keys(rows)), err
}

// KnownHints are those of a stream whose profile says that there may be any. The projection of its erasure looks for the others.
func (v *Views) KnownHints(ctx context.Context, stream string) ([][2]string, error) {
	p, _, err := Profiles.Load(ctx, v, stream)
	if err != nil || p.CartAt == nil || v.Log.Now().Sub(*p.CartAt) > touchedFor {
		return nil, err
	}
	return v.Hints(ctx, stream)
}

// hinted is withHint, unless the profile says that it was written.
func (p *activityPart) hinted(rows []Row, events []eventstore.Event) []Row {
	if p.cartAt == nil {
		var known struct{ CartAt time.Time }
		_ = json.Unmarshal(p.profile.Data, &known) // a row that cannot be read says nothing
		p.cartAt = &known.CartAt
	}
	if p.cartAt.Truncate(CartBucket).Equal(events[0].RecordedAt.Truncate(CartBucket)) {
		return rows
	}
	return withHint(rows, p.stream, events)
}

// withHint adds the hint of a commit's events to rows of the same stream, unless it is there.
func withHint(rows []Row, stream string, events []eventstore.Event) []Row {
	for _, e := range events {
		hint, ok := Touched(stream, e)
		if ok && !slices.ContainsFunc(rows, func(r Row) bool { return r.PK == hint.PK && r.SK == hint.SK }) {
			return append(rows, hint)
		}
	}
	return rows
}

func touchedIn(hour time.Time) string { return hour.UTC().Format("2006-01-02T15") }

// TouchedCarts returns up to limit hints of an hour, up to the bucket of until, by the streams they are about.
func (v *Views) TouchedCarts(ctx context.Context, hour, until time.Time, cursor string, limit int) (hints []Row, next string, err error) {
	upTo := ""
	if touchedIn(hour) == touchedIn(until) {
		upTo = until.UTC().Truncate(CartBucket).Format("15:04") + "#~" // after every stream of that bucket
	}
	return touchedLookup.list(ctx, v.Table, touchedIn(hour), upTo, cursor, limit)
}

// StreamOf is whom a hint is about.
func StreamOf(hint Row) string {
	_, stream, _ := strings.Cut(hint.SK, "#")
	return stream
}
