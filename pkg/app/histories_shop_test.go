package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/money"
	"defter/pkg/order"
	"defter/pkg/source"
	"defter/pkg/webhook"
)

// shop is what shops and payment services tell of orders that they keep the books of, and what really happened there: a reference without
// order, currencies of others, and duplicates.
type shop struct {
	told      map[string]bool       // orders
	cancelled map[string]bool       // orders
	refunds   map[string]*elsewhere // by "order refund"
	messages  map[string]followed   // that are about an order, by their ids
	stripe    *webhook.Mapping
}

// elsewhere is a refund that was made elsewhere.
type elsewhere struct{ made, failed bool }

// followed is a message that is about an order which must be known before it.
type followed struct {
	order, refund string
	foreign       bool // in another currency than its order
}

func newShop() shop {
	stripe, err := webhook.Read(source.Webhook{Signature: source.Stripe})
	if err != nil {
		panic(err) // the program's own rules
	}
	return shop{map[string]bool{}, map[string]bool{}, map[string]*elsewhere{}, map[string]followed{}, stripe}
}

// there is an order of a shop: what its id says of it, so that it is the same however often it is told.
type there struct {
	id, user, currency string
	total              int64
	items              bool // its refunds are told by items, else by amounts
}

func (h *history) there() there {
	user, n := fmt.Sprint("u", h.random.IntN(2)), h.random.IntN(5)
	return thereOf(fmt.Sprint("there-", user, "-", n))
}

func thereOf(id string) there {
	n := int64(id[len(id)-1] - '0')
	return there{id: id, user: id[6:8], currency: []string{"TRY", "KWD", "JPY"}[n%3], total: 10_007 + 13*n, items: n == 3 || n == 4}
}

// pieces are the lines of an order, and which of them each refund gives back: all that was bought, if all three are told.
var (
	pieces  = []order.Line{{ProductID: "tea", Quantity: 3, PriceMinor: 3000}, {ProductID: "pot", Quantity: 1, PriceMinor: 3999}}
	returns = map[string]order.RefundItem{"r0": {ProductID: "tea", Quantity: 1}, "r1": {ProductID: "tea", Quantity: 2}, "r2": {ProductID: "pot", Quantity: 1}}
)

// amount is what a refund gives back that is told by its amount.
func (o there) amount(refund string) int64 { return 1000 + int64(refund[1]) }

// back is what all of an order's refunds give back.
func (s shop) back(o there) (total int64) {
	count := map[string]int64{}
	for name, item := range returns {
		if r := s.refunds[o.id+" "+name]; r != nil && r.made && !r.failed {
			total += o.amount(name)
			count[item.ProductID] += item.Quantity
		}
	}
	if !o.items {
		return total
	}
	var weights []int64
	for _, line := range pieces {
		weights = append(weights, line.Quantity*line.PriceMinor)
	}
	total = 0
	for i, share := range money.Shares(o.total, weights) {
		total += money.Pieces(share, pieces[i].Quantity, count[pieces[i].ProductID])
	}
	return total
}

// worth is what a customer comes to by what shops tell.
func (s shop) worth(user string) (orders int64, value map[string]int64, buyer bool) {
	value = map[string]int64{}
	for id := range s.told {
		if o := thereOf(id); o.user == user {
			orders, buyer = orders+1, true
			value[o.currency] += o.total - s.back(o)
			if s.cancelled[id] {
				orders--
			}
		}
	}
	return orders, value, buyer
}

func (s shop) check(user string, state order.State) error {
	for id := range s.told {
		t := thereOf(id)
		if t.user != user {
			continue
		}
		want := order.IsConfirmed
		if s.cancelled[id] {
			want = order.IsCancelled
		}
		if o, _ := state.Order(id); o.Currency != t.currency || o.PaidMinor != t.total || o.RefundedMinor != s.back(t) || o.Status != want {
			return fmt.Errorf("%s: paid %d of %d %s, given back %d of %d, and %s, want %s", id, o.PaidMinor, t.total, o.Currency, o.RefundedMinor, s.back(t), o.Status, want)
		}
	}
	return nil
}

// aside holds what is in the quarantine, and waits, against what agrees with no order: of one that nobody told of, or in another currency than
// it is, unless somebody told rightly what became of the same refund.
func (s shop) aside(h *history) error {
	want := 0
	for _, m := range s.messages {
		r := s.refunds[m.order+" "+m.refund]
		if !s.told[m.order] || m.foreign && (r == nil || !r.made && !r.failed) {
			want++
		}
	}
	quarantined, hints := 0, 0
	var reasons []string
	for key, item := range h.rows.items {
		switch {
		case strings.HasPrefix(key[0], "QUARANTINE#"):
			quarantined++
			reasons = append(reasons, fmt.Sprint(item["d"]))
		case strings.HasPrefix(key[0], "WAITING#"):
			hints++
		}
	}
	if quarantined != want || hints != want {
		return fmt.Errorf("%d are quarantined, %d wait, want %d: %q", quarantined, hints, want, reasons)
	}
	return nil
}

// message is what a shop or a payment service tells, and notes what it means. It may be nothing.
func (h *history) message(i int) []map[string]any {
	o, id := h.there(), fmt.Sprint("m", i)
	at := h.clock.Add(-time.Duration(1+h.random.IntN(100_000)) * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	m := map[string]any{"type": "track", "messageId": id, "timestamp": at, "userId": o.user}
	switch h.random.IntN(12) {
	case 0, 1, 2:
		h.shop.told[o.id] = true
		m["event"], m["properties"] = "Order Completed", h.bought(o)
	case 3:
		return h.session(id, o)
	case 4:
		h.byAnybody(m)
		h.shop.cancelled[o.id], h.shop.messages[id] = true, followed{order: o.id}
		m["event"], m["properties"] = "Order Cancelled", map[string]any{"order_id": o.id}
	case 5, 6, 7:
		h.byAnybody(m)
		m["event"], m["properties"] = "Order Refunded", h.returned(id, o)
	case 8:
		return h.refundEvent(id, o)
	case 9:
		if !o.items { // else what a piece comes to would depend on when it is told
			h.byAnybody(m)
			refund := fmt.Sprint("r", h.random.IntN(3))
			h.refund(o, refund).failed, h.shop.messages[id] = true, followed{order: o.id, refund: refund}
			m["event"], m["properties"] = "Order Refund Failed", map[string]any{"order_id": o.id, "refund_id": refund}
			break
		}
		fallthrough
	case 10:
		plan := fmt.Sprint("p", h.random.IntN(3))
		m["type"], m["traits"] = "identify", map[string]any{"plan": plan}
		if h.plans[o.user] == nil {
			h.plans[o.user] = map[string]string{}
		}
		h.plans[o.user][at] = max(h.plans[o.user][at], plan) // of two at once, the greater
	default:
		m["type"], m["name"] = "page", "home"
	}
	return []map[string]any{m}
}

// byAnybody lets a message be sent by whom it may: the order's owner, another customer, or nobody.
func (h *history) byAnybody(m map[string]any) {
	switch h.random.IntN(3) {
	case 0:
		m["userId"] = fmt.Sprint("u", h.random.IntN(2))
	case 1:
		delete(m, "userId")
	}
}

func (h *history) refund(o there, refund string) *elsewhere {
	key := o.id + " " + refund
	if h.shop.refunds[key] == nil {
		h.shop.refunds[key] = new(elsewhere)
	}
	return h.shop.refunds[key]
}

// clumsy is an amount in one of the forms in which programs write it.
func (h *history) clumsy(amount int64, currency string) any {
	text := money.Major(amount, currency)
	return []any{json.Number(text), text, " " + text + " ", text + "0000"[:4*strings.Count(text[max(0, len(text)-4):], ".")], json.Number(text + "e0")}[h.random.IntN(5)]
}

// code is a currency in one of the forms in which programs write it.
func (h *history) code(currency string) string {
	return []string{currency, strings.ToLower(currency), currency + " ", " " + currency}[h.random.IntN(4)]
}

func (h *history) bought(o there) map[string]any {
	p := map[string]any{"order_id": o.id, "total": h.clumsy(o.total, o.currency), "currency": h.code(o.currency)}
	if o.items {
		var products []any
		for _, line := range pieces {
			products = append(products, map[string]any{
				"product_id": line.ProductID, "price": h.clumsy(line.PriceMinor, o.currency), "quantity": []any{line.Quantity, fmt.Sprint(line.Quantity), json.Number(fmt.Sprint(line.Quantity, ".0"))}[h.random.IntN(3)],
			})
		}
		p["products"] = products
	}
	return p
}

// returned is a refund: by items, or by an amount in the order's currency, in none, or in another one.
func (h *history) returned(id string, o there) map[string]any {
	refund := fmt.Sprint("r", h.random.IntN(3))
	p, f := map[string]any{"order_id": o.id, "refund_id": refund}, followed{order: o.id, refund: refund}
	currency := h.random.IntN(3)
	switch {
	case o.items:
		item := returns[refund]
		p["products"] = []any{map[string]any{"product_id": item.ProductID, "quantity": fmt.Sprint(item.Quantity)}}
	case currency == 0:
		p["total"], p["currency"], f.foreign = h.clumsy(o.amount(refund), "USD"), "USD", true
	default:
		if p["total"] = h.clumsy(o.amount(refund), o.currency); currency == 1 {
			p["currency"] = h.code(o.currency)
		}
	}
	if h.shop.messages[id] = f; !f.foreign {
		h.refund(o, refund).made = true
	}
	return p
}

// stripes are the messages that a delivery of Stripe becomes.
func (h *history) stripes(event map[string]any) []map[string]any {
	event["livemode"] = true
	body, err := json.Marshal(event)
	if err != nil {
		panic(err) // maps of strings and numbers always marshal
	}
	made, err := h.shop.stripe.Messages(nil, body)
	if err != nil || len(made.Unmatched) > 0 || made.Foreign != "" {
		panic(fmt.Sprint("Stripe's deliveries are understood: ", string(body), err))
	}
	var messages []map[string]any
	for _, raw := range made.Messages {
		var m map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			panic(err)
		}
		messages = append(messages, m)
	}
	return messages
}

// session is an order that was paid through Stripe, or is not paid yet.
func (h *history) session(id string, o there) []map[string]any {
	kind, status := "checkout.session.completed", "unpaid"
	switch h.random.IntN(3) {
	case 0:
		status = "paid"
	case 1:
		kind, status = "checkout.session.async_payment_succeeded", "paid"
	}
	if o.items { // whose lines a session does not tell
		kind, status = "checkout.session.completed", "unpaid"
	}
	h.shop.told[o.id] = h.shop.told[o.id] || status == "paid"
	if !h.shop.told[o.id] {
		delete(h.shop.told, o.id)
	}
	return h.stripes(map[string]any{"id": id, "type": kind, "created": h.clock.Unix(), "data": map[string]any{"object": map[string]any{
		"client_reference_id": o.user, "payment_status": status, "amount_total": o.total, "currency": strings.ToLower(o.currency), "metadata": map[string]any{"order_id": o.id},
	}}})
}

// refundEvent is what Stripe tells of a refund: that it is on its way, made, or failed.
func (h *history) refundEvent(id string, o there) []map[string]any {
	refund := fmt.Sprint("r", h.random.IntN(3))
	said := [][2]string{{"refund.created", "pending"}, {"refund.created", "succeeded"}, {"refund.updated", "succeeded"}, {"refund.failed", "failed"}}[h.random.IntN(4)]
	if o.items {
		said = [2]string{"refund.created", "pending"}
	}
	messages := h.stripes(map[string]any{"id": id, "type": said[0], "created": h.clock.Unix(), "data": map[string]any{"object": map[string]any{
		"id": "re-" + o.id + refund, "status": said[1], "amount": o.amount(refund), "currency": strings.ToLower(o.currency), "metadata": map[string]any{"order_id": o.id, "refund_id": refund},
	}}})
	for _, m := range messages {
		h.shop.messages[fmt.Sprint(m["messageId"])] = followed{order: o.id, refund: refund}
		h.refund(o, refund).made = h.refund(o, refund).made || said[1] == "succeeded"
		h.refund(o, refund).failed = h.refund(o, refund).failed || said[1] == "failed"
	}
	return messages
}

// books lets the provider tell of the refunds that were asked for here, as its webhook does: again and again, late, and of all that they went
// through.
func (h *history) books() error {
	for _, key := range slices.Sorted(maps.Keys(h.ledger)) {
		m := h.ledger[key]
		if m.refundID == "" || m.code != "" && !m.was { // a charge, or no refund at all
			continue
		}
		h.arrive(key)
		m = h.ledger[key]
		said := [][2]string{{"refund.created", "pending"}}
		switch {
		case m.reversed:
			said = [][2]string{{"refund.updated", "succeeded"}, {"refund.failed", "failed"}}
		case m.code != "":
			said = [][2]string{{"refund.failed", "failed"}}
		case !m.pending:
			said = [][2]string{{"refund.created", "succeeded"}}
		}
		h.random.Shuffle(len(said), func(i, j int) { said[i], said[j] = said[j], said[i] })
		for _, event := range said {
			messages := h.stripes(map[string]any{"id": key + event[0], "type": event[0], "created": h.clock.Unix(), "data": map[string]any{"object": map[string]any{
				"id": "tx-" + key, "status": event[1], "amount": -m.asked, "currency": "try", "metadata": map[string]any{"order_id": m.orderID, "refund_id": m.refundID},
			}}})
			if len(messages) > 0 {
				if err := h.send(messages); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
