package ingest_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/activity"
	"defter/pkg/catalog"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/ingest"
	"defter/pkg/money"
	"defter/pkg/order"

	"pgregory.net/rapid"
)

var (
	browser = ingest.Source{ID: "web"}
	server  = ingest.Source{ID: "pos", Trusted: true}

	declared = catalog.New()
)

func to[T any](v T) *T { return &v }

func facts(t *testing.T, s ingest.Source, kind, body string) []any {
	t.Helper()
	events, _ := ingest.Facts(one(t, kind, body), s)
	return events
}

// tracked is a track message of a customer.
func tracked(event, properties string) string {
	return fmt.Sprintf(`{"userId":"u1","event":%q,"properties":%s}`, event, properties)
}

// TestFacts is the table of what each message means, the same for every source but for what is worth money.
func TestFacts(t *testing.T) {
	const product = `"product_id":"p1","name":"Shoe","category":"Shoes","price":19.99,"currency":"try"`
	for _, c := range []struct {
		event, properties string
		want              any
	}{
		{"Products Searched", `{"query":"shoes","results_count":3}`, activity.SearchPerformed{Query: "shoes", ResultsCount: to(int64(3))}},
		{"Products Searched", `{"query":"shoes","results_count":0}`, activity.SearchPerformed{Query: "shoes", ResultsCount: to(int64(0))}},
		{"Products Searched", `{"query":"shoes","results_count":"many"}`, activity.SearchPerformed{Query: "shoes"}},
		{"Products Searched", `{"query":""}`, activity.EventTracked{Event: "Products Searched", Properties: json.RawMessage(`{"query":""}`)}},
		{"Product Viewed", `{` + product + `,"view_source":"search","session_id":"s1"}`, activity.ProductViewed{
			ProductID: "p1", ProductName: "Shoe", ProductCategory: "Shoes", PriceMinor: 1999, Currency: "TRY", ViewSource: "search", SessionID: "s1",
		}},
		{"Product Clicked", `{"sku":7,"view_source":"dream"}`, activity.ProductViewed{ProductID: "7", Currency: "USD"}},
		{"Product Viewed", `{"name":"Shoe"}`, activity.EventTracked{Event: "Product Viewed", Properties: json.RawMessage(`{"name":"Shoe"}`)}},
		{"Product Added", `{` + product + `,"cart_id":"c1","quantity":2}`, activity.ItemAddedToCart{
			CartID: "c1", ProductID: "p1", ProductName: "Shoe", Quantity: 2, PriceMinor: 1999, Currency: "TRY",
		}},
		{"Product Added", `{"product_id":"p1"}`, activity.EventTracked{Event: "Product Added", Properties: json.RawMessage(`{"product_id":"p1"}`)}},
		{"Product Removed", `{"cart_id":"c1","product_id":"p1","quantity":-1}`, activity.ItemRemovedFromCart{CartID: "c1", ProductID: "p1"}},
		{"Product Removed", `{"cart_id":"c1","product_id":"p1"}`, activity.ItemRemovedFromCart{CartID: "c1", ProductID: "p1", Quantity: 1}},
		{"Cart Viewed", `{"cart_id":"c1"}`, activity.CartViewed{CartID: "c1"}},
		{"Checkout Started", `{"cart_id":"c1","order_id":"o1","value":"40.5","products":[{"product_id":"p1"},{"product_id":"p2"}]}`, activity.CheckoutStarted{
			CartID: "c1", OrderID: "o1", CartValueMinor: 4050, Currency: "USD", ItemCount: 2,
		}},
		{"Checkout Step Completed", `{"checkout_id":"k1","step":1}`, activity.CheckoutStepCompleted{CheckoutID: "k1", Step: "shipping", StepNumber: 1}},
		{"Checkout Step Completed", `{"step":2}`, activity.CheckoutStepCompleted{Step: "payment", StepNumber: 2}},
		{"Checkout Step Completed", `{"step":3}`, activity.CheckoutStepCompleted{Step: "review", StepNumber: 3}},
		{"Checkout Step Completed", `{"step":4}`, activity.CheckoutStepCompleted{StepNumber: 4}},
		{"Checkout Step Completed", fmt.Sprintf(`{"step":%d}`, math.MaxInt64), activity.CheckoutStepCompleted{StepNumber: math.MaxInt64}},
		{"Checkout Step Completed", `{"step":0}`, activity.EventTracked{Event: "Checkout Step Completed", Properties: json.RawMessage(`{"step":0}`)}},
		{"Payment Info Entered", `{}`, activity.EventTracked{Event: "Payment Info Entered"}},
		{"order placed", `{"order_id":"o1","total":1}`, activity.EventTracked{Event: "order placed", Properties: json.RawMessage(`{"order_id":"o1","total":1}`)}},
		{"Song Played", `{"title":"Für Elise","plays":12345678901234567890}`, activity.EventTracked{
			Event: "Song Played", Properties: json.RawMessage(`{"plays":12345678901234567890,"title":"Für Elise"}`),
		}},
		{"Products Compared", `{"product_ids":["p1",2,""],"attributes":["price"],"session_id":"s1","list":"x"}`, activity.ProductCompared{
			ProductIDs: []string{"p1", "2"}, ComparisonAttributes: []string{"price"}, SessionID: "s1", Properties: json.RawMessage(`{"list":"x"}`),
		}},
		{"Product Compared", `{"products":[{"product_id":"p1"},7,null,{"sku":"p2"}]}`, activity.ProductCompared{ProductIDs: []string{"p1", "p2"}}},
		{"Products Compared", `{"product_ids":"p1"}`, activity.ProductCompared{ProductIDs: []string{"p1"}}},
		{"Review Read", `{"product_id":"p1","review_id":"r1","rating":4.5}`, activity.ReviewRead{ProductID: "p1", ReviewID: "r1", Rating: "4.5"}},
		{"Review Read", `{}`, activity.EventTracked{Event: "Review Read"}},
		{"Video Watched", `{"video_id":"v1","product_id":"p1","watch_duration":30.9,"total_length":120}`, activity.VideoWatched{
			VideoID: "v1", ProductID: "p1", WatchDuration: 30, TotalDuration: 120, CompletionRate: 25,
		}},
		{"Video Content Completed", `{"asset_id":"v1","total_length":90}`, activity.VideoWatched{VideoID: "v1", WatchDuration: 90, TotalDuration: 90, CompletionRate: 100}},
		{"Video Watched", `{"video_id":"v1","watch_duration":500,"total_length":-1}`, activity.VideoWatched{VideoID: "v1", WatchDuration: 500}},
		{"Video Watched", `{"watch_duration":5}`, activity.EventTracked{Event: "Video Watched", Properties: json.RawMessage(`{"watch_duration":5}`)}},
		{"Experiment Viewed", `{"experiment_id":"e1","experiment_name":"Blue","variation_id":"a","nonInteraction":1}`, activity.ExperimentExposed{
			ExperimentID: "e1", ExperimentName: "Blue", VariationID: "a", Properties: json.RawMessage(`{"nonInteraction":1}`),
		}},
		{"Signed Up", `{"method":"google","type":"organic"}`, activity.SignedUp{Method: "google", Properties: json.RawMessage(`{"type":"organic"}`)}},
		{"Signed In", `{}`, activity.LoggedIn{}},
		{"Song Played", `null`, activity.EventTracked{Event: "Song Played"}},
	} {
		for _, s := range []ingest.Source{browser, server} {
			if got := facts(t, s, "track", tracked(c.event, c.properties)); !reflect.DeepEqual(got, []any{c.want}) {
				t.Errorf("%s %s of %s\n  got:  %+v\n  want: %+v", c.event, c.properties, s.ID, got, c.want)
			}
		}
	}
}

// TestP5_AnUnreadableCurrencyIsNoDollar: of what has none, the specification says which; of what has one that nobody knows, no
// amount counts.
func TestP5_AnUnreadableCurrencyIsNoDollar(t *testing.T) {
	for currency, want := range map[string]string{
		`"TRY"`: "TRY", `"eur"`: "EUR", `"EUR "`: "EUR", `"tl"`: "TRY", `"₺"`: "TRY", `949`: "TRY", `"€"`: "EUR", `978`: "EUR", `""`: "USD", `null`: "USD", `"lira"`: "", `"T1L"`: "", `"$"`: "", `{}`: "",
	} {
		events, notes := ingest.Facts(one(t, "track", tracked("Product Viewed", `{"product_id":"p1","price":5,"currency":`+currency+`}`)), browser)
		price := int64(500)
		if want == "" {
			price = 0
		}
		if viewed, ok := events[0].(activity.ProductViewed); !ok || viewed.Currency != want || viewed.PriceMinor != price || (notes == nil) != (want != "") {
			t.Errorf("%s is %+v, %q; want %s", currency, events[0], notes, want)
		}
	}
}

func TestPagesAndScreens(t *testing.T) {
	page := `{"anonymousId":"a1","name":"Home","category":"Shop","properties":{"url":"https://s.example/","title":"Shop","referrer":"https://r.example/","session_id":"s1","variant":"b"},
		"context":{"ip":"203.0.113.7","userAgent":"curl","page":{"url":"https://other.example/"}}}`
	want := activity.PageViewed{
		PageURL: "https://s.example/", PageTitle: "Shop", Referrer: "https://r.example/", Name: "Home", Category: "Shop", SessionID: "s1",
		Properties: json.RawMessage(`{"variant":"b"}`), Context: &activity.Context{IPAddress: "203.0.113.7", UserAgent: "curl"},
	}
	if got := facts(t, browser, "page", page); !reflect.DeepEqual(got, []any{want}) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	page = `{"anonymousId":"a1","context":{"page":{"url":"https://s.example/","title":"Shop","referrer":"https://r.example/"}}}`
	want = activity.PageViewed{PageURL: "https://s.example/", PageTitle: "Shop", Referrer: "https://r.example/"}
	if got := facts(t, browser, "page", page); !reflect.DeepEqual(got, []any{want}) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	screen := activity.ScreenViewed{Name: "Home", SessionID: "s1", Properties: json.RawMessage(`{"variant":"b"}`)}
	if got := facts(t, browser, "screen", `{"anonymousId":"a1","name":"Home","properties":{"sessionId":"s1","variant":"b"}}`); !reflect.DeepEqual(got, []any{screen}) {
		t.Errorf("got %+v, want %+v", got, screen)
	}
}

// TestTheContextOfAFact says where it was done, and what the client claimed of the time where that was not believed.
func TestTheContextOfAFact(t *testing.T) {
	got := facts(t, browser, "track", `{"userId":"u1","event":"x","timestamp":"2030-01-01T00:00:00Z",
		"context":{"ip":"203.0.113.7","userAgent":"curl","locale":"tr-TR","timezone":"Europe/Istanbul","page":{"url":"https://s.example/","referrer":"https://r.example/"}}}`)
	want := activity.EventTracked{Event: "x", Context: &activity.Context{
		IPAddress: "203.0.113.7", UserAgent: "curl", Locale: "tr-TR", Timezone: "Europe/Istanbul", PageURL: "https://s.example/", Referrer: "https://r.example/",
		OriginalTimestamp: "2030-01-01T00:00:00Z",
	}}
	if !reflect.DeepEqual(got, []any{want}) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

const orderCompleted = `{"order_id":"o1","cart_id":"c1","subtotal":"100.10","tax":18.02,"shipping":5,"total":123.12,"currency":"TRY",
	"products":[{"product_id":"p1","name":"Shoe","category":"Shoes","quantity":2,"price":50.05}, null, {"sku":"s2"}]}`

// TestServersSayWhatIsWorthMoney: orders, payments and refunds become facts if a trusted source tells of them.
func TestServersSayWhatIsWorthMoney(t *testing.T) {
	for _, c := range []struct {
		event, properties string
		want              []any
	}{
		{"Order Completed", orderCompleted, []any{order.ReportPlaced{
			Placed: order.Placed{
				OrderID: "o1", CartID: "c1", SubtotalMinor: 10010, TaxMinor: 1802, ShippingMinor: 500, TotalMinor: 12312, Currency: "TRY",
				Items: []order.Line{{ProductID: "p1", ProductName: "Shoe", Category: "Shoes", Quantity: 2, PriceMinor: 5005}, {ProductID: "s2", Quantity: 1}},
			},
			Total: order.Amount{Decimal: "123.12", Currency: "TRY"},
		}}},
		{"Order Completed", `{"order_id":7,"revenue":"9.999"}`, []any{order.ReportPlaced{
			Placed: order.Placed{OrderID: "7", TotalMinor: 1000, Currency: "USD"}, Total: order.Amount{Decimal: "9.999"},
		}}},
		{"Order Completed", `{"order_id":"o1","total":1500,"currency":"JPY","discount":20}`, []any{order.ReportPlaced{
			Placed: order.Placed{OrderID: "o1", DiscountMinor: 20, TotalMinor: 1500, Currency: "JPY"}, Total: order.Amount{Decimal: "1500", Currency: "JPY"},
		}}},
		{"Order Cancelled", `{"order_id":"o1","reason":"late"}`, []any{order.ReportCancelled{OrderID: "o1", Reason: "late"}}},
		{"Order Refunded", `{"order_id":"o1","refund_id":"r1","total":"20","currency":"TRY"}`, []any{
			order.ReportRefund{OrderID: "o1", RefundID: "r1", Amount: order.Amount{Decimal: "20", Currency: "TRY"}},
		}},
		{"Order Refunded", `{"order_id":"o1","transaction_id":"re_1","products":[{"product_id":"p1","quantity":2},{"sku":"s2"},{"product_id":"p1"}]}`, []any{
			order.ReportRefund{OrderID: "o1", TransactionID: "re_1", Items: []order.RefundItem{{ProductID: "p1", Quantity: 3}, {ProductID: "s2", Quantity: 1}}},
		}},
		{"Order Refunded", `{"order_id":"o1","total":0}`, []any{order.ReportRefund{OrderID: "o1", Amount: order.Amount{Decimal: "0"}}}},
		{"Order Refunded", `{"order_id":"o1"}`, []any{order.ReportRefund{OrderID: "o1"}}},
		{ingest.RefundFailed, `{"order_id":"o1","refund_id":"r1","reason":"lost_or_stolen_card"}`, []any{
			order.ReportRefundFailed{OrderID: "o1", RefundID: "r1", Code: "lost_or_stolen_card"},
		}},
	} {
		if got := facts(t, server, "track", tracked(c.event, c.properties)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s\n  got:  %+v\n  want: %+v", c.event, c.properties, got, c.want)
		}
		got := facts(t, browser, "track", tracked(c.event, c.properties))
		if kept, ok := got[0].(activity.EventTracked); !ok || len(got) != 1 || kept.Event != c.event || len(kept.Properties) == 0 {
			t.Errorf("%s of a browser, whose key anybody can read: %+v", c.event, got)
		}
	}
}

// TestIncompleteOrdersAreKeptAsTheyCame: what lacks an id or an amount is worth nothing.
func TestIncompleteOrdersAreKeptAsTheyCame(t *testing.T) {
	for _, c := range [][2]string{
		{"Order Completed", `{"total":1}`},
		{"Order Completed", `{"order_id":"o1"}`},
		{"Order Completed", `{"order_id":"o1","total":"a lot"}`},
		{"Order Completed", `{"order_id":"o1","total":-1}`},
		{"Order Completed", `{"order_id":"o1","total":null}`},
		{"Order Completed", `{"order_id":"` + strings.Repeat("o", 129) + `","total":1}`},
		{"Order Completed", `{"order_id":"o1","total":1e300}`},
		{"Order Cancelled", `{}`},
		{"Order Refunded", `{"total":1}`},
		// What cannot be read is not taken for what was left out: all would go back.
		{"Order Refunded", `{"order_id":"o1","total":""}`},
		{"Order Refunded", `{"order_id":"o1","total":null}`},
		{"Order Refunded", `{"order_id":"o1","total":"all"}`},
		{"Order Refunded", `{"order_id":"o1","total":5,"currency":"lira"}`},
		{"Order Refunded", `{"order_id":"o1","products":"all"}`},
		{"Order Refunded", `{"order_id":"o1","products":[{"product_id":"p1","quantity":"some"}]}`},
		{"Order Refunded", `{"order_id":"o1","products":[{"product_id":"p1"},{"name":"Shoe"}]}`},
		{ingest.RefundFailed, `{"order_id":"o1","total":"all"}`},
		{ingest.RefundFailed, `{"refund_id":"r1"}`},
		{"Order Updated", `{"order_id":"o1","total":1}`},
	} {
		got := facts(t, server, "track", tracked(c[0], c[1]))
		if kept, ok := got[0].(activity.EventTracked); !ok || len(got) != 1 || kept.Event != c[0] {
			t.Errorf("%s %s: %+v", c[0], c[1], got)
		}
	}
}

// TestP5_OrdersInEveryForm: what has one meaning is read, and a trusted source's order that has none is looked at.
func TestP5_OrdersInEveryForm(t *testing.T) {
	want := []any{order.ReportPlaced{
		Placed: order.Placed{
			OrderID: "7", SubtotalMinor: 2000, DiscountMinor: 100, TotalMinor: 1900, Currency: "EUR",
			Items: []order.Line{{ProductID: "p1", Quantity: 4, PriceMinor: 500}},
		},
		Total: order.Amount{Decimal: "19", Currency: "EUR"},
	}}
	for _, properties := range []string{
		`{"order_id":"7","subtotal":20,"discount":1,"total":19,"currency":"EUR","products":[{"product_id":"p1","quantity":4,"price":5}]}`,
		`{"order_id":7,"subtotal":"20","discount":"1,00","total":"19,00","currency":"€","products":[{"product_id":"p1","quantity":"4","price":"5.00"}]}`,
		`{"orderId":7.0,"subtotal":"20.0","discount":1.000,"total":1.9e1,"currency":978,"products":[{"id":"p1","quantity":4.0,"price":"5,0"}]}`,
		`{"OrderID":"7","subtotal":2e1,"discount":"1","total":"19.000","currency":"EUR ","products":{"sky":"p1","quantity":"4.000","price":5.00}}`,
	} {
		m := one(t, "track", tracked("Order Completed", properties))
		got, notes := ingest.Facts(m, server)
		if !reflect.DeepEqual(got, want) || notes != nil || ingest.Doubt(m, server) != "" {
			t.Errorf("%s\n  got:  %+v, %q\n  want: %+v", properties, got, notes, want)
		}
	}
	for properties, note := range map[string]string{
		`{"order_id":"o1","total":19,"currency":"lira"}`: "properties.currency:unreadable", `{"order_id":"o1","total":"1,234","currency":"TRY"}`: "properties.total:ambiguous",
		`{"order_id":"o1","total":"a lot"}`: "properties.total:unreadable", `{"order_id":"o1","total":1e300}`: "properties.total:unreadable", `{"order_id":"o1","total":-1}`: "properties.total:out-of-range",
		`{"order_id":"o1"}`: "properties.total:missing", `{"total":1}`: "properties.order_id:missing", `{"order_id":{},"total":1}`: "properties.order_id:wrong-type",
		`{"order_id":"o1","total":"99999999999999999999999"}`: "properties.total:out-of-range",
	} {
		m := one(t, "track", tracked("Order Completed", properties))
		got, notes := ingest.Facts(m, server)
		if kept, ok := got[0].(activity.EventTracked); !ok || kept.Event != "Order Completed" || !slices.Equal(notes, []string{note}) || ingest.Doubt(m, server) == "" {
			t.Errorf("%s: %+v, %q, %q", properties, got, notes, ingest.Doubt(m, server))
		}
		if _, notes := ingest.Facts(m, browser); !slices.Equal(notes, []string{"properties.order:untrusted"}) || ingest.Doubt(m, browser) != "" {
			t.Errorf("of a browser: %q", notes)
		}
	}
	m := one(t, "track", tracked("Order Completed", `{"order_id":"o1","total":19,"tax":"x","products":[{"product_id":"p1","quantity":"few","price":{}},7]}`))
	got, notes := ingest.Facts(m, server)
	if report, ok := got[0].(order.ReportPlaced); !ok || report.Placed.TotalMinor != 1900 || report.Placed.Items[0].Quantity != 0 || ingest.Doubt(m, server) == "" {
		t.Errorf("an order of a few pieces: %+v, %q", got, notes)
	}
	for _, note := range []string{"properties.tax:unreadable", "properties.products:wrong-type", "properties.products.quantity:unreadable", "properties.products.price:wrong-type"} {
		if !slices.Contains(notes, note) {
			t.Errorf("notes %q lack %s", notes, note)
		}
	}
}

// TestC3_NearlyAnOrder: an event whose name only resembles an order's is none, and somebody is told.
func TestC3_NearlyAnOrder(t *testing.T) {
	for _, event := range []string{"Order Placed", "completedOrder", "Completed Order", "placed_order", "CHECKOUT COMPLETED"} {
		m := one(t, "track", tracked(event, `{"order_id":"o1","total":19}`))
		got, notes := ingest.Facts(m, server)
		if kept, ok := got[0].(activity.EventTracked); !ok || kept.Event != event || !slices.Contains(notes, "event:unknown") || ingest.Doubt(m, server) == "" || ingest.Doubt(m, browser) != "" {
			t.Errorf("%s: %+v, %q", event, got, notes)
		}
	}
	for _, event := range []string{"Song Played", "Order Updated", "Ordered"} {
		m := one(t, "track", tracked(event, `{"order_id":"o1","value":19}`))
		if _, notes := ingest.Facts(m, server); notes != nil || ingest.Doubt(m, server) != "" {
			t.Errorf("%s: %q", event, notes)
		}
	}
	trimmings := one(t, "track", tracked("Order Completed", `{"order_id":"o1","total":19,"products":[{"product_id":"p1","name":[],"category":true}]}`))
	if _, notes := ingest.Facts(trimmings, server); len(notes) != 2 || ingest.Doubt(trimmings, server) != "" {
		t.Errorf("what only informs: %q, %q", notes, ingest.Doubt(trimmings, server))
	}
}

// TestC3_NamesOfHelpers: what published clients' helpers write, in their own words.
func TestC3_NamesOfHelpers(t *testing.T) {
	for _, c := range []struct {
		helper, event, properties string
		want                      any
	}{
		{"analytics-go", "Order Completed", `{"orderId":"o1","total":30,"currency":"TRY","products":[{"id":"p1","sky":"s1","price":30}]}`, order.ReportPlaced{
			Placed: order.Placed{OrderID: "o1", TotalMinor: 3000, Currency: "TRY", Items: []order.Line{{ProductID: "p1", Quantity: 1, PriceMinor: 3000}}},
			Total:  order.Amount{Decimal: "30", Currency: "TRY"},
		}},
		{"analytics-go", "Order Completed", `{"orderId":"o1","revenue":30,"currency":"TRY","products":[{"sky":"s1","price":30}]}`, order.ReportPlaced{
			Placed: order.Placed{OrderID: "o1", TotalMinor: 3000, Currency: "TRY", Items: []order.Line{{ProductID: "s1", Quantity: 1, PriceMinor: 3000}}},
			Total:  order.Amount{Decimal: "30", Currency: "TRY"},
		}},
		{"analytics-go", "Product Viewed", `{"id":"p1","sku":"s1","name":"Shoe","price":30,"currency":"TRY"}`, activity.ProductViewed{ProductID: "p1", ProductName: "Shoe", PriceMinor: 3000, Currency: "TRY"}},
		{"none: it has the specification's name", "Product Viewed", `{"product_id":null,"id":"line 7","sku":"s1"}`, activity.ProductViewed{ProductID: "s1", Currency: "USD"}},
		{"analytics-android", "Product Added", `{"cartId":"c1","id":"p1","price":30,"currency":"TRY"}`, activity.ItemAddedToCart{CartID: "c1", ProductID: "p1", Quantity: 1, PriceMinor: 3000, Currency: "TRY"}},
		{"facade", "Checkout Step Completed", `{"checkoutId":"k1","step":1}`, activity.CheckoutStepCompleted{CheckoutID: "k1", Step: "shipping", StepNumber: 1}},
		{"facade", "Product Removed", `{"cartId":"c1","productId":"p1"}`, activity.ItemRemovedFromCart{CartID: "c1", ProductID: "p1", Quantity: 1}},
		{"analytics-android", "Order Cancelled", `{"orderId":"o1"}`, order.ReportCancelled{OrderID: "o1"}},
		{"analytics-android", "Order Refunded", `{"orderId":"o1","total":5,"currency":"TRY"}`, order.ReportRefund{OrderID: "o1", Amount: order.Amount{Decimal: "5", Currency: "TRY"}}},
	} {
		if got := facts(t, server, "track", tracked(c.event, c.properties)); !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("%s: %s %s\n  got:  %+v\n  want: %+v", c.helper, c.event, c.properties, got[0], c.want)
		}
	}
}

func TestOrdersHaveALimitOfLines(t *testing.T) {
	lines := strings.TrimSuffix(strings.Repeat(`{"sku":"s"},`, 501), ",")
	got := facts(t, server, "track", tracked("Order Completed", `{"order_id":"o1","total":1,"products":[`+lines+`]}`))
	if placed := got[0].(order.ReportPlaced).Placed; len(placed.Items) != 500 {
		t.Errorf("%d lines", len(placed.Items))
	}
}

func identify(t *testing.T, s ingest.Source, body string) customer.Identify {
	t.Helper()
	c, _ := ingest.Identify(one(t, "identify", body), s, "external", "visitor")
	return c
}

func TestIdentify(t *testing.T) {
	got := identify(t, browser, `{"userId":"u1",
		"traits":{"email":"ada@example.com","firstName":"Ada","last_name":"Byron","phone":"+44 1","birthday":"1990-05-17T00:00:00Z","plan":"gold","seats":3,"gone":null,"":1,
			"address":{"street":"1 St James's Square","city":"London","state":"","zip":"SW1Y","country":"GB"}},
		"context":{"ip":"203.0.113.7","userAgent":"curl","traits":{"plan":"free","vip":true}}}`)
	want := customer.Identify{
		At:    time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Email: "ada@example.com", Source: "web", ExternalID: "external", VisitorID: "visitor", IPAddress: "203.0.113.7", UserAgent: "curl",
		Profile: customer.UpdateProfile{
			FirstName: to("Ada"), LastName: to("Byron"), Phone: to("+44 1"), DateOfBirth: to("1990-05-17"), Today: "2026-03-01",
			Attributes: map[string]any{"plan": "gold", "seats": json.Number("3"), "gone": nil, "vip": true},
		},
		Address: customer.AddressPatch{Line1: to("1 St James's Square"), City: to("London"), PostalCode: to("SW1Y"), Country: to("GB")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := identify(t, server, `{"userId":"u1"}`); got.Source != "api" || !reflect.DeepEqual(got.Profile, customer.UpdateProfile{Today: "2026-03-01"}) {
		t.Errorf("a server that knows nothing: %+v", got)
	}
}

// TestP12_Names are split on words, and one word says nothing of the last name.
func TestP12_Names(t *testing.T) {
	const same, none = "(stays)", ""
	for traits, want := range map[string][2]string{
		`{"name":"Ada King Lovelace"}`: {"Ada", "King Lovelace"}, `{"name":"  Ada  Lovelace "}`: {"Ada", "Lovelace"}, `{"name":"Ada"}`: {"Ada", same}, `{"name":" \t"}`: {same, same},
		`{"name":null}`: {none, none}, `{"firstName":null}`: {none, same}, `{"last_name":null,"name":"Ada Lovelace"}`: {same, none}, `{"firstName":" Ada  Mary "}`: {"Ada Mary", same},
		`{"firstName":"Ada","name":"Augusta Byron"}`: {"Ada", same}, `{}`: {same, same}, `{"First Name":"Ada","LASTNAME":"Byron"}`: {"Ada", "Byron"}, `{"firstName":"","lastName":" "}`: {same, same},
	} {
		got := identify(t, browser, `{"userId":"u1","traits":`+traits+`}`).Profile
		for i, name := range []*string{got.FirstName, got.LastName} {
			said := same
			if name != nil {
				said = *name
			}
			if said != want[i] {
				t.Errorf("%s: name %d is %q, want %q", traits, i+1, said, want[i])
			}
		}
	}
}

// TestP12_NullClears the field that it stands in, and what it says counts before what the context says.
func TestP12_NullClears(t *testing.T) {
	none := ""
	got := identify(t, server, `{"userId":"u1","traits":{"email":null,"phone":null,"birthday":null,"address":null,"plan":null},
		"context":{"traits":{"email":"ada@example.com","phone":"+44 1","plan":"gold","city":"Van"}}}`)
	want := customer.UpdateProfile{Phone: &none, DateOfBirth: &none, Attributes: map[string]any{"plan": nil, "city": "Van"}, Today: "2026-03-01"}
	nowhere := customer.AddressPatch{Line1: &none, Line2: &none, City: &none, Region: &none, PostalCode: &none, Country: &none}
	if !got.ClearEmail || got.Email != "" || !reflect.DeepEqual(got.Profile, want) || !reflect.DeepEqual(got.Address, nowhere) {
		t.Errorf("%+v", got)
	}
}

// TestP5_NumbersWhereTextsBelong are their digits.
func TestP5_NumbersWhereTextsBelong(t *testing.T) {
	c, notes := ingest.Identify(one(t, "identify", `{"userId":"u1","traits":{"phone":49301234,"address":{"postalCode":6420,"city":"Van"},"birthday":"19151210"}}`), server, "", "")
	if got := c.Profile; *got.Phone != "49301234" || *c.Address.PostalCode != "6420" || *got.DateOfBirth != "1915-12-10" || notes != nil {
		t.Errorf("%+v, %q", got, notes)
	}
	_, notes = ingest.Identify(one(t, "identify", `{"userId":"u1","traits":{"phone":[1],"address":"London","birthday":"10/12/1815","email":"no address","firstName":true}}`), server, "", "")
	want := []string{"traits.email:unreadable", "traits.firstName:wrong-type", "traits.phone:wrong-type", "traits.birthday:unreadable", "traits.address:wrong-type"}
	if !slices.Equal(notes, want) {
		t.Errorf("notes %q, want %q", notes, want)
	}
}

func only(traits map[string]any, _ []string) map[string]any { return traits }

// TestP7_NumbersKeepTheirDigits, nested and in lists.
func TestP7_NumbersKeepTheirDigits(t *testing.T) {
	const body = `{"userId":"u1","traits":{"crm":12345678901234567891,"of":{"them":[12345678901234567891,0.10000000000000000555]}}}`
	want := `{"crm":12345678901234567891,"of":{"them":[12345678901234567891,0.10000000000000000555]}}`
	for name, traits := range map[string]any{"identify": identify(t, server, body).Profile.Attributes, "group": only(ingest.Traits(one(t, "identify", body)))} {
		if got, err := json.Marshal(traits); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	endless := one(t, "identify", `{"userId":"u1","traits":{"a":[{"b":1e400}],"c":1}}`)
	if got, notes := ingest.Traits(endless); !reflect.DeepEqual(got, map[string]any{"c": json.Number("1")}) || !slices.Equal(notes, []string{"traits:out-of-range"}) {
		t.Errorf("a number beyond every range: %v, %q", got, notes)
	}
}

// TestIdentifyKeepsWhatItCannotRead: no address that could be read does not clear the one that is known.
func TestIdentifyKeepsWhatItCannotRead(t *testing.T) {
	for _, traits := range []string{`{"address":"London"}`, `{"address":{}}`, `{"address":[]}`, `{"address":{"planet":"Mars"}}`, `{"firstName":true,"phone":{},"birthday":1990,"email":[]}`} {
		got := identify(t, browser, `{"userId":"u1","traits":`+traits+`}`)
		if !reflect.DeepEqual(got.Profile, customer.UpdateProfile{Today: "2026-03-01"}) || got.Email != "" || got.ClearEmail {
			t.Errorf("%s: %+v", traits, got)
		}
	}
}

// TestTraitsNeverGrantConsent: nothing that an SDK sends becomes a consent.
func TestTraitsNeverGrantConsent(t *testing.T) {
	const body = `{"userId":"u1","event":"Segment Consent Preference Updated","properties":{"consent":true},
		"traits":{"marketingConsent":true,"consents":{"marketing":true}},"context":{"consent":{"categoryPreferences":{"Advertising":true}}}}`
	for _, s := range []ingest.Source{browser, server} {
		for kind := range map[string]bool{"identify": true, "track": true} {
			for _, event := range meaning(one(t, kind, body), s) {
				if strings.HasPrefix(declared.NameOf(event), "Consent") {
					t.Errorf("%s of %s: %+v", kind, s.ID, event)
				}
			}
		}
	}
}

// meaning is every event that a message can become, of a new customer and of a visitor.
func meaning(m ingest.Message, s ingest.Source) []any {
	var traits map[string]any
	if json.Unmarshal(m.Traits, &traits) != nil {
		traits = nil
	}
	switch m.Type {
	case "identify":
		identify, _ := ingest.Identify(m, s, m.UserID, "visitor")
		events, _ := customer.Decide(customer.State{}, identify) // never refused, see customer
		return append(events, activity.Identified{Traits: traits})
	case "group":
		return []any{customer.GroupJoined{GroupID: "g1", Traits: traits}, activity.Identified{Traits: traits}}
	case "alias":
		return []any{customer.Aliased{PreviousID: "u0"}}
	}
	var happened []any
	facts, _ := ingest.Facts(m, s)
	for _, fact := range facts {
		report, ok := fact.(order.Report)
		if !ok {
			happened = append(happened, fact)
			continue
		}
		known := order.HistoryOf(report.Order(), []eventstore.Event{
			{Data: order.Placed{OrderID: report.Order(), TotalMinor: money.Max, Currency: "KWD", Items: []order.Line{{ProductID: "p1", Quantity: 7, PriceMinor: 3}}}},
			{Data: order.PaymentSucceeded{OrderID: report.Order(), AmountMinor: money.Max, Currency: "KWD"}},
		})
		more, _ := order.Reported(order.State{}, map[string]order.History{report.Order(): known}, report) // else it waits, as it came
		happened = append(happened, more...)
	}
	return happened
}

// keepable says why an event could not be stored and read again as it is, "" if it can.
func keepable(event any) string {
	c := declared
	name, schema, public, private, err := c.Encode(event)
	if err != nil {
		return err.Error()
	}
	whole, err := json.Marshal(event)
	if err != nil {
		return err.Error()
	}
	if err := events.Validate(name, schema, whole); err != nil {
		if strings.HasSuffix(err.Error(), "(minimum)") || strings.HasSuffix(err.Error(), "(maximum)") { // it is quarantined
			return ""
		}
		return err.Error()
	}
	sealed, err := json.Marshal([]any{map[string]any{"as": "answered by the API", "events": []json.RawMessage{public, private}}})
	if err != nil || !json.Valid(sealed) {
		return fmt.Sprintf("within others: %v", err)
	}
	back, err := c.Decode(name, schema, public, private)
	if err != nil {
		return err.Error()
	}
	_, _, publicAgain, privateAgain, err := c.Encode(back)
	if err != nil || string(publicAgain) != string(public) || string(privateAgain) != string(private) {
		return fmt.Sprintf("%s and %s came back as %s and %s, %v", public, private, publicAgain, privateAgain, err)
	}
	return ""
}

// anyJSON draws JSON values of all kinds, strange ones too.
func anyJSON(depth int) *rapid.Generator[string] {
	quoted := rapid.Map(rapid.OneOf(
		rapid.String(), rapid.StringN(0, 4000, -1), rapid.SampledFrom([]string{"", "try", "TRY", "search", "1990-05-17", "ada@example.com", "19.99", "1e5", "\u2028<>&"}),
	), func(s string) string {
		raw, err := json.Marshal(strings.ReplaceAll(s, "\x00", ""))
		if err != nil {
			panic(err) // a string always marshals
		}
		return string(raw)
	})
	number := rapid.SampledFrom([]string{"0", "1", "-1", "2", "3", "4", "1.5", "19.99", "1e400", "-1e-400", "9223372036854775807", "9223372036854775808", "1e15", "0.000000001", "12345678901234567890123"})
	plain := []*rapid.Generator[string]{quoted, number, rapid.SampledFrom([]string{"null", "true", "false", "[]", "{}"})}
	if depth > 0 {
		inner := anyJSON(depth - 1)
		plain = append(plain, rapid.Map(rapid.SliceOfN(inner, 0, 3), func(items []string) string { return "[" + strings.Join(items, ",") + "]" }), anyObject(depth))
	}
	return rapid.OneOf(plain...)
}

// anyObject draws objects with members that mean something, and others.
func anyObject(depth int) *rapid.Generator[string] {
	names := rapid.OneOf(rapid.SampledFrom(append([]string{"anything", "Şey", "", "a\"b"}, meaningful...)), rapid.StringMatching("[a-z]{1,120}"))
	return rapid.Map(rapid.MapOfN(names, anyJSON(depth-1), 0, 12), func(members map[string]string) string {
		var parts []string
		for name, value := range members {
			key, err := json.Marshal(name)
			if err != nil {
				panic(err) // a string always marshals
			}
			parts = append(parts, string(key)+":"+value)
		}
		return "{" + strings.Join(parts, ",") + "}"
	})
}

var meaningful = []string{
	"query", "results_count", "product_id", "sku", "name", "category", "price", "currency", "view_source", "session_id", "sessionId", "cart_id", "quantity",
	"order_id", "value", "revenue", "total", "subtotal", "tax", "shipping", "products", "checkout_id", "step", "reason", "refund_id", "url", "title", "referrer",
	"email", "firstName", "last_name", "phone", "birthday", "address", "street", "city", "state", "zip", "country", "ip", "userAgent", "locale", "timezone", "page", "traits",
}

var known = []string{
	"Products Searched", "Product Viewed", "Product Clicked", "Product Added", "Product Removed", "Cart Viewed", "Checkout Started", "Checkout Step Completed",
	"Order Completed", "Order Cancelled", "Order Refunded", "Song Played", strings.Repeat("ş", 300),
}

// TestWhatIsAcceptedCanBeKept: whatever Parse accepts becomes events that fit their schemas and come back as they were.
func TestWhatIsAcceptedCanBeKept(t *testing.T) {
	accepted := map[string]int{}
	text := rapid.Map(rapid.IntRange(0, 300), func(n int) string { return strings.Repeat("ş", n) })
	rapid.Check(t, func(t *rapid.T) {
		timestamp := rapid.SampledFrom([]string{"2026-03-01T11:00:00Z", "2030-01-01T00:00:00." + strings.Repeat("1", 60) + "Z", "soon", strings.Repeat("ş", 90)})
		properties := anyObject(3).Draw(t, "properties") // of members that are there twice, the later counts
		properties = strings.Replace(properties, "{", `{"product_id":"p1","cart_id":"c1","order_id":"o1","total":"1.5","step":1,"query":"q",`, 1)
		context := fmt.Sprintf(`{"ip":%q,"locale":%q,"traits":%s}`, text.Draw(t, "ip"), text.Draw(t, "locale"), anyObject(2).Draw(t, "context traits"))
		frame := fmt.Sprintf(`{"event":%%q,"userId":"u1","anonymousId":"a1","previousId":"p1","groupId":"g1","name":%q,"timestamp":%q,"properties":%s,"traits":%s,"context":%s}`,
			text.Draw(t, "name"), timestamp.Draw(t, "timestamp"), escaped(strings.Replace(properties, ",}", "}", 1)), escaped(anyObject(2).Draw(t, "traits")), escaped(context))
		check := func(kind, event string) {
			body := fmt.Sprintf(frame, event)
			r, err := ingest.Parse([]byte(body), kind, received)
			if err != nil {
				t.Fatalf("%s of type %s: %v", body, kind, err)
			}
			for _, s := range []ingest.Source{browser, server} {
				for _, e := range meaning(r.Messages[0], s) {
					if problem := keepable(e); problem != "" {
						t.Fatalf("%s of type %s\n  becomes %T%+v\n  %s", body, kind, e, e, problem)
					}
					accepted[reflect.TypeOf(e).String()]++
				}
			}
		}
		for _, kind := range []string{"identify", "page", "screen", "group", "alias"} {
			check(kind, "")
		}
		for _, event := range known {
			check("track", event)
		}
	})
	for _, want := range []any{
		activity.EventTracked{}, activity.PageViewed{}, activity.ScreenViewed{}, activity.Identified{}, activity.CheckoutStarted{}, activity.ProductViewed{},
		order.Placed{}, customer.Created{}, customer.AttributesUpdated{}, customer.GroupJoined{}, customer.Aliased{},
	} {
		if accepted[reflect.TypeOf(want).String()] == 0 {
			t.Errorf("nothing became a %T: the test tries too little", want)
		}
	}
}

// escaped is text that stands for itself in a format.
func escaped(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// FuzzParse: no body makes it panic, and whatever is accepted can be kept.
func FuzzParse(f *testing.F) {
	for kind, bodies := range map[string][]string{
		"batch": {
			`{"batch":[{"type":"track","userId":"u1","event":"Order Completed","properties":` + orderCompleted + `}],"sentAt":"2026-03-01T12:00:00Z","context":{"ip":"::1"}}`,
			`{"batch":[{"type":"page","anonymousId":1.5e3},null,7,{}],"writeKey":"k","context":{"traits":{"a":[{}]}}}`,
			`{"batch":`, `{"batch":[{"type":"identify","userId":"\ud83d","traits":{"email":"a@b.c","address":{"city":"Van"}}}]}`,
		},
		"track":    {tracked("Product Added", `{"cart_id":"c","sku":1,"quantity":9e9,"price":"1.005"}`), tracked("x", `{"a":{"b":[1e400,"\u0000"]}}`), `null`, ``},
		"identify": {`{"userId":"u1","traits":{"name":"A B","birthday":"1990-01-01","x":1e400},"timestamp":"2030-01-01T00:00:00Z"}`},
		"alias":    {`{"userId":"u1","previousId":"a1"}`},
	} {
		for _, body := range bodies {
			f.Add([]byte(body), kind)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		r, err := ingest.Parse(body, kind, received)
		if err != nil {
			if len(r.Messages)+len(r.Rejected) > 0 {
				t.Fatalf("refused with %v, and %+v", err, r)
			}
			return
		}
		if len(r.Messages)+len(r.Rejected) == 0 {
			t.Fatal("accepted, and nothing there")
		}
		for _, m := range r.Messages {
			if m.OccurredAt.After(received) || m.OccurredAt.Before(time.Unix(0, 0)) {
				t.Fatalf("occurred at %s", m.OccurredAt)
			}
			for _, s := range []ingest.Source{browser, server} {
				for _, e := range meaning(m, s) {
					if problem := keepable(e); problem != "" {
						t.Fatalf("%T%+v: %s", e, e, problem)
					}
				}
			}
		}
	})
}
