package channel_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/preference"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func to[T any](v T) *T { return &v }

// agreed is the state of somebody who agreed to a purpose on a channel.
func agreed(p consent.Purpose, c consent.Channel) consent.State {
	return consent.Evolve(consent.State{}, consent.Granted{Purpose: p, Channel: c}, noon.AddDate(-1, 0, 0))
}

func question(class channel.Class, over consent.Channel) channel.Question {
	return channel.Question{Class: class, Channel: over, At: noon, Consent: agreed(consent.Marketing, over), Address: "ada@example.com"}
}

// TestWithhold is the matrix of class, channel and reason: what withholds a marketing message and what a transactional.
func TestWithhold(t *testing.T) {
	never, daily := preference.Values{EmailFrequency: to("never")}, preference.Values{EmailFrequency: to("daily")}
	for _, c := range []struct {
		name   string
		change func(*channel.Question)
		// reasons, "" for sending: a marketing message by email, sms and push, and a transactional one by any of them
		email, sms, push, transactional string
	}{
		{"nothing speaks against it", func(*channel.Question) {}, "", "", "", ""},
		{"no address is known", func(q *channel.Question) { q.Address = "" }, "no-address", "no-address", "no-address", "no-address"},
		{
			"the address bounced for good", func(q *channel.Question) { q.Undeliverable = true },
			"address-undeliverable", "address-undeliverable", "address-undeliverable", "address-undeliverable",
		},
		{
			"the customer is deactivated", func(q *channel.Question) { q.Deactivated = true },
			"customer-deactivated", "customer-deactivated", "customer-deactivated", "",
		},
		{"no consent", func(q *channel.Question) { q.Consent = consent.State{} }, "no-consent", "no-consent", "no-consent", ""},
		{"consent to another purpose", func(q *channel.Question) { q.Consent = agreed(consent.Analytics, q.Channel) }, "no-consent", "no-consent", "no-consent", ""},
		{"consent on email alone", func(q *channel.Question) { q.Consent = agreed(consent.Marketing, consent.Email) }, "", "no-consent", "no-consent", ""},
		{"consent on push alone", func(q *channel.Question) { q.Consent = agreed(consent.Marketing, consent.Push) }, "no-consent", "no-consent", "", ""},
		{"consent ended", func(q *channel.Question) { q.At = noon.AddDate(1, 0, 0) }, "no-consent", "no-consent", "no-consent", ""},
		{"email is off", func(q *channel.Question) { q.Preferences.EmailEnabled = to(false) }, "channel-disabled", "", "", ""},
		{"sms is off", func(q *channel.Question) { q.Preferences.SMSEnabled = to(false) }, "", "channel-disabled", "", ""},
		{"push is off", func(q *channel.Question) { q.Preferences.PushEnabled = to(false) }, "", "", "channel-disabled", ""},
		{"no promotions by sms", func(q *channel.Question) { q.Preferences.SMSForPromotions = to(false) }, "", "channel-disabled", "", ""},
		{"everything is on", func(q *channel.Question) {
			q.Preferences = preference.Values{EmailEnabled: to(true), SMSEnabled: to(true), PushEnabled: to(true), SMSForPromotions: to(true)}
		}, "", "", "", ""},
		{"emails never", func(q *channel.Question) { q.Preferences = never }, "frequency-never", "", "", ""},
		{"emails daily", func(q *channel.Question) { q.Preferences = daily }, "", "", "", ""},
	} {
		for over, want := range map[consent.Channel]string{consent.Email: c.email, consent.SMS: c.sms, consent.Push: c.push} {
			for class, want := range map[channel.Class]string{channel.Marketing: want, channel.Transactional: c.transactional} {
				q := question(class, over)
				c.change(&q)
				if got := channel.Withhold(q); got != want {
					t.Errorf("%s: a %s %s is withheld for %q, want %q", c.name, class, over, got, want)
				}
			}
		}
	}
}

// TestB36_PreferencesDoNotStopTransactionalMail: nor do a missing consent or a deactivation.
func TestB36_PreferencesDoNotStopTransactionalMail(t *testing.T) {
	q := question(channel.Transactional, consent.Email)
	q.Preferences = preference.Values{EmailEnabled: to(false), EmailFrequency: to("never")}
	q.Consent, q.Deactivated = consent.State{}, true
	if got := channel.Withhold(q); got != "" {
		t.Errorf("withheld for %q", got)
	}
}

// TestB38b_NeverCountsForTheFirstMailToo: nothing about earlier mails is asked before it.
func TestB38b_NeverCountsForTheFirstMailToo(t *testing.T) {
	q := question(channel.Marketing, consent.Email)
	q.Preferences.EmailFrequency = to("never")
	if got := channel.Withhold(q); got != "frequency-never" {
		t.Errorf("withheld for %q", got)
	}
}

// TestB39_UnknownClassesBypassNothing: urgent or misspelt, a message that is not transactional is marketing.
func TestB39_UnknownClassesBypassNothing(t *testing.T) {
	for _, class := range []channel.Class{"urgent-marketing", "Transactional", ""} {
		q := question(class, consent.Email)
		q.Preferences.EmailFrequency = to("never")
		if got := channel.Withhold(q); got != "frequency-never" {
			t.Errorf("%q: withheld for %q", class, got)
		}
		q.Consent = consent.State{}
		if got := channel.Withhold(q); got != "no-consent" {
			t.Errorf("%q: withheld for %q", class, got)
		}
	}
}

func TestOutcomeIsRecordedOnce(t *testing.T) {
	deciding := storetest.Deciding(channel.Decider)
	for _, outcome := range []any{
		channel.Sent{Channel: "email", MessageID: "m1", IdempotencyKey: "k1"},
		channel.Suppressed{Channel: "email", MessageID: "m1", IdempotencyKey: "k1", Reason: "no-consent"},
		channel.Failed{Channel: "email", MessageID: "m1", IdempotencyKey: "k1", ErrorType: "provider-refused"},
	} {
		deciding.When(t, outcome).Then(outcome).Again().Nothing()
		deciding.Given(channel.Sent{IdempotencyKey: "k1"}).When(t, outcome).Nothing()
		deciding.Given(channel.Sent{IdempotencyKey: "k2"}).When(t, outcome).Then(outcome)
	}
}

// TestB14_FoldIsComplete: every outcome is remembered by its key, and nothing else is.
func TestB14_FoldIsComplete(t *testing.T) {
	catalog := eventstore.NewCatalog(channel.Events)
	folded := map[string]bool{}
	for _, outcome := range []any{channel.Sent{IdempotencyKey: "k1"}, channel.Suppressed{IdempotencyKey: "k1"}, channel.Failed{IdempotencyKey: "k1"}} {
		folded[catalog.NameOf(outcome)] = true
		before := channel.State{Recorded: map[string]int64{"k0": 1}}
		want := channel.State{Recorded: map[string]int64{"k0": 1, "k1": noon.UnixMilli()}}
		if got := channel.Evolve(before, outcome, noon); !reflect.DeepEqual(got, want) || len(before.Recorded) != 1 {
			t.Errorf("%T makes it %v, want %v, and leaves %v", outcome, got, want, before)
		}
	}
	for _, report := range []any{ // which have consequences, and are not asked about again
		channel.Delivered{Channel: "email"}, channel.Opened{Channel: "sms"}, channel.Clicked{Channel: "push"}, channel.Bounced{Channel: "email"},
		channel.Complained{Channel: "email"}, channel.Unsubscribed{Channel: "email"},
	} {
		folded[catalog.NameOf(report)] = true
		before := channel.State{Recorded: map[string]int64{"k0": 1}}
		if got := channel.Evolve(before, report, noon); !reflect.DeepEqual(got, before) {
			t.Errorf("%T makes it %v", report, got)
		}
	}
	for _, name := range catalog.Names() {
		if !folded[name] {
			t.Errorf("%s has no case", name)
		}
	}
	if got := channel.Evolve(channel.State{}, struct{ SomebodyElses string }{"event"}, noon); got.Recorded != nil {
		t.Errorf("another package's event makes it %v", got)
	}
}

// TestTheLatestOutcomesAreRemembered: fifty, the newest, in the order they were recorded in.
func TestTheLatestOutcomesAreRemembered(t *testing.T) {
	var s channel.State
	for i := range 60 {
		s = channel.Evolve(s, channel.Sent{IdempotencyKey: fmt.Sprint("k", i)}, noon.Add(time.Duration(i)*time.Second))
	}
	if len(s.Recorded) != 50 {
		t.Errorf("%d are remembered", len(s.Recorded))
	}
	for i := range 60 {
		if _, known := s.Recorded[fmt.Sprint("k", i)]; known != (i >= 10) {
			t.Errorf("message %d is remembered: %v", i, known)
		}
	}
}
