package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"defter/pkg/activity"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/view"
)

const trusted = `{"name":"s","kind":"server"}`

// TestP16_RawBytesAreShownAsSuch: every answer is JSON, also where what came is none.
func TestP16_RawBytesAreShownAsSuch(t *testing.T) {
	w := begin(t)
	_, key := w.source(strict)
	latin1 := "{\"type\":\"identify\",\"userId\":\"u1\",\"traits\":{\"name\":\"M\xfcller\"}}"
	w.sends(key, "batch", `{"batch":[`+latin1+`,{"type":"track","userId":"u1","event":"\ud83d"}]}`).expect(200)
	answer := w.call(ListQuarantine(w.App), "GET", "/v1/quarantine", "/v1/quarantine?", "", withKey).expect(200)
	if !utf8.ValidString(answer.body) || !json.Valid([]byte(answer.body)) {
		t.Fatalf("the answer is no JSON: %q", answer.body)
	}
	list := w.quarantine("").Messages
	i := slices.IndexFunc(list, func(q QuarantinedShown) bool { return q.Message == nil })
	if len(list) != 2 || i < 0 || string(list[i].Raw) != latin1 || !strings.Contains(answer.body, base64.StdEncoding.EncodeToString([]byte(latin1))) {
		t.Errorf("shown as %s", answer.body)
	}
	if other := list[1-i]; len(other.Raw) > 0 || !strings.Contains(string(other.Message), `"\ufffd"`) {
		t.Errorf("half an emoji is shown as %s", other.Message)
	}
	w.release(list[i].ID, withKey).expect(422)
}

// TestP17_ARetriedBatchIsQuarantinedOnce, by the ids of its messages; those without ids are told apart by nothing.
func TestP17_ARetriedBatchIsQuarantinedOnce(t *testing.T) {
	w := begin(t)
	_, key := w.source(strict)
	for _, sentAt := range []string{"2026-03-01T12:00:00Z", "2026-03-01T12:00:09Z"} {
		w.sends(key, "batch", `{"sentAt":"`+sentAt+`","batch":[{"type":"track","userId":"u1","event":"Rocket Launched","messageId":"m1","sentAt":"`+sentAt+`"},{"type":"dance","userId":"u1","messageId":"m2"}]}`).expect(200)
	}
	if list := w.quarantine("").Messages; len(list) != 2 {
		t.Errorf("%d are quarantined, want 2", len(list))
	}
	w.sends(key, "batch", `{"batch":[{"type":"track","userId":"u2","event":"Rocket Launched","messageId":"m1"}]}`).expect(200) // somebody else's
	if list := w.quarantine("").Messages; len(list) != 3 {
		t.Errorf("%d are quarantined, want 3", len(list))
	}
}

// TestP17_SevenIsOneCustomer, however the number is written.
func TestP17_SevenIsOneCustomer(t *testing.T) {
	w := begin(t)
	_, key := w.source(trusted)
	for i, id := range []string{`7`, `7.0`, `"7"`, `"7\u200b"`} {
		w.sends(key, "track", fmt.Sprintf(`{"userId":%s,"event":"x%d","messageId":"m%d"}`, id, i, i)).expect(200)
	}
	if got := kinds(w.history(view.CustomerStream("7"))); len(got) != 5 {
		t.Errorf("customer 7 has %v", got)
	}
	w.call(GetCustomer(w.App), "GET", "/v1/customers/{id}", "/v1/customers/7\u200b", "", withKey).expect(200)
}

// TestP5_WhatIsNotUnderstoodIsSaid: the fact is kept, the value does not count, and the event and the quarantine say so.
func TestP5_WhatIsNotUnderstoodIsSaid(t *testing.T) {
	w := begin(t)
	_, key := w.source(trusted)
	const lira = `{"userId":"u1","messageId":"m1","event":"Order Completed","properties":{"order_id":"o1","total":50,"currency":"lira"}}`
	for range 2 {
		w.sends(key, "track", lira).expect(200)
	}
	history := w.history(view.CustomerStream("u1"))
	if got := kinds(history); !slices.Equal(got, []string{"CustomerCreated", "EventTracked"}) || !slices.Equal(history[1].Notes, []string{"properties.currency:unreadable"}) {
		t.Fatalf("kept: %v with %q", got, history[1].Notes)
	}
	answer := w.call(ListEvents(w.App), "GET", "/v1/customers/{id}/events", "/v1/customers/u1/events", "", withKey).expect(200)
	if !strings.Contains(answer.body, `"notes":["properties.currency:unreadable"]`) {
		t.Errorf("shown as %s", answer.body)
	}
	list := w.quarantine("").Messages
	if len(list) != 1 || !strings.Contains(list[0].Reason, "properties.currency is unreadable") {
		t.Fatalf("quarantined: %+v", list)
	}
	if got := w.release(list[0].ID, withKey).expect(422).text("type"); got != "urn:defter:problem:still-invalid" {
		t.Errorf("refused as %s", got)
	}
	if n := len(w.history(view.CustomerStream("u1"))); n != 2 {
		t.Errorf("the customer has %d events", n)
	}
	w.sends(key, "track", `{"userId":"u1","event":"Order Completed","properties":{"order_id":"o2","total":"50,00","currency":"₺"}}`).expect(200)
	if placed, ok := w.history(view.CustomerStream("u1"))[2].Data.(order.Placed); !ok || placed.TotalMinor != 5000 || placed.Currency != "TRY" {
		t.Errorf("an order in signs: %+v", w.history(view.CustomerStream("u1"))[2].Data)
	}
}

// TestP5_WhatIsUnderstoodLaterIsReleased: a program that reads more than the one before makes an order of what was behaviour.
func TestP5_WhatIsUnderstoodLaterIsReleased(t *testing.T) {
	w := begin(t)
	id, key := w.source(trusted)
	const behaviour = `{"userId":"u1","messageId":"m1","type":"track","event":"Order Completed","properties":{"order_id":"o1","total":50,"currency":"lira"}}`
	w.sends(key, "track", behaviour).expect(200)
	source, _, err := w.sourceByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	understood := ingest.Rejected{Raw: []byte(strings.NewReplacer("lira", "TRY", `"m1"`, `"m1 "`).Replace(behaviour)), Taken: true}
	if _, err := w.quarantineMessage(t.Context(), source, view.CustomerStream("u2"), understood, w.clock.Now()); err != nil { // as though it were the same
		t.Fatal(err)
	}
	for _, q := range w.quarantine("").Messages {
		if strings.Contains(string(q.Message), "TRY") {
			w.release(q.ID, withKey).expect(200)
		}
	}
	if got := kinds(w.history(view.CustomerStream("u1"))); !slices.Contains(got, "OrderPlaced") || !slices.Contains(got, "EventTracked") {
		t.Errorf("kept %v", got)
	}
}

// TestC3_AnOrderWithoutAnIDIsLookedAt, if a trusted source tells of it; anybody can send a public key's.
func TestC3_AnOrderWithoutAnIDIsLookedAt(t *testing.T) {
	w := begin(t)
	_, server := w.source(trusted)
	_, page := w.source(`{"name":"w","kind":"browser"}`)
	const bought = `{"userId":"u1","event":"Order Completed","properties":{"total":50,"number":"o1"}}`
	w.sends(server, "track", bought).expect(200)
	w.sends(page, "track", strings.Replace(bought, "u1", "u2", 1)).expect(200)
	if list := w.quarantine("").Messages; len(list) != 1 || !strings.Contains(list[0].Reason, "properties.order_id is missing") {
		t.Errorf("quarantined: %+v", list)
	}
	for user, note := range map[string]string{"u1": "properties.order_id:missing", "u2": "properties.order:untrusted"} {
		history := w.history(view.CustomerStream(user))
		if last := history[len(history)-1]; last.Type != "EventTracked" || !slices.Contains(last.Notes, note) {
			t.Errorf("of %s is kept %s with %q", user, last.Type, last.Notes)
		}
	}
}

// TestP5_AnUnreadableTimeNeverWins over what somebody said at a time that is known, whichever arrives first.
func TestP5_AnUnreadableTimeNeverWins(t *testing.T) {
	said := map[string]string{
		"undated": `{"userId":"u1","messageId":"m1","timestamp":"29/02/2024 8 o'clock","traits":{"plan":"silver","city":"Van","firstName":"Ada"}}`,
		"dated":   `{"userId":"u1","messageId":"m2","timestamp":"%s","traits":{"plan":"gold","firstName":"Augusta"}}`,
	}
	for _, order := range [][]string{{"undated", "dated"}, {"dated", "undated"}} {
		w := begin(t)
		_, key := w.source(trusted)
		yesterday := w.clock.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
		for _, which := range order {
			w.sends(key, "identify", strings.ReplaceAll(said[which], "%s", yesterday)).expect(200)
		}
		s := w.state(view.CustomerStream("u1")).Customer
		if s.Attributes["plan"] != "gold" || s.FirstName != "Augusta" || s.Attributes["city"] != "Van" {
			t.Errorf("%v: %+v", order, s)
		}
	}
}

// TestP7_DigitsStay through events, states, snapshots and answers, told by an SDK or by PATCH.
func TestP7_DigitsStay(t *testing.T) {
	w := begin(t)
	_, key := w.source(trusted)
	const digits = "12345678901234567891"
	w.sends(key, "identify", `{"userId":"u1","traits":{"crm":`+digits+`,"of":{"them":[`+digits+`]}}}`).expect(200)
	w.patch("u1", `{"attributes":{"erp":`+digits+`}}`).expect(200)
	for _, path := range []string{"", "/events"} {
		function := GetCustomer(w.App)
		if path != "" {
			function = ListEvents(w.App)
		}
		answer := w.call(function, "GET", "/v1/customers/{id}"+path, "/v1/customers/u1"+path, "", withKey).expect(200)
		if n := strings.Count(answer.body, digits); n != 3 {
			t.Errorf("%s has the number %d times: %s", path, n, answer.body)
		}
	}
	state, err := json.Marshal(w.state(view.CustomerStream("u1")))
	if n := strings.Count(string(state), digits); err != nil || n != 3 {
		t.Errorf("the state has the number %d times: %s", n, state)
	}
	w.patch("u1", `{"attributes":{"erp":`+digits+`}}`).expect(200)
	if got := kinds(w.history(view.CustomerStream("u1"))); !slices.Equal(got, []string{"CustomerCreated", "CustomerAttributesUpdated", "CustomerAttributesUpdated"}) {
		t.Errorf("the same again: %v", got)
	}
}

// TestP10_OneMailboxIsOneCustomer, and its bounces are known in every form.
func TestP10_OneMailboxIsOneCustomer(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"Ada@Bücher.example","firstName":"Ada","lastName":"Byron","source":"web","termsAccepted":true}`)
	for _, same := range []string{"ada@xn--bcher-kva.example", "ADA@bu\u0308cher.example", "a\u200bda@bücher.example", "ａｄａ@bücher.example"} {
		body, err := json.Marshal(map[string]any{"email": same, "firstName": "A", "lastName": "B", "source": "web", "termsAccepted": true})
		if err != nil {
			t.Fatal(err)
		}
		w.call(RegisterCustomer(w.App), "POST", "/v1/customers", "/v1/customers", string(body), withKey).expect(409)
	}
	if answer := w.call(GetCustomer(w.App), "GET", "/v1/customers/{id}", "/v1/customers/"+id, "", withKey).expect(200); !strings.Contains(answer.body, "Ada@Bücher.example") {
		t.Errorf("shown as %s", answer.body)
	}
	w.call(FindCustomer(w.App), "GET", "/v1/customers", "/v1/customers?email=ada%40XN--bcher-kva.example", "", withKey).expect(200)
	_, key := w.source(trusted)
	w.sends(key, "track", `{"userId":"`+id+`","event":"Email Bounced","properties":{"bounce_type":"hard","email":"ada@xn--bcher-kva.example"}}`).expect(200)
	if !w.state(view.CustomerStream(id)).Customer.EmailInvalid {
		t.Error("the bounce is another's")
	}
}

// TestP13_PlaceholdersOfTheDeployment stand for nobody, beside those of everywhere.
func TestP13_PlaceholdersOfTheDeployment(t *testing.T) {
	w := begin(t)
	w.Settings.Placeholders = []string{"walk-in"}
	_, key := w.source(trusted)
	for i, id := range []string{"Walk-In", "(null)", "{{userId}}", "anonymous_user"} {
		w.sends(key, "track", fmt.Sprintf(`{"userId":%q,"event":"x","messageId":"m%d"}`, id, i)).expect(200)
		w.sends(key, "track", fmt.Sprintf(`{"userId":%q,"anonymousId":"a1","event":"x","messageId":"n%d"}`, id, i)).expect(200)
	}
	if list := w.quarantine("").Messages; len(list) != 4 {
		t.Errorf("%d are quarantined, want 4", len(list))
	}
	if got := kinds(w.history(view.VisitorStream("a1"))); len(got) != 4 {
		t.Errorf("the visitor has %v", got)
	}
}

// TestP6_TrimmingsLoseNoOrder: what only informs is left out, and the order is none the worse.
func TestP6_TrimmingsLoseNoOrder(t *testing.T) {
	w := begin(t)
	_, key := w.source(trusted)
	for i, trimmings := range []string{`"context":{"page":[]}`, `"context":{"page":{"title":7}}`, `"category":true`, `"traits":[]`, `"context":[]`, `"name":"\ud83d"`} {
		w.sends(key, "track", fmt.Sprintf(`{"userId":"u%d","event":"Order Completed","properties":{"order_id":"o%d","total":50},%s}`, i, i, trimmings)).expect(200)
		if got := kinds(w.history(view.CustomerStream(fmt.Sprint("u", i)))); !slices.Contains(got, "OrderPlaced") {
			t.Errorf("%s: kept %v", trimmings, got)
		}
	}
	w.sends(key, "batch", `{"sentAt":17000,"batch":[{"type":"track","userId":"u9","event":"Order Completed","properties":{"order_id":"o9","total":50}},{"type":"track","userId":"u9","event":"x","properties":[]}]}`).expect(200)
	history := w.history(view.CustomerStream("u9"))
	if last := history[len(history)-1]; !slices.Contains(kinds(history), "OrderPlaced") || !slices.Equal(last.Notes, []string{"sentAt:unreadable"}) {
		t.Errorf("of a batch is kept %v, with %q", kinds(history), last.Notes)
	}
	if tracked, ok := history[len(history)-1].Data.(activity.EventTracked); !ok || tracked.Properties != nil {
		t.Errorf("an empty list of properties: %+v", history[len(history)-1].Data)
	}
	if list := w.quarantine("").Messages; len(list) != 0 {
		t.Errorf("quarantined: %+v", list)
	}
}

// TestP5_TheApisOwnTimesAreStrict: each says by its name which form it wants.
func TestP5_TheApisOwnTimesAreStrict(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","termsAccepted":true}`)
	const form = " must be a time of the form 2006-01-02T15:04:05Z"
	for _, c := range []struct {
		handler             lambdaio.Handler
		method, route, path string
		field               string
	}{
		{SetPreferences(w.App), "PUT", "/v1/customers/{id}/preferences", "/v1/customers/" + id + "/preferences", "updatedAt"},
		{ShipOrder(w.App), "POST", "/v1/orders/{id}/shipment", "/v1/orders/o1/shipment", "shippedAt"},
		{DeliverOrder(w.App), "POST", "/v1/orders/{id}/delivery", "/v1/orders/o1/delivery", "deliveredAt"},
	} {
		for _, wrong := range []string{`"2026-03-01 12:00:00"`, `"2026-03-01T12:00:00"`, `"2026-03-01"`, `1767225600`, `"yesterday"`, `""`, `{}`} {
			answer := w.call(c.handler, c.method, c.route, c.path, `{"`+c.field+`":`+wrong+`}`, withKey).expect(400)
			if !strings.Contains(answer.body, c.field+form) {
				t.Errorf("%s %s is answered %s", c.field, wrong, answer.body)
			}
		}
	}
	for _, query := range []string{"asOf=yesterday", "asOf=1767225600"} {
		answer := w.call(GetCustomer(w.App), "GET", "/v1/customers/{id}", "/v1/customers/"+id+"?"+query, "", withKey).expect(400)
		if !strings.Contains(answer.body, "asOf"+form) {
			t.Errorf("%s is answered %s", query, answer.body)
		}
	}
	for _, param := range []string{"from", "to"} {
		answer := w.call(ListEvents(w.App), "GET", "/v1/customers/{id}/events", "/v1/customers/"+id+"/events?"+param+"=yesterday", "", withKey).expect(400)
		if !strings.Contains(answer.body, param+form) {
			t.Errorf("%s is answered %s", param, answer.body)
		}
	}
}

// TestC3_ARefundOfNoOrderSaysSo: what waits in the quarantine says what it lacks.
func TestC3_ARefundOfNoOrderSaysSo(t *testing.T) {
	w := begin(t)
	_, key := w.source(trusted)
	w.sends(key, "batch", `{"batch":[{"type":"track","messageId":"m1","event":"Order Refunded","properties":{"transaction_id":"re_1","total":1}}]}`).expect(200)
	if list := w.quarantine("").Messages; len(list) != 1 || list[0].Reason != ingest.NoOrderNamed {
		t.Errorf("quarantined: %+v", list)
	}
}
