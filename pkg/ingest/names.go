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
)

// productNames are those of a product's id. In an object that has the specification's name, be it to say nothing, the name of the
// helpers is something else's: of a line of Shopify's orders, its own.
func productNames(p foreign.Object) []string {
	if p.Names("product_id") {
		return []string{"product_id", "sku"}
	}
	return []string{"product_id", "id", "sku", "sky"}
}

// events are what track events are called by the specifications that are understood, by what is common to all ways of writing them.
var events = func() map[string]string {
	names := make(map[string]string, len(spec))
	for _, name := range spec {
		names[commonName(name)] = name
	}
	for former, name := range map[string]string{ // of Segment's first specification, and Klaviyo's
		"completedorder": "Order Completed", "placedorder": "Order Completed", "refundedorder": "Order Refunded", "cancelledorder": "Order Cancelled",
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

// nearly is the name of the specification that an event's name only resembles, "" for none: names are compared as they are.
func nearly(event string) string {
	if name := events[commonName(event)]; name != event {
		return name
	}
	return ""
}

// worth are the fields of an order's event on which its worth depends, as notes name them.
var worth = []string{
	"event", "properties.order_id", "properties.total", "properties.currency", "properties.subtotal", "properties.discount", "properties.tax", "properties.shipping",
	"properties.products", "properties.products.product_id", "properties.products.quantity", "properties.products.price", "properties.refund_id", "properties.transaction_id",
}

// Doubt says why an order that a trusted source told of must be looked at, "" for no reason: something of what it is worth could
// not be read, or it is none after all. Everything else that was not read is told by the notes alone.
func Doubt(m Message, s Source) string {
	if !s.Trusted || m.Type != "track" || orderEvents[m.Event] == nil && orderEvents[nearly(m.Event)] == nil {
		return ""
	}
	_, notes := Facts(m, s)
	for _, note := range notes {
		if field, reason, _ := strings.Cut(note, ":"); reason != foreign.Cut && slices.Contains(worth, field) {
			return "an order that is not understood whole: " + field + " is " + reason
		}
	}
	return ""
}
