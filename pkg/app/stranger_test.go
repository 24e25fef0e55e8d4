package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/record"
)

// metered is the world as a function sees it: nothing in memory, and every request counted.
func (w *world) metered() *world {
	m := w.process(meter.Client{API: w.client, Total: new(meter.Meter)})
	m.Log.Cache = nil
	return m
}

func (w *world) costs(key, kind, body string) meter.Cost {
	w.t.Helper()
	total := new(meter.Meter)
	r := lambdaio.Request{Route: "POST /v1/" + kind, Path: "/v1/" + kind, Header: map[string]string{"x-write-key": key}, SourceIP: "203.0.113.7", Body: []byte(body)}
	if response, err := w.IngestEvents(meter.With(context.Background(), total), r); err != nil || response.Status != 200 {
		w.t.Fatalf("%d %v", response.Status, err)
	}
	return total.Cost()
}

// TestS3_WhatABatchSharesIsNotKeptWithoutEnd: each message that is put aside is kept with its batch's context, which a stranger sends once.
func TestS3_WhatABatchSharesIsNotKeptWithoutEnd(t *testing.T) {
	w := begin(t).metered()
	for name, context := range map[string]string{"a few bytes, over and over": strings.Repeat("a", 32_000), "noise": uuids(24_000)} {
		for _, element := range []string{`0`, `{"messageId":"m%d","userId":"n%d"}`} {
			var batch []string
			for i := range 50 {
				batch = append(batch, strings.ReplaceAll(element, "%d", fmt.Sprint(i)))
			}
			cost := w.costs("browser", "batch", `{"context":{"x":"`+context+`"},"batch":[`+strings.Join(batch, ",")+`]}`)
			if cost.WriteUnits > 320 { // some for each of the 50, and some for each kilobyte sent
				t.Errorf("%s, %s: %.0f write units", name, element, cost.WriteUnits)
			}
		}
	}
}

func uuids(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(newID())
	}
	return b.String()
}

// TestP16_AQuarantineThatAnyLibraryReads, whatever a stranger put into it.
func TestP16_AQuarantineThatAnyLibraryReads(t *testing.T) {
	w := begin(t)
	w.sends("browser", "batch", `{"batch":[`+strings.Repeat("[", 300)+strings.Repeat("]", 300)+`,{"type":"dance","x":1e400},{"type":"dance","x":1}]}`).expect(200)
	var list struct {
		Messages []struct{ Message, Raw any }
	}
	if err := json.Unmarshal([]byte(w.call(ListQuarantine(w.App), "GET", "/v1/quarantine", "/v1/quarantine", "", withKey).expect(200).body), &list); err != nil {
		t.Fatal(err)
	}
	shown, raw := 0, 0
	for _, m := range list.Messages {
		if m.Message != nil {
			shown++
		}
		if m.Raw != nil {
			raw++
		}
	}
	if shown != 1 || raw != 2 {
		t.Errorf("%d are shown as they are and %d as bytes, of three", shown, raw)
	}
}

// TestS5_WhatIsSaidOfTheErasedCostsLittle, however much was stored of them.
func TestS5_WhatIsSaidOfTheErasedCostsLittle(t *testing.T) {
	w := begin(t)
	w.sends("server", "identify", `{"userId":"gone"}`).expect(200)
	for i := range 40 {
		w.sends("server", "page", fmt.Sprintf(`{"userId":"gone","messageId":"p%d","properties":{"x":%q}}`, i, uuids(20_000))).expect(200)
	}
	for try, status := 0, 0; status != 200; try++ {
		if status = w.erase("gone", map[string]string{"authorization": "Bearer key", "idempotency-key": newID()}).status; try > 20 {
			t.Fatal("the erasure does not come to its end")
		}
	}
	m := w.metered()
	m.costs("browser", "page", `{"userId":"gone","messageId":"first"}`) // notes that there is nothing more to read
	if cost := m.costs("browser", "page", `{"userId":"gone","messageId":"second"}`); cost.ReadUnits > 8 || cost.WriteUnits > 1 {
		t.Errorf("%.0f read units, %.0f write units", cost.ReadUnits, cost.WriteUnits)
	}
	head, err := m.Log.Load(t.Context(), "CUSTOMER#gone", record.Fold)
	if err != nil || !erased(record.Fold.Of(head)) {
		t.Errorf("after that the customer is %v, %v", record.Fold.Of(head).Customer.Status, err)
	}
	if _, _, err := m.Log.Handle(t.Context(), eventstore.Command{Stream: "CUSTOMER#gone", Folds: []eventstore.AnyFold{record.Fold}, Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
		if !erased(record.Fold.Of(h)) {
			t.Error("a decision sees a customer who is there")
		}
		return eventstore.Decision{}, nil
	}}); err != nil {
		t.Error(err)
	}
}

// TestS13_AnImageIsFromAPageToo: a server's key in a page is refused also where the browser tells no Origin, and so is a page that a source does not allow.
func TestS13_AnImageIsFromAPageToo(t *testing.T) {
	w := begin(t)
	_, server := w.source(`{"name":"s","kind":"server"}`)
	_, shop := w.source(`{"name":"b","kind":"browser","allowedOrigins":["https://shop.example"]}`)
	_, open := w.source(`{"name":"o","kind":"browser"}`)
	for _, c := range []struct {
		key    string
		header map[string]string
		taken  bool
	}{
		{server, nil, true},
		{server, map[string]string{"referer": "https://evil.example/page?x=1"}, false},
		{server, map[string]string{"sec-fetch-site": "cross-site"}, false},
		{server, map[string]string{"sec-fetch-site": "none"}, true},
		{shop, map[string]string{"referer": "https://evil.example/"}, false},
		{shop, map[string]string{"referer": "https://shop.example/cart"}, true},
		{shop, nil, true},
		{open, map[string]string{"referer": "https://any.example/", "sec-fetch-site": "cross-site"}, true},
	} {
		id := newID()
		query := url.Values{"writeKey": {c.key}, "userId": {"u-" + id}, "event": {"Seen"}}.Encode()
		w.call(IngestEvents(w.App), "GET", "/pixel/v1/track", "/pixel/v1/track?"+query, "", c.header)
		if got := len(w.history("CUSTOMER#u-"+id)) > 0; got != c.taken {
			t.Errorf("%v: taken is %t", c.header, got)
		}
	}
}

// TestS4_ABudgetTellsNothingOfOthers: how many messages an address may send about somebody does not depend on what that person does.
func TestS4_ABudgetTellsNothingOfOthers(t *testing.T) {
	accepted := func(others int) (n int) {
		w := begin(t)
		_, key := w.source(`{"name":"b","kind":"browser"}`)
		send := func(address string) int {
			r := lambdaio.Request{Route: "POST /v1/page", Path: "/v1/page", Header: map[string]string{"x-write-key": key}, SourceIP: address, Body: []byte(fmt.Sprintf(`{"userId":"u1","messageId":%q}`, newID()))}
			response, err := w.IngestEvents(t.Context(), r)
			if err != nil {
				return 429
			}
			return response.Status
		}
		w.clock.advance(time.Minute - time.Duration(w.clock.Now().Second())*time.Second) // a whole minute is left
		for range others {
			send("198.51.100.1")
		}
		for n < 2*streamMessages && send("203.0.113.7") == 200 {
			n++
		}
		return n
	}
	if idle, busy := accepted(0), accepted(25); idle != busy || idle == 0 {
		t.Errorf("%d messages of somebody idle are taken, %d of somebody busy", idle, busy)
	}
}
