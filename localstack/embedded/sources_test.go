package embedded

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v85/webhook"
)

// source is a source that the story made.
type source struct {
	*story
	id, key string
}

func (s *story) source(kind string, settings ...any) source {
	s.Helper()
	body := m{"name": "the " + kind, "kind": kind}
	for i := 0; i < len(settings); i += 2 {
		body[settings[i].(string)] = settings[i+1]
	}
	a := s.post("/v1/sources", body).expect(201)
	return source{s, a.text("sourceId"), a.text("writeKeys.0.writeKey")}
}

// says sends a message to a path of the SDKs with the source's key.
func (c source) says(path string, message m) *reply {
	c.Helper()
	return c.with("Authorization", basic(c.key, "")).post(path, message)
}

func (c source) tracks(user, event string, properties m) *reply {
	c.Helper()
	return c.says("/v1/track", track(user, event, properties))
}

func TestSources(t *testing.T) {
	s := begin(t)
	a := s.post("/v1/sources", m{"name": "shop", "kind": "browser", "allowedOrigins": []string{"https://shop.example.com"}}).expect(201)
	a.has("kind", "browser", "trusted", false, "enabled", true, "unknownEvents", "accept", "analyticsConsent", "assumed", "requestsPerSecond", 1000)
	id, key := a.text("sourceId"), a.text("writeKeys.0.writeKey")
	if len(key) < 20 || a.header.Get("Location") != "/v1/sources/"+id {
		t.Errorf("write key %q at %s", key, a.header.Get("Location"))
	}
	s.get("/v1/sources").expect(200).has("sources.0.sourceId", id, "sources.0.writeKeys.0.writeKey", key)

	again := s.with("Idempotency-Key", "k1")
	first := again.post("/v1/sources", m{"name": "once", "kind": "server"}).expect(201)
	if second := again.post("/v1/sources", m{"name": "once", "kind": "server"}).expect(201); !bytes.Equal(second.body, first.body) {
		t.Errorf("asked again: %s, want %s", second.body, first.body)
	}
	again.post("/v1/sources", m{"name": "another", "kind": "server"}).refused(409, "idempotency-key-reused")

	for _, wrong := range []m{
		{}, {"name": " ", "kind": "server"}, {"name": "x", "kind": "fridge"}, {"name": strings.Repeat("x", 101), "kind": "server"},
		{"name": "x", "kind": "server", "allowedOrigins": []string{"shop.example.com"}}, {"name": "x", "kind": "server", "allowedOrigins": []string{"https://shop.example.com/"}},
		{"name": "x", "kind": "server", "unknownEvents": "eat"}, {"name": "x", "kind": "server", "analyticsConsent": "whatever"},
		{"name": "x", "kind": "server", "requestsPerSecond": 0}, {"name": "x", "kind": "server", "requestsPerSecond": 10001},
		{"name": "x", "kind": "server", "allowedEvents": []string{""}},
	} {
		s.post("/v1/sources", wrong).refused(422, "invalid-source")
	}
	s.post("/v1/sources", m{"name": "x", "kind": "server", "colour": "red"}).refused(400, "invalid-json")
	s.patch("/v1/sources/nobody", m{"name": "x"}).refused(404, "no-such-source")
	s.patch("/v1/sources/"+id, m{"kind": "server"}).refused(422, "kind-is-fixed")
	s.post("/v1/sources/nobody/write-keys", m{}).refused(404, "no-such-source")
	s.post("/v1/sources/"+id+"/write-keys", m{"overlap": "-1h"}).refused(400, "invalid-duration")
	if got := s.pages("/v1/sources", "sources"); len(got) != 2 {
		t.Errorf("%d sources", len(got))
	}
	s.restart() // they are kept
	s.get("/v1/sources").expect(200).has("sources.0.writeKeys.0.writeKey", key)
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}

func TestDisabledSource(t *testing.T) {
	s := begin(t)
	c := s.source("server")
	c.tracks("u1", "Left", nil).expect(200)
	s.patch("/v1/sources/"+c.id, m{"enabled": false}).expect(200).has("enabled", false)
	c.tracks("u1", "Left", nil).refused(404, "source-disabled")
	s.patch("/v1/sources/"+c.id, m{"enabled": true}).expect(200)
	c.tracks("u1", "Came", nil).expect(200)
	if got := s.known("u1").tracked(); !slices.Equal(got, []string{"Left", "Came"}) {
		t.Errorf("tracked %v", got)
	}
}

func TestWriteKeysRotateWithAnOverlap(t *testing.T) {
	s := begin(t)
	old := s.source("server")
	a := s.post("/v1/sources/"+old.id+"/write-keys", m{"overlap": "2h"}).expect(201)
	fresh := source{s, old.id, a.text("writeKeys.1.writeKey")}
	if fresh.key == old.key || fresh.key == "" {
		t.Fatalf("the new key is %q", fresh.key)
	}
	for _, c := range []source{old, fresh} {
		c.tracks("u1", "Left", nil).expect(200)
	}
	s.advance("2h")
	old.tracks("u1", "Left", nil).refused(401, "invalid-write-key")
	fresh.tracks("u1", "Left", nil).expect(200)
	if shown := s.pages("/v1/sources", "sources")[0]["writeKeys"].([]any); len(shown) != 1 {
		t.Errorf("an expired key is shown: %v", shown)
	}
	last := s.post("/v1/sources/"+old.id+"/write-keys", m{"overlap": "0s"}).expect(201).text("writeKeys.0.writeKey")
	fresh.tracks("u1", "Left", nil).refused(401, "invalid-write-key")
	source{s, old.id, last}.tracks("u1", "Left", nil).expect(200)
	for range 9 {
		s.post("/v1/sources/"+old.id+"/write-keys", m{}).expect(201)
	}
	s.post("/v1/sources/"+old.id+"/write-keys", m{}).refused(422, "too-many-write-keys")
	s.post("/v1/sources/"+old.id+"/write-keys", m{"overlap": "0s"}).expect(201) // whose keys are stolen must not wait
}

// Only servers and webhooks have secret keys: what a browser says about money is behaviour, and nothing else.
func TestOnlySecretKeysSayWhatWasBought(t *testing.T) {
	s := begin(t)
	order := m{"order_id": "o-1", "total": 10, "currency": "EUR"}
	for _, kind := range []string{"browser", "mobile"} {
		s.source(kind).tracks("u1", "Order Completed", order).expect(200)
	}
	c := s.known("u1")
	if c.happened("OrderPlaced") != 0 || !slices.Equal(c.tracked(), []string{"Order Completed", "Order Completed"}) {
		t.Errorf("placed %d, tracked %v", c.happened("OrderPlaced"), c.tracked())
	}
	s.source("server").tracks("u1", "Order Completed", order).expect(200)
	if n := c.happened("OrderPlaced"); n != 1 {
		t.Errorf("%d orders", n)
	}
	browser, server := s.source("browser"), s.source("server")
	old := m{"batch": []m{{"type": "track", "userId": "u1", "event": "Imported", "timestamp": "2019-05-01T10:00:00Z"}}}
	browser.says("/v1/import", old).refused(401, "not-a-server-source")
	server.says("/v1/import", old).expect(200)
	s.source("webhook", "webhook", m{"signature": "none", "rules": []m{{"event": "Left", "userId": "$.body.user"}}}).tracks("u1", "Left", nil).refused(401, "not-an-sdk-source")
	events := c.events()
	if last := events[len(events)-1]; last["occurredAt"] != "2019-05-01T10:00:00Z" {
		t.Errorf("imported as %v", last)
	}
}

func TestOrigins(t *testing.T) {
	s := begin(t)
	c := s.source("browser", "allowedOrigins", []string{"https://shop.example.com"})
	from := func(origin string) *reply {
		return c.with("Origin", origin, "Authorization", basic(c.key, "")).post("/v1/track", track("u1", "Left", nil))
	}
	a := from("https://shop.example.com").expect(200)
	if a.header.Get("Access-Control-Allow-Origin") != "https://shop.example.com" || a.header.Get("Access-Control-Allow-Credentials") != "true" || a.header.Get("Vary") != "Origin" {
		t.Errorf("headers %v", a.header)
	}
	a = from("https://evil.example.com")
	a.refused(401, "origin-not-allowed")
	if a.header.Get("Access-Control-Allow-Origin") != "https://evil.example.com" { // so that its console says why
		t.Errorf("headers %v", a.header)
	}
	c.tracks("u1", "Left", nil).expect(200) // no web page
	any := s.source("browser")
	a = any.with("Origin", "https://any.example.com", "Authorization", basic(any.key, "")).post("/v1/track", track("u2", "Left", nil)).expect(200)
	if a.header.Get("Access-Control-Allow-Origin") != "https://any.example.com" || len(s.known("u2").tracked()) != 1 {
		t.Errorf("headers %v, tracked %v", a.header, s.known("u2").tracked())
	}
	for _, call := range []*reply{ // caches keep what they answer, for pages of any origin
		any.tracks("u2", "Left", nil), s.with("Authorization", "").get("/v1/projects/" + any.key + "/settings"),
		s.with("Authorization", "").get("/v1/projects/wrong/settings"), s.with("Authorization", "").get("/pixel/v1/page"),
	} {
		if call.header.Get("Vary") != "Origin" {
			t.Errorf("%s varies by %q", call.call, call.header.Get("Vary"))
		}
	}

	for _, path := range []string{"/v1/t", "/v1/batch", "/beacon/v1/batch", "/api/s/track"} {
		a := s.with("Authorization", "", "Origin", "https://shop.example.com", "Access-Control-Request-Method", "POST").send("OPTIONS", path, nil).expect(204)
		allowed := strings.ToLower(a.header.Get("Access-Control-Allow-Headers"))
		for _, name := range []string{"authorization", "content-type", "anonymousid", "x-retry-count", "x-write-key", "x-ip-policy"} {
			if !strings.Contains(allowed, name) {
				t.Errorf("%s: browsers may not send %s", path, name)
			}
		}
		if a.header.Get("Access-Control-Max-Age") != "900" || a.header.Get("Access-Control-Allow-Origin") != "https://shop.example.com" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}

// Releases of the SDKs bring headers of their own, such as RudderStack's for tries that are repeated.
func TestBrowsersMaySendTheHeadersTheyAskFor(t *testing.T) {
	s := begin(t).with("Authorization", "", "Origin", "https://shop.example.com")
	for asked, want := range map[string]bool{"rsa-retry-attempt,sentat": true, "x<script>": false, strings.Repeat("x", 1001): false} {
		allowed := s.with("Access-Control-Request-Headers", asked).send("OPTIONS", "/v1/track", nil).expect(204).header.Get("Access-Control-Allow-Headers")
		if strings.HasSuffix(allowed, ", "+asked) != want || !strings.HasPrefix(allowed, "Authorization, ") {
			t.Errorf("asked for %.30s, may send %.300s", asked, allowed)
		}
	}
}

func TestRatesAreKept(t *testing.T) {
	s := begin(t)
	c, other := s.source("server", "requestsPerSecond", 3), s.source("server")
	began := time.Now()
	taken, refused := 0, 0
	for range 30 {
		switch a := c.tracks("u1", "Left", nil); a.status {
		case 200:
			taken++
		default:
			refused++
			a.refused(429, "rate-limited")
			if a.header.Get("Retry-After") != "1" {
				t.Errorf("headers %v", a.header)
			}
		}
	}
	// A second's worth at once, and what became free meanwhile.
	if most := 3 + 3*int(time.Since(began)/time.Second+1); taken < 3 || taken > most || refused == 0 {
		t.Errorf("of 30 requests %d are taken and %d refused of a source that may send 3 a second", taken, refused)
	}
	if got := len(s.known("u1").tracked()); got != taken {
		t.Errorf("%d are stored, %d were taken", got, taken)
	}
	for range 30 { // it has a rate of its own
		other.tracks("u2", "Left", nil).expect(200)
	}
	s.advance("1s")
	for range 3 {
		c.tracks("u1", "Left", nil).expect(200)
	}
	s.patch("/v1/sources/"+c.id, m{"requestsPerSecond": 1000}).expect(200)
	for range 30 {
		c.tracks("u1", "Left", nil).expect(200)
	}
}

func TestQuarantineAndRelease(t *testing.T) {
	s := begin(t)
	c := s.source("server", "unknownEvents", "quarantine", "allowedEvents", []string{})
	c.says("/v1/batch", m{"batch": []m{
		track("u1", "Product Viewed", m{"product_id": "p1"}),
		track("u1", "Rocket Launched", m{"secret": "of Ada"}),
		{"type": "track", "userId": "u1"},
		{"type": "page", "userId": "u1", "properties": m{"url": "https://x"}},
	}}).expect(200)
	list := s.pages("/v1/quarantine", "messages")
	if len(list) != 2 {
		t.Fatalf("quarantined: %v", list)
	}
	launched := list[slices.IndexFunc(list, func(q m) bool { return strings.Contains(fmt.Sprint(q["message"]), "Rocket") })]
	if !strings.Contains(launched["reason"].(string), "no specification") || launched["sourceId"] != c.id {
		t.Errorf("%v", launched)
	}
	if got := s.pages("/v1/quarantine?source="+c.id, "messages"); len(got) != 2 {
		t.Errorf("of the source: %v", got)
	}
	for _, nobody := range []string{"another", "projection", strings.Repeat("x", 3000)} {
		s.get("/v1/quarantine?source="+nobody).refused(404, "no-such-source")
	}
	if got := s.pages("/v1/quarantine?limit=1", "messages"); len(got) != 2 {
		t.Errorf("page by page: %v", got)
	}
	release := func(q m) *reply { return s.post("/v1/quarantine/"+q["id"].(string)+"/release", m{}) }
	release(launched).refused(422, "still-invalid")
	s.patch("/v1/sources/"+c.id, m{"unknownEvents": "accept"}).expect(200)
	once := func() *reply {
		return s.with("Idempotency-Key", "release-1").post("/v1/quarantine/"+launched["id"].(string)+"/release", m{})
	}
	once().expect(200).has("released", true)
	once().expect(200).has("released", true)
	release(launched).refused(404, "not-quarantined")
	for _, q := range list {
		if q["id"] != launched["id"] {
			release(q).refused(422, "still-invalid")
		}
	}
	if got := s.known("u1").tracked(); !slices.Equal(got, []string{"Rocket Launched"}) {
		t.Errorf("tracked %v", got)
	}
	for _, wrong := range []string{"x", "%00", base64.RawURLEncoding.EncodeToString([]byte("dev\x00")), strings.Repeat("A", 1000), base64.RawURLEncoding.EncodeToString([]byte("\x00x")), base64.RawURLEncoding.EncodeToString([]byte("projection\x00x"))} {
		s.post("/v1/quarantine/"+wrong+"/release", m{}).refused(404, "not-quarantined")
	}
	s.get("/v1/quarantine?cursor=x").expect(400)

	// Two sources' in one list, page by page, and each by itself.
	second := s.source("browser", "unknownEvents", "quarantine")
	for i := range 5 {
		second.says("/v1/track", m{"userId": "u3", "event": fmt.Sprint("Rocket ", i)}).expect(200) // of no id
		c.says("/v1/batch", m{"batch": []m{{"type": "purr", "userId": "u3"}}}).expect(200)
		s.advance("1s")
	}
	all := s.pages("/v1/quarantine?limit=2", "messages")
	if whole := s.pages("/v1/quarantine", "messages"); len(all) != 11 || fmt.Sprint(all) != fmt.Sprint(whole) {
		t.Errorf("page by page %v\nat once %v", all, whole)
	}
	received := func(q m) time.Time {
		at, _ := time.Parse(time.RFC3339, q["receivedAt"].(string))
		return at
	}
	if !slices.IsSortedFunc(all, func(a, b m) int { return received(b).Compare(received(a)) }) {
		t.Errorf("not the newest first: %v", all)
	}
	if got := s.pages("/v1/quarantine?limit=2&source="+second.id, "messages"); len(got) != 5 {
		t.Errorf("of the second source: %v", got)
	}
	s.patch("/v1/sources/"+second.id, m{"unknownEvents": "accept"}).expect(200)
	for _, q := range all {
		if q["sourceId"] == second.id {
			release(q).expect(200)
		}
	}
	if got := s.known("u3").tracked(); len(got) != 5 {
		t.Errorf("tracked %v", got)
	}

	only := s.source("browser", "allowedEvents", []string{"Left"})
	only.tracks("u2", "Came", nil).expect(200)
	only.tracks("u2", "Left", nil).expect(200)
	if got := s.known("u2").tracked(); !slices.Equal(got, []string{"Left"}) {
		t.Errorf("tracked %v", got)
	}
}

// Behaviour is kept as analytics consent allows; orders are kept whatever it says.
func TestAnalyticsConsentGatesBehaviour(t *testing.T) {
	s := begin(t)
	asked, cautious := s.source("server"), s.source("server", "analyticsConsent", "required")
	c := s.registers()
	page := func(from source, context m) { from.says("/v1/page", m{"userId": c.id, "context": context}).expect(200) }
	banner := func(categories m) m { return m{"consent": m{"categoryPreferences": categories}} }
	views := func(want int, when string) {
		t.Helper()
		if n := c.happened("PageViewed"); n != want {
			t.Errorf("%s: %d pages are kept, want %d", when, n, want)
		}
	}
	page(asked, nil)
	page(cautious, nil)
	views(1, "never asked")
	page(asked, banner(m{}))
	page(asked, banner(m{"Analytics": false, "Advertising": true}))
	views(1, "refused in a banner")
	page(cautious, banner(m{"Analytics": true}))
	views(2, "granted in a banner")
	c.post(c.path("/consents"), m{"purpose": "analytics", "channel": "push"}).expect(201)
	page(cautious, nil)
	views(3, "consented")
	c.delete(c.path("/consents/analytics/push")).expect(200)
	page(asked, nil)
	asked.tracks(c.id, "Left", nil).expect(200)
	for _, from := range []source{asked, cautious} {
		page(from, banner(m{"Analytics": true}))
	}
	views(3, "revoked, whatever a banner says")
	asked.tracks(c.id, "Order Completed", m{"order_id": "o-1", "total": 1, "currency": "EUR"}).expect(200)
	if c.happened("OrderPlaced") != 1 || len(c.tracked()) != 0 {
		t.Errorf("%d orders, tracked %v", c.happened("OrderPlaced"), c.tracked())
	}
	asked.says("/v1/page", m{"anonymousId": "a1"}).expect(200)
	cautious.says("/v1/page", m{"anonymousId": "a2"}).expect(200)
	s.settled()
	if len(s.visitor("a1")) == 0 || len(s.visitor("a2")) != 0 {
		t.Errorf("visitors: %v %v", s.visitor("a1"), s.visitor("a2"))
	}
}

// chooses is a banner telling what somebody chose.
func (c source) chooses(who m, categories m) {
	c.Helper()
	context := m{"userAgent": "Firefox", "consent": m{"categoryPreferences": categories}}
	if token, own := who["token"]; own { // the customer's own, which proves that it is their word
		who = maps.Clone(who)
		delete(who, "token")
		context["userToken"] = token
	}
	message := m{"event": "Segment Consent Preference Updated", "messageId": unique("choice"), "context": context}
	for name, value := range who {
		message[name] = value
	}
	c.says("/v1/track", message).expect(200)
}

// What is chosen in a banner is recorded as a consent to analytics, with its proof, and nothing else of it.
func TestBannersChoicesAreRecorded(t *testing.T) {
	s := begin(t)
	page := s.source("browser")
	c := s.consents() // to marketing by email
	who, nobodys := m{"userId": c.id, "token": s.tokenOf(c.id)}, m{"userId": c.id}
	page.chooses(who, m{"Advertising": true, "Functional": false})
	page.chooses(who, m{})
	if n := c.happened("ConsentGranted") + c.happened("ConsentRevoked"); n != 1 {
		t.Errorf("%d consents are recorded of a banner that does not name analytics", n-1)
	}
	page.chooses(who, m{"Analytics": true, "Marketing": false, "advertising": true})
	page.chooses(who, m{"ANALYTICS": true})
	granted := c.pages(c.path("/events?limit=500&types=ConsentGranted"), "events")
	if len(granted) != 2 {
		t.Fatalf("%d × granted: %v", len(granted), granted)
	}
	for path, want := range map[string]string{
		"purpose": "analytics", "channel": "push", "consentMethod": "consent-banner", "ipAddress": "127.0.0.1", "userAgent": "Firefox",
	} {
		if got := at(granted[1]["data"], path); got != want {
			t.Errorf("%s is %v, want %s", path, got, want)
		}
	}
	if granted[1]["actor"] != "source:"+page.id {
		t.Errorf("recorded by %v", granted[1]["actor"])
	}
	page.says("/v1/page", m{"userId": c.id}).expect(200)
	page.chooses(nobodys, m{"Analytics": false}) // anybody can say so in the name of another
	if c.happened("ConsentRevoked") != 0 {
		t.Error("a stranger ended the consent")
	}
	page.chooses(who, m{"Analytics": false, "Marketing": false})
	page.chooses(who, m{"Analytics": false})
	page.says("/v1/page", m{"userId": c.id}).expect(200) // of a page that says nothing about consent
	if c.happened("ConsentRevoked") != 1 || c.happened("PageViewed") != 1 {
		t.Errorf("%d × revoked, %d pages", c.happened("ConsentRevoked"), c.happened("PageViewed"))
	}
	s.get("/v1/consents?purpose=marketing&channel=email").has("customers.0.customerId", c.id) // which no banner ends
	page.chooses(nobodys, m{"Analytics": true})
	page.says("/v1/page", m{"userId": c.id}).expect(200)
	if c.happened("ConsentGranted") != 2 || c.happened("PageViewed") != 1 {
		t.Errorf("after a refusal: %d × granted, %d pages", c.happened("ConsentGranted"), c.happened("PageViewed"))
	}
	s.source("server").chooses(who, m{"Analytics": true})
	page.says("/v1/page", m{"userId": c.id}).expect(200)
	if c.happened("ConsentGranted") != 3 || c.happened("PageViewed") != 2 {
		t.Errorf("%d × granted, %d pages", c.happened("ConsentGranted"), c.happened("PageViewed"))
	}

	// Who is known by nothing else.
	s.source("server").chooses(m{"userId": "stranger"}, m{"analytics": false})
	page.says("/v1/page", m{"userId": "stranger"}).expect(200)
	stranger := s.known("stranger")
	if got := typesOf(stranger.events()); !slices.Equal(got, []string{"CustomerCreated", "ConsentRevoked"}) {
		t.Errorf("of a stranger: %v", got)
	}
	shown := stranger.get(stranger.path("/consents")).expect(200).has("consents.0.status", "revoked", "consents.0.purpose", "analytics")
	if strings.Contains(string(shown.body), "0001") {
		t.Errorf("granted at no time: %s", shown.body)
	}

	// Visitors choose too, and change their minds; who they are said to be is no matter.
	page.chooses(m{"anonymousId": "a3", "userId": c.id}, m{"analytics": false})
	page.says("/v1/page", m{"anonymousId": "a3"}).expect(200)
	page.chooses(m{"anonymousId": "a3"}, m{"analytics": true})
	page.says("/v1/page", m{"anonymousId": "a3"}).expect(200)
	page.chooses(m{"anonymousId": "a1"}, m{"analytics": false})
	page.says("/v1/page", m{"anonymousId": "a1"}).expect(200)
	page.chooses(m{"anonymousId": "a2"}, m{"analytics": true})
	cautious := s.source("browser", "analyticsConsent", "required")
	cautious.says("/v1/page", m{"anonymousId": "a2"}).expect(200)
	for id, want := range map[string]int{"a1": 1, "a2": 3, "a3": 4} { // the refusal; the consent, its report and the page
		n := 0
		for e, err := range s.system.App.Log.Events(t.Context(), "VISITOR#"+id, 1, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 1 && e.Type != "ConsentRevoked" && e.Type != "ConsentGranted" {
				t.Errorf("%s begins with %s", id, e.Type)
			}
		}
		if n != want {
			t.Errorf("%d events of %s, want %d", n, id, want)
		}
	}
	s.settled()
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}

// A choice that is told late, or was made long ago, does not undo what came after it.
func TestBannersChoicesThatAreLate(t *testing.T) {
	s := begin(t)
	page := s.source("browser")
	c := s.registers()
	tell := func(yes bool, at string) {
		page.chooses(m{"userId": c.id, "token": s.tokenOf(c.id), "timestamp": at}, m{"Analytics": yes})
	}
	tell(true, "2019-01-01T00:00:00Z") // and has ended since
	if n := c.happened("ConsentGranted"); n != 0 {
		t.Errorf("%d × granted", n)
	}
	tell(false, time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	tell(true, time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339))
	if c.happened("ConsentGranted") != 0 || c.happened("ConsentRevoked") != 1 {
		t.Errorf("%d × granted, %d × revoked", c.happened("ConsentGranted"), c.happened("ConsentRevoked"))
	}
	c.post(c.path("/deactivation"), m{"reason": "customer-request"}).expect(200)
	tell(true, "")
	if n := c.happened("ConsentGranted"); n != 0 {
		t.Errorf("%d × granted by who is deactivated", n)
	}
}

// Every way in of the wire contract stores the same thing.
func TestEveryWayIn(t *testing.T) {
	s := begin(t)
	c := s.source("browser")
	event := func(n int) m { return track("u1", fmt.Sprintf("Way %d", n), nil) }
	typed := func(n int) m {
		e := event(n)
		e["type"] = "track"
		return e
	}
	open := c.with("Authorization", "")
	with := func(n int, key, value any) m {
		e := typed(n)
		e[key.(string)] = value
		return e
	}
	for n, reply := range []*reply{
		c.says("/v1/track", event(0)),
		c.says("/v1/t", event(1)),
		c.says("/v1/batch", m{"batch": []m{typed(2)}}),
		c.says("/v1/b", m{"batch": []m{typed(3)}}),
		open.post("/v1/t", with(4, "writeKey", c.key)),
		open.with("Content-Type", "text/plain").post("/v1/t", with(5, "writeKey", c.key)),
		open.with("Authorization", "Bearer token").post("/v1/t", with(6, "writeKey", c.key)),
		open.with("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.key))).post("/v1/t", event(7)), // without a colon
		open.post("/beacon/v1/batch?writeKey="+c.key, m{"batch": []m{typed(8)}}),
		open.with("X-Write-Key", c.key).post("/api/s/track", event(9)),
		open.with("X-Write-Key", c.key+":secret").post("/api/s/s2s/track", event(10)),
		c.with("Authorization", basic(c.key, ""), "Content-Encoding", "gzip").post("/v1/batch", zipped(m{"batch": []m{typed(11)}})),
		open.get("/pixel/v1/track?writeKey=" + c.key + "&userId=u1&event=Way+12&properties.a=b"),
		open.get("/pixel/v1/track?writeKey=" + c.key + "&data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(`{"userId":"u1","event":"Way 13"}`)))),
	} {
		if reply.status != 200 {
			t.Errorf("way %d: %d %s", n, reply.status, reply.body)
		}
	}
	var want []string
	for n := range 14 {
		want = append(want, fmt.Sprintf("Way %d", n))
	}
	if got := s.known("u1").tracked(); !slices.Equal(got, want) {
		t.Errorf("tracked %v", got)
	}
	for letter, kind := range map[string]string{"p": "PageViewed", "s": "ScreenViewed"} {
		c.says("/v1/"+letter, m{"userId": "u1", "name": "Home"}).expect(200)
		if s.known("u1").happened(kind) != 1 {
			t.Errorf("/v1/%s is no %s", letter, kind)
		}
	}
	c.says("/v1/i", m{"userId": "u1", "traits": m{"firstName": "Ada"}}).expect(200)
	c.says("/v1/g", m{"userId": "u1", "groupId": "g1"}).expect(200)
	c.says("/v1/a", m{"userId": "u1", "previousId": "a9"}).expect(200)
	c.says("/v1/merge", m{"userId": "u1", "mergeProperties": []m{{"type": "userId", "value": "u1"}, {"type": "anonymousId", "value": "a10"}}}).expect(200)
	if got := s.known("u1").happened("VisitorLinked"); got != 2 { // a page's key can say no more
		t.Errorf("%d visitors", got)
	}
	c.says("/v1/merge", m{"userId": "u1", "mergeProperties": []m{{"type": "email", "value": "a@b.example"}, {"type": "mobile", "value": "1"}}}).refused(400, "invalid-event")
	s.known("u1").shown().has("firstName", nil, "claims.firstName.value", "Ada")
	open.post("/v1/m", m{"series": []m{}}).expect(200).has("success", true)

	replay := m{"batch": []m{{"type": "track", "userId": "u2", "event": "Replayed", "timestamp": "2020-01-01T00:00:00Z"}}}
	c.says("/internal/v1/replay", replay).refused(401, "not-the-source")
	s.sdk().post("/internal/v1/replay", replay).refused(401, "not-the-source")
	s.sdk().with("X-Rudder-Source-Id", "dev").post("/internal/v1/replay", replay).expect(200)
	if got := s.known("u2").tracked(); !slices.Equal(got, []string{"Replayed"}) {
		t.Errorf("replayed %v", got)
	}
}

func TestPixelIsAlwaysAnImage(t *testing.T) {
	s := begin(t).with("Authorization", "")
	before := s.stored()
	for _, path := range []string{
		"track", "page", "track?writeKey=wrong", "track?writeKey=" + WriteKey, "track?writeKey=" + WriteKey + "&data=!!",
		"page?data=%%%", "page?%zz", "page?a;b", "page?writeKey=" + WriteKey + "&anonymousId=%%%", "track?%%%&event=x&writeKey=" + WriteKey,
	} {
		a := s.get("/pixel/v1/" + path)
		if a.status != 200 || a.header.Get("Content-Type") != "image/gif" || len(a.body) != 43 || !bytes.HasPrefix(a.body, []byte("GIF89a")) {
			t.Errorf("%s: %d %s, %d bytes", path, a.status, a.header.Get("Content-Type"), len(a.body))
		}
	}
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
}

// What can be read of a pixel's query counts.
func TestPixelIsReadAsFarAsItGoes(t *testing.T) {
	s := begin(t)
	open := s.with("Authorization", "")
	for _, query := range []string{"properties.title=100%&", "a;b&", ""} {
		open.get("/pixel/v1/track?" + query + "event=Came&userId=u1&writeKey=" + WriteKey).expect(200)
	}
	if got := s.known("u1").tracked(); len(got) != 3 {
		t.Errorf("tracked %v", got)
	}
	s.get("/v1/customers?email=%zz").refused(400, "invalid-query")
}

func TestWhatBrowsersAskForFirst(t *testing.T) {
	s := begin(t)
	c := s.source("browser")
	open := s.with("Authorization", "")
	host := strings.TrimPrefix(s.system.URL, "http://")
	a := open.get("/v1/projects/" + c.key + "/settings").expect(200)
	for _, want := range []string{`"apiHost":"` + host + `/v1"`, `"protocol":"http"`, `"apiKey":"` + c.key + `"`} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("settings %s lack %s", a.body, want)
		}
	}
	open.get("/v1/projects/wrong/settings").refused(401, "invalid-write-key")
	for _, path := range []string{"/sourceConfig", "/sourceConfig/", "/sourceConfig/?p=web&v=3"} {
		open.with("Authorization", basic(c.key, "")).get(path).expect(200).has("source.id", c.id, "source.writeKey", c.key, "source.enabled", true)
	}
	open.get("/sourceConfig?writeKey="+c.key).expect(200).has("source.writeKey", c.key)
	open.get("/sourceConfig").refused(401, "no-write-key")
}

func TestStrictMode(t *testing.T) {
	s := begin(t)
	c := s.source("browser")
	lenient := c.with("Authorization", basic(c.key, ""), "X-Strict-Mode", "0")
	lenient.post("/v1/track", m{}).expect(200).has("success", true)
	lenient.post("/v1/track", `{`).expect(200)
	c.with("Authorization", "Basic d3Jvbmc6", "X-Strict-Mode", "0").post("/v1/track", m{}).expect(200)
	c.with("Authorization", basic(c.key, ""), "X-Strict-Mode", "1").post("/v1/track", m{}).refused(400, "invalid-event")
}

func TestBadEncodings(t *testing.T) {
	s := begin(t)
	c := s.source("browser")
	zip := c.with("Authorization", basic(c.key, ""), "Content-Encoding", "gzip")
	zip.post("/v1/track", "no gzip").refused(400, "invalid-encoding")
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = io.Copy(w, io.LimitReader(zeros{}, 64<<20))
	_ = w.Close()
	if bomb.Len() > 1<<20 { // else it would be refused for its own size
		t.Fatalf("the bomb has %d bytes", bomb.Len())
	}
	zip.post("/v1/batch", bomb.String()).refused(413, "too-large")
	cut := bomb.String()[:bomb.Len()/2]
	zip.post("/v1/batch", cut).expect(413) // what there is of it is too large already
	zip.post("/v1/track", cut[:100]).refused(400, "invalid-encoding")
}

// Who sends too much is told so, even where the key is in what was not read.
func TestTooLargeBodies(t *testing.T) {
	s := begin(t)
	open := s.with("Authorization", "")
	large := strings.Repeat("x", 33<<10)
	open.post("/v1/track", m{"writeKey": WriteKey, "userId": "u1", "event": "x", "properties": m{"a": large}}).refused(413, "too-large")
	open.post("/v1/batch", m{"writeKey": WriteKey, "batch": []m{track("u1", "x", nil)}, "a": strings.Repeat(large, 130)}).refused(413, "too-large")
	open.with("Authorization", basic("wrong", "")).post("/v1/track", m{"userId": "u1", "event": "x", "properties": m{"a": large}}).refused(401, "invalid-write-key")

	c := s.source("webhook", "webhook", m{"signature": "none", "rules": []m{{"event": "Left", "userId": "$.body.user"}}})
	hook := "/v1/webhook?writeKey=" + c.key
	open.post(hook, m{"user": "u1", "a": strings.Repeat(large, 130)}).refused(413, "too-large")
	open.with("Content-Encoding", "gzip").post(hook, zipped(m{"user": "u1", "a": strings.Repeat(large, 130)})).refused(413, "too-large")
	open.with("Content-Encoding", "gzip").post(hook, "no gzip").refused(400, "invalid-encoding")
	open.with("Content-Encoding", "gzip").post(hook, zipped(m{"user": "u1", "a": large})).expect(200) // what becomes of it is small
	if got := s.known("u1").tracked(); !slices.Equal(got, []string{"Left"}) {
		t.Errorf("tracked %v", got)
	}
}

// zipped is a body as clients compress it.
func zipped(body any) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	raw, _ := json.Marshal(body)
	_, _ = w.Write(raw)
	_ = w.Close()
	return b.String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A shop's payments come from Stripe, signed by Stripe's own library, and count once however often they are delivered.
func TestStripeDeliversOnce(t *testing.T) {
	s := begin(t)
	const secret = "whsec_of_the_shop"
	c := s.source("webhook", "webhook", m{"signature": "stripe", "secret": secret})
	if shown := s.get("/v1/sources").expect(200); strings.Contains(string(shown.body), secret) {
		t.Error("the secret is shown")
	}
	deliver := func(body m) *reply {
		body["livemode"] = true
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: raw, Secret: secret, Timestamp: s.system.clock.Now()})
		return s.with("Authorization", "", "Stripe-Signature", signed.Header).post("/v1/webhook?writeKey="+c.key, string(raw))
	}
	paid := m{"id": "evt_1", "type": "checkout.session.completed", "created": s.system.clock.Now().Unix(), "data": m{"object": m{
		"client_reference_id": "u1", "payment_status": "paid", "amount_total": 1999, "amount_subtotal": 1999, "currency": "eur", "metadata": m{"order_id": "o-1"},
	}}}
	refunded := m{"id": "evt_2", "type": "refund.created", "created": s.system.clock.Now().Unix(), "data": m{"object": m{
		"id": "re_1", "status": "succeeded", "amount": 999, "currency": "eur", "metadata": m{"order_id": "o-1"},
	}}}
	for range 3 {
		deliver(paid).expect(200)
		deliver(refunded).expect(200)
	}
	paid["id"] = "evt_3" // the same order in another event
	deliver(paid).expect(200)
	deliver(m{"id": "evt_4", "type": "customer.created"}).expect(200)
	s.settled()
	s.known("u1").shown().has("orders", 1, "lifetimeValue.0.amountMinor", 1000, "lifetimeValue.0.currency", "EUR")

	before := s.stored()
	open := s.with("Authorization", "")
	open.post("/v1/webhook?writeKey="+c.key, paid).refused(401, "invalid-signature")
	open.post("/v1/webhook", paid).refused(401, "no-write-key")
	open.post("/v1/webhook?writeKey=wrong", paid).refused(401, "invalid-write-key")
	open.post("/v1/webhook?writeKey="+s.source("server").key, paid).refused(401, "not-a-webhook")
	s.settled()
	s.unchangedBut(before, func(key string) bool { return strings.Contains(key, "SOURCES") })

	// A change that names no secret leaves it; another one counts at once.
	s.patch("/v1/sources/"+c.id, m{"webhook": m{"signature": "stripe"}}).expect(200)
	deliver(m{"id": "evt_5", "type": "customer.created"}).expect(200)
	s.patch("/v1/sources/"+c.id, m{"webhook": m{"signature": "stripe", "secret": "whsec_another_secret"}}).expect(200)
	deliver(m{"id": "evt_6", "type": "customer.created"}).refused(401, "invalid-signature")
	s.patch("/v1/sources/"+c.id, m{"webhook": m{"signature": "stripe", "secret": secret}}).expect(200)
	deliver(m{"id": "evt_7", "type": "customer.created"}).expect(200)
	s.patch("/v1/sources/"+c.id, m{"webhook": m{"signature": "none", "rules": []m{{"event": "Order Completed", "userId": "id"}}}}).refused(422, "invalid-source")
	s.patch("/v1/sources/"+c.id, m{"kind": "server"}).refused(422, "kind-is-fixed")
	s.post("/v1/sources", m{"name": "x", "kind": "webhook"}).refused(422, "invalid-source")
}

// What a mail service reports has consequences: complaints and unsubscriptions end the consent, a permanent bounce the use
// of the address.
func TestReportsOfAMailService(t *testing.T) {
	s := begin(t)
	server, browser := s.source("server", "analyticsConsent", "required"), s.source("browser")
	reports := func(from source, c customer, event string, properties m) {
		t.Helper()
		from.tracks(c.id, event, properties).expect(200)
	}
	allowed := func(c customer) bool {
		return strings.Contains(string(c.get(c.path("/consents")).expect(200).body), `"active"`)
	}
	for event, reason := range map[string]string{"Unsubscribed": "unsubscribed", "Email Marked as Spam": "complaint"} {
		c := s.consents()
		reports(browser, c, event, nil)
		if !allowed(c) {
			t.Errorf("%s: anybody can end a consent", event)
		}
		late := track(c.id, event, nil)
		late["timestamp"] = "2020-01-01T00:00:00Z"
		server.says("/v1/track", late).expect(200)
		if !allowed(c) {
			t.Errorf("%s: what happened before the consent ends it", event)
		}
		reports(server, c, event, nil)
		reports(server, c, event, nil)
		if allowed(c) || c.happened("ConsentRevoked") != 1 {
			t.Errorf("%s: still allowed %v, %d × revoked", event, allowed(c), c.happened("ConsentRevoked"))
		}
		c.get(c.path("/consents")).has("consents.0.reason", reason)
	}
	c := s.consents()
	reports(server, c, "Email Delivered", m{"email_id": "m1"})
	reports(server, c, "Email Opened", nil)
	reports(server, c, "Email Link Clicked", m{"link_url": "https://shop.example.com/?me=ada"})
	reports(server, c, "Email Bounced", m{"bounce_type": "blocked", "email": c.email})
	reports(server, c, "Email Bounced", m{"bounce_type": "bounce", "email": "another@mail.example"})
	if n := c.happened("CustomerEmailInvalidated"); n != 0 {
		t.Errorf("%d × invalidated", n)
	}
	reports(server, c, "Email Bounced", m{"bounce_type": "bounce", "email": strings.ToUpper(c.email)})
	reports(server, c, "Email Bounced", m{"bounce_type": "bounce"})
	for event, want := range map[string]int{
		"CustomerEmailInvalidated": 1, "MessageBounced": 4, "MessageDelivered": 1, "MessageOpened": 1, "MessageClicked": 1, "EventTracked": 0,
	} {
		if n := c.happened(event); n != want {
			t.Errorf("%d × %s, want %d", n, event, want)
		}
	}
	s.settled()
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}

// A page that its visitor has open must not move the clock of the system that runs beside it.
func TestOtherOriginsMayNotUseTheLocalRoutes(t *testing.T) {
	s := begin(t)
	s.with("Origin", "https://evil.example.com").post("/_local/clock", m{"advance": "1h"}).refused(401, "not-from-here")
	s.with("Origin", s.system.URL).get("/_local/clock").expect(200)
	for _, path := range []string{"/", "/_local/mailbox", "/_local/mails", "/_local/stats", "/_local/clock"} {
		s.with("Origin", "https://evil.example.com").get(path).refused(401, "not-from-here")
		s.get(path).expect(200)
		r, err := http.NewRequest("GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example.com"
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != 401 {
			t.Errorf("%s by another name: %d", path, response.StatusCode)
		}
	}
}
