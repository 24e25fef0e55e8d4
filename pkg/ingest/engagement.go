package ingest

import (
	"slices"
	"strings"

	"defter/pkg/activity"
	"defter/pkg/channel"
	"defter/pkg/foreign"
	"defter/pkg/insight"
)

// engagement maps what people do besides buying: Segment's specifications of A/B tests, video and B2B SaaS, and the names
// that shops give to comparing products and reading reviews. Nothing for an event that is another, or lacks what it must
// have.
func engagement(m Message, p foreign.Object) any {
	switch m.Means() {
	case "Products Compared", "Product Compared":
		ids := p.IDs(100, 128, "product_ids")
		list, _ := p.Objects(products...)
		for _, product := range list {
			if product := id(product, productNames(product)...); product != "" && len(ids) < 100 {
				ids = append(ids, product)
			}
		}
		if len(ids) > 0 {
			return activity.ProductCompared{
				ProductIDs: ids, ComparisonAttributes: p.IDs(100, 128, "attributes", "comparison_attributes"), SessionID: id(p, sessionID...),
				Properties: p.Rest("product_ids", "products", "attributes", "comparison_attributes", "session_id"), Context: context(m),
			}
		}
	case "Review Read", "Product Review Read":
		if product := id(p, productNames(p)...); must(p, product, productNames(p)...) {
			return activity.ReviewRead{
				ProductID: product, ReviewID: id(p, "review_id"), Rating: p.Text(10, "rating"), SessionID: id(p, sessionID...),
				Properties: p.Rest("product_id", "sku", "review_id", "rating", "session_id"), Context: context(m),
			}
		}
	case "Video Watched", "Video Playback Completed", "Video Content Completed":
		if video := id(p, "video_id", "asset_id", "content_asset_id"); must(p, video, "video_id", "asset_id", "content_asset_id") {
			watched, total := seconds(p, "watch_duration", "position"), seconds(p, "total_length", "total_duration", "duration")
			if watched == 0 && m.Means() != "Video Watched" {
				watched = total // completed
			}
			v := activity.VideoWatched{
				VideoID: video, ProductID: id(p, "product_id"), WatchDuration: watched, TotalDuration: total, SessionID: id(p, sessionID...),
				Properties: p.Rest("video_id", "asset_id", "content_asset_id", "product_id", "watch_duration", "position", "total_length",
					"total_duration", "duration", "session_id"), Context: context(m),
			}
			if total > 0 {
				v.CompletionRate = min(100, 100*watched/total)
			}
			return v
		}
	case "Experiment Viewed":
		if experiment := id(p, "experiment_id", "experiment_name"); must(p, experiment, "experiment_id", "experiment_name") {
			return activity.ExperimentExposed{
				ExperimentID: experiment, ExperimentName: p.Text(200, "experiment_name"), VariationID: id(p, "variation_id"),
				VariationName: p.Text(200, "variation_name"),
				Properties:    p.Rest("experiment_id", "experiment_name", "variation_id", "variation_name"), Context: context(m),
			}
		}
	case "Signed Up":
		return activity.SignedUp{Method: p.Text(100, "method"), Properties: p.Rest("method"), Context: context(m)}
	case "Signed In":
		return activity.LoggedIn{Method: p.Text(100, "method"), Properties: p.Rest("method"), Context: context(m)}
	}
	return nil
}

// reported maps the email events of the Segment specification, which mail services send. Nothing for an event that is
// another, and for a source that is not trusted: anybody could end a customer's consent.
func reported(m Message, s Source, p foreign.Object) any {
	if !s.Trusted {
		return nil
	}
	const email = "email"
	message := func() string { return id(p, "message_id", "email_id") }
	campaign := func() string { return id(p, "campaign_id", "campaign_name") }
	switch m.Means() {
	case "Email Delivered":
		return channel.Delivered{Channel: email, MessageID: message(), Campaign: campaign()}
	case "Email Opened":
		return channel.Opened{Channel: email, MessageID: message(), Campaign: campaign()}
	case "Email Link Clicked":
		return channel.Clicked{Channel: email, MessageID: message(), Campaign: campaign(), URL: p.Text(2048, "link_url")}
	case "Email Bounced":
		permanent := slices.Contains([]string{"bounce", "hard", "permanent"}, strings.ToLower(p.Text(20, "bounce_type")))
		return channel.Bounced{Channel: email, MessageID: message(), Campaign: campaign(), Permanent: permanent, Reason: p.Text(500, "reason"), Address: p.Text(254, "email")}
	case "Email Marked as Spam":
		return channel.Complained{Channel: email, MessageID: message(), Campaign: campaign()}
	case "Unsubscribed":
		return channel.Unsubscribed{Channel: email, MessageID: message(), Campaign: campaign()}
	}
	return nil
}

// insights maps what other systems of the business found out. Nothing for an event that is another, lacks what it must have,
// or comes from a source that is not trusted.
func insights(m Message, s Source, p foreign.Object) any {
	if !s.Trusted {
		return nil
	}
	switch m.Means() {
	case "Product Affinity Detected":
		number, told := p.Decimal("score")
		if category := p.Text(200, "category"); category != "" && told == foreign.Read {
			if score := foreign.Float(number); score >= 0 && score <= 1 {
				return insight.AffinityDetected{Category: category, AffinityScore: score, RecommendedProducts: p.IDs(100, 128, "recommended_products")}
			}
			p.Note("score", foreign.OutOfRange)
		}
	case "Integration Synced":
		if name := p.Text(100, "integration"); name != "" {
			return insight.IntegrationSynced{Integration: name, Action: p.Text(100, "action")}
		}
	case "Touchpoint Recorded":
		if on := oneOf(p, "channel", "email", "sms", "push", "web", "social", "paid-ad"); on != "" {
			touch := insight.TouchpointRecorded{Channel: on, Campaign: p.Text(200, "campaign"), EventType: p.Text(100, "event_type")}
			currency := currency(p)
			if value, told := minor(p, currency, "value"); told == foreign.Read {
				touch.ValueMinor, touch.Currency = value, currency
			}
			return touch
		}
	case "Attribution Calculated":
		credits, _ := p.Objects("credits")
		if order, model := id(p, orderID...), oneOf(p, "model", "first-touch", "last-touch", "linear", "time-decay", "position-based"); order != "" && model != "" && len(credits) <= 100 {
			found := insight.AttributionCalculated{OrderID: order, Model: model, Currency: currency(p), Credits: []insight.Credit{}}
			for _, c := range credits {
				value, _ := minor(c, found.Currency, "value")
				credit := insight.Credit{Channel: c.Text(50, "channel"), Campaign: c.Text(200, "campaign"), ValueMinor: value}
				if n := count(c, "touch_count"); n != nil {
					credit.TouchCount = *n
				}
				found.Credits = append(found.Credits, credit)
			}
			return found
		}
	}
	return nil
}

// seconds returns the first of the members that says a duration in seconds, cut to whole ones; at most a year.
func seconds(p foreign.Object, names ...string) int64 {
	number, told := p.Decimal(names...)
	if told != foreign.Read {
		return 0
	}
	n := foreign.Float(number)
	if n < 0 || n >= 366*24*60*60 {
		p.Note(names[0], foreign.OutOfRange)
		return 0
	}
	return int64(n)
}
