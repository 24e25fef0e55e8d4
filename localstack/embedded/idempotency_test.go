package embedded

import (
	"strings"
	"testing"
)

// repeatable is a call that an Idempotency-Key protects.
type repeatable struct {
	method, path string
	body, other  any
	effect       string // the event that each call of its own brings about
}

func (r repeatable) call(s *story) *reply { return s.try(r.method, r.path, r.body) }

func repeatables(c customer) []repeatable {
	return []repeatable{
		{"PATCH", c.path(""), m{"phone": unique("+44 ")}, m{"phone": "+44 0"}, "CustomerPhoneUpdated"},
		{"PUT", c.path("/email"), m{"email": email(unique("changed"))}, m{"email": "other@mail.example"}, "CustomerEmailUpdated"},
		{"POST", c.path("/email-verification"), m{}, m{"token": "x"}, "EmailVerificationRequested"},
		{"POST", c.path("/consents"), m{"purpose": "analytics", "channel": "push", "renew": true}, m{"purpose": "analytics", "channel": "sms"}, "ConsentGranted"},
		{"DELETE", c.path("/consents/analytics/push"), nil, m{}, "ConsentRevoked"},
		{"PUT", c.path("/preferences"), m{"categories": []string{unique("shoes")}}, m{"emailFrequency": "weekly"}, "PreferencesUpdated"},
		{"POST", c.path("/deactivation"), m{"reason": "fraud"}, m{"reason": "other"}, "CustomerDeactivated"},
		{"POST", c.path("/reactivation"), nil, m{}, "CustomerReactivated"},
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := begin(t)
	c := s.registers("firstName", "Ada")
	for _, r := range repeatables(c) {
		t.Run(r.method+" "+strings.TrimPrefix(r.path, c.path("")), func(t *testing.T) {
			s := *s
			s.TB = t
			keyed := s.with("Idempotency-Key", unique("key"))
			s.settled()
			before := c.happened(r.effect)
			first := keyed.send(r.method, r.path, r.body)
			if first.status >= 300 {
				t.Fatalf("%s answers %d: %s", first.call, first.status, first.body)
			}
			s.settled()
			s.advance("1h")
			c.patch(c.path(""), m{"firstName": unique("Ada")}).expect(200) // life goes on
			again := keyed.send(r.method, r.path, r.body).expect(first.status)
			if string(again.body) != string(first.body) {
				t.Errorf("asked again, it answers\n%s\nwas\n%s", again.body, first.body)
			}
			if n := c.happened(r.effect) - before; n != 1 {
				t.Errorf("%d × %s", n, r.effect)
			}
			keyed.send(r.method, r.path, r.other).refused(409, "idempotency-key-reused")
			keyed.send(r.method, r.path+"?x=1", r.body).refused(409, "idempotency-key-reused") // the query says something too
		})
	}
}

func TestIdempotencyKeyAtOnce(t *testing.T) {
	s := begin(t)
	c := s.registers("firstName", "Ada")
	for _, r := range repeatables(c) {
		s.settled()
		before := c.happened(r.effect)
		keyed := s.with("Idempotency-Key", unique("key"))
		replies := s.together(8, func(int) *reply { return r.call(keyed) })
		for _, a := range replies {
			if a.status >= 300 || string(a.body) != string(replies[0].body) {
				t.Errorf("%s at once: %d %s\nand %d %s", a.call, a.status, a.body, replies[0].status, replies[0].body)
			}
		}
		if n := c.happened(r.effect) - before; n != 1 {
			t.Errorf("%s: %d × %s", r.path, n, r.effect)
		}
	}
}

func TestRegisteringTwiceIsOnce(t *testing.T) {
	s := begin(t)
	body := m{"email": email(unique("ada")), "termsAccepted": true, "marketingConsent": true}
	keyed := s.with("Idempotency-Key", unique("key"))
	first := keyed.post("/v1/customers", body).expect(201)
	c := customer{s, first.text("customerId"), body["email"].(string)}
	s.mailed(c.email, 1)
	c.patch(c.path(""), m{"firstName": "Ada"}).expect(200)
	again := keyed.post("/v1/customers", body).expect(201)
	if string(again.body) != string(first.body) || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("asked again, it answers %s, was %s", again.body, first.body)
	}
	keyed.post("/v1/customers", m{"email": "other@mail.example", "termsAccepted": true}).refused(409, "idempotency-key-reused")
	s.post("/v1/customers", body).refused(409, "email-taken") // without the key it is another request

	for round := range 4 {
		body := m{"email": email(unique("grace")), "termsAccepted": true, "marketingConsent": round%2 == 0}
		keyed := s.with("Idempotency-Key", unique("key"))
		replies := s.together(8, func(int) *reply { return keyed.try("POST", "/v1/customers", body) })
		for _, a := range replies {
			if a.status != 201 || string(a.body) != string(replies[0].body) {
				t.Errorf("at once: %d %s\nand %d %s", a.status, a.body, replies[0].status, replies[0].body)
			}
		}
	}
	s.settled()
	if n := len(s.mails(c.email)); n != 1 {
		t.Errorf("%d mails", n)
	}
}

func TestIdempotencyKeysEnd(t *testing.T) {
	s := begin(t)
	c := s.registers()
	s.mailed(c.email, 1)
	keyed := s.with("Idempotency-Key", unique("key"))
	keyed.post(c.path("/email-verification"), m{}).expect(200)
	s.advance("23h")
	keyed.post(c.path("/email-verification"), m{}).expect(200)
	if n := c.happened("EmailVerificationRequested"); n != 2 {
		t.Errorf("%d requests after 23 hours, want 2", n)
	}
	s.advance("2h")
	keyed.post(c.path("/email-verification"), m{}).expect(200)
	if n := c.happened("EmailVerificationRequested"); n != 3 {
		t.Errorf("%d requests after 25 hours, want 3", n)
	}
	s.with("Idempotency-Key", strings.Repeat("k", 256)).post(c.path("/email-verification"), m{}).refused(400, "invalid-idempotency-key")
}

func TestIdempotencyKeyOfSDKs(t *testing.T) {
	s := begin(t)
	for _, kind := range []string{"identify", "track", "page", "screen", "group", "alias", "batch"} {
		c := customer{s, unique("user"), ""}
		message := m{"type": "track", "userId": c.id, "event": "Seen", "name": "Shoes", "groupId": "g", "previousId": "p", "traits": m{"plan": "gold"}}
		var body any = message
		if kind == "batch" {
			body = m{"batch": []m{message, message}}
		}
		sdk := s.sdk().with("Idempotency-Key", unique("key"))
		first := sdk.post("/v1/"+kind, body).expect(200)
		version := c.shown().expect(200).number("version")
		again := sdk.post("/v1/"+kind, body).expect(200)
		if string(again.body) != string(first.body) || c.shown().number("version") != version {
			t.Errorf("%s is not taken once: version %d, then %s", kind, version, c.shown().body)
		}
		message["event"], message["name"] = "Other", "Other"
		sdk.post("/v1/"+kind, body).refused(409, "idempotency-key-reused")

		other := customer{s, unique("user"), ""}
		message["userId"] = other.id
		atOnce := s.sdk().with("Idempotency-Key", unique("key"))
		for _, a := range s.together(8, func(int) *reply { return atOnce.try("POST", "/v1/"+kind, body) }) {
			if a.status != 200 {
				t.Errorf("%s at once: %d %s", kind, a.status, a.body)
			}
		}
		if got := other.shown().expect(200).number("version"); got != version {
			t.Errorf("%s at once: %d events, want %d: %v", kind, got, version, typesOf(other.events()))
		}
	}
}

func TestIdempotencyKeysAreTheCallersOwn(t *testing.T) {
	s := begin(t)
	key := unique("key")
	c := s.registers()
	c.with("Idempotency-Key", key).patch(c.path(""), m{"firstName": "Ada"}).expect(200)
	s.sdk().with("Idempotency-Key", key).post("/v1/track", m{"userId": c.id, "event": "Seen"}).expect(200)
	if n := c.happened("EventTracked"); n != 1 {
		t.Errorf("%d events", n)
	}
}
