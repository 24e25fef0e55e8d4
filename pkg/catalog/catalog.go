// Package catalog is the list of every event type there is.
package catalog

import (
	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/foreign"
	"defter/pkg/identity"
	"defter/pkg/insight"
	"defter/pkg/journey"
	"defter/pkg/order"
	"defter/pkg/preference"
	"defter/pkg/product"
	"defter/pkg/retention"
	"defter/pkg/segment"
	"defter/pkg/source"
)

// New makes the catalog of all event types.
func New() *eventstore.Catalog {
	c := eventstore.NewCatalog(
		customer.Events, consent.Events, preference.Events, activity.Events, cart.Events, order.Events, channel.Events, identity.Events, journey.Events, segment.Events, source.Events,
		retention.Events, product.Events, insight.Events,
	)
	c.Opaque = foreign.Opaque
	return c
}
