package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/intake"
	"defter/pkg/order"
	"defter/pkg/view"
)

// source makes a source. It returns its id and its write key.
func (w *world) source(body string) (id, key string) {
	w.t.Helper()
	a := w.call(CreateSource(w.App), "POST", "/v1/sources", "/v1/sources", body, withKey).expect(201)
	var made SourceShown
	if err := json.Unmarshal([]byte(a.body), &made); err != nil {
		w.t.Fatal(err)
	}
	return made.SourceID, made.WriteKeys[0].WriteKey
}

func (w *world) changeSettings(id, body string) {
	w.t.Helper()
	w.call(ChangeSource(w.App), "PATCH", "/v1/sources/{id}", "/v1/sources/"+id, body, withKey).expect(200)
}

// quarantine is one page of the list; query may be "".
func (w *world) quarantine(query string) QuarantineList {
	w.t.Helper()
	a := w.call(ListQuarantine(w.App), "GET", "/v1/quarantine", "/v1/quarantine?"+query, "", withKey).expect(200)
	var list QuarantineList
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) release(id string, header map[string]string) reply {
	w.t.Helper()
	return w.call(ReleaseQuarantined(w.App), "POST", "/v1/quarantine/{id}/release", "/v1/quarantine/"+id+"/release", "", header)
}

const strict = `{"name":"s","kind":"server","unknownEvents":"quarantine"}`

// A message that calls itself a batch is none, however many are in it.
func TestABatchWithinAMessageIsNotReleased(t *testing.T) {
	w := begin(t)
	_, key := w.source(strict)
	w.sends(key, "batch", `{"batch":[{"type":"batch","userId":"u1","event":"x","batch":[{"type":"track","userId":"u1","event":"Left"},{"type":"page","userId":"u1"}]},{"type":"batch","batch":[]}]}`).expect(200)
	list := w.quarantine("").Messages
	if len(list) != 2 {
		t.Fatalf("quarantined: %+v", list)
	}
	for _, q := range list {
		if got := w.release(q.ID, withKey).expect(422).text("type"); got != "urn:defter:problem:still-invalid" {
			t.Errorf("refused as %s", got)
		}
	}
	if n := len(w.quarantine("").Messages); n != 2 || len(w.history(view.CustomerStream("u1"))) > 0 {
		t.Errorf("%d are left, the customer has %v", n, kinds(w.history(view.CustomerStream("u1"))))
	}
}

// What a batch's messages share is theirs when they are released: what was chosen in a banner, and when they were sent.
func TestReleaseWithTheContextOfTheBatch(t *testing.T) {
	w := begin(t)
	id, key := w.source(strict)
	sent, happened := w.clock.Now().Add(-24*time.Hour), w.clock.Now().Add(-25*time.Hour) // by a clock that is a day late
	for user, granted := range map[string]bool{"refuses": false, "grants": true} {
		w.sends(key, "batch", fmt.Sprintf(`{"sentAt":%q,"context":{"locale":"tr-TR","consent":{"categoryPreferences":{"Analytics":%v}}},"batch":[
			{"type":"track","userId":%q,"event":"Rocket <Launched>","timestamp":%q,"messageId":"m1"}]}`,
			sent.Format(time.RFC3339Nano), granted, user, happened.Format(time.RFC3339Nano))).expect(200)
	}
	for _, q := range w.quarantine("").Messages {
		var shown map[string]any
		if json.Unmarshal(q.Message, &shown) != nil || shown["event"] != "Rocket <Launched>" || shown["context"] != nil {
			t.Errorf("shown as %s", q.Message)
		}
	}
	w.changeSettings(id, `{"unknownEvents":"accept","analyticsConsent":"required"}`)
	for _, q := range w.quarantine("").Messages {
		w.release(q.ID, withKey).expect(200)
	}
	if got := kinds(w.history(view.CustomerStream("refuses"))); len(got) > 0 {
		t.Errorf("of who refused is kept %v", got)
	}
	history := w.history(view.CustomerStream("grants"))
	if got := kinds(history); !slices.Equal(got, []string{"CustomerCreated", "EventTracked"}) {
		t.Fatalf("of who granted is kept %v", got)
	}
	if ago := w.clock.Now().Sub(history[1].OccurredAt); ago < time.Hour || ago > time.Hour+time.Minute {
		t.Errorf("it happened %s ago, not an hour", ago)
	}
}

// A message that came by itself has its type in the path.
func TestReleaseOfAMessageThatCameByItself(t *testing.T) {
	w := begin(t)
	id, key := w.source(strict)
	w.sends(key, "track", `{"userId":"u1","event":"Rocket Launched"}`).expect(200) // without a messageId
	w.changeSettings(id, `{"unknownEvents":"accept"}`)
	q := w.quarantine("").Messages[0]
	w.release(q.ID, withKey).expect(200)
	w.release(q.ID, withKey).expect(404)
	if got := kinds(w.history(view.CustomerStream("u1"))); !slices.Equal(got, []string{"CustomerCreated", "EventTracked"}) {
		t.Errorf("kept: %v", got)
	}
}

// Of whom a page's message tells is where it came from, when it is released as when it is taken in.
func TestReleaseKeepsTheAddress(t *testing.T) {
	w := begin(t)
	id, key := w.source(`{"name":"s","kind":"browser","unknownEvents":"quarantine"}`)
	w.sends(key, "track", `{"userId":"u1","event":"Rocket Launched"}`).expect(200)
	w.changeSettings(id, `{"unknownEvents":"accept"}`)
	w.release(w.quarantine("").Messages[0].ID, withKey).expect(200)
	tracked, _ := w.history(view.CustomerStream("u1"))[1].Data.(activity.EventTracked)
	if tracked.Context == nil || tracked.Context.IPAddress != "203.0.113.1" {
		t.Errorf("kept as %+v", tracked.Context)
	}
}

// What can never be released stays, with the reason.
func TestWhatIsNotKeptWholeIsNotReleased(t *testing.T) {
	w := begin(t)
	_, key := w.source(strict)
	large := strings.Repeat("x", 33<<10)
	w.sends(key, "batch", `{"batch":[{"type":"track","userId":"u1","event":"Left","properties":{"a":"`+large+`"}}]}`).expect(200)
	w.sends(key, "batch", `{"context":{"a":"`+large+`"},"batch":[{"type":"page","userId":"u1"}]}`).expect(200)
	list := w.quarantine("").Messages
	if len(list) != 2 || list[0].Message == nil || list[1].Message != nil || list[1].Bytes < 33<<10 {
		t.Fatalf("%d quarantined: %.300s", len(list), fmt.Sprint(list))
	}
	for _, q := range list {
		w.release(q.ID, withKey).expect(422)
	}
}

// TestB12_QuarantineIsOverWhenItsTimeIs: DynamoDB may delete what has expired days later.
func TestB12_QuarantineIsOverWhenItsTimeIs(t *testing.T) {
	w := begin(t)
	id, key := w.source(strict)
	w.sends(key, "track", `{"userId":"u1","event":"Rocket Launched"}`).expect(200)
	w.changeSettings(id, `{"unknownEvents":"accept"}`)
	q := w.quarantine("").Messages[0]
	w.clock.advance(quarantineFor - time.Minute)
	if n := len(w.quarantine("").Messages); n != 1 {
		t.Errorf("%d are listed a minute before", n)
	}
	w.clock.advance(time.Minute)
	if n := len(w.quarantine("").Messages); n != 0 {
		t.Errorf("%d are listed", n)
	}
	w.release(q.ID, withKey).expect(404)
	if got := kinds(w.history(view.CustomerStream("u1"))); len(got) > 0 {
		t.Errorf("kept: %v", got)
	}
}

// DynamoDB cuts an answer at 1 MB: no message is left out or told twice, and the newest come first, whatever their sources.
func TestPagesOfLargeMessages(t *testing.T) {
	w := begin(t)
	var ids, keys [2]string
	ids[0], keys[0] = w.source(strict)
	ids[1], keys[1] = w.source(strict)
	const batches, each = 16, 8
	for i := range batches {
		from, text := keys[i%2], strings.Repeat("<", 30<<10) // six times as much in an answer's JSON
		switch {
		case i < 4: // so that the others' older ones are cut, and these would come before them
			from, text = keys[1], "small"
		case i < 12:
			from, text = keys[0], strings.Repeat("x", 30<<10)
		}
		one := `{"type":"track","userId":"u1","event":"Rocket Launched","properties":{"a":"` + text + `"}}`
		w.sends(from, "batch", `{"batch":[`+strings.TrimSuffix(strings.Repeat(one+",", each), ",")+`]}`).expect(200)
		w.clock.advance(time.Second)
	}
	for query, want := range map[string]int{"": batches * each, "source=" + ids[0]: 10 * each, "source=" + ids[1]: 6 * each} {
		if seen := w.allQuarantined(query); seen != want {
			t.Errorf("%d are listed with %q, want %d", seen, query, want)
		}
	}
}

// allQuarantined follows the cursors to the end. It returns how many messages there are.
func (w *world) allQuarantined(query string) int {
	w.t.Helper()
	seen := map[string]bool{}
	var before time.Time
	for cursor, pages := "", 0; ; pages++ {
		a := w.call(ListQuarantine(w.App), "GET", "/v1/quarantine", "/v1/quarantine?"+query+"&limit=500&cursor="+cursor, "", withKey).expect(200)
		var list QuarantineList
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			w.t.Fatal(err)
		}
		if len(a.body) > 4<<20 || len(list.Messages) > quarantinePage || pages > 60 {
			w.t.Fatalf("page %d has %d messages in %d bytes", pages, len(list.Messages), len(a.body))
		}
		for _, q := range list.Messages {
			if seen[q.ID] || !before.IsZero() && q.ReceivedAt.After(before) {
				w.t.Fatalf("page %d tells %s of %s after %s, told before: %v", pages, q.ID, q.ReceivedAt, before, seen[q.ID])
			}
			seen[q.ID], before = true, q.ReceivedAt
		}
		if cursor = list.NextCursor; cursor == "" {
			return len(seen)
		}
	}
}

// An id may be a number. Whoever it names, the message goes with them.
func TestQuarantinedUnderTheKeyOfANumber(t *testing.T) {
	w := begin(t)
	id, key := w.source(strict)
	w.sends("server", "batch", `{"batch":[{"type":"identify","userId":4711,"traits":{"firstName":"A"}},{"type":"identify","anonymousId":12,"traits":{"firstName":"B"}}]}`).expect(200)
	w.sends(key, "batch", `{"batch":[{"type":"purr","userId":4711},{"type":"purr","userId":"","anonymousId":12},{"type":"purr","userId":true}]}`).expect(200)
	rows, _, err := w.Views.Table.List(context.Background(), quarantinePrefix+id, "", "", 10, false)
	if err != nil {
		t.Fatal(err)
	}
	var owners []string
	for _, row := range rows {
		var kept quarantined
		_ = json.Unmarshal(row.Data, &kept)
		owners = append(owners, kept.Stream)
	}
	if slices.Sort(owners); !slices.Equal(owners, []string{"CUSTOMER#4711", quarantineOwner, "VISITOR#12"}) {
		t.Errorf("sealed under the keys of %v", owners)
	}
}

// Wherever a release is interrupted, asking again with the same key is answered the same.
func TestReleaseIsInterrupted(t *testing.T) {
	w := begin(t)
	id, key := w.source(strict)
	const tries = 16
	for range tries {
		w.sends(key, "track", `{"userId":"u1","event":"Rocket Launched"}`).expect(200)
	}
	w.changeSettings(id, `{"unknownEvents":"accept"}`)
	for i, q := range w.quarantine("").Messages {
		header := maps.Clone(withKey)
		header["idempotency-key"] = fmt.Sprint("k", i)
		w.process(mortal(w.client, i)).release(q.ID, header)
		if a := w.another().release(q.ID, header); a.status != 200 {
			t.Errorf("interrupted after %d calls, then %d %s", i, a.status, a.body)
		}
	}
	if got := len(w.history(view.CustomerStream("u1"))); got != tries+1 {
		t.Errorf("%d events, want %d and one creation", got, tries)
	}
}

const hook = `{"name":"h","kind":"webhook","unknownEvents":"quarantine","webhook":{"signature":"none","each":"$.body.events[*]",
	"rules":[{"when":{"$.body.kind":"sold"},"event":"Product Viewed","userId":"$.body.who","messageId":"$.header['x-delivery']","properties":{"product_id":"$.body.what"}}]}}`

func (w *world) posts(key, body string, header map[string]string) reply {
	w.t.Helper()
	return w.call(IngestEvents(w.App), "POST", "/v1/webhook", "/v1/webhook?writeKey="+key, body, header)
}

// Of a delivery only what fits no rule is put aside, once, and released by the rules of then.
func TestQuarantineOfAWebhook(t *testing.T) {
	w := begin(t)
	id, key := w.source(hook)
	body := `{"events":[{"kind":"sold","who":"u1","what":"p1"},{"kind":"looked","who":"u1","what":"p2","no":12345678901234567890},{"kind":"lent","who":"u1"}]}`
	for i := range 3 {
		w.posts(key, body, map[string]string{"x-delivery": "d1", "x-trace": fmt.Sprint(i), "authorization": "Bearer secret"}).expect(200)
		w.clock.advance(time.Minute)
	}
	stream := view.CustomerStream("u1")
	if got := kinds(w.history(stream)); !slices.Equal(got, []string{"CustomerCreated", "ProductViewed"}) {
		t.Fatalf("kept: %v", got)
	}
	list := w.quarantine("").Messages
	if len(list) != 2 {
		t.Fatalf("%d are quarantined: %+v", len(list), list)
	}
	looked := list[slices.IndexFunc(list, func(q QuarantinedShown) bool { return strings.Contains(string(q.Message), "looked") })]
	if string(looked.Message) != `{"kind":"looked","no":12345678901234567890,"what":"p2","who":"u1"}` {
		t.Errorf("shown as %s", looked.Message)
	}
	w.release(looked.ID, withKey).expect(422)
	w.changeSettings(id, `{"webhook":{"signature":"none","each":"$.body.events[*]","rules":[
		{"when":{"$.body.kind":"looked","$.header['x-delivery']":"d1"},"event":"Product Viewed","userId":"$.body.who","properties":{"product_id":"$.body.what"}}]}}`)
	w.release(looked.ID, withKey).expect(200)
	w.posts(key, body, map[string]string{"x-delivery": "d1"}).expect(200) // again, now that a rule fits
	if got := kinds(w.history(stream)); !slices.Equal(got, []string{"CustomerCreated", "ProductViewed", "ProductViewed"}) {
		t.Errorf("kept: %v", got)
	}
	if left := w.quarantine("").Messages; len(left) != 2 || !strings.Contains(string(left[1].Message), "lent") { // and what fitted before
		t.Errorf("left: %+v", left)
	}
	for _, item := range w.quarantineItems(id) {
		if strings.Contains(item, "lent") || strings.Contains(item, "secret") {
			t.Errorf("kept in the open: %s", item)
		}
	}
}

// Without each, the whole body is the element; what a message of its lacks keeps it where it is.
func TestQuarantineOfAWholeDelivery(t *testing.T) {
	w := begin(t)
	id, key := w.source(`{"name":"h","kind":"webhook","unknownEvents":"quarantine","webhook":{"signature":"none","rules":[{"when":{"$.body.kind":"sold"},"event":"Product Viewed","userId":"$.body.who"}]}}`)
	w.posts(key, `{"kind":"looked","who":"u1"}`, map[string]string{"webhook-id": "a"}).expect(200)
	w.posts(key, `{"kind":"looked","who":"u1"}`, map[string]string{"webhook-id": "b"}).expect(200) // it happened twice
	w.posts(key, `{"kind":"looked"}`, nil).expect(200)
	w.changeSettings(id, `{"webhook":{"signature":"none","rules":[{"when":{"$.body.kind":"looked"},"event":"Product Viewed","userId":"$.body.who","messageId":"$.header['webhook-id']"}]}}`)
	list := w.quarantine("").Messages
	if len(list) != 3 {
		t.Fatalf("%d are quarantined", len(list))
	}
	for _, message := range list { // of the same moment, in any order
		if strings.Contains(string(message.Message), "who") {
			w.release(message.ID, withKey).expect(200)
		} else {
			w.release(message.ID, withKey).expect(422) // nobody is named
		}
	}
	if n := len(w.history(view.CustomerStream("u1"))); n != 3 {
		t.Errorf("%d events", n)
	}
}

func (w *world) quarantineItems(id string) []string {
	w.t.Helper()
	rows, _, err := w.Views.Table.List(context.Background(), quarantinePrefix+id, "", "", 100, false)
	if err != nil {
		w.t.Fatal(err)
	}
	var items []string
	for _, row := range rows {
		items = append(items, fmt.Sprint(row.PK, row.SK, string(row.Data), string(row.Sealed)))
	}
	return items
}

// Sources that were changed while they were read are not remembered as they were.
func TestSourcesAreForgottenWhileTheyAreRead(t *testing.T) {
	w := begin(t)
	id, key := w.source(`{"name":"s","kind":"server"}`)
	for n := 1; n <= 8; n++ {
		w.changeSettings(id, `{"enabled":true}`)
		var reader *world
		reader = w.process(interruptedAt(w.client, n, func() error {
			w.changeSettings(id, `{"enabled":false}`)
			reader.sources.forget() // as the function does that changed them
			return nil
		}, false))
		_, _, _ = reader.known(context.Background(), key) // as it was or as it is
		known, _, err := reader.known(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		if w.another().isEnabled(t, key) == false && known[key].source.Settings.Enabled {
			t.Errorf("changed before call %d: remembered as it was", n)
		}
	}
}

func (w *world) isEnabled(t *testing.T, key string) bool {
	t.Helper()
	known, _, err := w.known(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return known[key].source.Settings.Enabled
}

// Many requests at once read the sources once.
func TestSourcesAreReadOnce(t *testing.T) {
	w := begin(t)
	_, key := w.source(`{"name":"s","kind":"server"}`)
	calls := interruptedAt(w.client, 1<<40, nil, false).(*interrupted)
	reader := w.process(calls)
	done := make(chan error)
	for range 32 {
		go func() {
			_, _, err := reader.known(context.Background(), key)
			reader.sources.forget()
			done <- err
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	before := calls.left.Load()
	if _, _, err := reader.known(context.Background(), key); err != nil {
		t.Fatal(err)
	}
	once := before - calls.left.Load()
	before = calls.left.Load()
	reader.sources.forget()
	for range 32 {
		go func() {
			_, _, err := reader.known(context.Background(), key)
			done <- err
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := before - calls.left.Load(); n > once {
		t.Errorf("32 requests make %d calls, one %d", n, once)
	}
}

// TestP13_APlaceholderIsNoMessagesID: two messages that both call themselves undefined are two, put aside and when they are released.
func TestP13_APlaceholderIsNoMessagesID(t *testing.T) {
	w := begin(t)
	id, key := w.source(strict)
	for _, event := range []string{"Invented", "Discovered"} {
		w.sends(key, "track", `{"userId":"u1","messageId":"undefined","event":"`+event+`"}`).expect(200)
	}
	list := w.quarantine("").Messages
	if len(list) != 2 {
		t.Fatalf("quarantined: %+v", list)
	}
	w.changeSettings(id, `{"unknownEvents":"accept"}`)
	for _, q := range list {
		w.release(q.ID, withKey).expect(200)
	}
	tracked := 0
	for _, kind := range kinds(w.history("CUSTOMER#u1")) {
		if kind == "EventTracked" {
			tracked++
		}
	}
	if tracked != 2 {
		t.Errorf("%d of 2 are stored", tracked)
	}

	for i := range 2 { // of two refunds that wait for their order, as well
		w.sends(key, "track", fmt.Sprintf(`{"userId":"u2","messageId":"undefined","event":"Order Refunded","properties":{"order_id":"o1","refund_id":"r%d","total":10,"currency":"EUR"}}`, i)).expect(200)
	}
	if n := w.allQuarantined(""); n != 2 {
		t.Fatalf("%d of 2 refunds wait", n)
	}
	w.sends(key, "track", `{"userId":"u2","messageId":"bought","event":"Order Completed","properties":{"order_id":"o1","total":50,"currency":"EUR"}}`).expect(200)
	for _, q := range w.quarantine("").Messages {
		w.release(q.ID, withKey)
	}
	back := 0
	for _, kind := range kinds(w.history("CUSTOMER#u2")) {
		if kind == "RefundCompleted" {
			back++
		}
	}
	if back != 2 {
		t.Errorf("%d of 2 refunds count", back)
	}
}

// TestP5_WhatIsPastStaysUndated: what was put aside because its time cannot be read is not dated by its arrival when it is released.
func TestP5_WhatIsPastStaysUndated(t *testing.T) {
	w := begin(t)
	_, key := w.source(`{"name":"s","kind":"server"}`)
	w.sends(key, "import", `{"batch":[{"type":"track","userId":"u1","messageId":"m1","event":"Bought","timestamp":"the day before yesterday"}]}`).expect(200)
	list := w.quarantine("").Messages
	if len(list) != 1 {
		t.Fatalf("quarantined: %+v", list)
	}
	w.release(list[0].ID, withKey).expect(422)
	if got := w.history("CUSTOMER#u1"); len(got) != 0 {
		t.Errorf("stored: %v", kinds(got))
	}
}

// TestP9_AReportOfAnOrderThatIsTooOldIsAlone in the quarantine: the request that it came in is taken all the same.
func TestP9_AReportOfAnOrderThatIsTooOldIsAlone(t *testing.T) {
	w := begin(t)
	source := w.Fixed["server"]
	m := intake.Message{Message: ingest.Message{Type: "track", UserID: "u1", Event: "Order Refunded", Raw: json.RawMessage(`{"type":"track","userId":"u1","event":"Order Refunded"}`)}}
	tooOld := fault.New(fault.Rejected, order.TooOld, "too much followed")
	if err := w.apart(t.Context(), &Call{Actor: "source:server"}, source, "CUSTOMER#u1", m, tooOld); err != nil || !unfit(tooOld) {
		t.Errorf("the request answers %v", err)
	}
	if n := w.allQuarantined(""); n != 1 {
		t.Errorf("%d are in the quarantine", n)
	}
	if err := w.apart(t.Context(), &Call{Actor: "source:server"}, source, "CUSTOMER#u1", m, fault.New(fault.Busy, "busy", "try again")); fault.KindOf(err) != fault.Busy {
		t.Errorf("what may pass answers %v", err)
	}
}
