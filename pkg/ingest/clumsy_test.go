package ingest_test

import (
	"reflect"
	"slices"
	"testing"

	"defter/pkg/activity"
	"defter/pkg/customer"
	"defter/pkg/ingest"
	"defter/pkg/order"
)

// TestP5_ClumsyOrders: what can be read of a list or a currency in another place is, and what is left out is said.
func TestP5_ClumsyOrders(t *testing.T) {
	tea, cup := order.Line{ProductID: "p1", Quantity: 1}, order.Line{ProductID: "p2", Quantity: 1}
	for _, c := range []struct {
		properties, currency string
		items                []order.Line
		notes                []string
		doubted              bool
	}{
		{`{"order_id":"o1","total":50,"products":{"0":{"product_id":"p1"},"10":{"product_id":"p2"}}}`, "USD", []order.Line{tea, cup}, nil, false},
		{`{"order_id":"o1","total":50,"products":{"10":{"product_id":"p2"},"2":{"product_id":"p1"}}}`, "USD", []order.Line{tea, cup}, nil, false},
		{`{"order_id":"o1","total":50,"products":{"product_id":"p1"}}`, "USD", []order.Line{tea}, nil, false},
		{`{"order_id":"o1","total":50,"products":[{"product_id":"p1","currency":"TL"},{"product_id":"p2"}]}`, "TRY", []order.Line{tea, cup}, nil, false},
		{`{"order_id":"o1","total":50,"currency":"EUR","products":[{"product_id":"p1","currency":"TRY"}]}`, "EUR", []order.Line{tea}, nil, false},
		{`{"order_id":"o1","total":50,"products":[{"product_id":"p1","currency":"TRY"},{"product_id":"p2","currency":"EUR"}]}`, "", nil, []string{"properties.currency:ambiguous"}, true},
		{`{"order_id":"o1","total":50,"products":[{"name":"Tea"}]}`, "USD", []order.Line{{ProductName: "Tea", Quantity: 1}}, []string{"properties.products.product_id:missing"}, true},
	} {
		m := one(t, "track", tracked("Order Completed", c.properties))
		facts, notes := ingest.Facts(m, server)
		report, placed := facts[0].(order.ReportPlaced)
		if placed != (c.currency != "") || report.Placed.Currency != c.currency || !reflect.DeepEqual(report.Placed.Items, c.items) || !slices.Equal(notes, c.notes) {
			t.Errorf("%s\nis %+v, %q", c.properties, facts[0], notes)
		}
		if doubt := ingest.Doubt(m, server); (doubt != "") != c.doubted {
			t.Errorf("%s is doubted for %q", c.properties, doubt)
		}
	}
}

// TestP5_ValuesOfNoList are noted.
func TestP5_ValuesOfNoList(t *testing.T) {
	for _, c := range []struct{ event, properties, note string }{
		{"Product Viewed", `{"product_id":"p1","view_source":"Google"}`, "properties.view_source:unknown"},
		{"Touchpoint Recorded", `{"channel":"tv"}`, "properties.channel:unknown"},
		{"Attribution Calculated", `{"order_id":"o1","model":"magic"}`, "properties.model:unknown"},
		{"Checkout Step Completed", `{"step":0}`, "properties.step:out-of-range"},
		{"Checkout Step Completed", `{"step":"payment"}`, "properties.step:unreadable"},
	} {
		if _, notes := toldAs(t, server, c.event, c.properties); !slices.Equal(notes, []string{c.note}) {
			t.Errorf("%s %s: %q", c.event, c.properties, notes)
		}
	}
	if got, notes := toldAs(t, server, "Product Viewed", `{"product_id":"p1","view_source":"search"}`); got.(activity.ProductViewed).ViewSource != "search" || notes != nil {
		t.Errorf("%+v, %q", got, notes)
	}
}

// TestP5_AddressesOfOtherShops are read by the names that their programs write, and what else is in one is noted.
func TestP5_AddressesOfOtherShops(t *testing.T) {
	for traits, want := range map[string]customer.AddressPatch{
		`{"address":{"address1":"1 High St","address2":"Flat 2","city":"London","province":"X","zip":"N1","country":"UK"}}`: {
			Line1: to("1 High St"), Line2: to("Flat 2"), City: to("London"), Region: to("X"), PostalCode: to("N1"), Country: to("UK")},
		`{"address":{"street1":"1 High St","town":"London","postcode":"N1"}}`: {Line1: to("1 High St"), City: to("London"), PostalCode: to("N1")},
	} {
		if c, notes := ingest.Identify(one(t, "identify", `{"userId":"u1","traits":`+traits+`}`), server, "", ""); !reflect.DeepEqual(c.Address, want) || notes != nil {
			t.Errorf("%s: %+v, %q", traits, c.Address, notes)
		}
	}
	_, notes := ingest.Identify(one(t, "identify", `{"userId":"u1","traits":{"address":{"city":"London","planet":"Mars"}}}`), server, "", "")
	if !slices.Equal(notes, []string{"traits.address:unknown"}) {
		t.Errorf("notes are %q", notes)
	}
}

// TestP6_NotANumber costs its field, and not the batch.
func TestP6_NotANumber(t *testing.T) {
	r, err := ingest.Parse([]byte(`{"batch":[{"type":"track","userId":"u1","event":"Order Completed","properties":{"order_id":"NaN \\","total":NaN,"tax":-Infinity,"x":[Infinity, "\"NaN"]}},
		{"type":"page","userId":"u1"}],"sentAt":NaN}`), "batch", received)
	if err != nil || len(r.Messages) != 2 || !slices.Equal(r.Messages[1].Notes, []string{"sentAt:unreadable"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	facts, notes := ingest.Facts(r.Messages[0], server)
	if want := []string{"properties.total:unreadable", "properties.tax:unreadable"}; !slices.Equal(notes, want) {
		t.Errorf("notes are %q, want %q", notes, want)
	}
	if kept, ok := facts[0].(activity.EventTracked); !ok || string(kept.Properties) != `{"order_id":"NaN \\","tax":"-Infinity","total":"NaN","x":["Infinity","\"NaN"]}` {
		t.Errorf("kept as %+v", facts[0])
	}
	if key := ingest.WriteKey([]byte(`{"batch":[{"x":NaN}],"writeKey":"k"}`)); key != "k" {
		t.Errorf("the key is %q", key)
	}
}

// TestP6_AMarkBeforeTheBody and a type in capitals say nothing else than without them.
func TestP6_AMarkBeforeTheBody(t *testing.T) {
	const message = `{"writeKey":"k","type":"TRACK","userId":"u1","event":"x"}`
	for body, kind := range map[string]string{"\ufeff" + message: "track", "\ufeff" + `{"writeKey":"k","batch":[` + message + `]}`: "batch"} {
		r, err := ingest.Parse([]byte(body), kind, received)
		if err != nil || len(r.Messages) != 1 || r.Messages[0].Type != "track" || ingest.WriteKey([]byte(body)) != "k" {
			t.Errorf("%q: %+v, %v", body, r, err)
		}
	}
}
