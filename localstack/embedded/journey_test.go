package embedded

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
)

// messages are the customer's entries of the send ledger, as "template status reason".
func (c customer) messages() []string {
	c.Helper()
	var list []string
	for _, e := range c.pages(c.path("/messages?limit=100"), "messages") {
		text := fmt.Sprint(e["template"], " ", e["status"])
		if e["reason"] != nil {
			text += fmt.Sprint(" ", e["reason"])
		}
		list = append(list, text)
	}
	return list
}

// subjects are those of the customer's mails, oldest first, without the name.
func (c customer) subjects() []string {
	c.Helper()
	var list []string
	for _, mail := range c.mails(c.email) {
		subject := mail.Subject
		for short, begin := range map[string]string{"welcome": "Welcome", "tips": "few things", "verification": "confirm"} {
			if strings.Contains(subject, begin) {
				subject = short
			}
		}
		list = append(list, subject)
	}
	return list
}

func (c customer) expectMails(want ...string) {
	c.Helper()
	c.settled()
	if got := c.subjects(); !slices.Equal(got, want) {
		c.Errorf("mails are %v, want %v", got, want)
	}
}

func (c customer) expectMessages(want ...string) {
	c.Helper()
	c.settled()
	if got := c.messages(); !slices.Equal(got, want) {
		c.Errorf("messages are %v, want %v", got, want)
	}
}

// exited is why the customer's journey ended.
func (c customer) exited() string {
	c.Helper()
	ends := c.pages(c.path("/events?types=JourneyExited"), "events")
	if len(ends) != 1 {
		c.Errorf("the journey ended %d times", len(ends))
		return ""
	}
	return fmt.Sprint(at(ends[0]["data"], "reason"))
}

func TestB43_TheSecondMailWaits(t *testing.T) {
	s := begin(t)
	c := s.consents("firstName", "Ada")
	c.expectMails("welcome")
	s.advance("23h59m")
	c.expectMails("welcome")
	c.expectMessages("welcome sent")
	s.advance("2m")
	c.expectMails("welcome", "tips")
	s.advance("1000h")
	c.expectMails("welcome", "tips")
	c.expectMessages("welcome sent", "welcome-tips sent")
	if got := c.exited(); got != "completed" {
		t.Errorf("the journey ended as %q", got)
	}
	mails := s.mails(c.email)
	if wait := mails[1].SentAt.Sub(mails[0].SentAt); wait < 24*time.Hour || wait > 25*time.Hour {
		t.Errorf("%s lie between the mails", wait)
	}
	for _, mail := range mails {
		if !strings.Contains(mail.Text+mail.Subject, "Ada") || !strings.Contains(mail.HTML, "<p") || mail.From == "" {
			t.Errorf("the mail is %+v", mail)
		}
	}
}

func TestB22_RebuildingSendsNothing(t *testing.T) {
	s := begin(t)
	waiting, through, unverified := s.consents(), s.consents(), s.registers()
	s.advance("25h")
	for _, c := range []customer{waiting, through, unverified} {
		c.settled()
	}
	late := s.consents()
	late.expectMails("welcome")
	customers := []customer{waiting, through, unverified, late}
	var before [][]string
	for _, c := range customers {
		before = append(before, c.subjects(), typesOf(c.events()))
	}
	check := func(what string) {
		t.Helper()
		s.settled()
		var after [][]string
		for _, c := range customers {
			after = append(after, c.subjects(), typesOf(c.events()))
		}
		if fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: mails and events are\n%v, were\n%v", what, after, before)
		}
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
	check("after a rebuild")
	for segment := range 2 { // and when the bus delivers everything ever published once more
		var commits []eventstore.Commit
		for c, err := range s.system.App.Log.Store.Scan(t.Context(), segment, 2) {
			if err != nil {
				t.Fatal(err)
			}
			commits = append(commits, c)
		}
		if failed := s.system.App.PublishEvents(t.Context(), commits); len(failed) > 0 {
			t.Errorf("not published: %v", failed)
		}
	}
	check("published again")
	late.advance("25h")
	late.expectMails("welcome", "tips") // its wait is not disturbed
}

func TestB23_ConsentAndCreationInOneCommit(t *testing.T) {
	s := begin(t)
	replies := s.together(16, func(i int) *reply {
		return s.try("POST", "/v1/customers", m{"email": fmt.Sprintf("b23-%d@mail.example", i), "marketingConsent": true, "termsAccepted": true})
	})
	for i, a := range replies {
		c := customer{s, a.expect(201).text("customerId"), fmt.Sprintf("b23-%d@mail.example", i)}
		c.expectMails("welcome")
		c.expectMessages("welcome sent")
	}
}

func TestB24_OneWelcome(t *testing.T) {
	s := begin(t)
	willing, unwilling := s.consents(), s.registers()
	willing.expectMails("welcome")
	unwilling.expectMails("verification")
	for _, c := range []customer{willing, unwilling} {
		code := tokenInMail.FindString(c.mails(c.email)[0].Text)
		c.post(c.path("/email-verification"), m{"token": code}).expect(200).has("emailVerified", true)
	}
	s.advance("25h")
	willing.expectMails("welcome", "tips")
	if code := tokenInMail.FindString(willing.mails(willing.email)[1].Text); code != "" {
		t.Errorf("a verified address is sent the code %s", code)
	}
	unwilling.expectMails("verification")
}

func TestB44_WaitsOutliveTheProcess(t *testing.T) {
	s := begin(t)
	c := s.consents()
	c.expectMails("welcome")
	s.restart()
	c = customer{s, c.id, c.email}
	c.expectMails("welcome")
	s.advance("23h")
	s.restart()
	c = customer{s, c.id, c.email}
	c.expectMails("welcome")
	s.advance("2h")
	c.expectMails("welcome", "tips")
	s.restart()
	customer{s, c.id, c.email}.expectMails("welcome", "tips")
}

// The wait is over while nothing runs: the mail goes as soon as something does.
func TestB44_WaitThatEndsWhileStopped(t *testing.T) {
	s := begin(t, func(c *Config) { c.WelcomeDelay = 300 * time.Millisecond })
	c := s.consents()
	c.mailed(c.email, 1)
	if err := s.system.Stop(); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(400 * time.Millisecond)
	eventually(t, "the wait is over", func() bool { return time.Now().After(end) })
	s.start(s.system.config)
	if got := len(s.mailed(c.email, 2)); got != 2 {
		t.Errorf("%d mails", got)
	}
}

func TestB45_WhatHappensDuringTheWait(t *testing.T) {
	for _, c := range []struct {
		what   string
		during func(customer)
		reason string
	}{
		{"revoked", func(c customer) { c.delete(c.path("/consents/marketing/email")).expect(200) }, "consent-revoked"},
		{"deactivated", func(c customer) { c.post(c.path("/deactivation"), m{}).expect(200) }, "customer-deactivated"},
		{"deactivated and back, without consent", func(c customer) {
			c.post(c.path("/deactivation"), m{}).expect(200)
			c.post(c.path("/reactivation"), m{}).expect(200)
		}, "consent-revoked"},
		{"revoked and granted again", func(c customer) {
			c.delete(c.path("/consents/marketing/email")).expect(200)
			c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "email"}).expect(201)
		}, ""},
		{"consent to something else revoked", func(c customer) {
			c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "sms"}).expect(201)
			c.delete(c.path("/consents/marketing/sms")).expect(200)
		}, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := begin(t)
			somebody := s.consents()
			somebody.expectMails("welcome")
			c.during(somebody)
			s.advance("25h")
			if c.reason == "" {
				somebody.expectMails("welcome", "tips")
				return
			}
			somebody.expectMails("welcome")
			somebody.expectMessages("welcome sent", "welcome-tips withheld "+c.reason)
			if got := somebody.exited(); got != c.reason {
				t.Errorf("the journey ended as %q", got)
			}
			s.advance("1000h")
			somebody.expectMails("welcome")
		})
	}
	t.Run("erased", func(t *testing.T) {
		s := begin(t)
		c := s.consents()
		c.expectMails("welcome")
		c.post(c.path("/erasure"), m{}).expect(200)
		s.settled()
		before := s.stored()
		s.advance("25h")
		c.expectMails()
		s.unchangedBut(before, func(string) bool { return false })
		if waits := s.get("/_local/stats").number("waits"); waits != 0 {
			t.Errorf("%d journeys wait", waits)
		}
	})
	t.Run("expired", func(t *testing.T) {
		s := begin(t, func(c *Config) { c.WelcomeDelay = 3 * 366 * 24 * time.Hour })
		c := s.consents()
		c.expectMails("welcome")
		s.advance("27000h")
		c.expectMails("welcome")
		c.expectMessages("welcome sent", "welcome-tips withheld consent-revoked")
	})
}

func TestB46_UnknownStatesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`:                                                               "",
		`{"StartAt":"A","States":{"A":{"Type":"Parallel"}}}`:                                                              "type Parallel",
		`{"StartAt":"A","States":{"A":{"Type":""}}}`:                                                                      "type",
		`{"StartAt":"B","States":{"A":{"Type":"Succeed"}}}`:                                                               "B",
		`{"StartAt":"A","States":{"A":{"Type":"Wait","TimestampPath":"$.until","Next":"B"}}}`:                             "leads to B",
		`{"StartAt":"A","States":{"A":{"Type":"Wait","SecondsPath":"$.wait","Next":"A"}}}`:                                "SecondsPath",
		`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.x","NumericEquals":1}]}}}`:               "NumericEquals",
		`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.x","BooleanEquals":true,"Next":"B"}]}}}`: "leads to B",
		`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"another","Next":"A"}}}`:                                  "another",
		`{"StartAt":"A"`: "understand",
	} {
		_, err := understand(text, "run-journey-step")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want an error about %q", text, err, want)
		}
	}
}

func TestB50_RecipientIsLookedUpWhenSent(t *testing.T) {
	s := begin(t)
	c := s.consents("firstName", "Ada")
	c.expectMails("welcome")
	moved := customer{s, c.id, email(unique("moved"))}
	c.put(c.path("/email"), m{"email": moved.email}).expect(200)
	c.patch(c.path(""), m{"firstName": "Augusta"}).expect(200)
	moved.expectMails("verification")
	s.advance("25h")
	c.expectMails("welcome")
	moved.expectMails("verification", "tips")
	if subject := s.mails(moved.email)[1].Subject; !strings.HasPrefix(subject, "Augusta") {
		t.Errorf("it is addressed as %q", subject)
	}
}

func TestPreferencesAreAskedWhenSent(t *testing.T) {
	for preference, reason := range map[string]string{`{"emailFrequency":"never"}`: "frequency-never", `{"emailEnabled":false}`: "channel-disabled"} {
		t.Run(reason, func(t *testing.T) {
			s := begin(t)
			before, during := s.registers(), s.consents()
			before.expectMails("verification") // transactional: whatever is preferred
			during.expectMails("welcome")
			for _, c := range []customer{before, during} {
				c.put(c.path("/preferences"), preference).expect(200)
			}
			before.post(before.path("/consents"), m{"purpose": "marketing", "channel": "email"}).expect(201)
			before.expectMessages("email-verification sent", "welcome withheld "+reason)
			before.post(before.path("/email-verification"), m{}).expect(200)
			before.expectMails("verification", "verification")
			s.advance("25h")
			during.expectMails("welcome")
			during.expectMessages("welcome sent", "welcome-tips withheld "+reason)
		})
	}
}

func TestConsentGrantedLater(t *testing.T) {
	s := begin(t)
	c := s.registers()
	c.expectMails("verification")
	grant := func(body m) { t.Helper(); c.post(c.path("/consents"), body).expect(201) }
	grant(m{"purpose": "marketing", "channel": "sms"})
	grant(m{"purpose": "analytics", "channel": "email"})
	c.expectMails("verification")
	grant(m{"purpose": "marketing", "channel": "email"})
	c.expectMails("verification", "welcome")
	grant(m{"purpose": "marketing", "channel": "email", "renew": true})
	s.advance("25h")
	c.expectMails("verification", "welcome", "tips")
	c.delete(c.path("/consents/marketing/email")).expect(200)
	grant(m{"purpose": "marketing", "channel": "email"})
	s.advance("25h")
	c.expectMails("verification", "welcome", "tips")
	if n := c.happened("JourneyEntered"); n != 1 {
		t.Errorf("the journey is entered %d times", n)
	}
	s.settled()
	if waits := s.get("/_local/stats").number("waits"); waits != 0 {
		t.Errorf("%d journeys wait", waits)
	}
}

// What a journey appends says because of what, back to the request.
func TestJourneysAreTraced(t *testing.T) {
	s := begin(t)
	c := s.with("X-Correlation-Id", "campaign-7").consents()
	s.settled()
	s.advance("25h")
	c.expectMails("welcome", "tips")
	granted := ""
	for _, e := range c.events() {
		if e["correlationId"] != "campaign-7" {
			t.Errorf("%v belongs to %v", e["type"], e["correlationId"])
		}
		switch e["type"] {
		case "ConsentGranted":
			granted = e["id"].(string)
		case "JourneyEntered", "JourneyStepCompleted", "JourneyExited", "MessageSent":
			if e["causationId"] != granted {
				t.Errorf("%v was caused by %v, want %s", e["type"], e["causationId"], granted)
			}
		}
	}
}
