package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/lambdaio"
	"defter/pkg/meter"
)

// TestD13_AMessageOfLongAgoIsRecognised: of a customer who sends much the state remembers the newest messages alone, and the others are
// looked for in the stream by who asks for them.
func TestD13_AMessageOfLongAgoIsRecognised(t *testing.T) {
	w := begin(t)
	send := func(first, n int) {
		var batch []string
		for i := first; i < first+n; i++ {
			at := w.clock.Now().Format(time.RFC3339Nano)
			batch = append(batch, fmt.Sprintf(`{"type":"track","messageId":"m%d","userId":"busy","event":"Seen","timestamp":%q}`, i, at))
		}
		w.sends("server", "batch", `{"batch":[`+strings.Join(batch, ",")+`]}`).expect(200)
	}
	early := w.clock.Now().Format(time.RFC3339Nano)
	for i := range 60 {
		send(i*10, 10)
		w.clock.advance(5 * time.Minute)
	}
	count := func() (n int) {
		for _, kind := range kinds(w.history("CUSTOMER#busy")) {
			if kind == "EventTracked" {
				n++
			}
		}
		return n
	}
	if n := count(); n != 600 {
		t.Fatalf("%d of 600 messages are stored", n)
	}
	for _, again := range []string{
		`{"type":"track","messageId":"m3","userId":"busy","event":"Seen","timestamp":"` + early + `"}`, // hours late
		`{"type":"track","messageId":"m3","userId":"busy","event":"Seen"}`,                             // without a time
		`{"type":"track","messageId":"m599","userId":"busy","event":"Seen"}`,
		`{"type":"track","messageId":"m3","userId":"busy","event":"Seen","timestamp":"2099-01-01T00:00:00Z"}`,
	} {
		w.sends("server", "batch", `{"batch":[`+again+`]}`).expect(200)
	}
	if n := count(); n != 600 {
		t.Errorf("after messages that came again %d are stored", n)
	}
	w.sends("server", "track", `{"messageId":"new","userId":"busy","event":"Seen","timestamp":"`+early+`"}`).expect(200)
	if n := count(); n != 601 {
		t.Errorf("after a new one of long ago %d are stored", n)
	}
}

// TestD13_AnOldCustomerCostsAsMuchAsAYoungOne to send something that just happened.
func TestD13_AnOldCustomerCostsAsMuchAsAYoungOne(t *testing.T) {
	w := begin(t)
	w = w.process(meter.Client{API: w.client, Total: new(meter.Meter)})
	w.Log.Cache = nil // as in a function
	cost := func(user string) meter.Cost {
		return w.costOf(fmt.Sprintf(`{"messageId":%q,"userId":%q,"event":"Seen","timestamp":%q}`, newID(), user, w.clock.Now().Format(time.RFC3339Nano)))
	}
	for range 3000 {
		cost("old")
		w.clock.advance(3 * time.Minute) // a thousand in two days
	}
	var young, old float64
	for i := range 40 { // over a cycle of snapshots
		name := fmt.Sprint("young-", i)
		for range 10 {
			cost(name)
		}
		c, o := cost(name), cost("old")
		young, old = young+priced(c), old+priced(o)
		w.clock.advance(3 * time.Minute)
	}
	if old > 1.2*young || young < 40 {
		t.Errorf("an old customer's message costs %.2f, %.2f times a young one's", old/40, old/young)
	}

	// What does not say when it happened, or happened long ago, is looked for among thousands: at a bounded price, however often.
	w.costOf(`{"messageId":"first","userId":"old","event":"Seen"}`) // reads the stream back
	for name, timestamp := range map[string]string{"untimed": "", "late": w.clock.Now().Add(-6 * 24 * time.Hour).Format(time.RFC3339Nano)} {
		var sum, most float64
		const n = 200 // over a cycle of snapshots
		for range n {
			each := priced(w.costOf(fmt.Sprintf(`{"messageId":%q,"userId":"old","event":"Seen","timestamp":%q}`, newID(), timestamp)))
			sum, most = sum+each, max(most, each)
			w.clock.advance(time.Minute)
		}
		if honest := young / 40; sum/n > 5*honest {
			t.Errorf("%s: a message costs %.2f times an honest one's, %.2f at most", name, sum/n/honest, most/honest)
		}
	}
}

// costOf is what a message costs that a server sends.
func (w *world) costOf(body string) meter.Cost {
	w.t.Helper()
	total := new(meter.Meter)
	r := lambdaio.Request{Route: "POST /v1/track", Path: "/v1/track", Header: map[string]string{"x-write-key": "server"}, Body: []byte(body)}
	if response, err := w.IngestEvents(meter.With(context.Background(), total), r); err != nil || response.Status != 200 {
		w.t.Fatalf("%d %v", response.Status, err)
	}
	return total.Cost()
}

// priced is a cost in write units, with reads at their price.
func priced(c meter.Cost) float64 { return c.WriteUnits + c.ReadUnits/5 }

// TestP15_AnAddressSaysWhoUnsubscribes: a mail service that was not told who somebody is still ends the consent of whose address it is.
func TestP15_AnAddressSaysWhoUnsubscribes(t *testing.T) {
	for event, want := range map[string]string{"Unsubscribed": "ConsentRevoked", "Email Marked as Spam": "ConsentRevoked", "Email Bounced": "CustomerEmailInvalidated"} {
		w := begin(t)
		id := w.register(`{"email":"Grace@shop.example","termsAccepted":true,"marketingConsent":true}`)
		report := func(key, to string) {
			w.sends(key, "track", fmt.Sprintf(`{"event":%q,"messageId":%q,"properties":{"email_id":"m1","email":%q,"bounce_type":"hard"}}`, event, newID(), to)).expect(200)
		}
		report("browser", "grace@shop.example")
		report("server", "nobody@shop.example")
		if got := kinds(w.history("CUSTOMER#" + id)); slices.Contains(got, want) {
			t.Errorf("%s: %v", event, got)
		}
		if n := w.allQuarantined(""); n != 2 {
			t.Errorf("%s: %d of 2 are in the quarantine", event, n)
		}
		report("server", "grace@shop.example")
		if got := kinds(w.history("CUSTOMER#" + id)); !slices.Contains(got, want) {
			t.Errorf("%s: %v", event, got)
		}
	}
}
