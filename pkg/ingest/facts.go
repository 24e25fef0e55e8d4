package ingest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/activity"
	"defter/pkg/channel"
	"defter/pkg/customer"
	"defter/pkg/insight"
	"defter/pkg/money"
	"defter/pkg/order"
)

// Facts returns what a track, page or screen message says happened.
func Facts(m Message, s Source) []any {
	var p properties
	p.read(m.Properties)
	switch m.Type {
	case "page":
		return []any{activity.PageViewed{
			PageURL: clipText(first(p.text("url"), m.Context.Page.URL), 2048), PageTitle: clipText(first(p.text("title"), m.Context.Page.Title), 500),
			Referrer: clipText(first(p.text("referrer"), m.Context.Page.Referrer), 2048), Name: clipText(m.Name, 200), Category: clipText(m.Category, 200),
			SessionID: p.id("sessionId", "session_id"), Properties: p.rest("url", "title", "referrer", "sessionId", "session_id"), Context: context(m),
		}}
	case "screen":
		return []any{activity.ScreenViewed{
			Name: clipText(m.Name, 200), Category: clipText(m.Category, 200), SessionID: p.id("sessionId", "session_id"),
			Properties: p.rest("sessionId", "session_id"), Context: context(m),
		}}
	}
	if known := commerce(m, s, p); known != nil {
		return known
	}
	if known := reported(m, s, p); known != nil {
		return []any{known}
	}
	if known := insights(m, s, p); known != nil {
		return []any{known}
	}
	if known := engagement(m, p); known != nil {
		return []any{known}
	}
	return []any{activity.EventTracked{Event: clipText(m.Event, 200), Properties: p.rest(), Context: context(m)}}
}

// commerce maps the e-commerce events of the Segment specification, version 2. Nothing for an event that is another, or
// lacks what it must have: it is then kept as it came.
func commerce(m Message, s Source, p properties) []any {
	currency := p.currency()
	switch m.Event {
	case "Products Searched":
		if q := p.text("query"); q != "" {
			return []any{activity.SearchPerformed{Query: clipText(q, 1000), ResultsCount: p.count("results_count"), SessionID: p.id("sessionId", "session_id"), Context: context(m)}}
		}
	case "Product Viewed", "Product Clicked":
		if id := p.id("product_id", "sku"); id != "" {
			price, _ := p.minor(currency, "price")
			return []any{activity.ProductViewed{
				ProductID: id, ProductName: clipText(p.text("name"), 500), ProductCategory: clipText(p.text("category"), 200),
				PriceMinor: price, Currency: currency, ViewSource: viewSource(p.text("view_source")), SessionID: p.id("sessionId", "session_id"), Context: context(m),
			}}
		}
	case "Product Added":
		if cart, id := p.id("cart_id"), p.id("product_id", "sku"); cart != "" && id != "" {
			price, _ := p.minor(currency, "price")
			return []any{activity.ItemAddedToCart{
				CartID: cart, ProductID: id, ProductName: clipText(p.text("name"), 500), Quantity: p.quantity(), PriceMinor: price, Currency: currency, Context: context(m),
			}}
		}
	case "Product Removed":
		if cart, id := p.id("cart_id"), p.id("product_id", "sku"); cart != "" && id != "" {
			return []any{activity.ItemRemovedFromCart{CartID: cart, ProductID: id, Quantity: p.quantity(), Context: context(m)}}
		}
	case "Cart Viewed":
		if cart := p.id("cart_id"); cart != "" {
			return []any{activity.CartViewed{CartID: cart, Context: context(m)}}
		}
	case "Checkout Started":
		value, _ := p.minor(currency, "value", "revenue")
		return []any{activity.CheckoutStarted{
			CartID: p.id("cart_id"), OrderID: p.id("order_id"), CartValueMinor: value, Currency: currency, ItemCount: int64(len(p.lines(currency))), Context: context(m),
		}}
	case "Checkout Step Completed":
		if step := p.count("step"); step != nil && *step >= 1 {
			names := []string{"shipping", "payment", "review"}
			done := activity.CheckoutStepCompleted{CheckoutID: p.id("checkout_id"), StepNumber: *step, Context: context(m)}
			if int(*step) <= len(names) {
				done.Step = names[*step-1]
			}
			return []any{done}
		}
	case "Order Completed":
		total, ok := p.minor(currency, "total", "revenue", "value")
		id := p.id("order_id")
		if !s.Trusted || !ok || id == "" || total < 0 {
			return nil
		}
		subtotal, _ := p.minor(currency, "subtotal")
		discount, _ := p.minor(currency, "discount")
		tax, _ := p.minor(currency, "tax")
		shipping, _ := p.minor(currency, "shipping")
		return []any{order.ReportPlaced{
			Placed: order.Placed{
				OrderID: id, CartID: p.id("cart_id"), Items: p.lines(currency), SubtotalMinor: subtotal, DiscountMinor: discount, TaxMinor: tax,
				ShippingMinor: shipping, TotalMinor: total, Currency: currency,
			},
			Total: p.amount("total", "revenue", "value"),
		}}
	case "Order Cancelled":
		if id := p.id("order_id"); s.Trusted && id != "" {
			return []any{order.ReportCancelled{OrderID: id, Reason: p.text("reason")}}
		}
	case "Order Refunded":
		if id := p.id("order_id"); s.Trusted && id != "" {
			return []any{order.ReportRefund{
				OrderID: id, RefundID: p.id("refund_id"), TransactionID: p.id("transaction_id"), Amount: p.amount("total", "value", "revenue"), Items: p.returned(),
			}}
		}
	case RefundFailed:
		if id := p.id("order_id"); s.Trusted && id != "" {
			return []any{order.ReportRefundFailed{
				OrderID: id, RefundID: p.id("refund_id"), TransactionID: p.id("transaction_id"), Code: p.text("reason"), Amount: p.amount("total", "value", "revenue"),
			}}
		}
	}
	return nil
}

// engagement maps what people do besides buying: Segment's specifications of A/B tests, video and B2B SaaS, and the names
// that shops give to comparing products and reading reviews. Nothing for an event that is another, or lacks what it must
// have.
func engagement(m Message, p properties) any {
	session := p.id("sessionId", "session_id")
	switch m.Event {
	case "Products Compared", "Product Compared":
		ids := p.ids("product_ids")
		for _, product := range p.objects("products") {
			if id := product.id("product_id", "sku"); id != "" && len(ids) < 100 {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			return activity.ProductCompared{
				ProductIDs: ids, ComparisonAttributes: p.ids("attributes", "comparison_attributes"), SessionID: session,
				Properties: p.rest("product_ids", "products", "attributes", "comparison_attributes", "sessionId", "session_id"), Context: context(m),
			}
		}
	case "Review Read", "Product Review Read":
		if id := p.id("product_id", "sku"); id != "" {
			return activity.ReviewRead{
				ProductID: id, ReviewID: p.id("review_id"), Rating: clipText(p.id("rating"), 10), SessionID: session,
				Properties: p.rest("product_id", "sku", "review_id", "rating", "sessionId", "session_id"), Context: context(m),
			}
		}
	case "Video Watched", "Video Playback Completed", "Video Content Completed":
		if id := p.id("video_id", "asset_id", "content_asset_id"); id != "" {
			watched, total := p.seconds("watch_duration", "position"), p.seconds("total_length", "total_duration", "duration")
			if watched == 0 && m.Event != "Video Watched" {
				watched = total // completed
			}
			v := activity.VideoWatched{
				VideoID: id, ProductID: p.id("product_id"), WatchDuration: watched, TotalDuration: total, SessionID: session,
				Properties: p.rest("video_id", "asset_id", "content_asset_id", "product_id", "watch_duration", "position", "total_length",
					"total_duration", "duration", "sessionId", "session_id"), Context: context(m),
			}
			if total > 0 {
				v.CompletionRate = min(100, 100*watched/total)
			}
			return v
		}
	case "Experiment Viewed":
		if id := p.id("experiment_id", "experimentId", "experiment_name"); id != "" {
			return activity.ExperimentExposed{
				ExperimentID: id, ExperimentName: clipText(p.text("experiment_name", "experimentName"), 200), VariationID: p.id("variation_id", "variationId"),
				VariationName: clipText(p.text("variation_name", "variationName"), 200),
				Properties: p.rest("experiment_id", "experimentId", "experiment_name", "experimentName", "variation_id", "variationId", "variation_name",
					"variationName"), Context: context(m),
			}
		}
	case "Signed Up":
		return activity.SignedUp{Method: clipText(p.text("method"), 100), Properties: p.rest("method"), Context: context(m)}
	case "Signed In":
		return activity.LoggedIn{Method: clipText(p.text("method"), 100), Properties: p.rest("method"), Context: context(m)}
	}
	return nil
}

// reported maps the email events of the Segment specification, which mail services send. Nothing for an event that is
// another, and for a source that is not trusted: anybody could end a customer's consent.
func reported(m Message, s Source, p properties) any {
	if !s.Trusted {
		return nil
	}
	const email = "email"
	id, campaign := p.id("message_id", "email_id"), p.id("campaign_id", "campaign_name")
	switch m.Event {
	case "Email Delivered":
		return channel.Delivered{Channel: email, MessageID: id, Campaign: campaign}
	case "Email Opened":
		return channel.Opened{Channel: email, MessageID: id, Campaign: campaign}
	case "Email Link Clicked":
		return channel.Clicked{Channel: email, MessageID: id, Campaign: campaign, URL: clipText(p.text("link_url"), 2048)}
	case "Email Bounced":
		permanent := slices.Contains([]string{"bounce", "hard", "permanent"}, strings.ToLower(p.text("bounce_type")))
		return channel.Bounced{Channel: email, MessageID: id, Campaign: campaign, Permanent: permanent, Reason: clipText(p.text("reason"), 500), Address: clipText(p.text("email"), 254)}
	case "Email Marked as Spam":
		return channel.Complained{Channel: email, MessageID: id, Campaign: campaign}
	case "Unsubscribed":
		return channel.Unsubscribed{Channel: email, MessageID: id, Campaign: campaign}
	}
	return nil
}

// insights maps what other systems of the business found out. Nothing for an event that is another, lacks what it must have,
// or comes from a source that is not trusted.
func insights(m Message, s Source, p properties) any {
	if !s.Trusted {
		return nil
	}
	switch m.Event {
	case "Product Affinity Detected":
		var score float64
		if category := clipText(p.text("category"), 200); category != "" && json.Unmarshal(p["score"], &score) == nil && score >= 0 && score <= 1 {
			return insight.AffinityDetected{Category: category, AffinityScore: score, RecommendedProducts: p.ids("recommended_products")}
		}
	case "Integration Synced":
		if name := clipText(p.text("integration"), 100); name != "" {
			return insight.IntegrationSynced{Integration: name, Action: clipText(p.text("action"), 100)}
		}
	case "Touchpoint Recorded":
		if on := p.text("channel"); slices.Contains([]string{"email", "sms", "push", "web", "social", "paid-ad"}, on) {
			touch := insight.TouchpointRecorded{Channel: on, Campaign: clipText(p.text("campaign"), 200), EventType: clipText(p.text("event_type"), 100)}
			if value, ok := p.minor(p.currency(), "value"); ok {
				touch.ValueMinor, touch.Currency = value, p.currency()
			}
			return touch
		}
	case "Attribution Calculated":
		models := []string{"first-touch", "last-touch", "linear", "time-decay", "position-based"}
		credits := p.objects("credits")
		if id := p.id("order_id"); id != "" && slices.Contains(models, p.text("model")) && len(credits) <= 100 {
			found := insight.AttributionCalculated{OrderID: id, Model: p.text("model"), Currency: p.currency(), Credits: []insight.Credit{}}
			for _, c := range credits {
				value, _ := c.minor(found.Currency, "value")
				credit := insight.Credit{Channel: clipText(c.text("channel"), 50), Campaign: clipText(c.text("campaign"), 200), ValueMinor: value}
				if n := c.count("touch_count"); n != nil {
					credit.TouchCount = *n
				}
				found.Credits = append(found.Credits, credit)
			}
			return found
		}
	}
	return nil
}

// Identify returns the command that takes over a message's traits.
func Identify(m Message, s Source, externalID, visitorID string) customer.Identify {
	var p properties
	p.read(m.Context.Traits)
	var own properties
	own.read(m.Traits)
	maps.Copy(p, own)
	c := customer.Identify{
		Email: p.text("email"), Source: "api", ExternalID: externalID, VisitorID: visitorID,
		IPAddress: clipText(m.Context.IP, 45), UserAgent: clipText(m.Context.UserAgent, 512), At: m.OccurredAt, Timed: m.Timed,
	}
	if !s.Trusted {
		c.Source = "web"
	}
	u := &c.Profile
	u.Today = m.OccurredAt.UTC().Format(time.DateOnly)
	u.FirstName, u.LastName = p.optional("firstName", "first_name"), p.optional("lastName", "last_name")
	if name := p.text("name"); name != "" && u.FirstName == nil && u.LastName == nil {
		given, family, _ := strings.Cut(name, " ")
		u.FirstName, u.LastName = &given, &family
	}
	u.Phone = p.optional("phone")
	if born := p.text("birthday", "dateOfBirth"); len(born) >= 10 {
		born = born[:10]
		u.DateOfBirth = &born
	}
	if raw, ok := p["address"]; ok {
		var a properties
		a.read(raw)
		given := customer.Address{
			Line1: a.text("street", "line1"), Line2: a.text("line2"), City: a.text("city"), Region: a.text("state", "region"),
			PostalCode: a.text("postalCode", "postal_code", "zip"), Country: a.text("country"),
		}
		if given != (customer.Address{}) { // nothing that could be read must not replace what is known
			u.Address = &given
		}
	}
	known := []string{"email", "firstName", "first_name", "lastName", "last_name", "name", "phone", "birthday", "dateOfBirth", "address"}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if slices.Contains(known, name) || name == "" || len(name) > 100 {
			continue
		}
		var value any
		if json.Unmarshal(p[name], &value) == nil {
			if u.Attributes == nil {
				u.Attributes = map[string]any{}
			}
			u.Attributes[name] = value
		}
	}
	return c
}

func context(m Message) *activity.Context {
	c := activity.Context{
		IPAddress: clipText(m.Context.IP, 45), UserAgent: clipText(m.Context.UserAgent, 512), Locale: clipText(m.Context.Locale, 35),
		Timezone: clipText(m.Context.Timezone, 64), OriginalTimestamp: m.Claimed,
	}
	if m.Type == "track" {
		c.PageURL, c.Referrer = clipText(m.Context.Page.URL, 2048), clipText(m.Context.Page.Referrer, 2048)
	}
	if c == (activity.Context{}) {
		return nil
	}
	return &c
}

// properties are a JSON object's members, their numbers as written.
type properties map[string]json.RawMessage

func (p *properties) read(raw json.RawMessage) {
	*p = properties{}
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, p) // Parse has seen that it is an object or null
		if *p == nil {
			*p = properties{}
		}
	}
}

// text returns the first of the members that is a string.
func (p properties) text(names ...string) string {
	for _, name := range names {
		var s string
		if json.Unmarshal(p[name], &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

func (p properties) optional(names ...string) *string {
	if s := p.text(names...); s != "" {
		return &s
	}
	return nil
}

// id returns the first of the members that can be an id: a string, or a number as written.
func (p properties) id(names ...string) string {
	for _, name := range names {
		var i id
		if raw, ok := p[name]; ok && json.Unmarshal(raw, &i) == nil && i != "" && len(i) <= 128 {
			return string(i)
		}
	}
	return ""
}

func (p properties) currency() string {
	c := strings.ToUpper(p.text("currency"))
	if len(c) != 3 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "USD" // what the specification assumes
	}
	return c
}

// minor returns the first of the members that is an amount, in minor units.
func (p properties) minor(currency string, names ...string) (int64, bool) {
	for _, name := range names {
		raw := strings.Trim(string(p[name]), `"`)
		if raw == "" || raw == "null" {
			continue
		}
		if n, err := money.Minor(raw, currency); err == nil {
			return n, true
		}
	}
	return 0, false
}

// amount returns the first of the members that is told, as it was told: what cannot be read is not taken for what was left out.
func (p properties) amount(names ...string) order.Amount {
	for _, name := range names {
		if raw, told := p[name]; told {
			a := order.Amount{Decimal: strings.Trim(string(raw), `"`)}
			if a.Decimal == "" {
				a.Decimal = "none"
			}
			if p.text("currency") != "" {
				a.Currency = p.currency()
			}
			return a
		}
	}
	return order.Amount{}
}

// returned are the products of a refund, each once.
func (p properties) returned() (items []order.RefundItem) {
	at := map[string]int{}
	for _, product := range p.objects("products") {
		id := product.id("product_id", "sku")
		if i, known := at[id]; known {
			items[i].Quantity += product.quantity()
		} else if id != "" {
			at[id] = len(items)
			items = append(items, order.RefundItem{ProductID: id, Quantity: product.quantity()})
		}
	}
	return items
}

func (p properties) count(name string) *int64 {
	var n int64
	if raw, ok := p[name]; ok && json.Unmarshal(raw, &n) == nil && string(raw) != "null" {
		return &n
	}
	return nil
}

// seconds returns the first of the members that is a duration in seconds, cut to whole ones; at most a year.
func (p properties) seconds(names ...string) int64 {
	for _, name := range names {
		var n float64
		if raw, ok := p[name]; ok && json.Unmarshal(raw, &n) == nil && n > 0 && n < 366*24*60*60 {
			return int64(n)
		}
	}
	return 0
}

// ids returns the first of the members that is a list of ids, at most a hundred.
func (p properties) ids(names ...string) []string {
	for _, name := range names {
		var list []id
		if raw, ok := p[name]; !ok || json.Unmarshal(raw, &list) != nil {
			continue
		}
		var ids []string
		for _, i := range list[:min(len(list), 100)] {
			if i != "" && len(i) <= 128 {
				ids = append(ids, string(i))
			}
		}
		return ids
	}
	return nil
}

// objects returns a member's objects, at most 500.
func (p properties) objects(name string) []properties {
	var list []json.RawMessage
	if json.Unmarshal(p[name], &list) != nil {
		return nil
	}
	var objects []properties
	for _, raw := range list[:min(len(list), 500)] {
		if isObject(raw) {
			var o properties
			o.read(raw)
			objects = append(objects, o)
		}
	}
	return objects
}

func (p properties) quantity() int64 {
	if n := p.count("quantity"); n != nil && *n > 0 {
		return *n
	}
	return 1
}

func (p properties) lines(currency string) []order.Line {
	var lines []order.Line
	for _, product := range p.objects("products") {
		price, _ := product.minor(currency, "price")
		lines = append(lines, order.Line{
			ProductID: product.id("product_id", "sku"), ProductName: clipText(product.text("name"), 500),
			Category: clipText(product.text("category"), 200), Quantity: product.quantity(), PriceMinor: price,
		})
	}
	return lines
}

// rest returns the other members, nothing if there are none.
func (p properties) rest(but ...string) json.RawMessage {
	kept := maps.Clone(p)
	for _, name := range but {
		delete(kept, name)
	}
	if len(kept) == 0 {
		return nil
	}
	raw, err := json.Marshal(kept)
	if err != nil { // its members were read from JSON
		return nil
	}
	return raw
}

func viewSource(s string) string {
	if slices.Contains([]string{"search", "category", "recommendation", "direct"}, s) {
		return s
	}
	return ""
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
