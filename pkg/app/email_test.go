package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/channel"
	"defter/pkg/fault"
	"defter/pkg/journey"
	"defter/pkg/view"
)

// welcomes registers somebody who agrees to mails, and queues one to them.
func (w *world) welcomes() (id string, job []byte) {
	w.t.Helper()
	id = w.register(fmt.Sprintf(`{"email":"%s@mail.example","firstName":"Ada","marketingConsent":true,"termsAccepted":true}`, newID()))
	job, err := json.Marshal(EmailJob{CustomerID: id, Campaign: "welcome", Template: "welcome", Class: channel.Marketing, IdempotencyKey: "key-of-" + id})
	if err != nil {
		w.t.Fatal(err)
	}
	return id, job
}

func (w *world) expectSent(id string, letters int, messages ...string) {
	w.t.Helper()
	n := 0
	for _, l := range w.post.letters {
		if l.CustomerID == id {
			n++
		}
	}
	if n != letters {
		w.t.Errorf("%d letters, want %d", n, letters)
	}
	if got := w.messages(id); !slices.Equal(got, messages) {
		w.t.Errorf("messages are %q, want %q", got, messages)
	}
}

// happened is how often events of a type happened to a customer.
func (w *world) happened(id, eventType string) int {
	w.t.Helper()
	n := 0
	for _, e := range w.history(view.CustomerStream(id)) {
		if e.Type == eventType {
			n++
		}
	}
	return n
}

func TestB47_TheSameJobTwice(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		w := begin(t)
		w.post.idempotent = idempotent
		id, job := w.welcomes()
		for range 3 {
			if err := w.SendEmail(t.Context(), job); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.advance(time.Hour)
		if err := w.another().SendEmail(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if w.post.asked != 1 {
			t.Errorf("the provider is asked %d times", w.post.asked)
		}
		w.expectSent(id, 1, "welcome sent")
		if n := w.happened(id, "MessageSent"); n != 1 {
			t.Errorf("%d × MessageSent", n)
		}
	}
}

func TestB47_KeysNameTheStepAndNotTheTime(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","marketingConsent":true,"termsAccepted":true}`)
	run := func(step int) {
		t.Helper()
		state := journey.RunState{CustomerID: id, Journey: "welcome", Version: 1, RunID: "run-1", Step: step}
		if _, err := w.RunJourneyStep(t.Context(), state); err != nil {
			t.Fatal(err)
		}
	}
	run(0)
	w.clock.advance(time.Hour)
	run(0) // called again
	run(1)
	var keys []string
	for _, body := range w.queue.take() {
		var job EmailJob
		if err := json.Unmarshal(body, &job); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, job.IdempotencyKey)
		if strings.Contains(string(body), "mail.example") {
			t.Errorf("a queued job holds the address: %s", body)
		}
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] == keys[2] {
		t.Errorf("keys are %q", keys)
	}
}

func TestB48_TheSameJobAtOnce(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		w := begin(t)
		w.post.idempotent = idempotent
		id, job := w.welcomes()
		w.post.after = func(Mail) error { time.Sleep(time.Millisecond); return nil } // others come meanwhile
		atOnce(8, func(i int) {
			if err := w.another().SendEmail(t.Context(), job); err != nil && fault.KindOf(err) != fault.Busy {
				t.Error(err)
			}
		})
		if err := w.SendEmail(t.Context(), job); err != nil { // those told to come again do
			t.Error(err)
		}
		if !idempotent && w.post.asked != 1 {
			t.Errorf("the provider is asked %d times", w.post.asked)
		}
		w.expectSent(id, 1, "welcome sent")
		if n := w.happened(id, "MessageSent"); n != 1 {
			t.Errorf("%d × MessageSent", n)
		}
	}
}

// atOnce calls n times at the same time.
func atOnce(n int, call func(i int)) {
	var group sync.WaitGroup
	begun := make(chan struct{})
	for i := range n {
		group.Go(func() { <-begun; call(i) })
	}
	close(begun)
	group.Wait()
}

func TestB48_CrashBetweenTheProviderAndTheLedger(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		t.Run(fmt.Sprint("idempotent ", idempotent), func(t *testing.T) {
			w := begin(t)
			w.post.idempotent = idempotent
			id, job := w.welcomes()
			dying, die := context.WithCancel(t.Context())
			w.post.after = func(Mail) error { die(); return nil }
			if err := w.SendEmail(dying, job); err == nil {
				t.Fatal("nothing went wrong")
			}
			w.post.after = nil
			w.expectSent(id, 1, "welcome pending")

			w = w.another() // delivered again, to another process
			err := w.SendEmail(t.Context(), job)
			if idempotent {
				if err != nil {
					t.Fatal(err)
				}
				w.expectSent(id, 1, "welcome sent") // asked again with the same key
				return
			}
			if fault.KindOf(err) != fault.Busy {
				t.Errorf("delivered again at once: %v", err)
			}
			w.clock.advance(lease + time.Second)
			for range 2 {
				if err := w.SendEmail(t.Context(), job); err != nil {
					t.Fatal(err)
				}
			}
			if w.post.asked != 1 {
				t.Errorf("the provider is asked %d times", w.post.asked)
			}
			w.expectSent(id, 1, "welcome unknown no-answer-from-provider")
			if n := w.happened(id, "MessageFailed"); n != 1 {
				t.Errorf("%d × MessageFailed", n)
			}
		})
	}
}

func TestB48_NoAnswerFromTheProvider(t *testing.T) {
	lost := errors.New("connection reset")
	for _, idempotent := range []bool{true, false} {
		w := begin(t)
		w.post.idempotent = idempotent
		id, job := w.welcomes()
		w.post.after = func(Mail) error { return lost } // delivered, and nobody knows
		err := w.SendEmail(t.Context(), job)
		w.post.after = nil
		if idempotent != errors.Is(err, lost) {
			t.Errorf("idempotent %t: %v", idempotent, err)
		}
		if err := w.SendEmail(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if idempotent {
			w.expectSent(id, 1, "welcome sent")
		} else {
			w.expectSent(id, 1, "welcome unknown no-answer-from-provider")
		}
	}
}

func TestProviderIsBusy(t *testing.T) {
	w := begin(t)
	w.post.idempotent = false
	id, job := w.welcomes()
	w.post.before = func(Mail) error { return fault.New(fault.Busy, "provider-busy", "later") }
	for range 2 {
		if err := w.SendEmail(t.Context(), job); fault.KindOf(err) != fault.Busy {
			t.Errorf("busy: %v", err)
		}
		w.expectSent(id, 0, "welcome retrying")
	}
	// Tried again by several at once, it is sent by one.
	w.post.before = nil
	w.post.after = func(Mail) error { time.Sleep(time.Millisecond); return nil }
	atOnce(8, func(int) {
		if err := w.another().SendEmail(t.Context(), job); err != nil && fault.KindOf(err) != fault.Busy {
			t.Error(err)
		}
	})
	w.expectSent(id, 1, "welcome sent")
}

func TestProviderRefuses(t *testing.T) {
	w := begin(t)
	id, job := w.welcomes()
	w.post.before = func(Mail) error { return fault.New(fault.Rejected, "provider-refused", "no") }
	for range 2 {
		if err := w.SendEmail(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	if w.post.asked != 1 {
		t.Errorf("the provider is asked %d times", w.post.asked)
	}
	w.expectSent(id, 0, "welcome failed provider-refused")
	if n := w.happened(id, "MessageFailed"); n != 1 {
		t.Errorf("%d × MessageFailed", n)
	}
}

func TestB46_UnknownTemplate(t *testing.T) {
	w := begin(t)
	id, _ := w.welcomes()
	job := `{"customerId":"` + id + `","campaign":"welcome","template":"unheard-of","class":"marketing","idempotencyKey":"k"}`
	if err := w.SendEmail(t.Context(), []byte(job)); err != nil {
		t.Fatal(err)
	}
	w.expectSent(id, 0, "unheard-of failed unknown-template")
	if err := w.SendEmail(t.Context(), []byte(`{`)); slugOf(err) != "invalid-job" {
		t.Errorf("a job that is none: %v", err)
	}
}

func TestB46_JourneysThatCannotRun(t *testing.T) {
	w := begin(t)
	good := w.journeys()
	if err := checkJourneys(good); err != nil {
		t.Errorf("the journeys that ship: %v", err)
	}
	for want, spoil := range map[string]func(j *journey.Journey){
		"template": func(j *journey.Journey) { j.Steps[1].Template = "unheard-of" },
		"purpose":  func(j *journey.Journey) { j.Purpose = "sales" },
		"channel":  func(j *journey.Journey) { j.Channel = "fax" },
		"email":    func(j *journey.Journey) { j.Channel = "sms" }, // steps send email alone
		"steps":    func(j *journey.Journey) { j.Steps = nil },
		"step":     func(j *journey.Journey) { j.Steps[1].Name = j.Steps[0].Name },
		"trigger":  func(j *journey.Journey) { j.Trigger = nil },
		"version":  func(j *journey.Journey) { j.Version = 0 },
		"name":     func(j *journey.Journey) { j.Name = "" },
	} {
		bad := w.journeys()
		spoil(&bad[0])
		if err := checkJourneys(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wrong %s: %v", want, err)
		}
	}
	if err := checkJourneys(append(good, w.journeys()...)); err == nil {
		t.Error("two journeys of one name")
	}
}

// The customer is erased while the mail is on its way to the provider.
func TestErasedWhileSending(t *testing.T) {
	w := begin(t)
	id, job := w.welcomes()
	w.post.after = func(Mail) error { w.another().erase(id, withKey).expect(200); return nil }
	if err := w.SendEmail(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	w.expectSent(id, 0)

	// And once more, when the process dies before it can clean up.
	id, job = w.welcomes()
	dying, die := context.WithCancel(t.Context())
	w.post.before = func(Mail) error { w.another().erase(id, withKey).expect(200); return nil }
	w.post.after = func(Mail) error { die(); return nil }
	if err := w.SendEmail(dying, job); err == nil {
		t.Fatal("nothing went wrong")
	}
	w.post.before, w.post.after = nil, nil
	if err := w.another().SendEmail(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	w.expectSent(id, 0)
	if keys, err := w.Views.Table.Keys(t.Context(), view.CustomerStream(id), ledgerPrefix); err != nil || len(keys) > 0 {
		t.Errorf("the ledger remembers %v %v", keys, err)
	}
}
