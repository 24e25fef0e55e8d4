package webhook

import (
	"maps"
	"slices"
	"strings"

	"defter/pkg/ingest"
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

// Preset is what the program makes of a service's deliveries by itself, and what it makes nothing of.
type Preset struct {
	Each    string
	Rules   []source.Rule
	Topics  map[string][]source.Rule // in the place of Rules, of a service that has one topic for each address
	Kind    string                   // the path to what a delivery, or an element of one, is; of topics none
	Ignored []Ignored
	// Docs is where the service lists what it sends, Whose how it says whom a delivery is about.
	Docs, Whose string
}

// Ignored are kinds of deliveries that no message is made of unless a rule fits, and why. One that ends in a star stands for all that
// begin so.
type Ignored struct {
	Kinds  []string
	Reason string
}

// Presets are what the program makes of the services that it knows, by the name of their signature.
var Presets = map[string]Preset{source.Stripe: stripe(), source.Shopify: shopify(), source.SendGrid: sendGrid()}

// ignores says whether a kind of delivery is to be ignored, and why.
func (p Preset) ignores(kind string) (reason string, ignored bool) {
	for _, i := range p.Ignored {
		for _, k := range i.Kinds {
			begin, all := strings.CutSuffix(k, "*")
			if kind != "" && (kind == k || all && strings.HasPrefix(kind, begin)) {
				return i.Reason, true
			}
		}
	}
	return "", false
}

// Rules are the rules of a webhook and what they are applied to each of: its own, or those of its preset.
func Rules(w source.Webhook) (each string, rules []source.Rule) {
	if len(w.Rules) > 0 {
		return w.Each, w.Rules
	}
	preset := Presets[w.Signature]
	if preset.Topics != nil {
		return preset.Each, preset.Topics[w.Topic]
	}
	return preset.Each, preset.Rules
}

// TopicsOf are the topics that a service's deliveries can be of, if it has any, in their order.
func TopicsOf(signature string) []string {
	return slices.Sorted(maps.Keys(Presets[signature].Topics))
}

// stripe: the order's id is in the metadata of what the shop made, and the customer is the session's client reference. A refund that was
// asked for here says so in its metadata, too. Money counts once it has moved.
func stripe() Preset {
	const object = "$.body.data.object."
	paid := func(event, status string) source.Rule {
		return source.Rule{
			When: map[string]string{"$.body.type": event, object + "payment_status": status, object + "amount_total": "*"}, Event: "Order Completed",
			UserID: object + "client_reference_id", MessageID: "$.body.id", Timestamp: "unix:$.body.created",
			Properties: map[string]string{
				"order_id": object + "metadata.order_id", "currency": object + "currency", "total": "minor:" + object + "amount_total",
				"subtotal": "minor:" + object + "amount_subtotal", "discount": "minor:" + object + "total_details.amount_discount",
				"tax": "minor:" + object + "total_details.amount_tax", "shipping": "minor:" + object + "total_details.amount_shipping",
			},
		}
	}
	refund := func(event, status, is string) source.Rule {
		return source.Rule{
			When: map[string]string{"$.body.type": event, object + "status": status}, Event: is,
			UserID: object + "metadata.customer_id", MessageID: "$.body.id", Timestamp: "unix:$.body.created",
			Properties: map[string]string{
				"order_id": object + "metadata.order_id", "refund_id": object + "metadata.refund_id", "transaction_id": object + "id",
				"currency": object + "currency", "total": "minor:" + object + "amount", "reason": object + "failure_reason",
			},
		}
	}
	p := Preset{Kind: "$.body.type", Docs: "https://docs.stripe.com/api/events/types", Whose: "A session's customer is its `client_reference_id`, its order the `order_id` of its metadata; " +
		"a refund's order is in the refund's own metadata, likewise.", Rules: []source.Rule{
		paid("checkout.session.completed", "paid"), paid("checkout.session.completed", "no_payment_required"), paid("checkout.session.async_payment_succeeded", "paid"),
	}}
	for _, event := range []string{"refund.created", "refund.updated", "charge.refund.updated"} {
		p.Rules = append(p.Rules, refund(event, "succeeded", "Order Refunded"))
	}
	for _, event := range []string{"refund.failed", "refund.updated", "charge.refund.updated"} {
		p.Rules = append(p.Rules, refund(event, "failed", ingest.RefundFailed), refund(event, "canceled", ingest.RefundFailed))
	}
	p.Ignored = []Ignored{
		{[]string{"checkout.session.completed"}, "the session is not paid yet, or there is nothing to pay: checkout.session.async_payment_succeeded follows when the money has moved"},
		{[]string{"checkout.session.async_payment_failed", "checkout.session.expired"}, "no money has moved, and nothing was counted"},
		{[]string{"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}, "the refund is pending, or waits for somebody: another event follows when the money has moved"},
		{[]string{"charge.refunded"}, "it tells what was given back in all: refund.created and refund.updated tell refund by refund"},
		{[]string{"charge.dispute.*"}, "disputes are not followed yet"},
		{[]string{"charge.*", "payment_intent.*", "payment_link.*", "setup_intent.*", "order.*"}, "the session that belongs to it tells what was bought, by whom, and when it is paid"},
		{[]string{"invoice.*", "invoiceitem.*", "invoice_payment.*", "credit_note.*", "customer.subscription.*", "subscription_schedule.*", "quote.*", "plan.*", "price.*", "product.*", "coupon.*", "promotion_code.*", "billing*", "entitlements.*", "test_helpers.*"},
			"subscriptions and their invoices are not followed"},
		{[]string{"customer.*", "payment_method.*", "mandate.*", "source.*", "cash_balance.*", "customer_cash_balance_transaction.*"}, "who a customer is, the shop knows better"},
		{[]string{
			"account.*", "application_fee.*", "balance*", "capability.*", "climate.*", "file.*", "financial_connections.*", "forwarding.*", "identity.*", "issuing_*", "payout.*",
			"person.*", "radar.*", "recipient.*", "reporting.*", "reserve.*", "review.*", "sigma.*", "sku.*", "tax.*", "tax_rate.*", "terminal.*", "topup.*", "transfer.*", "treasury.*",
			"transfer_reversal.*", "external_account.*", "bitcoin.*", "v1.*", "v2.*",
		}, "it is about the shop's account, and no order"},
	}
	return p
}

// shopify: Shopify signs the body alone. What a delivery is, its address says, which is of one topic; which order it is, and what became of
// it, its body says.
func shopify() Preset {
	order := func(topics map[string]string, event string, properties map[string]string, timestamp string) source.Rule {
		return source.Rule{When: topics, Event: event, UserID: "$.body.customer.id", Timestamp: timestamp, Properties: properties}
	}
	bought := func(status string) source.Rule {
		return order(map[string]string{"$.body.financial_status": status}, "Order Completed", map[string]string{
			"order_id": "$.body.id", "currency": "$.body.currency", "total": "$.body.total_price", "subtotal": "$.body.subtotal_price",
			"tax": "$.body.total_tax", "discount": "$.body.total_discounts", "shipping": "$.body.total_shipping_price_set.shop_money.amount", "products": "$.body.line_items",
		}, "$.body.created_at")
	}
	paid := []source.Rule{bought("paid"), bought("partially_refunded"), bought("refunded")}
	cancelled := order(map[string]string{"$.body.cancelled_at": "*"}, "Order Cancelled", map[string]string{"order_id": "$.body.id", "reason": "$.body.cancel_reason"}, "$.body.cancelled_at")
	// A refund is made of transactions, each of which moves money by itself, at its time or never.
	transaction := func(each, status, is string) source.Rule {
		return source.Rule{
			Each: each + "[?(@.kind == 'refund' && @.status == '" + status + "')]", Event: is, Timestamp: "$.item.created_at",
			Properties: map[string]string{"order_id": "$.item.order_id", "transaction_id": "$.item.id", "currency": "$.item.currency", "total": "$.item.amount", "reason": "$.item.error_code"},
		}
	}
	back := transaction("$.body.refunds[*].transactions", "success", "Order Refunded")
	moved := func(status, is string) source.Rule {
		return source.Rule{
			When: map[string]string{"$.body.kind": "refund", "$.body.status": status}, Event: is, Timestamp: "$.body.created_at",
			Properties: map[string]string{"order_id": "$.body.order_id", "transaction_id": "$.body.id", "currency": "$.body.currency", "total": "$.body.amount", "reason": "$.body.error_code"},
		}
	}
	person := []source.Rule{{
		Type: "identify", UserID: "$.body.id", Timestamp: "$.body.updated_at",
		Properties: map[string]string{"email": "$.body.email", "firstName": "$.body.first_name", "lastName": "$.body.last_name", "phone": "$.body.phone"},
	}}
	whole := append(slices.Clone(paid), cancelled, back)
	return Preset{
		Docs: "https://shopify.dev/docs/api/webhooks",
		Whose: "An order's customer is its `customer.id`. Money is the shop's own: what a refund says in the buyer's currency alone (`presentment_currency`) does not agree with " +
			"its order, and stays in the quarantine.",
		Topics: map[string][]source.Rule{
			"orders/create": paid, "orders/paid": paid, "orders/updated": whole, "orders/cancelled": {cancelled, back},
			"refunds/create":            {transaction("$.body.transactions", "success", "Order Refunded")},
			"order_transactions/create": {moved("success", "Order Refunded"), moved("failure", ingest.RefundFailed), moved("error", ingest.RefundFailed)},
			"customers/create":          person, "customers/update": person,
		},
		Ignored: shopifyIgnored,
	}
}

// shopifyIgnored are the topics that no message is made of.
var shopifyIgnored = []Ignored{
	{[]string{"orders/edited"}, "it tells what was changed; what an order comes to is taken when it is paid"},
	{[]string{"orders/delete"}, "only an order that is cancelled or was never paid can be deleted"},
	{[]string{"orders/fulfilled", "orders/partially_fulfilled", "fulfillments/*", "fulfillment_events/*", "fulfillment_holds/*", "fulfillment_orders/*"}, "what is on its way is not followed from Shopify"},
	{[]string{"orders/risk_assessment_changed", "orders/shopify_protect_eligibility_changed", "orders/link_requested"}, "it moves no money"},
	{[]string{"returns/*", "reverse_deliveries/*", "reverse_fulfillment_orders/*"}, "a return moves no money: refunds/create tells when it does"},
	{[]string{"disputes/*"}, "disputes are not followed yet"},
	{[]string{"checkouts/*", "carts/*", "draft_orders/*"}, "the shop's pages report carts and checkouts, with who fills them"},
	{[]string{"tender_transactions/*", "payment_schedules/*", "payment_terms/*"}, "orders/paid tells when an order is paid"},
	{[]string{"customers_email_marketing_consent/*", "customers_marketing_consent/*", "customers/email_marketing_consent_update", "customers/marketing_consent_update"},
		"a consent needs its proof, which Shopify does not tell"},
	{[]string{"customers/delete", "customers/redact", "customers/data_request", "shop/redact"}, "somebody must decide on it: erase with POST /v1/customers/{id}/erasure"},
	{[]string{"customers/merge"}, "say so with POST /v1/customers/{id}/identities, which can be undone"},
	{[]string{"customers/enable", "customers/disable", "customers/purchasing_summary", "customer_tags/*", "customer_groups/*", "customer_payment_methods/*", "customer.*", "customer_account_settings/*", "customer_joined_segment", "customer_left_segment", "segments/*"},
		"it says nothing new of who somebody is"},
	{[]string{
		"app/*", "app_purchases_one_time/*", "app_subscriptions/*", "audit_events/*", "bulk_operations/*", "channels/*", "collection_listings/*", "collection_publications/*", "collections/*",
		"companies/*", "company_contact_roles/*", "company_contacts/*", "company_locations/*", "delivery_promise_settings/*", "discounts/*", "domains/*", "finance_*", "inventory_items/*",
		"inventory_levels/*", "inventory_shipments/*", "inventory_transfers/*", "locales/*", "locations/*", "markets/*", "metafield_definitions/*", "metaobjects/*", "product_feeds/*",
		"product_listings/*", "product_publications/*", "products/*", "profiles/*", "publications/*", "scheduled_product_listings/*", "selling_plan_groups/*", "shipping_addresses/*", "shop/update",
		"subscription_billing_attempts/*", "subscription_billing_cycle_edits/*", "subscription_billing_cycles/*", "subscription_contracts/*", "tax_services/*", "themes/*", "variants/*",
	}, "it is about the shop, and no order"},
}

// sendGrid: the customer is the custom argument customerId of the message that was sent.
func sendGrid() Preset {
	// An event that is sent again has been seen with another sg_event_id. What it tells is the same.
	const again = "only:$.body.sg_message_id $.body.event $.body.email $.body.timestamp $.body.url"
	mail := func(event, is string) source.Rule {
		return source.Rule{
			When: map[string]string{"$.body.event": event}, Event: is,
			UserID: "$.body.customerId", MessageID: again, Timestamp: "unix:$.body.timestamp",
			Properties: map[string]string{"email_id": "$.body.sg_message_id", "link_url": "$.body.url", "reason": "$.body.reason", "bounce_type": "$.body.type", "email": "$.body.email"},
		}
	}
	// What SendGrid does not even try to send, since it knows of the address what else it would have told.
	dropped := func(reason, is string) source.Rule {
		r := mail("dropped", is)
		r.When["$.body.reason"] = reason
		r.Properties["bounce_type"] = "=bounce"
		return r
	}
	return Preset{
		Each: "$.body[*]", Kind: "$.body.event",
		Whose: "The customer is the custom argument `customerId` that the mail was sent with, or else whoever has the address `email`.",
		Docs:  "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event",
		Rules: []source.Rule{
			mail("delivered", "Email Delivered"), mail("open", "Email Opened"), mail("click", "Email Link Clicked"), mail("bounce", "Email Bounced"),
			mail("spamreport", "Email Marked as Spam"), mail("unsubscribe", "Unsubscribed"), mail("group_unsubscribe", "Unsubscribed"),
			dropped("Bounced Address", "Email Bounced"), dropped("Invalid", "Email Bounced"), dropped("Spam Reporting Address", "Email Marked as Spam"),
			dropped("Unsubscribed Address", "Unsubscribed"),
		},
		Ignored: []Ignored{
			{[]string{"processed", "deferred"}, "the mail is on its way: delivered or bounce follows"},
			{[]string{"dropped"}, "the mail was not sent for a reason that says nothing of who it was for, such as its content"},
			{[]string{"group_resubscribe"}, "a consent needs its proof: it is given through the API"},
			{[]string{"account_status_change"}, "it is about the shop's account, and nobody's mail"},
		},
	}
}
