package app

import (
	"slices"
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
	w := begin(t)
	id := w.register(`{"email":"ada@mail.example","marketingConsent":true,"termsAccepted":true}`)
	project := func() {
		t.Helper()
		if failed := w.PublishEvents(t.Context(), w.commits()); failed != nil {
			t.Fatal(failed)
		}
		if _, err := w.Views.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run := func(w *world) error { return w.ExpireConsents(t.Context()) }
	project()
	if err := run(w); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(twoYears - 10*24*time.Hour)
	for n := range 3 { // it dies now and then
		if err := run(w.process(mortal(w.client, n))); err == nil {
			t.Fatal("it did not die")
		}
	}
	if err := run(w.another()); err != nil {
		t.Fatal(err)
	}
	project()
	if got := kinds(w.history(view.CustomerStream(id))); !slices.Equal(got, []string{"CustomerCreated", "ConsentGranted", "EmailVerificationRequested", "ConsentExpiring"}) {
		t.Errorf("events are %v", got)
	}
	w.clock.advance(10 * 24 * time.Hour)
	for range 2 {
		if err := run(w.another()); err != nil {
			t.Fatal(err)
		}
		project()
	}
	if n := w.happened(id, "ConsentExpired"); n != 1 {
		t.Errorf("%d × ConsentExpired", n)
	}
	if n := w.happened(id, "ConsentExpiring"); n != 1 {
		t.Errorf("%d × ConsentExpiring", n)
	}
}
