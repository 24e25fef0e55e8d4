package app

import (
	"context"
	"fmt"
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
	cost := func(user string) meter.Cost {
		total := new(meter.Meter)
		body := fmt.Sprintf(`{"messageId":%q,"userId":%q,"event":"Seen","timestamp":%q}`, newID(), user, w.clock.Now().Format(time.RFC3339Nano))
		r := lambdaio.Request{Route: "POST /v1/track", Path: "/v1/track", Header: map[string]string{"x-write-key": "server"}, Body: []byte(body)}
		if response, err := w.IngestEvents(meter.With(context.Background(), total), r); err != nil || response.Status != 200 {
			t.Fatalf("%d %v", response.Status, err)
		}
		return total.Cost()
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
		young, old = young+c.ReadUnits/5+c.WriteUnits, old+o.ReadUnits/5+o.WriteUnits // as they are priced
		w.clock.advance(3 * time.Minute)
	}
	if old > 1.2*young {
		t.Errorf("an old customer's message costs %.2f times a young one's", old/young)
	}
}
