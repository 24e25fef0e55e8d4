package embedded

import (
	"fmt"
	"strings"
	"testing"
)

// tokenOf is a token of a customer's own, of the local run's issuer.
func (s *story) tokenOf(user string) string {
	s.Helper()
	return s.post("/_local/issuer/token", m{"userId": user}).expect(200).text("userToken")
}

// TestS1_APageCannotRedirectMail nor rename anybody: what it says is kept as claimed, and the customer's own token lifts that.
func TestS1_APageCannotRedirectMail(t *testing.T) {
	s := begin(t)
	s.sends(message("identify", "ada", "traits", m{"email": "ada@mail.example", "firstName": "Ada", "plan": "gold"}))
	page := s.source("browser")
	evil := message("identify", "ada", "traits", m{"email": "eve@mail.example", "firstName": "http://evil.example", "plan": "none"})
	page.says("/v1/identify", evil).expect(200)
	ada := s.known("ada")
	ada.shown().has(
		"email", "ada@mail.example", "firstName", "Ada", "attributes.plan", "gold",
		"claims.email.value", "eve@mail.example", "claims.firstName.value", "http://evil.example", "claims.plan.value", "none",
	)
	s.get("/v1/customers?email=eve@mail.example").expect(404)
	page.says("/v1/identify", message("identify", "squatter", "traits", m{"email": "grace@mail.example"})).expect(200)
	s.registers("email", "grace@mail.example") // whom nobody could lock out
	s.settled()
	ada.shown().has("email", "ada@mail.example", "claims.email.value", "eve@mail.example")

	theirs := message("identify", "ada", "traits", m{"firstName": "Augusta"})
	signed := page.with("Authorization", basic(page.key, ""), "X-User-Token", s.tokenOf("ada"))
	page.with("Authorization", basic(page.key, ""), "X-User-Token", s.tokenOf("eve")).post("/v1/identify", message("identify", "ada", "traits", m{"firstName": "Eve"})).expect(200)
	page.with("Authorization", basic(page.key, ""), "X-User-Token", "no.token.really").post("/v1/identify", message("identify", "ada", "traits", m{"firstName": "Eva"})).expect(200)
	ada.shown().has("firstName", "Ada")
	signed.post("/v1/identify", theirs).expect(200)
	ada.shown().has("firstName", "Augusta")
	within := message("identify", "ada", "traits", m{"lastName": "King"}, "context", m{"userToken": s.tokenOf("ada")})
	page.says("/v1/batch", m{"batch": []m{within, message("identify", "squatter", "traits", m{"lastName": "King"}, "context", m{"userToken": s.tokenOf("ada")})}}).expect(200)
	ada.shown().has("lastName", "King")
	s.known("squatter").shown().has("lastName", nil)

	signed.post("/v1/track", track("ada", "Order Completed", m{"order_id": "o1", "total": 9, "currency": "EUR"})).expect(200)
	if ada.happened("OrderPlaced") != 0 {
		t.Error("a customer's token tells of money")
	}
	s.advance("3h") // after which a token of an hour proves nothing
	signed.post("/v1/identify", message("identify", "ada", "traits", m{"firstName": "Late"})).expect(200)
	ada.shown().has("firstName", "Augusta")
}

// TestS1_AClaimOf1970 does not take a visitor's history away, nor one that somebody of ours did not say.
func TestS1_AClaimOf1970(t *testing.T) {
	s := begin(t)
	s.sends(m{"type": "page", "anonymousId": "phone", "name": "Home"})
	s.sends(message("identify", "ada", "anonymousId", "phone", "traits", m{"email": "ada@mail.example"}))
	page := s.source("browser")
	page.says("/v1/identify", message("identify", "eve", "anonymousId", "phone", "timestamp", "1970-01-02T00:00:00Z")).expect(200)
	page.says("/v1/alias", message("alias", "eve", "previousId", "ada", "timestamp", "1970-01-02T00:00:00Z")).expect(200)
	s.settled()
	s.get("/v1/customers/ada/identities").has("identities.0.id", "phone", "identities.0.owned", true)
	for _, identity := range s.pages("/v1/customers/eve/identities?limit=50", "identities") {
		if identity["id"] == "phone" && identity["owned"] != false {
			t.Error("eve has ada's phone")
		}
	}
	if shown := s.get("/v1/customers/eve").expect(200); shown.at("email") != nil {
		t.Errorf("eve is shown as %s", shown.body)
	}
	if got := s.get("/v1/customers/ada").expect(200).at("mergedInto"); got != nil {
		t.Errorf("ada is merged into %v", got)
	}
}

// TestS9_AConsentIsProven: to which words, in which language, with which address, from where, and who answers for it.
func TestS9_AConsentIsProven(t *testing.T) {
	s := begin(t)
	c := s.registers("email", "ada@mail.example")
	c.post(c.path("/consents"), m{"purpose": "marketing", "channel": "email", "textVersion": "2026-11", "language": "tr", "ipAddress": "198.51.100.7"}).expect(201)
	granted := c.pages(c.path("/events?limit=500&types=ConsentGranted"), "events")
	if len(granted) != 1 {
		t.Fatalf("%v", granted)
	}
	for path, want := range map[string]any{
		"textVersion": "2026-11", "language": "tr", "ipAddress": "198.51.100.7", "gdprContext.dataController": "Defter's local run",
	} {
		if got := at(granted[0]["data"], path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if hash := at(granted[0]["data"], "addressHash"); hash == nil || hash == "" {
		t.Error("the consent is bound to no address")
	}
	page := s.source("browser")
	page.says("/v1/track", m{
		"userId": c.id, "event": "Segment Consent Preference Updated", "context": m{"ip": "192.0.2.1", "userToken": s.tokenOf(c.id), "consent": m{"categoryPreferences": m{"Analytics": true}}},
	}).expect(200)
	granted = c.pages(c.path("/events?limit=500&types=ConsentGranted"), "events")
	if len(granted) != 2 || at(granted[1]["data"], "ipAddress") != "127.0.0.1" {
		t.Errorf("a page tells its own address: %v", granted)
	}
}

// TestS9_MarketingGoesToVerifiedAddresses: what somebody typed may be another's.
func TestS9_MarketingGoesToVerifiedAddresses(t *testing.T) {
	s := begin(t, func(c *Config) { c.MarketingUnverified = false })
	c := s.consents("email", "ada@mail.example")
	s.settled()
	mails := s.mailed("ada@mail.example", 1)
	if len(mails) != 1 || c.happened("JourneyEntered") != 0 {
		t.Fatalf("before she verified: %d mails, %d journeys", len(mails), c.happened("JourneyEntered"))
	}
	c.post(c.path("/email-verification"), m{"token": tokenInMail.FindString(mails[0].Text)}).expect(200)
	s.mailed("ada@mail.example", 2)
	s.settled()
	if c.happened("JourneyEntered") != 1 {
		t.Error("verified, she is in no journey")
	}
	c.put(c.path("/email"), m{"email": "countess@mail.example"}).expect(200)
	s.advance("25h")
	s.settled()
	withheld := c.pages(c.path("/events?limit=500&types=MessageSuppressed"), "events")
	if len(withheld) != 1 || at(withheld[0]["data"], "reason") != "address-unverified" {
		t.Errorf("after the address changed: %v", withheld)
	}
	for _, mail := range s.mails("countess@mail.example") {
		if tokenInMail.FindString(mail.Text) == "" {
			t.Errorf("to the new address went %+v", mail)
		}
	}
}

// TestS1_JunkVisitorsDriveNobodyOut: what a page says of visitors neither hides what others said, nor becomes the customer's, nor makes
// the customer too large to be shown.
func TestS1_JunkVisitorsDriveNobodyOut(t *testing.T) {
	s := begin(t)
	page := s.source("browser")
	s.sends(track("old-ada", "Order Completed", m{"order_id": "o1", "total": 300, "currency": "EUR"}))
	s.sends(message("identify", "ada", "traits", m{"firstName": "Ada"}), m{"type": "alias", "userId": "ada", "previousId": "old-ada"})
	s.sends(m{"type": "track", "anonymousId": "tab", "event": "Order Completed", "properties": m{"order_id": "o2", "total": 50, "currency": "EUR"}})
	s.sends(message("identify", "ada", "anonymousId", "tab"))
	s.settled()
	ada := s.known("ada")
	ada.shown().has("orders", 2)
	traits := m{}
	for i := range 10 {
		traits[fmt.Sprint("junk", i)] = strings.Repeat("<", 2000)
	}
	for i := range 60 {
		id := fmt.Sprint("junk", i)
		page.says("/v1/batch", m{"batch": []m{
			{"type": "identify", "anonymousId": id, "traits": m{"creditLimit": 1_000_000, "vip": true}},
			{"type": "identify", "anonymousId": id, "traits": traits},
			message("page", "ada", "anonymousId", id),
		}}).expect(200)
	}
	s.settled()
	shown := ada.shown()
	shown.has("orders", 2, "attributes.creditLimit", nil, "attributes.vip", nil, "claims.vip.value", true)
	if len(shown.body) > 64<<10 {
		t.Errorf("the customer is shown in %d bytes", len(shown.body))
	}
	s.sends(m{"type": "track", "anonymousId": "phone", "event": "Order Completed", "properties": m{"order_id": "o3", "total": 20, "currency": "EUR"}})
	s.sends(message("identify", "ada", "anonymousId", "phone"))
	s.settled()
	ada.shown().has("orders", 3)
	for s.post(ada.path("/erasure"), m{}).text("status") == "under-way" {
		s.advance("1s")
	}
	s.settled()
	for _, order := range []string{"o1", "o2", "o3"} {
		s.get("/v1/orders/" + order).expect(404)
	}
}

// TestS1_AnOwnTokenTakesNoVisitor that somebody of ours linked with another customer, whatever the time it claims.
func TestS1_AnOwnTokenTakesNoVisitor(t *testing.T) {
	s := begin(t)
	page := s.source("browser")
	s.sends(m{"type": "track", "anonymousId": "tab", "event": "Order Completed", "properties": m{"order_id": "o1", "total": 500, "currency": "EUR"}})
	s.sends(message("identify", "ada", "anonymousId", "tab"), message("identify", "eve", "traits", m{"firstName": "Eve"}))
	s.settled()
	signed := page.with("Authorization", basic(page.key, ""), "X-User-Token", s.tokenOf("eve"))
	for _, kind := range []string{"page", "identify", "alias"} {
		signed.post("/v1/"+kind, message(kind, "eve", "anonymousId", "tab", "previousId", "tab", "timestamp", "2001-01-01T00:00:00Z")).expect(200)
	}
	s.settled()
	eve, ada := s.known("eve"), s.known("ada")
	eve.shown().has("orders", 0)
	ada.shown().has("orders", 1)
	for s.post(eve.path("/erasure"), m{}).text("status") == "under-way" {
		s.advance("1s")
	}
	s.settled()
	ada.shown().has("orders", 1)
	s.get("/v1/orders/o1").expect(200)
}

// TestD2_APlaceholderIsNoMessageID: it would make one message of all that have it.
func TestD2_APlaceholderIsNoMessageID(t *testing.T) {
	s := begin(t)
	for i, id := range []string{"undefined", "undefined", "null", "null", "{{messageId}}"} {
		s.sends(m{"type": "track", "userId": "ada", "messageId": id, "event": fmt.Sprint("Rang ", i)})
	}
	if got := s.known("ada").happened("EventTracked"); got != 5 {
		t.Errorf("%d of 5 events are kept", got)
	}
}

// TestD2_AnImportWithoutItsTimeWaits: dated by its arrival it would be wrong for good, and its order could not be told again.
func TestD2_AnImportWithoutItsTimeWaits(t *testing.T) {
	s := begin(t)
	sold := func(at string) m {
		return m{"batch": []m{message("track", "ada", "event", "Order Completed", "properties", m{"order_id": "o1", "total": 15, "currency": "EUR"}, "messageId", "m1", "timestamp", at)}}
	}
	s.sdk().post("/v1/import", sold("2024-08-14 20:36:48")).expect(200)
	s.settled()
	s.get("/v1/orders/o1").expect(404)
	if n := len(s.pages("/v1/quarantine?limit=50", "messages")); n != 1 {
		t.Errorf("%d messages are quarantined", n)
	}
	s.sdk().post("/v1/import", sold("2024-08-14T20:36:48Z")).expect(200)
	s.settled()
	s.get("/v1/orders/o1").expect(200)
}

// TestS4_AnAliasCountsItsPeople: each visitor it names may be new.
func TestS4_AnAliasCountsItsPeople(t *testing.T) {
	s := begin(t)
	page := s.source("browser", "newPeoplePerMinute", 20)
	var batch []m
	for i := range 40 {
		batch = append(batch, m{"type": "alias", "userId": "bp", "anonymousId": fmt.Sprint("a", i), "previousId": fmt.Sprint("b", i)})
	}
	page.says("/v1/batch", m{"batch": batch}).refused(429, "over-budget")
	page.says("/v1/batch", m{"batch": batch[:5]}).refused(429, "over-budget")
	s.advance("61s")
	page.says("/v1/batch", m{"batch": batch[:5]}).expect(200)
}

// TestS1_JunkCartsDriveNoneOut that a server told of.
func TestS1_JunkCartsDriveNoneOut(t *testing.T) {
	s := begin(t)
	page := s.source("browser")
	s.sends(track("kim", "Product Added", m{"product_id": "p", "cart_id": "kept", "quantity": 1}))
	for i := range 12 {
		page.says("/v1/track", track("kim", "Product Added", m{"product_id": "j", "cart_id": fmt.Sprint("junk", i), "quantity": 1})).expect(200)
	}
	s.settled()
	if shown := s.known("kim").shown(); !strings.Contains(string(shown.body), `"kept"`) {
		t.Errorf("the cart is gone: %s", shown.body)
	}
}
