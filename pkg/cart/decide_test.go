package cart_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/order"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const idle = time.Hour

// step is an event so many minutes after noon.
type step struct {
	minutes int
	event   any
}

func add(product string, quantity int64) any {
	return activity.ItemAddedToCart{CartID: "c1", ProductID: product, ProductName: product, Quantity: quantity, PriceMinor: 1000, Currency: "TRY"}
}

func remove(product string, quantity int64) any {
	return activity.ItemRemovedFromCart{CartID: "c1", ProductID: product, Quantity: quantity}
}

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// after folds steps, and what is found when the carts are looked at so many minutes after noon.
func after(t testing.TB, minutes int, steps ...step) []any {
	t.Helper()
	var s cart.State
	for _, st := range steps {
		s = cart.Evolve(s, st.event, at(st.minutes), at(st.minutes))
	}
	events, err := cart.Decide(s, cart.Abandon{At: at(minutes), Idle: idle})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		s = cart.Evolve(s, e, at(minutes), at(minutes))
	}
	if again, err := cart.Decide(s, cart.Abandon{At: at(minutes), Idle: idle}); err != nil || len(again) > 0 {
		t.Errorf("looked at again: %+v, %v", again, err)
	}
	return events
}

func left(minutes, seconds, episode int, checkout bool, items ...cart.Item) cart.Abandoned {
	var value int64
	for _, i := range items {
		value += i.Quantity * i.PriceMinor
	}
	return cart.Abandoned{
		CartID: "c1", Episode: episode, Items: items, TotalValueMinor: value, Currency: "TRY", AbandonedAt: at(minutes), TimeInCart: int64(seconds), CheckoutStarted: checkout,
	}
}

func item(product string, quantity int64) cart.Item {
	return cart.Item{ProductID: product, ProductName: product, Quantity: quantity, PriceMinor: 1000}
}

// TestB40_OncePerEpisodeWithEveryField: an hour after the last activity, not before, once; a cart that is taken up again
// begins another episode.
func TestB40_OncePerEpisodeWithEveryField(t *testing.T) {
	started := activity.CheckoutStarted{CartID: "c1", OrderID: "o1", CartValueMinor: 2500, Currency: "TRY"}
	firstLeft := left(65, 300, 1, false, item("shoe", 2))
	for _, c := range []struct {
		name  string
		look  int
		steps []step
		want  []any
	}{
		{"nothing yet", 64, []step{{0, add("shoe", 1)}, {5, add("shoe", 1)}}, nil},
		{"left", 65, []step{{0, add("shoe", 1)}, {5, add("shoe", 1)}}, []any{firstLeft}},
		{"emptied", 500, []step{{0, add("shoe", 1)}, {5, remove("shoe", 1)}}, nil},
		{"one of two taken out", 65, []step{{0, add("shoe", 2)}, {5, remove("shoe", 1)}}, []any{left(65, 300, 1, false, item("shoe", 1))}},
		{"bought", 500, []step{{0, add("shoe", 1)}, {5, order.Placed{OrderID: "o1", CartID: "c1"}}}, nil},
		{"bought without saying which", 500, []step{{0, add("shoe", 1)}, {5, order.Placed{OrderID: "o1"}}}, nil},
		{"put in before it was bought, and told after", 500, []step{{5, order.Placed{OrderID: "o1", CartID: "c1"}}, {0, add("shoe", 1)}}, nil},
		{"filled again after it was bought", 500, []step{{0, add("shoe", 1)}, {5, order.Placed{OrderID: "o1", CartID: "c1"}}, {9, add("hat", 1)}}, []any{left(69, 0, 2, false, item("hat", 1))}},
		{"looked at again", 500, []step{{0, add("shoe", 1)}, {30, activity.CartViewed{CartID: "c1"}}}, []any{left(90, 1800, 1, false, item("shoe", 1))}},
		{"taken up again", 500, []step{{0, add("shoe", 1)}, {5, add("shoe", 1)}, {65, firstLeft}, {200, add("hat", 1)}}, []any{left(260, 0, 2, false, item("hat", 1), item("shoe", 2))}},
		{"told late", 500, []step{{0, add("shoe", 1)}, {5, add("shoe", 1)}, {65, firstLeft}, {30, add("hat", 1)}}, nil},
		{"checkout left", 75, []step{{0, add("shoe", 2)}, {10, started}, {15, activity.CheckoutStepCompleted{CheckoutID: "o1", Step: "shipping", StepNumber: 1}}}, []any{
			left(75, 900, 1, true, item("shoe", 2)),
			cart.CheckoutAbandoned{CartID: "c1", Episode: 1, LastCompletedStep: "shipping", AbandonedValueMinor: 2500, Currency: "TRY", AbandonedAt: at(75), TimeInCheckout: 300},
		}},
		{"checkout without a cart", 70, []step{{10, activity.CheckoutStarted{OrderID: "o1", CartValueMinor: 2500, Currency: "TRY"}}}, []any{
			cart.CheckoutAbandoned{CartID: "o1", Episode: 1, AbandonedValueMinor: 2500, Currency: "TRY", AbandonedAt: at(70)},
		}},
		{"after a month nobody waits", 500_000, []step{{0, add("shoe", 1)}, {50_000, activity.PageViewed{}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := after(t, c.look, c.steps...); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestCartsAreTheSameInAnyOrder: what is put in and taken out may be told in any order, and before or after somebody is
// known.
func TestCartsAreTheSameInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var steps []step
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			product := rapid.SampledFrom([]string{"shoe", "hat", "bag"}).Draw(t, "product")
			event := add(product, 2)
			if rapid.Bool().Draw(t, "out") {
				event = remove(product, 1)
			}
			steps = append(steps, step{rapid.IntRange(0, 59).Draw(t, "minute"), event})
		}
		fold := func(steps []step) cart.State {
			var s cart.State
			for _, st := range steps {
				s = cart.Evolve(s, st.event, at(st.minutes), at(100))
			}
			return s
		}
		text := func(s cart.State) string {
			data, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		whole := text(fold(steps))
		shuffled := rapid.Permutation(steps).Draw(t, "order")
		if got := text(fold(shuffled)); got != whole {
			t.Fatalf("in another order\n got  %s\n want %s", got, whole)
		}
		cut := rapid.IntRange(0, len(steps)).Draw(t, "known after")
		a, b := fold(shuffled[:cut]), fold(shuffled[cut:])
		if got := text(cart.Joined(a, b)); got != whole || text(cart.Joined(b, a)) != whole {
			t.Fatalf("joined\n got  %s\n      %s\n want %s", got, text(cart.Joined(b, a)), whole)
		}
	})
}

// TestStateIsBounded, whatever is put into how many carts.
func TestStateIsBounded(t *testing.T) {
	var s cart.State
	for i := range 1000 {
		s = cart.Evolve(s, activity.ItemAddedToCart{CartID: fmt.Sprint("c", i%50), ProductID: fmt.Sprint("p", i), Quantity: 1 << 62, PriceMinor: 1 << 62, Currency: "TRY"}, at(i), at(i))
	}
	var left []string
	for id, c := range s.Carts {
		if items, value := c.Items(); len(items) > cart.MaxItems || value < 0 {
			t.Errorf("%d items worth %d", len(items), value)
		}
		left = append(left, id)
	}
	if slices.Sort(left); len(left) != cart.MaxCarts || !slices.Contains(left, "c49") {
		t.Errorf("left %v", left)
	}
}

// TestP14_AnOrderToldInWholeSecondsTakesAllOfItsSecond: what was put into the cart in the same second was bought with it.
func TestP14_AnOrderToldInWholeSecondsTakesAllOfItsSecond(t *testing.T) {
	put, second := noon.Add(7*time.Second+400*time.Millisecond), noon.Add(7*time.Second)
	for name, bought := range map[string]order.Placed{"the cart": {OrderID: "o1", CartID: "c1"}, "all carts": {OrderID: "o1"}} {
		for said, open := range map[time.Time]bool{second: false, second.Add(300 * time.Millisecond): true, put: false} {
			s := cart.Evolve(cart.State{}, add("p1", 1), put, put)
			s = cart.Evolve(s, bought, said, put)
			events, err := cart.Decide(s, cart.Abandon{At: noon.Add(2 * idle), Idle: idle})
			if err != nil || (len(events) > 0) != open {
				t.Errorf("%s, bought at %s: %+v, %v", name, said.Format("05.000"), events, err)
			}
		}
	}
}
