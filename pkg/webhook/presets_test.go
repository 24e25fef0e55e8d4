package webhook_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"defter/pkg/source"
	"defter/pkg/webhook"
)

const secret = "a secret of more than sixteen bytes"

func TestPresetsCanBeRead(t *testing.T) {
	hooks := []source.Webhook{{Signature: source.Stripe, Secret: secret}, {Signature: source.SendGrid, Secret: bySendGrid(t).secret}}
	for _, topic := range webhook.TopicsOf(source.Shopify) {
		hooks = append(hooks, source.Webhook{Signature: source.Shopify, Secret: secret, Topic: topic})
	}
	for _, w := range hooks {
		if err := webhook.Check(w); err != nil {
			t.Errorf("%s %s: %v", w.Signature, w.Topic, err)
		}
	}
	for name, preset := range webhook.Presets {
		for _, i := range preset.Ignored {
			if i.Reason == "" || len(i.Kinds) == 0 || slices.Contains(i.Kinds, "*") {
				t.Errorf("%s ignores %q since %q", name, i.Kinds, i.Reason)
			}
		}
	}
}

// said are the messages that a delivery becomes, as "event property value …", of the properties named.
func said(t *testing.T, w source.Webhook, body string, properties ...string) []string {
	t.Helper()
	made, _ := messages(t, w, nil, body)
	var list []string
	for _, m := range made {
		text := fmt.Sprint(m["event"], " ", m["userId"])
		for _, name := range properties {
			p, _ := m["properties"].(map[string]any)
			text += fmt.Sprint(" ", p[name])
		}
		list = append(list, text)
	}
	return list
}

// TestP3_MoneyCountsWhenItHasMoved: of what Stripe sends, nothing that may still come to nothing becomes a message, and what comes to nothing
// after all says so. A delivery of another mode or of another account is not the source's.
func TestP3_MoneyCountsWhenItHasMoved(t *testing.T) {
	session := func(event, status string) string {
		return `{"type":"` + event + `","id":"e","livemode":true,"data":{"object":{"client_reference_id":"u1","payment_status":"` + status + `","amount_total":500,"currency":"eur","metadata":{"order_id":"o1"}}}}`
	}
	refund := func(event, status string) string {
		return `{"type":"` + event + `","id":"e","livemode":true,"data":{"object":{"id":"re_1","status":"` + status + `","amount":500,"currency":"eur","metadata":{"order_id":"o1","refund_id":"r1"}}}}`
	}
	const bought, back, failed = "Order Completed u1 o1 <nil> <nil> 5.00", "Order Refunded <nil> o1 r1 re_1 5.00", "Order Refund Failed <nil> o1 r1 re_1 5.00"
	for _, c := range []struct{ body, want string }{
		{session("checkout.session.completed", "unpaid"), ""}, {session("checkout.session.completed", "paid"), bought},
		{session("checkout.session.completed", "no_payment_required"), bought}, {session("checkout.session.async_payment_succeeded", "paid"), bought},
		{session("checkout.session.async_payment_failed", "unpaid"), ""}, {session("checkout.session.expired", "unpaid"), ""},
		{refund("refund.created", "pending"), ""}, {refund("refund.created", "requires_action"), ""}, {refund("refund.created", "succeeded"), back},
		{refund("refund.updated", "pending"), ""}, {refund("refund.updated", "succeeded"), back}, {refund("refund.updated", "failed"), failed}, {refund("refund.updated", "canceled"), failed},
		{refund("refund.failed", "failed"), failed}, {refund("charge.refund.updated", "succeeded"), back}, {refund("charge.refund.updated", "failed"), failed},
		{refund("charge.refunded", "succeeded"), ""},
	} {
		w := source.Webhook{Signature: source.Stripe}
		if got := strings.Join(said(t, w, c.body, "order_id", "refund_id", "transaction_id", "total"), "; "); got != c.want {
			t.Errorf("%s\n  says %q, want %q", c.body, got, c.want)
		}
		made, err := read(t, w).Messages(nil, []byte(c.body))
		if err != nil || c.want == "" && (len(made.Unmatched) > 0 || len(made.Ignored) != 1) {
			t.Errorf("%s is not ignored: %+v, %v", c.body, made, err)
		}
		for _, other := range []source.Webhook{{Signature: source.Stripe, Test: true}, {Signature: source.Stripe, Account: "acct_1"}} {
			made, err := read(t, other).Messages(nil, []byte(c.body))
			if err != nil || len(made.Messages) > 0 || made.Foreign == "" || len(made.Unmatched) != 1 {
				t.Errorf("%+v takes %s: %+v, %v", other, c.body, made, err)
			}
			fits := strings.Replace(c.body, `"livemode":true`, `"livemode":`+strconv.FormatBool(!other.Test)+`,"account":"`+other.Account+`"`, 1)
			if got := strings.Join(said(t, other, fits, "order_id", "refund_id", "transaction_id", "total"), "; "); got != c.want {
				t.Errorf("%+v: %q of %s, want %q", other, got, fits, c.want)
			}
		}
	}
}

// TestP15_WhatAShopTells, topic by topic; refunds by the transactions that moved the money, so that those that are told twice count once.
func TestP15_WhatAShopTells(t *testing.T) {
	const refunds = `"refunds":[{"id":7,"transactions":[{"id":71,"order_id":1,"kind":"refund","status":"success","amount":"4.00","currency":"TRY"},
		{"id":72,"order_id":1,"kind":"refund","status":"pending","amount":"1.00","currency":"TRY"},{"id":73,"order_id":1,"kind":"sale","status":"success","amount":"9.00"}]}]`
	order := func(financial, cancelled string) string {
		return `{"id":1,"test":false,"customer":{"id":5},"financial_status":"` + financial + `","cancelled_at":` + cancelled + `,"currency":"TRY","total_price":"9.00",` + refunds + `}`
	}
	const bought, cancelled, back = "Order Completed 5 1 <nil> 9.00", "Order Cancelled 5 1 <nil> <nil>", "Order Refunded <nil> 1 71 4.00"
	for _, c := range []struct {
		topic, body string
		want        []string
	}{
		{"orders/create", order("pending", "null"), nil}, {"orders/create", order("paid", "null"), []string{bought}},
		{"orders/paid", order("paid", "null"), []string{bought}}, {"orders/paid", order("authorized", "null"), nil},
		{"orders/updated", order("partially_refunded", "null"), []string{bought, back}}, {"orders/updated", order("refunded", `"2026-03-01T12:00:00Z"`), []string{bought, cancelled, back}},
		{"orders/updated", order("voided", `"2026-03-01T12:00:00Z"`), []string{cancelled, back}},
		{"orders/cancelled", order("refunded", `"2026-03-01T12:00:00Z"`), []string{cancelled, back}},
		// The body of a paid order, sent to the address of cancelled ones, cancels nothing.
		{"orders/cancelled", order("paid", "null"), []string{back}},
		{"refunds/create", strings.TrimSuffix(strings.TrimPrefix(refunds, `"refunds":[`), `]`), []string{back}},
		{"order_transactions/create", `{"id":71,"order_id":1,"kind":"refund","status":"success","amount":"4.00","currency":"TRY"}`, []string{back}},
		{"order_transactions/create", `{"id":71,"order_id":1,"kind":"refund","status":"failure","amount":"4.00","currency":"TRY"}`, []string{"Order Refund Failed <nil> 1 71 4.00"}},
		{"order_transactions/create", `{"id":73,"order_id":1,"kind":"sale","status":"success","amount":"9.00","currency":"TRY"}`, nil},
	} {
		got := said(t, source.Webhook{Signature: source.Shopify, Topic: c.topic}, c.body, "order_id", "transaction_id", "total")
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s\n  says %q, want %q", c.topic, c.body, got, c.want)
		}
	}
	// The topic beside the body may differ from what the address is for, and then something is wrong; an order of test mode is none.
	for what, c := range map[string]struct {
		header map[string]string
		body   string
	}{
		"another topic": {map[string]string{"x-shopify-topic": "orders/paid"}, order("paid", `"2026-03-01T12:00:00Z"`)},
		"test mode":     {nil, strings.Replace(order("paid", `"2026-03-01T12:00:00Z"`), `"test":false`, `"test":true`, 1)},
	} {
		made, err := read(t, source.Webhook{Signature: source.Shopify, Topic: "orders/cancelled"}).Messages(c.header, []byte(c.body))
		if err != nil || len(made.Messages) > 0 || made.Foreign == "" {
			t.Errorf("%s: %+v, %v", what, made, err)
		}
	}
}

// TestS11_IdsAreOfTheSignedBody: what stands beside it changes neither what a delivery means nor its message's id.
func TestS11_IdsAreOfTheSignedBody(t *testing.T) {
	w := source.Webhook{Signature: source.Shopify, Topic: "orders/paid"}
	const body = `{"id":1,"customer":{"id":5},"financial_status":"paid","currency":"TRY","total_price":"9.00"}`
	one, _ := messages(t, w, map[string]string{"x-shopify-webhook-id": "w1"}, body)
	two, _ := messages(t, w, map[string]string{"x-shopify-webhook-id": "w2"}, body)
	if len(one) != 1 || one[0]["messageId"] != two[0]["messageId"] {
		t.Errorf("%v and %v", one, two)
	}
	header := map[string]string{"webhook-id": "a", "x": "b"}
	for signature, want := range map[string]int{source.Stripe: 0, source.Shopify: 0, source.SendGrid: 0, source.StandardWebhooks: 2, source.Unsigned: 2} {
		hook := source.Webhook{Signature: signature, Topic: "orders/paid", Rules: []source.Rule{{Event: "X", UserID: "$.body.id"}}}
		if signed := read(t, hook).Signed(header); len(signed) != want {
			t.Errorf("%s signs %v", signature, signed)
		}
	}
}

// sendGrids are the events of SendGrid's event webhook, by what it writes in their place "event".
var sendGrids = []string{
	"processed", "dropped", "delivered", "deferred", "bounce", "open", "click", "spamreport", "unsubscribe", "group_unsubscribe", "group_resubscribe", "account_status_change",
}

// TestP15_WhatAMailServiceTells: every event of its list becomes what it is, or is ignored for a reason.
func TestP15_WhatAMailServiceTells(t *testing.T) {
	want := map[string]string{
		"delivered": "Email Delivered", "open": "Email Opened", "click": "Email Link Clicked", "bounce": "Email Bounced", "spamreport": "Email Marked as Spam",
		"unsubscribe": "Unsubscribed", "group_unsubscribe": "Unsubscribed", "dropped Unsubscribed Address": "Unsubscribed", "dropped Bounced Address": "Email Bounced",
		"dropped Invalid": "Email Bounced", "dropped Spam Reporting Address": "Email Marked as Spam",
	}
	events := slices.Clone(sendGrids)
	for _, reason := range []string{"Unsubscribed Address", "Bounced Address", "Spam Reporting Address", "Invalid", "Spam Content", "Invalid SMTPAPI header", "Recipient List over Package Quota"} {
		events = append(events, "dropped "+reason)
	}
	w := source.Webhook{Signature: source.SendGrid}
	for _, event := range events {
		name, reason, _ := strings.Cut(event, " ")
		body := `[{"event":"` + name + `","reason":"` + reason + `","customerId":"u1","sg_event_id":"e1"}]`
		made, err := read(t, w).Messages(nil, []byte(body))
		if err != nil || len(made.Unmatched) > 0 || (len(made.Ignored) == 1) != (want[event] == "") {
			t.Errorf("%s: %+v, %v", event, made, err)
		}
		if got := said(t, w, body); want[event] != "" && !slices.Equal(got, []string{want[event] + " u1"}) {
			t.Errorf("%s says %q, want %q", event, got, want[event])
		}
	}
	if made, _ := read(t, w).Messages(nil, []byte(`[{"event":"levitated"}]`)); len(made.Unmatched) != 1 {
		t.Errorf("an event of no list: %+v", made)
	}
}

// TestP15_StripesList: every event type that Stripe's own library knows becomes what it is, or is ignored for a reason.
func TestP15_StripesList(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/stripe/stripe-go/v85").Output()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "event.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	types := 0
	ast.Inspect(parsed, func(n ast.Node) bool {
		value, ok := n.(*ast.ValueSpec)
		if !ok || len(value.Values) != 1 {
			return true
		}
		kind, isType := value.Type.(*ast.Ident)
		text, isText := value.Values[0].(*ast.BasicLit)
		if !isType || kind.Name != "EventType" || !isText {
			return true
		}
		types++
		made, err := read(t, source.Webhook{Signature: source.Stripe}).Messages(nil, []byte(`{"type":`+text.Value+`,"livemode":true,"data":{"object":{"status":"in between","payment_status":"paid","amount_total":1}}}`))
		if err != nil || len(made.Messages)+len(made.Ignored) != 1 || len(made.Ignored) == 1 && made.Ignored[0] == "" {
			t.Errorf("%s: %+v, %v", text.Value, made, err)
		}
		return true
	})
	if types < 200 {
		t.Errorf("Stripe has %d types of events", types)
	}
}

// shopifys are the topics of Shopify that are about orders, money and customers, by its list.
var shopifys = []string{
	"orders/cancelled", "orders/create", "orders/delete", "orders/edited", "orders/fulfilled", "orders/link_requested", "orders/paid", "orders/partially_fulfilled",
	"orders/risk_assessment_changed", "orders/shopify_protect_eligibility_changed", "orders/updated", "order_transactions/create", "refunds/create",
	"tender_transactions/create", "payment_schedules/due", "payment_terms/create", "payment_terms/delete", "payment_terms/update", "disputes/create", "disputes/update",
	"returns/approve", "returns/cancel", "returns/close", "returns/decline", "returns/process", "returns/reopen", "returns/request", "returns/update",
	"reverse_deliveries/attach_deliverable", "reverse_fulfillment_orders/dispose", "fulfillments/create", "fulfillments/update", "fulfillment_events/create",
	"fulfillment_events/delete", "fulfillment_orders/cancelled", "fulfillment_holds/added", "fulfillment_holds/released", "checkouts/create", "checkouts/delete",
	"checkouts/update", "carts/create", "carts/update", "draft_orders/create", "draft_orders/delete", "draft_orders/update", "customers/create", "customers/delete",
	"customers/disable", "customers/enable", "customers/update", "customers/merge", "customers/purchasing_summary", "customers_email_marketing_consent/update",
	"customers_marketing_consent/update", "customer_groups/create", "customer_groups/delete", "customer_groups/update", "customer_payment_methods/create",
	"customer_payment_methods/revoke", "customer_payment_methods/update", "customer.tags_added", "customer.tags_removed", "customer.joined_segment", "customer.left_segment",
	"customer_account_settings/update", "customers/data_request", "customers/redact", "shop/redact", "segments/create", "segments/delete", "segments/update",
	"subscription_contracts/create", "subscription_billing_attempts/success", "selling_plan_groups/create", "products/create", "inventory_levels/update", "app/uninstalled",
	"shop/update", "companies/create", "markets/create", "variants/in_stock", "themes/publish", "bulk_operations/finish", "finance_kyc_information/update",
}

// TestP15_ShopifysList: every topic has rules, or is refused with the reason why nothing is made of it.
func TestP15_ShopifysList(t *testing.T) {
	for _, topic := range shopifys {
		err := webhook.Check(source.Webhook{Signature: source.Shopify, Secret: secret, Topic: topic})
		known := slices.Contains(webhook.TopicsOf(source.Shopify), topic)
		if known != (err == nil) || !known && !strings.Contains(err.Error(), "nothing is made of the topic") {
			t.Errorf("%s: %v", topic, err)
		}
	}
	for _, topic := range webhook.TopicsOf(source.Shopify) {
		if !slices.Contains(shopifys, topic) {
			t.Errorf("Shopify has no topic %s", topic)
		}
	}
}

// TestADeliveryThatComesAgain is the same message, also where the service gives it another id, and another one is another.
func TestADeliveryThatComesAgain(t *testing.T) {
	event := func(id string, more string) string {
		return `{"event":"click","customerId":"u1","email":"ada@mail.example","timestamp":1772366400,"sg_message_id":"m1","sg_event_id":"` + id + `","url":"https://s.example/"` + more + `}`
	}
	order := func(updated string) string {
		return `{"id":1,"customer":{"id":2},"financial_status":"paid","total_price":"5.00","currency":"EUR","created_at":"2026-03-01T12:00:00Z","updated_at":"` + updated + `"}`
	}
	stripe := func(id, name string) string {
		return `{"type":"` + name + `","id":"` + id + `","livemode":true,"data":{"object":{"id":"re_1","status":"succeeded","amount":500,"currency":"eur","metadata":{"order_id":"o1"}}}}`
	}
	ids := func(w source.Webhook, bodies ...string) (list []any) {
		for _, body := range bodies {
			made, _ := messages(t, w, nil, body)
			for _, m := range made {
				list = append(list, m["messageId"])
			}
		}
		return list
	}
	sendGrid := source.Webhook{Signature: source.SendGrid}
	for name, c := range map[string]struct {
		ids  []any
		want int // different ones
	}{
		"SendGrid with another id":       {ids(sendGrid, `[`+event("e1", "")+`]`, `[`+event("e2", `,"attempt":"2"`)+`,`+event("e3", "")+`]`), 1},
		"SendGrid of another mail":       {ids(sendGrid, `[`+event("e1", "")+`]`, `[`+strings.Replace(event("e1", ""), "m1", "m2", 1)+`]`), 2},
		"SendGrid of another link":       {ids(sendGrid, `[`+event("e1", "")+`]`, `[`+strings.Replace(event("e1", ""), "s.example", "t.example", 1)+`]`), 2},
		"SendGrid of another time":       {ids(sendGrid, `[`+event("e1", "")+`]`, `[`+strings.Replace(event("e1", ""), "6400", "6401", 1)+`]`), 2},
		"SendGrid that says no more":     {ids(sendGrid, `[{"event":"open","customerId":"u1"},{"event":"open","customerId":"u1","ip":"203.0.113.7"}]`), 2},
		"Stripe's delivery again":        {ids(source.Webhook{Signature: source.Stripe}, stripe("evt_1", "refund.created"), stripe("evt_1", "refund.created")), 1},
		"Shopify's delivery again":       {ids(source.Webhook{Signature: source.Shopify, Topic: "orders/paid"}, order("a"), order("a")), 1},
		"rules of a source's own, again": {ids(source.Webhook{Signature: source.Unsigned, Rules: []source.Rule{{Event: "x", UserID: "$.body.id", MessageID: "only:$.body.id $.body.n"}}}, `{"id":"u1","n":1,"try":1}`, `{"id":"u1","n":1,"try":2}`, `{"id":"u1","n":2}`), 2},
	} {
		slices.SortFunc(c.ids, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		if got := slices.Compact(c.ids); len(got) != c.want {
			t.Errorf("%s: %d different ids, want %d", name, len(got), c.want)
		}
	}
	// Two events of Stripe about one refund, and an order of Shopify that was changed, are told apart by what they say: a refund and an order
	// count once by their own ids.
	if got := said(t, source.Webhook{Signature: source.Stripe}, stripe("evt_1", "refund.created"), "transaction_id"); !slices.Equal(got, said(t, source.Webhook{Signature: source.Stripe}, stripe("evt_2", "refund.updated"), "transaction_id")) {
		t.Errorf("one refund is told as %q and otherwise", got)
	}
	signed := source.Webhook{Signature: source.Stripe, Secret: secret, Rules: []source.Rule{{Event: "x", UserID: "$.body.id", MessageID: "only:$.body.id $.header['x-try']"}}}
	if webhook.Check(signed) == nil {
		t.Error("what is not signed says which message it is")
	}
}
