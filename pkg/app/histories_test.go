package app

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/memory"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/payment"
	"defter/pkg/record"
	"defter/pkg/segment"
	"defter/pkg/view"
)

var (
	histories   = flag.Int("histories", 150, "how many random histories are told")
	historySeed = flag.Uint64("history-seed", 0, "tells one history again; 0 for others each time")
)

// TestRandomHistories: customers whose orders, payments, refunds and traits are told in any order, by anybody, in several currencies and
// clumsy forms, twice, again after failures, and by functions that crash before or after they have written, end as a reference that knows
// nothing of all this: every message once, every charge and refund as the provider's ledger has it, and what agrees with nothing put aside.
func TestRandomHistories(t *testing.T) {
	seeds := make([]uint64, *histories)
	for i := range seeds {
		seeds[i] = rand.Uint64()
	}
	if *historySeed != 0 {
		seeds = []uint64{*historySeed}
	}
	crashes, asked := 0, 0
	for i, seed := range seeds {
		h := newHistory(seed)
		if err := h.tell(); err != nil {
			t.Fatalf("history %d, again with -history-seed=%d: %v", i, seed, err)
		}
		crashes, asked = crashes+h.crashes, asked+h.asked
	}
	t.Logf("%d histories, %d crashes, %d requests of the provider", len(seeds), crashes, asked)
	if *historySeed == 0 && (crashes == 0 || asked == 0) {
		t.Error("nothing crashed, or nothing was paid: the test tries too little")
	}
}

var errCrash = errors.New("the function crashed")

// history is a world of its own: an app on a store that fails, a provider that loses answers, and what really happened.
type history struct {
	*App
	*memory.Store
	random  *rand.Rand
	clock   time.Time
	crashes int
	calm    bool

	asked   int
	ledger  map[string]movement // by idempotency key
	started map[string]*PaymentRun
	rows    *rows

	shop      shop
	plans     map[string]map[string]string // what was said of a customer's plan, by time
	placed    map[string]string            // orders placed here: their customers
	cancelled map[string]bool
}

// movement is a line of the provider's books.
type movement struct {
	orderID, refundID string
	amount            int64 // negative for a refund; of one that is pending or came back 0
	code              string
	asked             int64 // negative for a refund, too
	pending, was      bool  // on its way, or was once
	reversed          bool
}

func newHistory(seed uint64) *history {
	h := &history{
		random: rand.New(rand.NewPCG(seed, 7)), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), ledger: map[string]movement{}, started: map[string]*PaymentRun{},
		plans: map[string]map[string]string{}, placed: map[string]string{}, cancelled: map[string]bool{}, rows: newRows(), shop: newShop(),
	}
	h.rows.crash = h.crash
	now := func() time.Time { return h.clock }
	h.Store = memory.New(now)
	n := 0
	log := &eventstore.Log{Store: h, Catalog: catalog.New(), Vault: open{}, Now: now, Validate: events.Validate, NewID: func() string {
		n++
		return fmt.Sprintf("01980000-0000-7000-8000-%09d000", n)
	}}
	h.App = &App{
		Log: log, Views: &view.Views{Log: log, Table: view.Table{Client: h.rows}}, Access: access{}, Now: now, NewID: log.NewID, Payments: h, PaymentRuns: h,
		Fixed:    map[string]ingest.Source{"server": {ID: "server", Kind: "server", Trusted: true}},
		Settings: Settings{OpaqueIDs: wordy, PaymentProvider: "local", ReturnWindow: time.Hour},
	}
	return h
}

// open is a vault that hides nothing.
type open struct{}

func (open) Seal(_ context.Context, _, _ string, plaintext []byte) ([]byte, error) {
	return plaintext, nil
}
func (open) Known(context.Context, string) (bool, error) { return true, nil }

func (open) Open(_ context.Context, _, _ string, sealed []byte) ([]byte, error) { return sealed, nil }

// crash fails now and then.
func (h *history) crash() error {
	if h.calm || h.random.IntN(12) > 0 {
		return nil
	}
	h.crashes++
	return errCrash
}

// Append fails now and then, before or after the commit is stored.
func (h *history) Append(ctx context.Context, c eventstore.Commit, claims ...eventstore.Claim) error {
	if err := h.crash(); err != nil {
		return err
	}
	if err := h.Store.Append(ctx, c, claims...); err != nil {
		return err
	}
	return h.crash()
}

// move is the provider's side of a charge or a refund: the same key, the same answer.
func (h *history) move(key string, m movement) (string, error) {
	h.asked++
	outcome := h.random.IntN(9)
	if known, ok := h.ledger[key]; ok {
		return known.answer(key)
	}
	m.asked = m.amount
	switch {
	case outcome == 0:
		return "", errCrash // it never got there
	case outcome == 1:
		m.code, m.amount = "card_declined", 0
	case outcome == 2:
		m.code, m.amount = payment.Timeout, 0
	case outcome == 3 && m.refundID != "":
		m.pending, m.was, m.amount = true, true, 0
	}
	h.ledger[key] = m
	if outcome == 4 {
		return "", errCrash // its answer got lost
	}
	return m.answer(key)
}

func (m movement) answer(key string) (string, error) {
	switch {
	case m.pending:
		return "", &payment.Pending{TransactionID: "tx-" + key}
	case m.code != "":
		return "", &payment.Declined{Code: m.code}
	}
	return "tx-" + key, nil
}

func (h *history) Charge(_ context.Context, c payment.Charge) (string, error) {
	return h.move("charge "+c.Key, movement{orderID: c.OrderID, amount: c.AmountMinor})
}

func (h *history) Refund(_ context.Context, r payment.Refund) (string, error) {
	if r.PendingID == "" {
		return h.move("refund "+r.Key, movement{orderID: r.OrderID, refundID: r.RefundID, amount: -r.AmountMinor})
	}
	h.asked++
	key := strings.TrimPrefix(r.PendingID, "tx-")
	h.arrive(key)
	if h.random.IntN(8) == 0 {
		return "", errCrash
	}
	return h.ledger[key].answer(key)
}

// arrive lets a refund that is on its way go on.
func (h *history) arrive(key string) {
	m := h.ledger[key]
	if outcome := h.random.IntN(4); m.pending && outcome > 1 {
		if m.pending = false; outcome == 2 {
			m.code = "account_closed"
		} else {
			m.amount = m.asked
		}
	}
	h.ledger[key] = m
}

// reverse lets a refund that was made come back.
func (h *history) reverse(key string) {
	if m := h.ledger[key]; m.refundID != "" && m.amount < 0 && h.random.IntN(3) == 0 {
		m.amount, m.reversed = 0, true
		h.ledger[key] = m
	}
}

func (h *history) Start(_ context.Context, name string, input []byte) error {
	if h.started[name] == nil {
		run := new(PaymentRun)
		if err := json.Unmarshal(input, run); err != nil {
			return err
		}
		h.started[name] = run
	}
	return nil
}

// ask calls the API until it answers anything but a failure of ours.
func (h *history) ask(handler lambdaio.Handler, route, orderID string, body any) (int, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	for range 50 {
		response := handler.(lambdaio.Endpoint).Serve(context.Background(), lambdaio.Request{
			ID: "r", Route: route, Path: route, Body: text, Params: map[string]string{"id": orderID},
			Header: map[string]string{"authorization": "Bearer key"},
		})
		if response.Status < 500 {
			return response.Status, nil
		}
	}
	return 0, fmt.Errorf("%s: fails for good", route)
}

// send delivers a batch as an SDK does: again until it is taken.
func (h *history) send(batch []map[string]any) error {
	text, err := json.Marshal(map[string]any{"batch": batch, "writeKey": "server"})
	if err != nil {
		return err
	}
	for range 50 {
		response, err := h.IngestEvents(context.Background(), lambdaio.Request{ID: "r", Route: "POST /v1/batch", Path: "/v1/batch", Body: text, Header: map[string]string{}})
		if err == nil && response.Status == 200 {
			return nil
		}
		if response.Status < 500 {
			return fmt.Errorf("a batch is answered %d: %s", response.Status, response.Body)
		}
	}
	return errors.New("a batch is never taken")
}

// pump lets what waits for a payment go on, as the bus and the state machine do: at least once.
func (h *history) pump() error {
	ctx := context.Background()
	for _, user := range []string{"u0", "u1"} {
		for e, err := range h.Log.Events(ctx, view.CustomerStream(user), 1, 0) {
			if err != nil {
				return err
			}
			for range 1 + h.random.IntN(2) {
				if err := h.TriggerPayments(ctx, e); err != nil {
					return err
				}
				for err := h.ReleaseReports(ctx, e); err != nil; err = h.ReleaseReports(ctx, e) {
					if !fault.Retryable(err) {
						return err
					}
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.started)) {
		run := h.started[name]
		until, err := time.Parse(time.RFC3339, run.Until)
		if err != nil {
			return err
		}
		for tries := 0; !run.Done && !until.After(h.clock); tries++ {
			if tries == 50 {
				return errors.New("a step fails for good")
			}
			next, err := h.RunPaymentStep(ctx, *run)
			if err != nil {
				continue // the state machine calls it again with the same input
			}
			*run = next
			if until, err = time.Parse(time.RFC3339, run.Until); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell makes a history up, tells it, and holds what came of it against what happened.
func (h *history) tell() error {
	var deeds []func() error
	var messages []map[string]any
	for i := range 8 + h.random.IntN(20) {
		messages = append(messages, h.message(i)...)
	}
	h.random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	for batch := range slices.Chunk(messages, 1+h.random.IntN(6)) {
		for range 1 + h.random.IntN(2) {
			deeds = append(deeds, func() error { return h.send(batch) })
		}
	}
	for i := range h.random.IntN(4) {
		deeds = append(deeds, h.shopping(fmt.Sprint("here-", i))...)
	}
	h.random.Shuffle(len(deeds), func(i, j int) { deeds[i], deeds[j] = deeds[j], deeds[i] })
	for _, deed := range deeds {
		if err := deed(); err != nil {
			return err
		}
		h.clock = h.clock.Add(time.Duration(h.random.IntN(200)) * time.Second)
		if h.random.IntN(2) == 0 {
			if err := h.pump(); err != nil {
				return err
			}
		}
		if h.random.IntN(4) == 0 {
			if err := h.books(); err != nil {
				return err
			}
		}
	}
	for round := range 80 {
		if round > 30 && h.ended() { // of refunds that are on their way the outcome is asked for daily in the end
			break
		}
		if err := errors.Join(h.pump(), h.books()); err != nil {
			return err
		}
		h.clock = h.clock.Add(order.RetryAfter + time.Second)
		if round > 30 {
			h.clock = h.clock.Add(24 * time.Hour)
		}
	}
	for name, run := range h.started {
		if !run.Done {
			return fmt.Errorf("%s never ends: %+v", name, *run)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(h.ledger)) {
		h.reverse(key)
	}
	if err := errors.Join(h.books(), h.pump()); err != nil {
		return err
	}
	h.calm = true
	if err := h.shop.aside(h); err != nil {
		return err
	}
	for _, user := range []string{"u0", "u1"} {
		if err := h.check(user); err != nil {
			return err
		}
	}
	return nil
}

// ended says whether no charge and no refund is under way.
func (h *history) ended() bool {
	for _, run := range h.started {
		if !run.Done {
			return false
		}
	}
	return true
}

// shopping is what is asked of an order that is placed here, in any order.
func (h *history) shopping(id string) []func() error {
	user := fmt.Sprint("u", h.random.IntN(2))
	place := func() error {
		// The customer must be known.
		if err := h.send([]map[string]any{{"type": "page", "userId": user, "messageId": "known", "name": "home"}}); err != nil {
			return err
		}
		body := map[string]any{"orderId": id, "customerId": user, "currency": "TRY", "items": []any{map[string]any{"productId": "shoe", "quantity": 2, "priceMinor": 2500}}}
		if h.random.IntN(2) == 0 {
			body["payment"] = map[string]any{"paymentMethod": "credit-card"}
		}
		status, err := h.ask(PlaceOrder(h.App), "POST /v1/orders", "", body)
		if err == nil && status == 201 {
			h.placed[id] = user
		}
		return err
	}
	deed := func(handler func(*App) lambdaio.Handler, what string, body func() any, done func()) func() error {
		return func() error {
			status, err := h.ask(handler(h.App), "POST /v1/orders/{id}/"+what, id, body())
			if err == nil && status < 300 {
				done()
			}
			return err
		}
	}
	nothing, empty := func() {}, func() any { return struct{}{} }
	pay := deed(PayOrder, "payment", func() any { return map[string]any{"paymentMethod": "paypal"} }, nothing)
	refund := deed(RefundOrder, "refunds", func() any {
		return map[string]any{"refundId": fmt.Sprint("f", h.random.IntN(4)), "reason": "other", "amountMinor": 1 + h.random.Int64N(5500)}
	}, nothing)
	cancel := deed(CancelOrder, "cancellation", empty, func() { h.cancelled[id] = true })
	all := []func() error{place, place, pay, pay, refund, refund, refund, deed(ShipOrder, "shipment", empty, nothing), deed(DeliverOrder, "delivery", empty, nothing)}
	if h.random.IntN(2) == 0 {
		all = append(all, cancel)
	}
	return all
}

func (h *history) check(user string) error {
	ctx := context.Background()
	stream := view.CustomerStream(user)
	orders, value, buyer := h.shop.worth(user)
	moved := map[string]int64{}
	for _, m := range h.ledger {
		moved[m.orderID] += m.amount
		buyer = buyer || m.amount > 0 && h.placed[m.orderID] == user
	}
	head, err := h.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return err
	}
	s := record.Fold.Of(head)
	if err := h.shop.check(user, s.Order); err != nil {
		return err
	}
	for id, owner := range h.placed {
		if owner != user {
			continue
		}
		orders++
		value["TRY"] += moved[id]
		if h.cancelled[id] {
			orders--
		}
		o := s.Order.Orders[id]
		if o.PaidMinor-o.RefundedMinor != moved[id] {
			return fmt.Errorf("%s: paid %d, given back %d, and the provider moved %d: %+v", id, o.PaidMinor, o.RefundedMinor, moved[id], o)
		}
		if over := o.PaidMinor - o.TotalMinor; over > 0 && !slices.ContainsFunc(o.Refunds, func(r order.Refunded) bool { return r.AmountMinor >= over }) {
			return fmt.Errorf("%s: %d of %d were paid, and nothing goes back: %+v", id, o.PaidMinor, o.TotalMinor, o)
		}
		if h.cancelled[id] != (o.Status == order.IsCancelled) {
			return fmt.Errorf("%s is %s, cancelled: %v", id, o.Status, h.cancelled[id])
		}
		if o.Refundable() > 0 && o.Status == order.IsCancelled && !slices.ContainsFunc(o.Refunds, func(r order.Refunded) bool { return r.Status == order.Failed }) {
			return fmt.Errorf("%s is cancelled, and %d are kept: %+v", id, o.Refundable(), o)
		}
	}
	customer, ok, err := h.Views.ShowCustomerAt(ctx, user, func(eventstore.Event) bool { return true })
	if err != nil {
		return err
	}
	if !ok { // nothing was told of them
		customer.LifetimeValue = []view.Money{}
	}
	shown := map[string]int64{}
	for _, m := range customer.LifetimeValue {
		if m.AmountMinor < 0 {
			return fmt.Errorf("%s is worth %d %s", user, m.AmountMinor, m.Currency)
		}
		shown[m.Currency] = m.AmountMinor
	}
	maps.DeleteFunc(shown, func(_ string, n int64) bool { return n == 0 })
	maps.DeleteFunc(value, func(_ string, n int64) bool { return n == 0 })
	plan := ""
	if said := h.plans[user]; len(said) > 0 {
		plan = said[slices.Max(slices.Collect(maps.Keys(said)))]
	}
	got, want := fmt.Sprint(customer.Orders, shown, customer.Attributes["plan"] == any(plan) || plan == "", slices.Contains(customer.Segments, segment.Buyers)), fmt.Sprint(orders, value, true, buyer)
	if got != want {
		return fmt.Errorf("%s: orders, value, plan %q known, buyer are %s, want %s", user, plan, got, want)
	}
	return nil
}
