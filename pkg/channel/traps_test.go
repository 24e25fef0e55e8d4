package channel_test

import (
	"testing"

	"defter/pkg/channel"
	"defter/pkg/consent"
)

// TestB34_ConsentIsAskedPerChannelAndAtTheTimeOfSending: a consent to email allows no other channel, an order's
// confirmation needs none, and what counts is the moment of sending, not of deciding to.
func TestB34_ConsentIsAskedPerChannelAndAtTheTimeOfSending(t *testing.T) {
	q := question(channel.Marketing, consent.Email)
	if reason := channel.Withhold(q); reason != "" {
		t.Fatalf("a marketing email is withheld: %s", reason)
	}
	for _, other := range []consent.Channel{consent.SMS, consent.Push} {
		q.Channel = other
		if reason := channel.Withhold(q); reason != "no-consent" {
			t.Errorf("a consent to email lets %s through: %q", other, reason)
		}
		q.Class = channel.Transactional
		if reason := channel.Withhold(q); reason != "" {
			t.Errorf("a transactional %s is withheld: %s", other, reason)
		}
		q.Class = channel.Marketing
	}
	q.Channel, q.At = consent.Email, noon.AddDate(1, 0, 1) // the wait ended after the consent's term
	if reason := channel.Withhold(q); reason != "no-consent" {
		t.Errorf("an expired consent lets the email through: %q", reason)
	}
}
