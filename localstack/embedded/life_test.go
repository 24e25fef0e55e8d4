package embedded

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// chosen is an id or a text that a client chose, with something personal in it.
func chosen(what string) string { return what + "-of-ada@chosen.example" }

// tell lives the life of somebody about whom everything is known.
func tell(s *story) customer {
	s.Helper()
	former := s.formerly()
	keyed := func() *story { return s.with("Idempotency-Key", unique("key"), "User-Agent", "Firefox-Agent") }
	address := "ada.lovelace@mail.example"
	visitor := unique("visitor")
	context := contextOf()
	s.sdk().post("/v1/page", m{"anonymousId": visitor, "name": "My Account of Ada", "context": context}).expect(200)
	s.sdk().post("/v1/identify", m{"anonymousId": visitor, "traits": m{"email": address, "note": "secret-trait"}, "context": context}).expect(200)
	a := keyed().post("/v1/customers", m{
		"email": strings.ToUpper(address), "firstName": "Ada-Given", "lastName": "Lovelace-Family", "phone": "+44 20 7946 0018", "marketingConsent": true,
		"termsAccepted": true, "ipAddress": "203.0.113.77", "userAgent": "Firefox-Agent",
	}).expect(201)
	c := customer{s, a.text("customerId"), address}
	s.mailed(address, 1)
	keyed().patch(c.path(""), m{
		"firstName": "Augusta-Given", "lastName": "King-Family", "phone": "+44 20 7946 0019", "dateOfBirth": "1915-12-10",
		"address":    m{"line1": "12 St James", "line2": "Square-Line", "city": "Ockham-City", "postalCode": "SW1Y-Code", "region": chosen("region"), "country": chosen("country")},
		"attributes": m{"note": "secret-attribute"},
	}).expect(200)
	keyed().patch(c.path(""), m{"dateOfBirth": "1915-12-11", "address": m{"line1": "elsewhere"}}).expect(200)
	for _, next := range []string{"augusta.king@mail.example", "third.address@mail.example"} {
		keyed().put(c.path("/email"), m{"email": next, "ipAddress": "2001:db8::77"}).expect(200)
		s.mailed(next, 1)
	}
	keyed().post(c.path("/consents"), m{"purpose": "analytics", "channel": "sms", "ipAddress": "2001:db8::77"}).expect(201)
	c.put(c.path("/preferences"), m{"emailFrequency": "daily", "categories": []string{"shoes"}}).expect(200)
	for kind, body := range map[string]m{
		"identify": {"anonymousId": visitor, "traits": m{"note": "secret-trait", "phone": "+44 20 7946 0018"}},
		"page":     {"name": "My Account of Ada", "category": chosen("category"), "properties": m{"url": "https://shop.example/orders/secret-path", "title": "My Account of Ada", "session_id": chosen("session"), "about": "secret-property"}},
		"screen":   {"name": "My Account of Ada", "category": chosen("category"), "properties": m{"session_id": chosen("session"), "about": "secret-property"}},
		"track":    {"event": chosen("Called"), "timestamp": chosen("moment"), "properties": m{"about": "secret-property"}},
		"group":    {"groupId": "Analytical Engines", "traits": m{"name": "Analytical Engines"}},
		"alias":    {"previousId": address},
		"batch": {"batch": []m{
			track(c.id, "Products Searched", m{"query": "red shoes for my sister"}),
			track(c.id, "Product Viewed", m{"product_id": "p-1", "name": "control-product"}),
			track(c.id, "Order Completed", m{"order_id": unique("order"), "total": 10}),
			{"type": "purr", "userId": c.id, "traits": m{"email": address, "note": "secret-quarantined"}},
			{"type": "track", "event": "Large", "anonymousId": visitor, "properties": m{"a": strings.Repeat("secret-large ", 3000)}},
			{"type": "track", "event": "Nobody's", "properties": m{"email": address}},
		}},
	} {
		body["userId"], body["context"] = c.id, context
		if kind == "page" || kind == "screen" {
			body["timestamp"] = chosen("moment")
		}
		s.sdk().with("Idempotency-Key", unique("key")).post("/v1/"+kind, body).expect(200)
	}
	s.advance("25h")
	s.mailed("third.address@mail.example", 2)
	keyed().post(c.path("/deactivation"), m{"reason": "customer-request", "notes": "by telephone, Mrs King-Family"}).expect(200)
	keyed().post(c.path("/reactivation"), m{}).expect(200)
	c.email = "third.address@mail.example"
	s.get("/v1/customers?email=" + c.email).expect(200)
	c.chooses(visitor)
	c.shops()
	c.hears(visitor)
	s.runs()
	s.sdk().post("/v1/alias", m{"userId": c.id, "previousId": former.id}).expect(200)
	eventually(c, "nothing left to do", func() bool { return s.get("/_local/stats").number("lag") == 0 })
	return c
}

// chooses tells everything else that clients can tell, with something personal in every id and text that they choose.
func (c customer) chooses(visitor string) {
	c.Helper()
	product := m{
		"product_id": chosen("product"), "sku": chosen("sku"), "name": chosen("product-name"), "category": chosen("category"), "brand": chosen("brand"), "variant": chosen("variant"),
		"coupon": chosen("coupon"), "quantity": 1, "price": 5, "currency": "EUR", "url": "https://shop.example/" + chosen("url"), "image_url": "https://shop.example/" + chosen("image"),
	}
	with := func(more m) m {
		all := m{"cart_id": chosen("cart"), "session_id": chosen("session"), "checkout_id": chosen("checkout"), "order_id": chosen("order"), "products": []m{product}}
		maps.Copy(all, product)
		maps.Copy(all, more)
		return all
	}
	context := contextOf()
	told := func(event string, more m) {
		message := track(c.id, event, with(more))
		message["context"], message["anonymousId"], message["timestamp"] = context, visitor, chosen("moment")
		c.sdk().post("/v1/track", message).expect(200)
	}
	for _, event := range []string{
		"Product List Viewed", "Product Viewed", "Product Clicked", "Products Searched", "Product Added", "Product Removed", "Product Shared", "Product Added to Wishlist",
		"Product Compared", "Products Compared", "Product Reviewed", "Review Read", "Cart Viewed", "Cart Shared", "Checkout Started", "Checkout Step Viewed", "Checkout Step Completed",
		"Payment Info Entered", "Coupon Entered", "Coupon Applied", "Promotion Viewed", "Promotion Clicked", "Signed Up", "Signed In", "Logged In", "Signed Out",
		"Experiment Viewed", "Video Playback Started", "Video Playback Completed", "Video Watched", "Email Delivered", "Email Opened", "Email Link Clicked", "Email Bounced",
		"Email Marked as Spam", "Unsubscribed", "Application Opened", "Affinity Computed", "Product Affinity Detected", "Integration Synced", "Third Party Integration Synced",
		"Touchpoint Recorded", "Attribution Calculated",
	} {
		told(event, m{
			"step": 1, "query": chosen("query"), "method": chosen("method"), "experiment_id": chosen("experiment"), "experiment_name": chosen("experiment-name"), "variation_id": chosen("variation"),
			"variation_name": chosen("variation-name"), "video_id": chosen("video"), "content_asset_id": chosen("asset"), "review_id": chosen("review"), "rating": "Ada-Given",
			"email_id": chosen("email"), "campaign": m{"name": chosen("campaign"), "id": chosen("campaign")}, "campaign_name": chosen("campaign"), "campaign_id": chosen("campaign"), "link_url": "https://" + chosen("link"), "message_id": chosen("message"),
			"integration": chosen("integration"), "action": chosen("action"), "event_type": chosen("event-type"), "channel": "email", "score": 0.5, "model": "linear", "value": 3,
			"list_id": chosen("list"), "promotion_id": chosen("promotion"), "creative": chosen("creative"), "position": chosen("position"), "reason": chosen("reason"), "bounce_type": chosen("bounce"),
			"product_ids": []string{chosen("product")}, "attributes": []string{chosen("attribute")}, "recommended_products": []string{chosen("product")}, "affinity_category": chosen("category"), "credits": []m{{"channel": "email", "campaign": chosen("campaign"), "value": 1}},
		})
	}
	told("Touchpoint Recorded", m{"channel": "email", "campaign": chosen("campaign"), "event_type": chosen("event-type")})
	told("Attribution Calculated", m{"model": "linear", "credits": []m{{"channel": chosen("channel"), "campaign": chosen("campaign"), "value": 1}}})
	told("Order Completed", m{"total": 5, "shipping": 1, "affiliation": chosen("affiliation"), "coupon": chosen("coupon"), "payment_id": chosen("payment")})
	told("Order Updated", m{"total": 5})
	told("Order Shipped", m{"carrier": chosen("carrier"), "tracking_number": chosen("tracking"), "estimated_delivery": "1915-12-10"})
	told("Order Delivered", m{"signed_by": chosen("signature")})
	told("Order Refunded", m{"total": 2, "refund_id": chosen("refund"), "transaction_id": chosen("transaction")})
	told("Order Completed", m{"order_id": chosen("second"), "total": 5})
	told("Order Cancelled", m{"order_id": chosen("second"), "reason": chosen("reason")})
	told("Order Shipped", m{"order_id": chosen("unknown-order"), "carrier": chosen("carrier")})
	c.sdk().post("/v1/group", m{"userId": c.id, "groupId": chosen("group"), "traits": m{"name": chosen("group-name")}}).expect(200)
	c.sdk().post("/v1/alias", m{"userId": c.id, "previousId": chosen("previous")}).expect(200)
	c.sdk().post("/v1/page", m{"anonymousId": chosen("visitor"), "userId": c.id, "name": chosen("page")}).expect(200)
	c.put(c.path("/preferences"), m{"categories": []string{chosen("preference")}, "pushCategories": []string{chosen("push")}}).expect(200)
	c.post(c.path("/consents"), m{"purpose": "essential", "channel": "push", "textVersion": chosen("wording"), "language": "en"}).expect(201)

	for path, body := range map[string]m{"anonymous/v-77": {"anonymousId": "v-77"}, "user/u-88": {"userId": "u-88"}} {
		c.post(c.path("/identities"), body).expect(201)
		eventually(c, path+" is hers", func() bool {
			return slices.ContainsFunc(c.get(c.path("/identities")).expect(200).list("identities"), func(i m) bool { return i["owned"] == true && strings.HasSuffix(path, i["id"].(string)) })
		})
		c.delete(c.path("/identities/" + path + "?reason=" + chosen("mistake"))).expect(200)
	}
	for range 2 { // the second only confirms the first
		c.sdk().post("/v1/identify", m{"userId": c.id, "timestamp": c.shown().text("updatedAt"), "traits": m{chosen("trait-name"): "x", "note": chosen("trait"), "address": m{"street": chosen("street")}}}).expect(200)
	}
	told("Product Added", m{"cart_id": chosen("left-cart"), "order_id": nil})
	told("Checkout Started", m{"cart_id": chosen("left-cart"), "order_id": nil})
	c.advance("2h")
	eventually(c, "the cart counts as abandoned", func() bool {
		return len(c.get(c.path("/events?types=CartAbandoned")).expect(200).list("events")) > 0
	})

	// Orders whose ids are a telephone number after a letter, and a name.
	for order, token := range map[string]string{"tel-905550102030": "ok", "ada-lovelace-order": "card_declined"} {
		basket := c.basket()
		basket["shippingAddress"], basket["billingAddress"] = addressOf(), addressOf()
		basket["items"] = []m{{"productId": chosen("product"), "productName": chosen("product-name"), "category": chosen("category"), "quantity": 2, "priceMinor": 2500}}
		basket["orderId"], basket["cartId"], basket["payment"] = order, chosen("cart"), m{"paymentMethod": "credit-card", "paymentToken": token}
		c.with("Idempotency-Key", unique("key")).post("/v1/orders", basket).expect(201)
	}
	eventually(c, "an order whose id tells something is paid", func() bool {
		return c.get("/v1/orders/tel-905550102030").expect(200).text("status") == "confirmed"
	})
	c.with("Idempotency-Key", unique("key")).post("/v1/orders/tel-905550102030/shipment", m{"carrier": chosen("carrier"), "trackingNumber": chosen("tracking"), "estimatedDelivery": "1915-12-10"}).expect(200)
	c.post("/v1/orders/tel-905550102030/delivery", m{"signedBy": chosen("signature")}).expect(200)
	c.post("/v1/orders/tel-905550102030/refunds", m{"refundId": "u905550102030", "reason": "other", "items": []m{{"productId": chosen("product"), "quantity": 1}}}).expect(202)
	eventually(c, "its money went back", func() bool {
		return strings.Contains(string(c.get("/v1/orders/tel-905550102030").expect(200).body), "RefundCompleted")
	})
	eventually(c, "nothing left to do", func() bool { return c.get("/_local/stats").number("lag") == 0 })
}

// contextOf is what SDKs say of where something was said.
func contextOf() m {
	return m{
		"ip": "203.0.113.77", "userAgent": "Firefox-Agent", "locale": chosen("locale"), "timezone": chosen("zone"), "sessionId": chosen("session"),
		"campaign": m{"name": chosen("campaign"), "source": chosen("source")}, "page": m{"url": "https://shop.example/orders/secret-path", "referrer": "https://secret-referrer"},
	}
}

// addressOf is an address that an order is sent to.
func addressOf() m {
	address := m{}
	for _, field := range []string{"name", "line1", "line2", "city", "region", "country"} {
		address[field] = chosen(field)
	}
	address["postalCode"] = "SW1Y-Code"
	return address
}

// plainly is a chosen id in the form that the API's own orders and refunds may have.
func plainly(what string) string { return unique("of-ada-lovelace-" + what) }

// formerly tells of a customer under whose id she was known years ago: the consents have ended, and the visits are archived.
func (s *story) formerly() customer {
	s.Helper()
	former := s.known(chosen("former"))
	server := s.source("server")
	server.says("/v1/identify", m{"userId": former.id, "traits": m{"note": "secret-trait", "firstName": "Ada-Given"}}).expect(200)
	for range 2 { // the second time it is renewed
		former.with("User-Agent", "Firefox-Agent").post(former.path("/consents"), m{
			"purpose": "marketing", "channel": "sms", "consentMethod": chosen("method"), "textVersion": chosen("wording"), "language": chosen("language"), "ipAddress": "203.0.113.77", "renew": true,
		}).expect(201)
		s.advance("1h")
	}
	for _, url := range []string{"orders/secret-path", chosen("path")} {
		server.says("/v1/page", m{"userId": former.id, "name": "My Account of Ada", "properties": m{"url": "https://shop.example/" + url}}).expect(200)
		s.advance("1h")
	}
	happens := func(after, eventType string) {
		s.Helper()
		s.advance(after)
		eventually(s, after+" later: "+eventType, func() bool { return former.happened(eventType) > 0 })
	}
	happens("2400h", "BehaviourArchived")
	happens(fmt.Sprintf("%dh", (2*365-20)*24-2400), "ConsentExpiring")
	happens("1000h", "ConsentExpired")
	return former
}

// shops tells what becomes of her orders when not everything goes well.
func (c customer) shops() {
	c.Helper()
	orders := func(token string) string {
		basket := c.basket("orderId", plainly("order"), "payment", m{"paymentMethod": "credit-card", "paymentToken": token})
		return "/v1/orders/" + c.post("/v1/orders", basket).expect(201).text("orderId")
	}
	refunds := func(path, eventType string) {
		c.Helper()
		c.becomes(path, "confirmed")
		c.post(path+"/refunds", m{"refundId": plainly("refund"), "reason": "other"}).expect(202)
		eventually(c, eventType, func() bool { return c.happened(eventType) > 0 })
	}
	c.becomes(orders(chosen("token")), "payment-failed")
	c.becomes(orders("card_declined"), "payment-failed")
	refunds(orders("ok;account_closed"), "RefundFailed")
	refunds(orders("ok;TIMEOUT,ok"), "RefundDelayed")
	path := orders("RATE_LIMIT,SERVICE_UNAVAILABLE,TIMEOUT")
	for attempt := 2; attempt <= 4; attempt++ {
		eventually(c, fmt.Sprint("attempt ", attempt, " waits"), func() bool { return c.get(path).number("payment.attempts") == attempt })
		c.advance("301s")
	}
	c.becomes(path, "payment-failed")
	reported := m{"order_id": chosen("reported"), "total": 5, "currency": "EUR", "refund_id": chosen("refund"), "transaction_id": chosen("transaction"), "reason": chosen("reason")}
	for _, event := range []string{"Order Completed", "Order Refunded", "Order Refund Failed"} {
		c.sdk().post("/v1/track", track(c.id, event, reported)).expect(200)
	}
}

// hears tells what becomes of messages to her, and what pages of a source that everybody can read say of her.
func (c customer) hears(visitor string) {
	c.Helper()
	token := func() string { return tokenInMail.FindString(c.mails(c.email)[0].Text) }
	c.post(c.path("/email-verification"), m{"token": token()}).expect(200)
	page := c.source("browser")
	page.says("/v1/identify", m{"userId": c.id, "traits": m{"email": "claimed-address@chosen.example", chosen("name"): chosen("claim")}}).expect(200)
	page.says("/v1/group", m{"userId": c.id, "groupId": chosen("group"), "traits": m{"name": chosen("group-name")}}).expect(200)
	page.says("/v1/identify", m{"anonymousId": visitor, "traits": m{"note": chosen("trait")}}).expect(200)

	happens := func(eventType string) {
		c.Helper()
		eventually(c, eventType, func() bool { return c.happened(eventType) > 0 })
	}
	c.put(c.path("/email"), m{"email": "refused." + c.email}).expect(200)
	happens("MessageFailed")
	c.sdk().post("/v1/track", track(c.id, "Email Bounced", m{"bounce_type": "permanent", "reason": chosen("bounce"), "message_id": chosen("message"), "campaign_id": chosen("campaign"), "email": "refused." + c.email})).expect(200)
	happens("CustomerEmailInvalidated")
	c.post(c.path("/email-verification"), m{}).expect(200)
	happens("MessageSuppressed")
}

// runs tells what the business changes of its own: sources and products, which are about nobody.
func (s *story) runs() {
	s.Helper()
	shop := s.source("server")
	path := "/v1/sources/" + shop.id
	s.patch(path, m{"requestsPerSecond": 10}).expect(200)
	s.post(path+"/write-keys", m{}).expect(201)
	for _, price := range []int{100, 200} {
		s.put("/v1/products/p-1", m{"quantity": price, "priceMinor": price, "currency": "EUR"}).expect(200)
	}
}
