package embedded

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// advanceTo moves the clock to a while before (or, negative, after) an instant.
func (s *story) advanceTo(instant string, before time.Duration) {
	s.Helper()
	at, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		s.Fatal(err)
	}
	s.advance(at.Add(-before).Sub(s.system.clock.Now()).String())
}

// expired waits until the expiry of consents has caught up with the clock.
func (s *story) expired() {
	s.Helper()
	eventually(s, "every day until yesterday is worked off", func() bool {
		row, ok, err := s.system.App.Views.Table.Get(s.Context(), "CHECKPOINT", "expire-consents")
		if err != nil || !ok {
			return false
		}
		var done struct{ Day string }
		return json.Unmarshal(row.Data, &done) == nil && done.Day == s.system.clock.Now().AddDate(0, 0, -1).Format(time.DateOnly)
	})
	// Today is looked at after yesterday is noted down: once more, from the outside.
	if err := s.system.App.ExpireConsents(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.settled()
}

func (s *story) consenting(purpose, channel string) []string {
	s.Helper()
	var ids []string
	for _, c := range s.pages("/v1/consents?purpose="+purpose+"&channel="+channel, "customers") {
		ids = append(ids, c["customerId"].(string))
	}
	return ids
}

func TestB33_ConsentsExpire(t *testing.T) {
	const day = 24 * time.Hour
	s := begin(t)
	c, other := s.consents(), s.consents()
	s.settled()
	s.advance("48h")
	c.post(c.path("/consents"), m{"purpose": "analytics", "channel": "push"}).expect(201)
	s.settled()
	expiry := ""
	for _, consent := range c.get(c.path("/consents")).expect(200).list("consents") {
		if consent["purpose"] == "marketing" {
			expiry = consent["expiresAt"].(string)
		}
	}
	expect := func(announced, ended int, status string) {
		t.Helper()
		s.expired()
		if a, e := c.happened("ConsentExpiring"), c.happened("ConsentExpired"); a != announced || e != ended {
			t.Errorf("%d announced and %d expired, want %d and %d", a, e, announced, ended)
		}
		for _, consent := range c.get(c.path("/consents")).list("consents") {
			if consent["purpose"] == "marketing" && consent["status"] != status {
				t.Errorf("the consent is %v, want %s", consent["status"], status)
			}
		}
		listed := slices.Contains(s.consenting("marketing", "email"), c.id)
		if listed != (status == "active") {
			t.Errorf("listed: %t", listed)
		}
	}
	s.advanceTo(expiry, 31*day)
	expect(0, 0, "active")
	s.advanceTo(expiry, 30*day-time.Hour)
	expect(1, 0, "active")
	s.advanceTo(expiry, 10*day) // the other purpose is announced meanwhile, this one not again
	expect(2, 0, "active")
	other.post(other.path("/consents"), m{"purpose": "marketing", "channel": "email", "renew": true}).expect(201)
	s.advanceTo(expiry, time.Hour)
	expect(2, 0, "active")
	s.advanceTo(expiry, -time.Second)
	expect(2, 1, "expired")
	expect(2, 1, "expired") // looked at again
	if got := s.consenting("marketing", "email"); !slices.Equal(got, []string{other.id}) {
		t.Errorf("%v consent, want the other who renewed", got)
	}
	s.advanceTo(expiry, -3*day)
	expect(2, 2, "expired")

	c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "email"}).expect(201)
	expect(2, 2, "active")
	s.advanceTo(expiry, -800*day) // far beyond it all, in one move
	expect(2, 3, "expired")
	if got := s.consenting("marketing", "email"); len(got) > 0 {
		t.Errorf("%v consent", got)
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
	c.delete(c.path("/consents/marketing/email")).expect(200) // nothing to revoke any more
	expect(2, 3, "expired")
}

// The clock is moved while the expiry runs, and again.
func TestExpiryKeepsUpWithTheClock(t *testing.T) {
	s := begin(t)
	customers := make([]customer, 5)
	for i := range customers {
		customers[i] = s.registers()
		customers[i].post(customers[i].path("/consents"), m{"purpose": "analytics", "channel": "sms"}).expect(201)
		s.settled()
		s.advance("24h")
	}
	for range 25 {
		s.advance(fmt.Sprint(30*24, "h"))
	}
	eventually(t, "all have expired", func() bool {
		for _, c := range customers {
			if c.happened("ConsentExpired") != 1 {
				return false
			}
		}
		return true
	})
}
