package ingest_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"defter/pkg/activity"
	"defter/pkg/channel"
	"defter/pkg/ingest"
	"defter/pkg/order"
)

// toldAs is what a source's track event becomes, and the notes of its reading.
func toldAs(t *testing.T, s ingest.Source, event, properties string) (any, []string) {
	t.Helper()
	name, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	facts, notes := ingest.Facts(one(t, "track", `{"userId":"u1","event":`+string(name)+`,"properties":`+properties+`}`), s)
	if len(facts) != 1 {
		t.Fatalf("%s becomes %v", event, facts)
	}
	return facts[0], notes
}

// TestC3_OrdersAsOthersTellThem: by the names and properties of Google Analytics 4 and of Meta's pixel.
func TestC3_OrdersAsOthersTellThem(t *testing.T) {
	for _, c := range []struct {
		event, properties string
		want              order.Report
		notes             []string
	}{
		{"purchase", `{"transaction_id":"T_1","currency":"USD","value":72.05,"tax":3.60,"shipping":5.99,"items":[
			{"item_id":"SKU_1","item_name":"Grey shirt","item_category":"Apparel","price":10.01,"quantity":3},{"item_id":"SKU_2","price":42.02}]}`,
			order.ReportPlaced{
				Placed: order.Placed{OrderID: "T_1", Currency: "USD", TotalMinor: 8164, SubtotalMinor: 7205, TaxMinor: 360, ShippingMinor: 599, Items: []order.Line{
					{ProductID: "SKU_1", ProductName: "Grey shirt", Category: "Apparel", Quantity: 3, PriceMinor: 1001}, {ProductID: "SKU_2", Quantity: 1, PriceMinor: 4202},
				}}, Total: order.Amount{Decimal: "81.64", Currency: "USD"},
			}, nil},
		{"purchase", `{"transaction_id":7,"currency":"EUR","value":"12,50"}`, order.ReportPlaced{
			Placed: order.Placed{OrderID: "7", Currency: "EUR", TotalMinor: 1250}, Total: order.Amount{Decimal: "12.5", Currency: "EUR"}}, nil},
		{"Purchase", `{"order_id":"o1","currency":"TRY","value":90,"num_items":2,"content_type":"product","contents":[{"id":"p1","quantity":2,"item_price":45}]}`, order.ReportPlaced{
			Placed: order.Placed{OrderID: "o1", Currency: "TRY", TotalMinor: 9000, Items: []order.Line{{ProductID: "p1", Quantity: 2, PriceMinor: 4500}}},
			Total:  order.Amount{Decimal: "90", Currency: "TRY"}}, nil},
		{"Purchase", `{"order_id":"o1","currency":"TRY","value":90,"content_ids":["p1"]}`, order.ReportPlaced{
			Placed: order.Placed{OrderID: "o1", Currency: "TRY", TotalMinor: 9000}, Total: order.Amount{Decimal: "90", Currency: "TRY"}}, []string{"properties.content_ids:ambiguous"}},
		{"refund", `{"transaction_id":"T_1","currency":"USD","value":10.01,"items":[{"item_id":"SKU_1"}]}`, order.ReportRefund{
			OrderID: "T_1", Amount: order.Amount{Decimal: "10.01", Currency: "USD"}, Items: []order.RefundItem{{ProductID: "SKU_1", Quantity: 1}}}, nil},
		{"Order Completed", `{"order_id":"o1","total":1,"items":[{"id":"p1"}]}`, order.ReportPlaced{
			Placed: order.Placed{OrderID: "o1", Currency: "USD", TotalMinor: 100, Items: []order.Line{{ProductID: "p1", Quantity: 1}}}, Total: order.Amount{Decimal: "1"}}, nil},
	} {
		got, notes := toldAs(t, server, c.event, c.properties)
		if !reflect.DeepEqual(got, c.want) || !slices.Equal(notes, c.notes) {
			t.Errorf("%s %s\nis   %+v, %q\nwant %+v, %q", c.event, c.properties, got, notes, c.want, c.notes)
		}
		behaviour, notes := toldAs(t, browser, c.event, c.properties)
		if _, kept := behaviour.(activity.EventTracked); !kept || !slices.Equal(notes, []string{"properties.order:untrusted"}) {
			t.Errorf("of a page %s is %+v, %q", c.event, behaviour, notes)
		}
		if m := one(t, "track", `{"userId":"u1","event":"`+c.event+`"}`); ingest.Behaviour(m, server) || !ingest.Behaviour(m, browser) || (ingest.Source{RefuseUnknown: true}).Refuses(m) != "" {
			t.Errorf("%s is taken for behaviour, or for a name in no specification", c.event)
		}
	}
}

// TestC3_AnOrderLikeEventThatIsNoOrder shows in the quarantine where its source is trusted, and by a note at least.
func TestC3_AnOrderLikeEventThatIsNoOrder(t *testing.T) {
	for _, c := range []struct {
		event, properties string
		note              string
		doubted           bool
	}{
		{"Purchase", `{"value":90,"currency":"TRY"}`, "properties.order_id:missing", true},
		{"purchase", `{"transaction_id":"T_1"}`, "properties.total:missing", true},
		{"purchase", `{"transaction_id":"T_1","value":"1,234","currency":"USD"}`, "properties.total:ambiguous", true},
		{"PURCHASE", `{"transaction_id":"T_1","value":1}`, "event:unknown", true},
		{"Order Placed", `{"order_id":"o1","total":1}`, "event:unknown", true},
		{"order_placed", `{"order_id":"o1","total":1}`, "event:unknown", true},
		{"Checkout Completed", `{"order_id":"o1","total":1}`, "event:unknown", true},
		{"Sipariş", `{"order_id":"o1","total":1}`, "properties.order:unknown", false},
		{"Order Updated", `{"order_id":"o1","total":1}`, "", false},
		{"Rocket Launched", `{"order_id":"o1"}`, "", false},
	} {
		got, notes := toldAs(t, server, c.event, c.properties)
		if _, kept := got.(activity.EventTracked); !kept || c.note != "" && !slices.Contains(notes, c.note) || c.note == "" && len(notes) > 0 {
			t.Errorf("%s %s is %+v, %q", c.event, c.properties, got, notes)
		}
		m := one(t, "track", fmt.Sprintf(`{"userId":"u1","event":%q,"properties":%s}`, c.event, c.properties))
		if doubt := ingest.Doubt(m, server); (doubt != "") != c.doubted {
			t.Errorf("%s %s is doubted for %q", c.event, c.properties, doubt)
		}
	}
}

// TestC3_BehaviourAsOthersTellIt.
func TestC3_BehaviourAsOthersTellIt(t *testing.T) {
	for _, c := range []struct {
		event, properties string
		want              any
	}{
		{"view_item", `{"currency":"EUR","value":9.5,"items":[{"item_id":"p1","item_name":"Tea","item_category":"Food","price":9.5}]}`,
			activity.ProductViewed{ProductID: "p1", ProductName: "Tea", ProductCategory: "Food", PriceMinor: 950, Currency: "EUR"}},
		{"ViewContent", `{"currency":"EUR","contents":[{"id":"p1","item_price":9.5}]}`, activity.ProductViewed{ProductID: "p1", PriceMinor: 950, Currency: "EUR"}},
		{"ViewContent", `{"content_ids":["p1"],"content_type":"product","content_name":"Tea","content_category":"Food"}`,
			activity.ProductViewed{ProductID: "p1", ProductName: "Tea", ProductCategory: "Food", Currency: "USD"}},
		{"add_to_cart", `{"cart_id":"k1","currency":"EUR","items":[{"item_id":"p1","price":2,"quantity":3}]}`,
			activity.ItemAddedToCart{CartID: "k1", ProductID: "p1", Quantity: 3, PriceMinor: 200, Currency: "EUR"}},
		{"remove_from_cart", `{"cart_id":"k1","items":[{"item_id":"p1"}]}`, activity.ItemRemovedFromCart{CartID: "k1", ProductID: "p1", Quantity: 1}},
		{"begin_checkout", `{"currency":"EUR","value":4,"items":[{"item_id":"p1"},{"item_id":"p2"}]}`, activity.CheckoutStarted{CartValueMinor: 400, Currency: "EUR", ItemCount: 2}},
		{"InitiateCheckout", `{"currency":"EUR","value":4,"num_items":3}`, activity.CheckoutStarted{CartValueMinor: 400, Currency: "EUR", ItemCount: 3}},
		{"search", `{"search_term":"tea"}`, activity.SearchPerformed{Query: "tea"}},
		{"Search", `{"search_string":"tea"}`, activity.SearchPerformed{Query: "tea"}},
		{"sign_up", `{"method":"email"}`, activity.SignedUp{Method: "email"}},
	} {
		if got, notes := toldAs(t, browser, c.event, c.properties); !reflect.DeepEqual(got, c.want) || notes != nil {
			t.Errorf("%s is %+v, %q, want %+v", c.event, got, notes, c.want)
		}
	}
	for event, note := range map[string]string{"add_to_cart": "properties.cart_id:missing", "view_item": "properties.products:ambiguous"} {
		got, notes := toldAs(t, browser, event, `{"items":[{"item_id":"p1"},{"item_id":"p2"}]}`)
		if _, kept := got.(activity.EventTracked); !kept || !slices.Contains(notes, note) {
			t.Errorf("%s is %+v, %q", event, got, notes)
		}
	}
}

// TestC3_AGrossValue: of a purchase whose value is what was paid, tax and shipping are in it already; of one whose value is neither that
// nor its items', somebody is told.
func TestC3_AGrossValue(t *testing.T) {
	const items = `"items":[{"item_id":"a","price":82.44,"quantity":1}]`
	for _, c := range []struct {
		properties string
		total      int64
		notes      []string
	}{
		{`"value":109.99,"tax":17.56,"shipping":9.99,` + items, 10999, nil},
		{`"value":82.44,"tax":17.56,"shipping":9.99,` + items, 10999, nil},
		{`"value":92.43,"tax":17.56,"shipping":9.99,` + items, 9243, nil}, // prices have their tax in them
		{`"value":92.44,"tax":17.56,"discount":7.56,` + items, 9244, nil},
		{`"value":95,"tax":5.38,` + items, 10038, []string{"properties.total:ambiguous"}},
		{`"value":95,"tax":5.38,"items":[{"item_id":"a"}]`, 10038, nil},
		{`"value":95,"tax":5.38`, 10038, nil},
	} {
		got, notes := toldAs(t, server, "purchase", `{"transaction_id":"T","currency":"EUR",`+c.properties+`}`)
		if report, ok := got.(order.ReportPlaced); !ok || report.Placed.TotalMinor != c.total || !slices.Equal(notes, c.notes) {
			t.Errorf("%s is %+v, %q", c.properties, got, notes)
		}
	}
}

// TestC3_NamesAreReadAsTheyAreWritten: with other separators and another case the specification's names have no second meaning.
func TestC3_NamesAreReadAsTheyAreWritten(t *testing.T) {
	for _, event := range []string{"Order Completed", " Order Completed ", "order completed", "ORDER COMPLETED", "order_completed", "OrderCompleted", "orderCompleted", "order-completed"} {
		got, notes := toldAs(t, server, event, `{"order_id":"o1","total":1,"currency":"EUR"}`)
		if _, ok := got.(order.ReportPlaced); !ok || notes != nil {
			t.Errorf("%q is %+v, %q", event, got, notes)
		}
	}
	if got, _ := toldAs(t, server, "email_link_clicked", `{"email_id":"m1"}`); got != any(channel.Clicked{Channel: "email", MessageID: "m1"}) {
		t.Errorf("a click is %+v", got)
	}
}
