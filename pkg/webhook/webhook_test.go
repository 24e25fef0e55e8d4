package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/source"
	"defter/pkg/webhook"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripe "github.com/stripe/stripe-go/v85/webhook"
)

// delivery is what a provider posts.
type delivery struct {
	signature, secret string
	header            map[string]string
	body              []byte
	at                time.Time
}

func (d delivery) verified() error {
	return webhook.Verify(source.Webhook{Signature: d.signature, Secret: d.secret}, d.header, d.body, d.at)
}

// byStandard is signed by the library of Standard Webhooks.
func byStandard(t *testing.T) delivery {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	d := delivery{signature: source.StandardWebhooks, secret: secret, body: []byte(`{"test": 2432232314}`), at: time.Unix(1614265330, 0)}
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", d.at, d.body)
	if err != nil {
		t.Fatal(err)
	}
	d.header = map[string]string{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v2,AAAA v1,AAAA " + signature}
	return d
}

// byStripe is signed by Stripe's library.
func byStripe(*testing.T) delivery {
	at := time.Unix(1700000000, 0)
	signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(`{"id":"evt_1"}`), Secret: "whsec_test", Timestamp: at})
	return delivery{source.Stripe, "whsec_test", map[string]string{"stripe-signature": signed.Header}, signed.Payload, at}
}

// bySendGrid is the example in the tests of SendGrid's own library, github.com/sendgrid/sendgrid-go, helpers/eventwebhook.
func bySendGrid(*testing.T) delivery {
	return delivery{
		signature: source.SendGrid,
		secret:    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==",
		header: map[string]string{
			"x-twilio-email-event-webhook-timestamp": "1588788367",
			"x-twilio-email-event-webhook-signature": "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH2j/0=",
		},
		body: []byte(`{"category":"example_payload","event":"test_event","message_id":"message_id"}`), at: time.Unix(1588788367, 0),
	}
}

// byShopify is signed as Shopify's documentation says.
func byShopify(*testing.T) delivery {
	body := []byte(`{"id":820982911946154508}`)
	h := hmac.New(sha256.New, []byte("hush"))
	h.Write(body)
	return delivery{source.Shopify, "hush", map[string]string{"x-shopify-hmac-sha256": base64.StdEncoding.EncodeToString(h.Sum(nil))}, body, time.Unix(1700000000, 0)}
}

func TestSignaturesOfTheProvidersOwnLibraries(t *testing.T) {
	for _, make := range []func(*testing.T) delivery{byStandard, byStripe, bySendGrid, byShopify} {
		d := make(t)
		t.Run(d.signature, func(t *testing.T) {
			if err := d.verified(); err != nil {
				t.Fatal(err)
			}
			refused := func(what string, change func(*delivery)) {
				t.Helper()
				other := d
				other.header = maps.Clone(d.header)
				other.body = append([]byte(nil), d.body...)
				change(&other)
				if err := other.verified(); fault.SlugOf(err) != "invalid-signature" {
					t.Errorf("%s: %v", what, err)
				}
			}
			refused("another body", func(d *delivery) { d.body[0] = ' ' })
			refused("a longer body", func(d *delivery) { d.body = append(d.body, ' ') })
			refused("no headers", func(d *delivery) { d.header = nil })
			for name, value := range d.header {
				refused(name+" absent", func(d *delivery) { delete(d.header, name) })
				refused(name+" changed", func(d *delivery) { d.header[name] = value[:len(value)-3] + "AAA" })
				refused(name+" is something else", func(d *delivery) { d.header[name] = "t=x,v1=zz" })
			}
			refused("another secret", func(d *delivery) {
				d.secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("another"))
				if d.signature == source.SendGrid {
					key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
					raw, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
					d.secret = base64.StdEncoding.EncodeToString(raw)
				}
			})
			if d.signature != source.Shopify { // which signs no time
				refused("ten minutes late", func(d *delivery) { d.at = d.at.Add(10 * time.Minute) })
				refused("ten minutes early", func(d *delivery) { d.at = d.at.Add(-10 * time.Minute) })
			}
		})
	}
	if err := (delivery{signature: source.Unsigned}).verified(); err != nil {
		t.Error(err)
	}
	if err := (delivery{signature: "morse"}).verified(); err == nil {
		t.Error("an unknown signature is taken")
	}
}

func read(t *testing.T, w source.Webhook) *webhook.Mapping {
	t.Helper()
	m, err := webhook.Read(w)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func messages(t *testing.T, w source.Webhook, header map[string]string, body string) ([]map[string]any, int) {
	t.Helper()
	made, err := read(t, w).Messages(header, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	for _, r := range made.Messages {
		var m map[string]any
		d := json.NewDecoder(strings.NewReader(string(r)))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list, len(made.Unmatched)
}

func TestRulesMakeMessages(t *testing.T) {
	w := source.Webhook{Signature: source.Unsigned, Each: "$.body.events[*]", Rules: []source.Rule{
		{
			When: map[string]string{"$.body.kind": "sold"}, Event: "Order Completed", UserID: "$.body.who.id", Timestamp: "unix:$.body.at",
			Properties: map[string]string{"order_id": "$.body.no", "total": "minor:$.body.cents", "currency": "$.body.cur", "channel": "=till", "absent": "$.body.nothing"},
		},
		{When: map[string]string{"$.body.kind": "sold"}, Type: "identify", UserID: "$.body.who.id", Properties: map[string]string{"plan": "$.header['x-plan']"}},
	}}
	if err := webhook.Check(w); err != nil {
		t.Fatal(err)
	}
	body := `{"events":[{"kind":"sold","no":12345678901234567890,"cents":1999,"cur":"jpy","at":1700000000,"who":{"id":"u1"}},{"kind":"looked"}]}`
	got, unmatched := messages(t, w, map[string]string{"x-plan": "gold"}, body)
	if len(got) != 2 || unmatched != 1 {
		t.Fatalf("%v, %d unmatched", got, unmatched)
	}
	properties := got[0]["properties"].(map[string]any)
	for name, want := range map[string]string{"order_id": "12345678901234567890", "total": "1999", "currency": "JPY", "channel": "till"} {
		if fmt.Sprint(properties[name]) != want {
			t.Errorf("%s is %v, want %s", name, properties[name], want)
		}
	}
	if _, there := properties["absent"]; there || got[0]["userId"] != "u1" || got[0]["timestamp"] != "2023-11-14T22:13:20Z" || got[0]["event"] != "Order Completed" {
		t.Errorf("%v", got[0])
	}
	if got[1]["type"] != "identify" || got[1]["traits"].(map[string]any)["plan"] != "gold" || got[0]["messageId"] == got[1]["messageId"] {
		t.Errorf("%v", got[1])
	}
	again, _ := messages(t, w, map[string]string{"x-plan": "gold"}, body)
	if again[0]["messageId"] != got[0]["messageId"] {
		t.Error("a delivery that comes again has another id")
	}
	if _, err := read(t, w).Messages(nil, []byte(`{`)); fault.SlugOf(err) != "invalid-json" {
		t.Error(err)
	}
	many := `{"events":[` + strings.Repeat(`{},`, 2500) + `{}]}`
	if _, err := read(t, w).Messages(nil, []byte(many)); fault.SlugOf(err) != "too-large" {
		t.Error(err)
	}
	every := source.Webhook{Each: "$.body[*]", Rules: make([]source.Rule, 50)}
	for i := range every.Rules {
		every.Rules[i] = source.Rule{Event: "X", UserID: "$.body.id"}
	}
	if _, err := read(t, every).Messages(nil, []byte(`[`+strings.Repeat(`{},`, 50)+`{}]`)); fault.SlugOf(err) != "too-large" {
		t.Errorf("51 elements of 50 messages each: %v", err)
	}
	for _, strange := range []string{`null`, `1`, `[]`, `{"events":null}`, `{"events":{}}`, `{"events":[null,1,"x",[]]}`} {
		if got, _ := messages(t, w, nil, strange); len(got) != 0 {
			t.Errorf("%s: %v", strange, got)
		}
	}
}

// TestP5_WhatARuleCannotReadIsNotLeftOut: else an amount that is told would look like one that is not.
func TestP5_WhatARuleCannotReadIsNotLeftOut(t *testing.T) {
	w := source.Webhook{Signature: source.Unsigned, Rules: []source.Rule{{
		Event: "Order Refunded", UserID: "$.body.who", Timestamp: "unix:$.body.at", Properties: map[string]string{"order_id": "=o1", "total": "minor:$.body.cents", "currency": "$.body.cur"},
	}}}
	for body, want := range map[string]string{
		`{"who":7.0,"at":1700000000,"cents":1999,"cur":"eur"}`:        "7 2023-11-14T22:13:20Z 19.99 EUR []",
		`{"who":"7","at":"1700000000","cents":"1999.0","cur":"€"}`:    "7 2023-11-14T22:13:20Z 19.99 EUR []",
		`{"who":7,"at":1700000000500,"cents":1.999e3,"cur":978}`:      "7 2023-11-14T22:13:20.5Z 19.99 EUR []",
		`{"who":7,"at":"2023-11-14 22:13:20+0000","cur":"EUR"}`:       "7 2023-11-14T22:13:20Z <nil> EUR []",
		`{"who":7,"at":"soon","cents":19.99,"cur":"euros and cents"}`: "7 soon no minor units: 19.99 euros and cents [timestamp:unreadable properties.total:unreadable properties.currency:unreadable]",
	} {
		got, _ := messages(t, w, nil, body)
		raw, err := json.Marshal(got[0])
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ingest.Parse([]byte(`{"batch":[`+string(raw)+`]}`), "batch", time.Unix(1_800_000_000, 0))
		if err != nil || len(parsed.Messages) != 1 {
			t.Fatalf("%s: %+v, %v", raw, parsed, err)
		}
		_, unread := ingest.Facts(parsed.Messages[0], ingest.Source{Trusted: true})
		p := got[0]["properties"].(map[string]any)
		if said := fmt.Sprint(got[0]["userId"], " ", got[0]["timestamp"], " ", p["total"], " ", p["currency"], " ", append(parsed.Messages[0].Notes, unread...)); said != want {
			t.Errorf("%s says %s, want %s", body, said, want)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	long, key := strings.Repeat("x", 16), bySendGrid(t).secret
	rules := []source.Rule{{Event: "X", UserID: "$.body.id"}}
	for what, w := range map[string]source.Webhook{
		"unknown signature": {Signature: "morse", Rules: rules}, "no secret": {Signature: source.Stripe, Rules: rules},
		"no base64": {Signature: source.StandardWebhooks, Secret: "whsec_%", Rules: rules}, "no key": {Signature: source.SendGrid, Secret: "AAAA", Rules: rules},
		"no rules": {Signature: source.Unsigned}, "too many rules": {Signature: source.Unsigned, Rules: make([]source.Rule, 101)},
		"no event": {Signature: source.Unsigned, Rules: []source.Rule{{UserID: "$.x"}}}, "nobody": {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X"}}},
		"type":           {Signature: source.Unsigned, Rules: []source.Rule{{Type: "page", Event: "X", UserID: "$.x"}}},
		"path":           {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.["}}},
		"no path":        {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "id"}}},
		"when":           {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.x", When: map[string]string{"$.[": "x"}}}},
		"each":           {Signature: source.Unsigned, Each: "events", Rules: rules},
		"property":       {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.x", Properties: map[string]string{"a": "minor:b"}}}},
		"message":        {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.x", MessageID: "y"}}},
		"time":           {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.x", Timestamp: "unix:"}}},
		"empty standard": {Signature: source.StandardWebhooks, Rules: rules},
		"a short secret": {Signature: source.Stripe, Secret: "x"}, "fifteen bytes": {Signature: source.Stripe, Secret: strings.Repeat("x", 15)},
		"fifteen bytes, as base64": {Signature: source.StandardWebhooks, Secret: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 15)), Rules: rules},
		"no topic":                 {Signature: source.Shopify, Secret: long}, "an unknown topic": {Signature: source.Shopify, Secret: long, Topic: "orders/eaten"},
		"an ignored topic": {Signature: source.Shopify, Secret: long, Topic: "orders/edited"}, "a topic of Stripe": {Signature: source.Stripe, Secret: long, Topic: "orders/paid"},
		"a topic beside":       {Signature: source.Shopify, Secret: long, Topic: "orders/paid", Rules: []source.Rule{{Event: "X", UserID: "$.body.id", When: map[string]string{"$.header['x-shopify-topic']": "orders/paid"}}}},
		"an id beside":         {Signature: source.Stripe, Secret: long, Rules: []source.Rule{{Event: "X", UserID: "$.body.id", MessageID: "$.header.id"}}},
		"an amount beside":     {Signature: source.StandardWebhooks, Secret: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 16)), Rules: []source.Rule{{Event: "X", UserID: "$.body.id", Properties: map[string]string{"total": "minor:$['header'].total"}}}},
		"an account of a shop": {Signature: source.Shopify, Secret: long, Topic: "orders/paid", Account: "acct_1"}, "test mode of a mail service": {Signature: source.SendGrid, Secret: key, Test: true},
		"nobody's order": {Signature: source.Unsigned, Rules: []source.Rule{{Event: "Order Refunded"}}}, "nobody's purchase": {Signature: source.Unsigned, Rules: []source.Rule{{Event: "Order Completed", Properties: map[string]string{"order_id": "$.x"}}}},
		"a rule's each": {Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.x", Each: "items"}}},
	} {
		if err := webhook.Check(w); fault.SlugOf(err) != "invalid-source" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Elements that share the delivery's id are still different, and one that comes again is the same: wherever it stands, in
// whatever order the rules are by then, and taken out of its delivery.
func TestEachElementHasAnIdOfItsOwn(t *testing.T) {
	sold := source.Rule{When: map[string]string{"$.body.kind": "sold"}, Event: "Sold", UserID: "$.body.who", MessageID: "$.header['x-delivery']"}
	told := source.Rule{Event: "Told", UserID: "$.body.who"}
	w := source.Webhook{Signature: source.Unsigned, Each: "$.body[*]", Rules: []source.Rule{sold, told}}
	header := map[string]string{"x-delivery": "d1"}
	ids := func(w source.Webhook, body string) map[string]bool {
		t.Helper()
		list, _ := messages(t, w, header, body)
		ids := map[string]bool{}
		for _, m := range list {
			ids[m["messageId"].(string)] = true
		}
		if len(ids) != len(list) {
			t.Errorf("%d messages of %s have %d ids", len(list), body, len(ids))
		}
		return ids
	}
	first := ids(w, `[{"kind":"sold","who":"u1","n":1},{"kind":"sold","who":"u1","n":2}]`)
	if len(first) != 4 {
		t.Fatalf("%d ids", len(first))
	}
	turned := w
	turned.Rules = []source.Rule{told, {Event: "Between", UserID: "$.body.none", When: map[string]string{"$.body.x": "y"}}, sold}
	if again := ids(turned, `[{"n":2,"who":"u1","kind":"sold"},{"kind":"sold","who":"u1","n":1}]`); !maps.Equal(first, again) {
		t.Error("the same elements have other ids once the rules stand in another order")
	}
	alone := map[string]bool{}
	for _, element := range []string{`{"kind":"sold","who":"u1","n":1}`, `{"kind":"sold","who":"u1","n":2}`} {
		made, err := read(t, w).Element(header, []byte(element))
		if err != nil || len(made.Unmatched) > 0 {
			t.Fatalf("%+v, %v", made, err)
		}
		for _, raw := range made.Messages {
			var m struct{ MessageID string }
			_ = json.Unmarshal(raw, &m)
			alone[m.MessageID] = true
		}
	}
	if !maps.Equal(first, alone) {
		t.Error("the same elements have other ids by themselves")
	}
}

func TestWhatFitsNoRuleIsReturned(t *testing.T) {
	w := source.Webhook{Each: "$.body[*]", Rules: []source.Rule{{When: map[string]string{"$.body.kind": "sold"}, Event: "Sold", UserID: "$.body.who"}}}
	made, err := read(t, w).Messages(nil, []byte(`[{"kind":"sold","who":"u1"},{"kind":"looked","id":12345678901234567890},7]`))
	if err != nil || len(made.Messages) != 1 || len(made.Unmatched) != 2 || !made.Elements ||
		string(made.Unmatched[0]) != `{"id":12345678901234567890,"kind":"looked"}` || string(made.Unmatched[1]) != "7" {
		t.Errorf("%d messages, unmatched %s, %v", len(made.Messages), made.Unmatched, err)
	}
	w.Each = ""
	if made, err = read(t, w).Messages(nil, []byte(`{"kind":"looked"}`)); err != nil || made.Elements || len(made.Unmatched) != 1 {
		t.Errorf("%+v, %v", made, err)
	}
}

// Filters compare numbers, and what they find keeps all its digits.
func TestFiltersCompareNumbers(t *testing.T) {
	body := `{"lines":[{"n":1,"price":10.50,"id":12345678901234567890},{"n":2,"price":3,"id":2}],"who":"u1"}`
	for path, want := range map[string]string{
		"$.body.lines[?(@.price > 5)].id":     "12345678901234567890",
		"$.body.lines[?(@.n == 2)].id":        "2",
		"$.body.lines[?@.price == 10.5]['n']": "1",
		"$.body.lines[?(@.price > 5)].price":  "10.50",
		"$.body.lines[?(@.price > 50)].id":    "<nil>",
	} {
		w := source.Webhook{Signature: source.Unsigned, Rules: []source.Rule{{Event: "X", UserID: "$.body.who", Properties: map[string]string{"found": path}}}}
		if err := webhook.Check(w); err != nil {
			t.Fatal(err)
		}
		got, _ := messages(t, w, nil, body)
		if found := fmt.Sprint(got[0]["properties"].(map[string]any)["found"]); found != want {
			t.Errorf("%s finds %s, want %s", path, found, want)
		}
	}
}

// Stripe counts some currencies in other units than ISO 4217 has them.
func TestStripesAmounts(t *testing.T) {
	for currency, want := range map[string]string{
		"usd": "5.00", "jpy": "500", "krw": "500", "kwd": "0.500", "huf": "5.00", "twd": "5.00", "isk": "5.00", "ugx": "5.00", "mga": "500", "vnd": "500",
	} {
		body := `{"type":"checkout.session.completed","id":"e","livemode":true,"data":{"object":{"payment_status":"paid","amount_total":500,"currency":"` + currency + `"}}}`
		got, _ := messages(t, source.Webhook{Signature: source.Stripe}, nil, body)
		if total := fmt.Sprint(got[0]["properties"].(map[string]any)["total"]); total != want {
			t.Errorf("500 of %s are %s, want %s", currency, total, want)
		}
	}
	own := source.Webhook{Signature: source.Unsigned, Rules: []source.Rule{{
		Event: "Order Completed", UserID: "$.body.u", Properties: map[string]string{"total": "minor:$.body.n", "currency": "=ISK"},
	}}}
	got, _ := messages(t, own, nil, `{"u":"u1","n":500}`)
	if total := fmt.Sprint(got[0]["properties"].(map[string]any)["total"]); total != "500" {
		t.Errorf("500 krónur of another service are %s", total)
	}
}

// FuzzMessages: whatever is posted becomes messages that are taken in, each with an id that it has again, or an error.
func FuzzMessages(f *testing.F) {
	for name := range webhook.Presets {
		f.Add(name, `{"type":"checkout.session.completed","id":"e","livemode":true,"created":1,"data":{"object":{"payment_status":"paid","amount_total":5,"currency":"eur"}}}`)
		f.Add(name, `{"type":"refund.updated","id":"e","livemode":true,"data":{"object":{"status":"failed","amount":5,"currency":"eur","metadata":{"order_id":7}}}}`)
		f.Add(name, `{"id":1,"financial_status":"paid","cancelled_at":"x","refunds":[{"transactions":[{"kind":"refund","status":"success","id":1},{"kind":"refund","status":"success","id":2}]}]}`)
		f.Add(name, `[{"event":"open","timestamp":`+strconv.Itoa(1<<40)+`,"customerId":1e400}]`)
		f.Add(name, `[{"event":"open","timestamp":7,"customerId":"u1"},{"event":"open","timestamp":7,"customerId":"u1","x":1}]`)
		f.Add(name, `{"id":1,"customer":{"id":2},"line_items":[{"price":"9.99"}],"currency":"TRY","total_price":"9.99"}`)
	}
	header := map[string]string{"x-shopify-topic": "orders/updated", "x-shopify-webhook-id": "w1"}
	f.Fuzz(func(t *testing.T, preset, body string) {
		w := source.Webhook{Signature: preset}
		if preset == source.Shopify {
			w.Topic = "orders/updated"
		}
		m := read(t, w)
		made, err := m.Messages(header, []byte(body))
		again, errAgain := m.Messages(header, []byte(body))
		if err != nil || len(made.Messages) == 0 {
			if (err == nil) != (errAgain == nil) {
				t.Fatalf("%v, then %v", err, errAgain)
			}
			return
		}
		parse := func(messages []json.RawMessage) ingest.Request {
			batch, err := json.Marshal(map[string]any{"batch": messages})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := ingest.Parse(batch, "batch", time.Unix(1<<31, 0))
			if err != nil || len(parsed.Messages)+len(parsed.Rejected) != len(messages) {
				t.Fatalf("%s: %d taken, %d set aside, %v", batch, len(parsed.Messages), len(parsed.Rejected), err)
			}
			return parsed
		}
		first, second := parse(made.Messages), parse(again.Messages)
		for i, taken := range first.Messages {
			if id := taken.MessageID; len(id) < 20 || len(id) > ingest.MaxMessageID || id != second.Messages[i].MessageID {
				t.Fatalf("%s has the id %q, then %q", taken.Raw, id, second.Messages[i].MessageID)
			}
		}
		for _, aside := range first.Rejected { // for what the delivery lacks, not for how the message is made
			if strings.Contains(aside.Reason, "type must be") || strings.Contains(aside.Reason, "needs a name") || strings.Contains(aside.Reason, "messageId") {
				t.Fatalf("%s is set aside since %s", aside.Raw, aside.Reason)
			}
		}
	})
}
