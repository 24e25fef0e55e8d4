package ingest

import (
	"slices"
	"strings"

	"defter/pkg/foreign"
)

// The names of properties: the specification's first, then what published helpers write in their place. Case and separators do not
// count (foreign.Object), so that orderId and OrderID need no entry.
//
//   - Segment's and RudderStack's Go clients (analytics-go v3.3.0 and v4.2.1, properties.go) and Segment's for Android
//     (analytics-android, Properties.java) write orderId, and the id of a product as id; the Go clients' Product its SKU as sky.
//   - Segment's own reader (npm @segment/facade 3.4.10, track.js) takes cartId, checkoutId and productId for the others.
//   - RudderStack's mobile clients (rudder-sdk-android, ecomm/ECommerceProduct.java) keep to the specification.
var (
	orderID    = []string{"order_id"}
	cartID     = []string{"cart_id"}
	checkoutID = []string{"checkout_id"}
	sessionID  = []string{"session_id"}
	total      = []string{"total", "revenue", "value"}
	products   = []string{"products", "items", "contents"}
	price      = []string{"price", "item_price"}
	itemName   = []string{"name", "item_name", "content_name"}
	itemGroup  = []string{"category", "item_category", "content_category"}
	query      = []string{"query", "search_term", "search_string"}
)

// others are the names that Google Analytics 4 (recommended events: view_item, purchase) and Meta's pixel (standard events: ViewContent,
// Purchase) have for what the specification calls otherwise. Their properties are read as they publish them: transaction_id is the order's,
// items and contents the products, item_id, item_name, item_price and so on theirs.
var others = map[string]string{
	"purchase": purchased, "refund": "Order Refunded", "view_item": "Product Viewed", "select_item": "Product Clicked", "view_item_list": "Product List Viewed",
	"add_to_cart": "Product Added", "remove_from_cart": "Product Removed", "view_cart": "Cart Viewed", "begin_checkout": "Checkout Started",
	"add_payment_info": "Payment Info Entered", "add_to_wishlist": "Product Added to Wishlist", "view_promotion": "Promotion Viewed",
	"select_promotion": "Promotion Clicked", "search": "Products Searched", "sign_up": "Signed Up", "login": "Signed In",

	"Purchase": purchased, "ViewContent": "Product Viewed", "AddToCart": "Product Added", "InitiateCheckout": "Checkout Started",
	"AddPaymentInfo": "Payment Info Entered", "AddToWishlist": "Product Added to Wishlist", "Search": "Products Searched", "CompleteRegistration": "Signed Up",
}

const purchased = "Order Completed"

// Means is the specification's name of what a track event tells, its own where it has none. Case and separators do not count: order_completed
// and " Order Completed" have no second meaning.
func (m Message) Means() string {
	if name, ok := others[m.Event]; ok {
		return name
	}
	if name, ok := specified[commonName(m.Event)]; ok {
		return name
	}
	return m.Event
}

// specified are the names of the specification by what is common to all ways of writing them.
var specified = func() map[string]string {
	names := make(map[string]string, len(spec))
	for _, name := range spec {
		names[commonName(name)] = name
	}
	return names
}()

// orderIDs are the names of an event's order: to Google's, it is its transaction.
func orderIDs(m Message) []string {
	if _, other := others[m.Event]; other {
		return []string{"order_id", "transaction_id"}
	}
	return orderID
}

// oneProduct is an event's product: what the event itself says, or the one element of its list. Of several there is none.
func oneProduct(p foreign.Object) foreign.Object {
	if id(p, productNames(p)...) != "" {
		return p
	}
	list, _ := p.Objects(products...)
	var ids []string // as Meta's pixel tells them that says no more
	if len(list) == 0 {
		ids = p.IDs(foreign.MaxObjects, 128, "content_ids")
	}
	switch {
	case len(list) == 1:
		return list[0].Over(p)
	case len(ids) == 1:
		return p.With("product_id", ids[0])
	case len(list) > 1 || len(ids) > 1:
		p.Note("products", foreign.Ambiguous)
	}
	return p
}

// productNames are those of a product's id. In an object that has the specification's name, be it to say nothing, the name of the
// helpers is something else's: of a line of Shopify's orders, its own.
func productNames(p foreign.Object) []string {
	if p.Names("product_id") {
		return []string{"product_id", "sku"}
	}
	return []string{"product_id", "item_id", "id", "sku", "sky"}
}

// events are what track events are called elsewhere than in the specification, by what is common to all ways of writing them.
var events = func() map[string]string {
	names := map[string]string{}
	for other, name := range others {
		names[commonName(other)] = name
	}
	for former, name := range map[string]string{ // of Segment's first specification, Klaviyo's, and what shops call it
		"completedorder": purchased, "placedorder": purchased, "refundedorder": "Order Refunded", "cancelledorder": "Order Cancelled",
		"orderplaced": purchased, "ordercreated": purchased, "orderpaid": purchased, "orderconfirmed": purchased, "ordersubmitted": purchased, "purchased": purchased,
		"purchasecompleted": purchased, "checkoutcompleted": purchased, "transactioncompleted": purchased, "ordercanceled": "Order Cancelled",
	} {
		names[former] = name
	}
	return names
}()

func commonName(event string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(event))
}

// nearly is the name of the specification that an event's name only resembles, "" for none.
func nearly(event string) string {
	if _, other := others[event]; other {
		return ""
	}
	return events[commonName(event)]
}

// worth are the fields of an order's event on which its worth depends, as notes name them.
var worth = []string{
	"event", "properties.order_id", "properties.total", "properties.currency", "properties.subtotal", "properties.discount", "properties.tax", "properties.shipping",
	"properties.products", "properties.products.product_id", "properties.products.quantity", "properties.products.price", "properties.refund_id", "properties.transaction_id",
}

// Doubt says why an order that a trusted source told of must be looked at, "" for no reason: something of what it is worth could
// not be read, or it is none after all. Everything else that was not read is told by the notes alone.
func Doubt(m Message, s Source) string {
	if !s.Trusted || m.Type != "track" || orderReader(m) == nil && orderEvents[nearly(m.Event)] == nil {
		return ""
	}
	_, notes := Facts(m, s)
	for _, note := range notes {
		if field, reason, _ := strings.Cut(note, ":"); reason != foreign.Cut && reason != foreign.Rounded && slices.Contains(worth, field) {
			return "an order that is not understood whole: " + field + " is " + reason
		}
	}
	return ""
}
