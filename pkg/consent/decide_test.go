package consent_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/consent"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"

	"pgregory.net/rapid"
)

var (
	granted = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ends    = time.Date(2028, 3, 1, 12, 0, 0, 0, time.UTC)

	nobody = storetest.Deciding(consent.Decider)
	agrees = nobody.Given(grantOf(consent.Marketing, consent.Email, ends))
)

func grantOf(p consent.Purpose, c consent.Channel, expires time.Time) consent.Granted {
	return consent.Granted{
		Purpose: p, Channel: c, ConsentMethod: "form", IPAddress: "203.0.113.7", UserAgent: "curl", ExpiresAt: &expires,
		GDPRContext: &consent.GDPRContext{LegalBasis: "consent", RetentionPeriod: "2years", DataController: consent.DataController},
	}
}

func grant(p consent.Purpose, c consent.Channel, at time.Time) consent.Grant {
	return consent.Grant{Purpose: p, Channel: c, At: at, Proof: consent.Proof{Method: "form", IPAddress: "203.0.113.7", UserAgent: "curl"}}
}

func renewed(expires time.Time) consent.Renewed {
	return consent.Renewed{
		Purpose: consent.Marketing, Channel: consent.Email, ConsentMethod: "form", IPAddress: "203.0.113.7", UserAgent: "curl", ExpiresAt: &expires,
	}
}

func TestGrant(t *testing.T) {
	ask := grant(consent.Marketing, consent.Email, granted)
	nobody.When(t, ask).Then(grantOf(consent.Marketing, consent.Email, ends)).Again().Nothing()
	for _, other := range []consent.Grant{grant(consent.Marketing, consent.SMS, granted), grant(consent.Analytics, consent.Email, granted)} {
		agrees.When(t, other).Then(grantOf(other.Purpose, other.Channel, ends)) // of one purpose and channel alone
	}

	ask.Controller = "somebody else"
	theirs := grantOf(consent.Marketing, consent.Email, ends)
	theirs.GDPRContext = &consent.GDPRContext{LegalBasis: "consent", RetentionPeriod: "2years", DataController: "somebody else"}
	nobody.When(t, ask).Then(theirs)

	nobody.When(t, grant("world domination", consent.Email, granted)).Fails("invalid-purpose")
	nobody.When(t, grant(consent.Marketing, "fax", granted)).Fails("invalid-channel")
	ask.Method = strings.Repeat("a", 101)
	nobody.When(t, ask).Fails("too-long")
}

func TestRenew(t *testing.T) {
	ask := grant(consent.Marketing, consent.Email, granted.AddDate(1, 0, 0))
	agrees.When(t, ask).Nothing()
	ask.Renew = true
	agrees.When(t, ask).Then(renewed(ends.AddDate(1, 0, 0))).Again().Nothing()
	nobody.When(t, ask).Then(grantOf(consent.Marketing, consent.Email, ends.AddDate(1, 0, 0)))
	ask.At = granted.Add(-time.Hour) // never shortens
	agrees.When(t, ask).Nothing()
}

func TestRevoke(t *testing.T) {
	ask := consent.Revoke{Purpose: consent.Marketing, Channel: consent.Email, Reason: "unsubscribed"}
	gone := consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "unsubscribed"}
	agrees.When(t, ask).Then(gone).Again().Nothing()
	nobody.When(t, ask).Nothing()
	agrees.Given(gone).When(t, grant(consent.Marketing, consent.Email, granted)).Then(grantOf(consent.Marketing, consent.Email, ends))

	agrees.When(t, consent.Revoke{Purpose: consent.Marketing, Channel: consent.Email, Reason: "whim"}).Fails("invalid-reason")
	agrees.When(t, consent.Revoke{Purpose: "whim", Channel: consent.Email}).Fails("invalid-purpose")
	agrees.When(t, consent.Revoke{Purpose: consent.Marketing, Channel: "fax"}).Fails("invalid-channel")
	nobody.Given(grantOf(consent.Essential, consent.Email, ends)).
		When(t, consent.Revoke{Purpose: consent.Essential, Channel: consent.Email, Reason: "other"}).Fails("essential-consent")
}

// TestChoose: a choice about a purpose as a whole changes what is on record about it, on whatever channel, and nothing else.
func TestChoose(t *testing.T) {
	choose := func(yes bool, at time.Time) consent.Choose {
		return consent.Choose{
			Purpose: consent.Analytics, Granted: yes, Channel: consent.Push, At: at,
			Proof: consent.Proof{Method: "form", IPAddress: "203.0.113.7", UserAgent: "curl"},
		}
	}
	gone := func(c consent.Channel) consent.Revoked {
		return consent.Revoked{Purpose: consent.Analytics, Channel: c, Reason: "customer-request"}
	}
	nobody.When(t, choose(true, granted)).Then(grantOf(consent.Analytics, consent.Push, ends)).Again().Nothing()
	nobody.When(t, choose(false, granted)).Then(gone(consent.Push)).Again().Nothing() // who was never asked before
	agrees.When(t, choose(false, granted)).Then(gone(consent.Push))                   // marketing is another matter

	email, sms := grantOf(consent.Analytics, consent.Email, ends), grantOf(consent.Analytics, consent.SMS, ends)
	nobody.Given(email).When(t, choose(true, granted)).Nothing()
	nobody.Given(email, sms).When(t, choose(false, granted)).Then(gone(consent.Email), gone(consent.SMS)).Again().Nothing()
	nobody.Given(gone(consent.Email)).When(t, choose(false, granted)).Nothing()
	nobody.Given(gone(consent.Email)).When(t, choose(true, granted)).Then(grantOf(consent.Analytics, consent.Push, ends))
	nobody.Given(email).When(t, choose(true, ends)).Then(grantOf(consent.Analytics, consent.Push, consent.Expiry(ends))) // it has run out

	wrong := choose(false, granted)
	wrong.Purpose = "whim"
	nobody.When(t, wrong).Fails("invalid-purpose")
	wrong.Granted = true
	nobody.When(t, wrong).Fails("invalid-purpose")
}

// TestB30_LateChoice: what was chosen before the latest thing on record does not count, in whatever order it comes.
func TestB30_LateChoice(t *testing.T) {
	choose := func(yes bool, at time.Time) consent.Choose {
		return consent.Choose{Purpose: consent.Analytics, Granted: yes, Channel: consent.Push, At: at}
	}
	yes := consent.Evolve(consent.State{}, grantOf(consent.Analytics, consent.Email, ends), granted)
	no := consent.Evolve(yes, consent.Revoked{Purpose: consent.Analytics, Channel: consent.Email}, granted.Add(time.Hour))
	for _, c := range []struct {
		name  string
		state consent.State
		ask   consent.Choose
		want  int
	}{
		{"a refusal before the consent", yes, choose(false, granted.Add(-time.Minute)), 0},
		{"a refusal after it", yes, choose(false, granted.Add(time.Minute)), 1},
		{"a consent before it was taken back", no, choose(true, granted.Add(time.Minute)), 0},
		{"a consent after it was taken back", no, choose(true, granted.Add(2*time.Hour)), 1},
	} {
		if events, err := consent.Decide(c.state, c.ask); err != nil || len(events) != c.want {
			t.Errorf("%s: %+v, %v", c.name, events, err)
		}
	}
}

// TestB27_RevocationEndsTheCurrentGrantOnly: what was revoked before, or on another channel, keeps its date.
func TestB27_RevocationEndsTheCurrentGrantOnly(t *testing.T) {
	first, second := granted.AddDate(0, 1, 0), granted.AddDate(0, 3, 0)
	var s consent.State
	for _, step := range []struct {
		event any
		at    time.Time
	}{
		{grantOf(consent.Marketing, consent.Email, ends), granted},
		{grantOf(consent.Marketing, consent.SMS, ends), granted},
		{consent.Revoked{Purpose: consent.Marketing, Channel: consent.SMS, Reason: "complaint"}, first},
		{consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "other"}, second},
	} {
		s = consent.Evolve(s, step.event, step.at)
	}
	sms, email := s.Current["marketing/sms"], s.Current["marketing/email"]
	if !sms.RevokedAt.Equal(first) || sms.Reason != "complaint" || !email.RevokedAt.Equal(second) || email.Reason != "other" {
		t.Errorf("sms %+v, email %+v", sms, email)
	}
	before := s.Current["marketing/email"]
	s = consent.Evolve(s, grantOf(consent.Marketing, consent.Email, ends), second.AddDate(0, 1, 0))
	if email := s.Current["marketing/email"]; email.RevokedAt != nil || email.Reason != "" || email.Status != consent.StatusActive {
		t.Errorf("granted again: %+v", email)
	}
	if !before.RevokedAt.Equal(second) {
		t.Errorf("the earlier state was changed: %+v", before)
	}
}

// TestB28_DeactivationRevokesMarketingOnly, on every channel, and nothing that is not active.
func TestB28_DeactivationRevokesMarketingOnly(t *testing.T) {
	all := nobody
	for _, p := range consent.Purposes {
		for _, c := range consent.Channels {
			all = all.Given(grantOf(p, c, ends))
		}
	}
	all.Given(consent.Revoked{Purpose: consent.Marketing, Channel: consent.Push, Reason: "complaint"}).
		When(t, consent.RevokeMarketing{Reason: "account-deactivated"}).
		Then(
			consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "account-deactivated"},
			consent.Revoked{Purpose: consent.Marketing, Channel: consent.SMS, Reason: "account-deactivated"},
		).Again().Nothing()
	nobody.When(t, consent.RevokeMarketing{Reason: "account-deactivated"}).Nothing()
}

// TestB32_ExpiredConsentCanBeGivenAgain, whether or not its end was recorded.
func TestB32_ExpiredConsentCanBeGivenAgain(t *testing.T) {
	agrees.When(t, grant(consent.Marketing, consent.Email, ends.Add(-time.Millisecond))).Nothing()
	again := grantOf(consent.Marketing, consent.Email, ends.AddDate(2, 0, 0))
	agrees.When(t, grant(consent.Marketing, consent.Email, ends)).Then(again).Again().Nothing()
	agrees.Given(consent.Expired{Purpose: consent.Marketing, Channel: consent.Email, ExpiredAt: ends}).
		When(t, grant(consent.Marketing, consent.Email, ends)).Then(again)
}

// TestB33_ConsentExpires: it is not valid at its end, is announced 30 days before, once, and then ended, once.
func TestB33_ConsentExpires(t *testing.T) {
	s := consent.Decider.Fold(grantOf(consent.Marketing, consent.Email, ends))
	for at, want := range map[time.Time]bool{granted: true, ends.Add(-time.Nanosecond): true, ends: false, ends.AddDate(1, 0, 0): false} {
		if got := s.Allows(consent.Marketing, consent.Email, at); got != want {
			t.Errorf("allowed at %s: %v", at, got)
		}
	}
	for at, want := range map[time.Time]string{ends.Add(-1): consent.StatusActive, ends: consent.StatusExpired} {
		if list := s.List(at); len(list) != 1 || list[0].Status != want {
			t.Errorf("shown at %s as %+v", at, list)
		}
	}

	notice := ends.AddDate(0, 0, -30)
	expiring := consent.Expiring{Purpose: consent.Marketing, Channel: consent.Email, ExpiresAt: ends}
	expired := consent.Expired{Purpose: consent.Marketing, Channel: consent.Email, ExpiredAt: ends}
	agrees.When(t, consent.Expire{At: notice.Add(-1)}).Nothing()
	agrees.When(t, consent.Expire{At: notice}).Then(expiring).Again().Nothing()
	announced := agrees.Given(expiring)
	announced.When(t, consent.Expire{At: ends.Add(-1)}).Nothing()
	announced.When(t, consent.Expire{At: ends}).Then(expired).Again().Nothing()
	agrees.When(t, consent.Expire{At: ends.AddDate(0, 0, 9)}).Then(expired)

	prolonged := announced.Given(renewed(ends.AddDate(1, 0, 0)))
	prolonged.When(t, consent.Expire{At: ends}).Nothing()
	prolonged.When(t, consent.Expire{At: notice.AddDate(1, 0, 0)}).
		Then(consent.Expiring{Purpose: consent.Marketing, Channel: consent.Email, ExpiresAt: ends.AddDate(1, 0, 0)})

	gone := agrees.Given(consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email})
	gone.When(t, consent.Expire{At: ends}).Nothing()
}

func TestDue(t *testing.T) {
	c := consent.Current{Status: consent.StatusActive, ExpiresAt: ends}
	if at, ok := c.Due(); !ok || !at.Equal(ends.AddDate(0, 0, -30)) {
		t.Errorf("due %s, %v", at, ok)
	}
	c.Announced = true
	if at, ok := c.Due(); !ok || !at.Equal(ends) {
		t.Errorf("announced, due %s, %v", at, ok)
	}
	for _, c.Status = range []string{consent.StatusRevoked, consent.StatusExpired} {
		if at, ok := c.Due(); ok {
			t.Errorf("%s, and due %s", c.Status, at)
		}
	}
}

// TestExpiryIsTwoCalendarYears, in UTC; the last day of February stands in for the 29th.
func TestExpiryIsTwoCalendarYears(t *testing.T) {
	for _, c := range []struct{ granted, want string }{
		{"2026-03-01T12:00:00Z", "2028-03-01T12:00:00Z"},
		{"2024-02-29T23:59:59.999Z", "2026-02-28T23:59:59.999Z"},
		{"2024-03-01T00:30:00+03:00", "2026-02-28T21:30:00Z"}, // still the 29th in UTC
		{"2024-02-28T00:00:00Z", "2026-02-28T00:00:00Z"},
		{"2026-02-28T00:00:00Z", "2028-02-28T00:00:00Z"},
		{"2025-12-31T23:00:00-02:00", "2028-01-01T01:00:00Z"},
	} {
		granted, err := time.Parse(time.RFC3339Nano, c.granted)
		if err != nil {
			t.Fatal(err)
		}
		if got := consent.Expiry(granted).Format(time.RFC3339Nano); got != c.want {
			t.Errorf("granted %s, expires %s, want %s", c.granted, got, c.want)
		}
	}
}

// TestB81_OldGrantIsUnderstood: a grant of schema version 1 gets the legal frame it was given in, and expires two years
// after it happened.
func TestB81_OldGrantIsUnderstood(t *testing.T) {
	catalog := eventstore.NewCatalog(consent.Events)
	old, err := catalog.Decode("ConsentGranted", 1, json.RawMessage(`{"purpose":"marketing","channel":"email"}`), json.RawMessage(`{"ipAddress":"203.0.113.7"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := consent.Granted{
		Purpose: consent.Marketing, Channel: consent.Email, IPAddress: "203.0.113.7",
		GDPRContext: &consent.GDPRContext{LegalBasis: "consent", RetentionPeriod: "2years", DataController: "company-name"},
	}
	if !reflect.DeepEqual(old, want) {
		t.Errorf("understood as %+v, want %+v", old, want)
	}
	if got := consent.Evolve(consent.State{}, old, granted).Current["marketing/email"]; !got.ExpiresAt.Equal(ends) || !got.GrantedAt.Equal(granted) {
		t.Errorf("folded to %+v", got)
	}
}

// TestB14_FoldIsComplete: every event type of the package has its effect on the consent it names, and none else.
func TestB14_FoldIsComplete(t *testing.T) {
	at := granted.AddDate(1, 0, 0)
	renewed, revoked := granted.AddDate(0, 6, 0), granted.AddDate(0, 7, 0)
	before := func() consent.State {
		return consent.State{Current: map[string]consent.Current{
			"marketing/email": {
				Purpose: consent.Marketing, Channel: consent.Email, Status: consent.StatusActive, Method: "shop", GrantedAt: granted,
				ExpiresAt: ends, RenewedAt: &renewed, Announced: true,
			},
			"marketing/sms": {
				Purpose: consent.Marketing, Channel: consent.SMS, Status: consent.StatusRevoked, GrantedAt: granted, ExpiresAt: ends,
				RevokedAt: &revoked, Reason: "complaint",
			},
		}}
	}
	later := ends.AddDate(1, 0, 0)
	cases := []struct {
		event  any
		key    string
		change func(*consent.Current)
	}{
		{grantOf(consent.Marketing, consent.SMS, later), "marketing/sms", func(c *consent.Current) {
			*c = consent.Current{Purpose: consent.Marketing, Channel: consent.SMS, Status: consent.StatusActive, Method: "form", GrantedAt: at, ExpiresAt: later}
		}},
		{grantOf(consent.Analytics, consent.Push, later), "analytics/push", func(c *consent.Current) {
			*c = consent.Current{Purpose: consent.Analytics, Channel: consent.Push, Status: consent.StatusActive, Method: "form", GrantedAt: at, ExpiresAt: later}
		}},
		{consent.Renewed{Purpose: consent.Marketing, Channel: consent.Email, ExpiresAt: &later}, "marketing/email", func(c *consent.Current) {
			c.RenewedAt, c.ExpiresAt, c.Announced = &at, later, false
		}},
		{consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "other"}, "marketing/email", func(c *consent.Current) {
			c.Status, c.RevokedAt, c.Reason = consent.StatusRevoked, &at, "other"
		}},
		{consent.Revoked{Purpose: consent.Analytics, Channel: consent.Push, Reason: "other"}, "analytics/push", func(c *consent.Current) {
			*c = consent.Current{Purpose: consent.Analytics, Channel: consent.Push, Status: consent.StatusRevoked, RevokedAt: &at, Reason: "other"}
		}},
		{consent.Expired{Purpose: consent.Marketing, Channel: consent.Email, ExpiredAt: ends}, "marketing/email", func(c *consent.Current) {
			c.Status = consent.StatusExpired
		}},
		{consent.Expiring{Purpose: consent.Marketing, Channel: consent.Email, ExpiresAt: ends}, "marketing/email", func(c *consent.Current) { c.Announced = true }},
		{struct{ SomebodyElses string }{"event"}, "marketing/email", func(*consent.Current) {}},
	}
	catalog := eventstore.NewCatalog(consent.Events)
	folded := map[string]bool{}
	for _, c := range cases {
		folded[catalog.NameOf(c.event)] = true
		given, want := before(), before()
		changed := want.Current[c.key]
		c.change(&changed)
		want.Current[c.key] = changed
		if got := consent.Evolve(given, c.event, at); !reflect.DeepEqual(got, want) {
			t.Errorf("%T%+v\n  got:  %+v\n  want: %+v", c.event, c.event, got, want)
		}
		if !reflect.DeepEqual(given, before()) {
			t.Errorf("%T changed the state before it in place", c.event)
		}
	}
	for _, name := range catalog.Names() {
		if !folded[name] {
			t.Errorf("%s has no case", name)
		}
	}
}

func TestListIsInAFixedOrder(t *testing.T) {
	s := consent.Decider.Fold(
		grantOf(consent.Marketing, consent.SMS, ends), grantOf(consent.Essential, consent.Email, ends), grantOf(consent.Marketing, consent.Email, ends),
	)
	var order []string
	for _, c := range s.List(granted) {
		order = append(order, consent.Key(c.Purpose, c.Channel))
	}
	if want := []string{"essential/email", "marketing/email", "marketing/sms"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if list := (consent.State{}).List(granted); list == nil || len(list) != 0 {
		t.Errorf("no consents are %#v, want an empty list", list)
	}
}

func TestUnknownCommand(t *testing.T) {
	type Dance struct{}
	nobody.When(t, Dance{}).Fails("unknown-command")
}

// TestAnyCommands: whatever is asked, the events fit their schemas, the same again is nothing to do, and a customer who
// revoked or whose term has ended is not written to.
func TestAnyCommands(t *testing.T) {
	catalog := eventstore.NewCatalog(consent.Events)
	rapid.Check(t, func(t *rapid.T) {
		var s consent.State
		now := granted
		for range rapid.IntRange(1, 15).Draw(t, "commands") {
			now = now.AddDate(0, 0, rapid.IntRange(0, 400).Draw(t, "days later"))
			p, c := rapid.SampledFrom(consent.Purposes).Draw(t, "purpose"), rapid.SampledFrom(consent.Channels[:2]).Draw(t, "channel")
			command := rapid.SampledFrom([]consent.Command{
				consent.Grant{Purpose: p, Channel: c, At: now}, consent.Grant{Purpose: p, Channel: c, At: now, Renew: true},
				consent.Revoke{Purpose: p, Channel: c, Reason: "other"}, consent.RevokeMarketing{Reason: "account-deactivated"}, consent.Expire{At: now},
			}).Draw(t, "command")
			decided, err := consent.Decide(s, command)
			if err != nil {
				if len(decided) > 0 {
					t.Fatalf("%+v refused with %v, and %d events", command, err, len(decided))
				}
				continue
			}
			for _, e := range decided {
				checkSchema(t, catalog, e)
				s = consent.Evolve(s, e, now)
			}
			if again, err := consent.Decide(s, command); err != nil || len(again) > 0 {
				t.Fatalf("%T%+v again: %+v, %v", command, command, again, err)
			}
			for key, current := range s.Current {
				if key != consent.Key(current.Purpose, current.Channel) {
					t.Fatalf("%s holds %+v", key, current)
				}
				allowed := s.Allows(current.Purpose, current.Channel, now)
				since := current.GrantedAt
				if current.RenewedAt != nil {
					since = *current.RenewedAt
				}
				if allowed && (current.Status != consent.StatusActive || now.After(since.AddDate(2, 0, 1))) {
					t.Fatalf("%s is allowed at %s: %+v", key, now, current)
				}
			}
		}
	})
}

func checkSchema(t *rapid.T, catalog *eventstore.Catalog, event any) {
	name, schema, _, _, err := catalog.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Validate(name, schema, data); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}

// TestP14_ARefusalToldInWholeSecondsLastsToItsEnd: of a consent and a refusal within a second, nobody knows which came last.
func TestP14_ARefusalToldInWholeSecondsLastsToItsEnd(t *testing.T) {
	second := time.Date(2026, 3, 1, 12, 0, 7, 0, time.UTC)
	agreed := second.Add(900 * time.Millisecond)
	expires := consent.Expiry(agreed)
	s := consent.Evolve(consent.State{}, consent.Granted{Purpose: consent.Analytics, Channel: consent.Push, ExpiresAt: &expires}, agreed)
	for said, refused := range map[time.Time]bool{second: true, second.Add(800 * time.Millisecond): false, agreed: true, second.Add(-time.Millisecond): false} {
		events, err := consent.Decide(s, consent.Choose{Purpose: consent.Analytics, Channel: consent.Push, At: said})
		if err != nil || (len(events) == 1) != refused {
			t.Errorf("refused at %s: %+v, %v", said.Format("05.000"), events, err)
		}
	}
	s = consent.Evolve(s, consent.Revoked{Purpose: consent.Analytics, Channel: consent.Push}, agreed)
	if events, err := consent.Decide(s, consent.Choose{Purpose: consent.Analytics, Granted: true, Channel: consent.Push, At: second}); err != nil || len(events) > 0 {
		t.Errorf("granted in the same second: %+v, %v", events, err)
	}
}
