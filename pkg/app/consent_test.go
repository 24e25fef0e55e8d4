package app

import (
	"strings"
	"testing"
	"time"

	"defter/pkg/view"
)

const twoYears = 731 * 24 * time.Hour

func (w *world) grant(id, body string) reply {
	w.t.Helper()
	return w.call(GrantConsent(w.App), "POST", "/v1/customers/{id}/consents", "/v1/customers/"+id+"/consents", body, withKey)
}

func TestB32_ConsentAgainAfterExpiry(t *testing.T) {
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","marketingConsent":true,"termsAccepted":true}`)
	body := `{"purpose":"marketing","channel":"email"}`
	w.grant(id, body).expect(201)
	if n := w.happened(id, "ConsentGranted"); n != 1 {
		t.Errorf("granted while active: %d × ConsentGranted", n)
	}
	w.clock.advance(twoYears) // over, and nobody has said so yet
	if a := w.grant(id, body).expect(201); !strings.Contains(a.body, `"status":"active"`) {
		t.Errorf("granted again: %s", a.body)
	}
	if n := w.happened(id, "ConsentGranted"); n != 2 {
		t.Errorf("%d × ConsentGranted, want a new one", n)
	}
}

func TestB33_ExpiryIsAskedWhenSending(t *testing.T) {
	w := begin(t)
	id, job := w.welcomes()
	w.clock.advance(twoYears)
	if err := w.SendEmail(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	w.expectSent(id, 0, "welcome withheld no-consent")
	list := w.call(ListConsents(w.App), "GET", "/v1/customers/{id}/consents", "/v1/customers/"+id+"/consents", "", withKey).expect(200)
	if !strings.Contains(list.body, `"status":"expired"`) {
		t.Errorf("listed as %s", list.body)
	}
}

func TestB35_RevokedIsRevokedAtOnce(t *testing.T) {
	w := begin(t)
	id, job := w.welcomes()
	sender := w.another() // has the customer's head in memory
	if _, err := sender.Log.Load(t.Context(), view.CustomerStream(id)); err != nil {
		t.Fatal(err)
	}
	if err := sender.patch(id, `{"firstName":"Augusta"}`); err.status != 200 {
		t.Fatal(err)
	}
	w.call(RevokeConsent(w.App), "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", "/v1/customers/"+id+"/consents/marketing/email", "", withKey).expect(200)
	if err := sender.SendEmail(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	w.expectSent(id, 0, "welcome withheld no-consent")
}

// The run after a long pause works off what was due meanwhile, and one that fails is made up for.
func TestExpiringAfterAPause(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","marketingConsent":true,"termsAccepted":true}`)
	granted := w.clock.Now()
	stream := view.CustomerStream(id)
	run := func() {
		t.Helper()
		if err := w.another().ExpireConsents(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.another().Views.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	passes := func(what string) { // failing at every write there is
		t.Helper()
		for n, failed := 1, true; failed; n++ {
			failed = false
			_ = w.process(interruptedAt(w.client, n, func() error { failed = true; return errDied }, false)).ExpireConsents(t.Context())
		}
		run()
		if got := kinds(w.history(stream)); got[len(got)-1] != what {
			t.Errorf("events are %v, want %s", got, what)
		}
	}
	until := func(at time.Time) { w.clock.advance(at.Sub(w.clock.Now())) }

	run()
	until(granted.AddDate(2, 0, -31))
	run()
	until(granted.AddDate(2, 0, -28))
	passes("ConsentExpiring")
	until(granted.AddDate(2, 0, 0).Add(-time.Minute)) // it ends later today
	run()
	if n := w.happened(id, "ConsentExpired"); n != 0 {
		t.Errorf("%d × ConsentExpired a minute before the end", n)
	}
	until(granted.AddDate(2, 0, 0).Add(time.Minute))
	passes("ConsentExpired")
	w.clock.advance(3 * day)
	run()
	for eventType, n := range map[string]int{"ConsentExpiring": 1, "ConsentExpired": 1} {
		if got := w.happened(id, eventType); got != n {
			t.Errorf("%d × %s", got, eventType)
		}
	}
}
