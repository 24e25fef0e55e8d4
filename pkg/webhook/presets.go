package webhook

import (
	"defter/pkg/money"
	"defter/pkg/source"
)

// stripeDigits are the decimal digits of Stripe's amounts where they are not those of ISO 4217 (docs.stripe.com/currencies,
// "Zero-decimal currencies" and "Special cases"): krónur and shillings lost their fractions, and are still sent as hundredths.
var stripeDigits = map[string]int{"ISK": 2, "UGX": 2, "MGA": 0}

func stripeMajor(amount int64, currency string) string {
	if digits, ok := stripeDigits[currency]; ok {
		return money.Decimal(amount, digits)
	}
	return money.Major(amount, currency)
}

// Presets are the rules of services that need none of their own, by the name of their signature.
var Presets = map[string]source.Webhook{
	// The order's id is in the metadata of what the shop made; the customer is the session's client reference.
	source.Stripe: {Rules: []source.Rule{
		{
			When: map[string]string{"$.body.type": "checkout.session.completed"}, Event: "Order Completed",
			UserID: "$.body.data.object.client_reference_id", MessageID: "$.body.id", Timestamp: "unix:$.body.created",
			Properties: map[string]string{
				"order_id": "$.body.data.object.metadata.order_id", "currency": "$.body.data.object.currency",
				"total": "minor:$.body.data.object.amount_total", "subtotal": "minor:$.body.data.object.amount_subtotal",
			},
		},
		{
			When: map[string]string{"$.body.type": "refund.created"}, Event: "Order Refunded",
			UserID: "$.body.data.object.metadata.customer_id", MessageID: "$.body.id", Timestamp: "unix:$.body.created",
			Properties: map[string]string{
				"order_id": "$.body.data.object.metadata.order_id", "refund_id": "$.body.data.object.id",
				"currency": "$.body.data.object.currency", "total": "minor:$.body.data.object.amount",
			},
		},
	}},
	source.Shopify: {Rules: []source.Rule{
		{
			When: map[string]string{"$.header['x-shopify-topic']": "orders/paid"}, Event: "Order Completed",
			UserID: "$.body.customer.id", MessageID: "$.header['x-shopify-webhook-id']", Timestamp: "$.body.created_at",
			Properties: map[string]string{
				"order_id": "$.body.id", "currency": "$.body.currency", "total": "$.body.total_price", "subtotal": "$.body.subtotal_price",
				"tax": "$.body.total_tax", "products": "$.body.line_items",
			},
		},
		{
			When: map[string]string{"$.header['x-shopify-topic']": "orders/cancelled"}, Event: "Order Cancelled",
			UserID: "$.body.customer.id", MessageID: "$.header['x-shopify-webhook-id']", Timestamp: "$.body.cancelled_at",
			Properties: map[string]string{"order_id": "$.body.id", "reason": "$.body.cancel_reason"},
		},
		{
			When: map[string]string{"$.header['x-shopify-topic']": "customers/update"}, Type: "identify",
			UserID: "$.body.id", MessageID: "$.header['x-shopify-webhook-id']", Timestamp: "$.body.updated_at",
			Properties: map[string]string{"email": "$.body.email", "firstName": "$.body.first_name", "lastName": "$.body.last_name", "phone": "$.body.phone"},
		},
	}},
	// The customer is the custom argument customerId of the message that was sent.
	source.SendGrid: {Each: "$.body[*]", Rules: []source.Rule{
		sendGrid("delivered", "Email Delivered"), sendGrid("open", "Email Opened"), sendGrid("click", "Email Link Clicked"),
		sendGrid("bounce", "Email Bounced"), sendGrid("spamreport", "Email Marked as Spam"), sendGrid("unsubscribe", "Unsubscribed"),
	}},
}

func sendGrid(event, is string) source.Rule {
	return source.Rule{
		When: map[string]string{"$.body.event": event}, Event: is,
		UserID: "$.body.customerId", MessageID: "$.body.sg_event_id", Timestamp: "unix:$.body.timestamp",
		Properties: map[string]string{"email_id": "$.body.sg_message_id", "link_url": "$.body.url", "reason": "$.body.reason", "bounce_type": "$.body.type", "email": "$.body.email"},
	}
}
