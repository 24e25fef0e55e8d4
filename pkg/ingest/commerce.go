package ingest

import (
	"slices"

	"defter/pkg/activity"
	"defter/pkg/foreign"
	"defter/pkg/money"
	"defter/pkg/order"
)

// assumed is the currency of an event that names none, as the specification has it.
const assumed = "USD"

// currency is the currency of an event, "" for one that is told and cannot be read: amounts in it are then none. Where only its products
// have one, it is theirs.
func currency(p foreign.Object) string {
	code, told := p.Currency("currency")
	if told == foreign.Absent {
		code, told = currencyOfProducts(p)
	}
	if told == foreign.Absent {
		return assumed
	}
	return code
}

func currencyOfProducts(p foreign.Object) (code string, told foreign.Told) {
	list, _ := p.Objects(products...)
	for _, product := range list {
		switch one, said := product.Currency("currency"); {
		case said == foreign.Unread:
			return "", said
		case said == foreign.Read && code != "" && one != code:
			p.Note("currency", foreign.Ambiguous)
			return "", foreign.Unread
		case said == foreign.Read:
			code, told = one, said
		}
	}
	return code, told
}

// minor returns the first of the members that says an amount, in minor units.
func minor(p foreign.Object, currency string, names ...string) (int64, foreign.Told) {
	number, told := p.Decimal(names...)
	if told != foreign.Read {
		return 0, told
	}
	if currency == "" { // which is noted already
		return 0, foreign.Unread
	}
	n, err := money.Minor(number, currency)
	if err != nil {
		p.Note(names[0], foreign.OutOfRange)
		return 0, foreign.Unread
	}
	if exact, _ := foreign.Decimal(money.Major(n, currency)); exact != number {
		p.Note(names[0], foreign.Rounded)
	}
	return n, foreign.Read
}

// pieces is how many there are of a product: one where nothing is said, 0 where it cannot be read.
func pieces(p foreign.Object) int64 {
	n, told := p.Whole("quantity")
	switch {
	case told == foreign.Absent:
		return 1
	case told == foreign.Read && n <= 0:
		p.Note("quantity", foreign.OutOfRange)
		return 0
	}
	return n
}

func lines(p foreign.Object, currency string) []order.Line {
	var lines []order.Line
	list, _ := p.Objects(products...)
	for _, product := range list {
		worth, _ := minor(product, currency, price...)
		id := id(product, productNames(product)...)
		must(product, id, productNames(product)...)
		lines = append(lines, order.Line{
			ProductID: id, ProductName: product.Text(500, itemName...), Category: product.Text(200, itemGroup...), Quantity: pieces(product), PriceMinor: worth,
		})
	}
	return lines
}

// amount returns the first of the members that says an amount, as it was told, the zero Amount where none does; ok is false for one
// that cannot be read, or is told to be nothing: neither is taken for one that was left out.
func amount(p foreign.Object, names ...string) (a order.Amount, ok bool) {
	number, told := p.Decimal(names...)
	if told == foreign.Absent && p.Names(names...) {
		p.Note(names[0], foreign.Missing)
		return a, false
	}
	code, currency := p.Currency("currency")
	if currency == foreign.Absent {
		code, currency = currencyOfProducts(p)
	}
	if told == foreign.Absent {
		return a, true
	}
	return order.Amount{Decimal: number, Currency: code}, told == foreign.Read && currency != foreign.Unread
}

// returned are the products of a refund, each once; ok is false where not all of them can be read.
func returned(p foreign.Object) (items []order.RefundItem, ok bool) {
	list, told := p.Objects(products...)
	at := map[string]int{}
	for _, product := range list {
		id, n := id(product, productNames(product)...), pieces(product)
		if !must(product, id, productNames(product)...) || n == 0 {
			return nil, false
		}
		if i, known := at[id]; known {
			items[i].Quantity += n
			continue
		}
		at[id] = len(items)
		items = append(items, order.RefundItem{ProductID: id, Quantity: n})
	}
	return items, told != foreign.Unread
}

// orderEvents read what is reported of orders, by the names of the events.
var orderEvents = map[string]func(p foreign.Object, orderID string) order.Report{
	purchased: completed, "Order Cancelled": cancelled, "Order Refunded": refunded, RefundFailed: refundFailed, "purchase": purchasedAsGoogle,
}

// orderReader is what reads the event, nil where it is about no order.
func orderReader(m Message) func(p foreign.Object, orderID string) order.Report {
	if read := orderEvents[m.Event]; read != nil {
		return read
	}
	return orderEvents[m.Means()]
}

// orders maps the events of orders to reports of them. Nothing for an event that is another, or lacks what it must have, and for a
// source that is not trusted, which is noted: it is then kept as it came.
func orders(m Message, s Source, p foreign.Object) any {
	read := orderReader(m)
	if read == nil {
		if !slices.Contains(spec, m.Means()) && p.Has("order_id", "transaction_id") && p.Has("total", "revenue") {
			p.Note("order", foreign.Unknown) // whoever sends it may believe that it counts
		}
		return nil
	}
	if !s.Trusted {
		p.Note("order", foreign.Untrusted)
		return nil
	}
	names := orderIDs(m)
	order := id(p, names...)
	known := must(p, order, names...)
	if report := read(p, order); report != nil && known { // all of it is read in either case, so that all that is wrong is noted
		return report
	}
	return nil
}

func completed(p foreign.Object, id string) order.Report {
	currency := currency(p)
	value, told := minor(p, currency, total...)
	placed := order.Placed{OrderID: id, CartID: p.ID(128, cartID...), Items: lines(p, currency), TotalMinor: value, Currency: currency}
	for _, part := range []struct {
		name string
		to   *int64
	}{{"subtotal", &placed.SubtotalMinor}, {"discount", &placed.DiscountMinor}, {"tax", &placed.TaxMinor}, {"shipping", &placed.ShippingMinor}} {
		*part.to, _ = minor(p, currency, part.name)
	}
	switch {
	case told == foreign.Unread:
		return nil
	case told == foreign.Absent:
		p.Note("total", foreign.Missing)
		return nil
	case value < 0:
		p.Note("total", foreign.OutOfRange)
		return nil
	}
	if len(placed.Items) == 0 && p.Has("content_ids") { // of which nobody says how many, at what price
		p.Note("content_ids", foreign.Ambiguous)
	}
	asTold, _ := amount(p, total...)
	return order.ReportPlaced{Placed: placed, Total: asTold}
}

// purchasedAsGoogle reads a purchase of Google Analytics 4, whose value is that of its items, without tax and shipping
// (developers.google.com/analytics/devguides/collection/ga4/reference/events, "purchase"). Many shops send what was paid instead: where the items
// and what is added to them come to the value, it is that. Where neither comes to it, it is taken as Google defines it, and noted.
func purchasedAsGoogle(p foreign.Object, id string) order.Report {
	report, ok := completed(p, id).(order.ReportPlaced)
	if !ok {
		return nil
	}
	placed := &report.Placed
	if p.Has("total", "revenue") || min(placed.TaxMinor, placed.ShippingMinor) < 0 || max(placed.TaxMinor, placed.ShippingMinor) == 0 {
		return report
	}
	added := money.Add(placed.TaxMinor, placed.ShippingMinor)
	items, priced := worthOf(placed.Items)
	switch items = money.Add(items, -placed.DiscountMinor); {
	case !priced || items == placed.TotalMinor:
	case money.Add(items, added) == placed.TotalMinor, money.Add(items, placed.ShippingMinor) == placed.TotalMinor: // the latter of prices with tax in them
		return report
	default:
		p.Note("total", foreign.Ambiguous)
	}
	placed.SubtotalMinor = placed.TotalMinor
	placed.TotalMinor = money.Add(placed.TotalMinor, added)
	report.Total.Decimal = money.Major(placed.TotalMinor, placed.Currency)
	return report
}

// worthOf is what lines come to; priced is false where not all of them say what they cost.
func worthOf(lines []order.Line) (sum int64, priced bool) {
	for _, line := range lines {
		cost, ok := money.Of(line.PriceMinor, line.Quantity)
		if !ok || line.PriceMinor == 0 {
			return 0, false
		}
		sum = money.Add(sum, cost)
	}
	return sum, len(lines) > 0
}

func cancelled(p foreign.Object, id string) order.Report {
	return order.ReportCancelled{OrderID: id, Reason: p.Text(200, "reason")}
}

func refunded(p foreign.Object, id string) order.Report {
	value, ok := amount(p, "total", "value", "revenue")
	items, all := returned(p)
	if !ok || !all {
		return nil
	}
	return order.ReportRefund{OrderID: id, RefundID: p.ID(128, "refund_id"), TransactionID: transaction(p, id), Amount: value, Items: items}
}

// transaction is what the provider knows a refund by. Google's refund names its order so.
func transaction(p foreign.Object, orderID string) string {
	if id := p.ID(128, "transaction_id"); id != orderID {
		return id
	}
	return ""
}

func refundFailed(p foreign.Object, id string) order.Report {
	value, ok := amount(p, "total", "value", "revenue")
	if !ok {
		return nil
	}
	return order.ReportRefundFailed{
		OrderID: id, RefundID: p.ID(128, "refund_id"), TransactionID: transaction(p, id), Code: p.Text(200, "reason"), Amount: value,
	}
}

// commerce maps the other e-commerce events of the Segment specification, version 2. Nothing for an event that is another, or lacks
// what it must have: it is then kept as it came.
func commerce(m Message, p foreign.Object) any {
	switch m.Means() {
	case "Products Searched":
		if q := p.Text(1000, query...); must(p, q, query...) {
			return activity.SearchPerformed{Query: q, ResultsCount: count(p, "results_count"), SessionID: id(p, sessionID...), Context: context(m)}
		}
	case "Product Viewed", "Product Clicked":
		p := oneProduct(p)
		if product := id(p, productNames(p)...); must(p, product, productNames(p)...) {
			currency := currency(p)
			worth, _ := minor(p, currency, price...)
			return activity.ProductViewed{
				ProductID: product, ProductName: p.Text(500, itemName...), ProductCategory: p.Text(200, itemGroup...), PriceMinor: worth, Currency: currency,
				ViewSource: oneOf(p, "view_source", "search", "category", "recommendation", "direct"), SessionID: id(p, sessionID...), Context: context(m),
			}
		}
	case "Product Added":
		p := oneProduct(p)
		if cart, product := id(p, cartID...), id(p, productNames(p)...); must(p, cart, cartID...) && must(p, product, productNames(p)...) {
			currency := currency(p)
			worth, _ := minor(p, currency, price...)
			return activity.ItemAddedToCart{
				CartID: cart, ProductID: product, ProductName: p.Text(500, itemName...), Quantity: pieces(p), PriceMinor: worth, Currency: currency, Context: context(m),
			}
		}
	case "Product Removed":
		p := oneProduct(p)
		if cart, product := id(p, cartID...), id(p, productNames(p)...); must(p, cart, cartID...) && must(p, product, productNames(p)...) {
			return activity.ItemRemovedFromCart{CartID: cart, ProductID: product, Quantity: pieces(p), Context: context(m)}
		}
	default:
		return checkout(m, p)
	}
	return nil
}

// checkout maps what is done with a cart as a whole, likewise.
func checkout(m Message, p foreign.Object) any {
	switch m.Means() {
	case "Cart Viewed":
		if cart := id(p, cartID...); must(p, cart, cartID...) {
			return activity.CartViewed{CartID: cart, Context: context(m)}
		}
	case "Checkout Started":
		currency := currency(p)
		value, _ := minor(p, currency, "value", "revenue")
		list, _ := p.Objects(products...)
		items := int64(len(list))
		if n := count(p, "num_items"); n != nil && items == 0 {
			items = *n
		}
		return activity.CheckoutStarted{
			CartID: id(p, cartID...), OrderID: id(p, orderID...), CartValueMinor: value, Currency: currency, ItemCount: items, Context: context(m),
		}
	case "Checkout Step Completed":
		step := count(p, "step")
		if step == nil {
			return nil
		}
		if *step < 1 {
			p.Note("step", foreign.OutOfRange)
			return nil
		}
		names := []string{"shipping", "payment", "review"}
		done := activity.CheckoutStepCompleted{CheckoutID: id(p, checkoutID...), StepNumber: *step, Context: context(m)}
		if *step <= int64(len(names)) {
			done.Step = names[*step-1]
		}
		return done
	}
	return nil
}

// count is a number of things, nil where none is told.
func count(p foreign.Object, name string) *int64 {
	n, told := p.Whole(name)
	if told != foreign.Read {
		return nil
	}
	return &n
}

// oneOf is a member's text that is one of a few, "" for none; another one is noted.
func oneOf(p foreign.Object, name string, texts ...string) string {
	text := p.Text(50, name)
	if text != "" && !slices.Contains(texts, text) {
		p.Note(name, foreign.Unknown)
		return ""
	}
	return text
}
