package ingest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/ingest"

	"pgregory.net/rapid"
)

var received = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// one parses a single message of a type, which must be accepted.
func one(t *testing.T, kind, body string) ingest.Message {
	t.Helper()
	r, err := ingest.Parse([]byte(body), kind, received)
	if err != nil || len(r.Messages) != 1 || len(r.Rejected) != 0 {
		t.Fatalf("%s %.200s: %d messages, %v", kind, body, len(r.Messages), err)
	}
	return r.Messages[0]
}

func TestParseTakesEveryType(t *testing.T) {
	for kind, body := range map[string]string{
		"identify": `{"userId":"u1","traits":{"email":"ada@example.com"}}`,
		"track":    `{"userId":"u1","event":"Product Viewed","properties":{"product_id":"p1"}}`,
		"page":     `{"anonymousId":"a1","name":"Home","category":"Shop"}`,
		"screen":   `{"anonymousId":"a1","name":"Home"}`,
		"group":    `{"userId":"u1","groupId":"g1","traits":{"size":3}}`,
		"alias":    `{"userId":"u1","previousId":"a1"}`,
	} {
		m := one(t, kind, body)
		inBatch := strings.Replace(body, "{", `{"type":"`+kind+`",`, 1)
		r, err := ingest.Parse([]byte(`{"batch":[`+inBatch+`]}`), "batch", received)
		if err != nil || len(r.Messages) != 1 {
			t.Errorf("%s in a batch: %+v, %v", kind, r, err)
			continue
		}
		if got := r.Messages[0]; m.Type != kind || !same(got, m) {
			t.Errorf("%s is %+v, in a batch %+v", kind, m, got)
		}
	}
}

// same compares two messages but for the bytes they came in.
func same(a, b ingest.Message) bool {
	a.Raw, b.Raw, a.Origin, b.Origin = nil, nil, ingest.Origin{}, ingest.Origin{}
	return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

func TestParseReadsWhatItIsGiven(t *testing.T) {
	m := one(t, "track", `{
		"type":"page","messageId":" m1 ","userId":"u1","anonymousId":"a1","event":"Song Played","properties":{"title":"x"},
		"context":{"ip":"203.0.113.7","userAgent":"curl","locale":"tr-TR","timezone":"Europe/Istanbul",
			"page":{"url":"https://s.example/","title":"Shop","referrer":"https://r.example/"},"traits":{"plan":"gold"},"library":{"name":"x"}},
		"integrations":{"All":true},"writeKey":"k1","_metadata":{},"channel":"web"}`)
	if m.Type != "track" || m.MessageID != "m1" || m.UserID != "u1" || m.AnonymousID != "a1" || m.Event != "Song Played" || string(m.Properties) != `{"title":"x"}` {
		t.Errorf("%+v", m)
	}
	c := m.Context
	if c.IP != "203.0.113.7" || c.UserAgent != "curl" || c.Locale != "tr-TR" || c.Timezone != "Europe/Istanbul" || c.Page.URL != "https://s.example/" ||
		c.Page.Title != "Shop" || c.Page.Referrer != "https://r.example/" || string(c.Traits) != `{"plan":"gold"}` {
		t.Errorf("%+v", c)
	}
}

// TestP17_IDsMayBeNumbers, as some clients send them: they are the digits, and 7.0 is 7.
func TestP17_IDsMayBeNumbers(t *testing.T) {
	m := one(t, "group", `{"userId":12345678901234567890,"anonymousId":1.50,"groupId":7,"previousId":-1,"messageId":42}`)
	if m.UserID != "12345678901234567890" || m.AnonymousID != "1.5" || m.GroupID != "7" || m.PreviousID != "-1" || m.MessageID != "42" {
		t.Errorf("%+v", m)
	}
	for _, id := range []string{`7`, `7.0`, `7e0`, `"7"`, `" 7\u200b"`, `0.7e1`} {
		if m := one(t, "track", `{"userId":`+id+`,"event":"x"}`); m.UserID != "7" {
			t.Errorf("%s is the user %q", id, m.UserID)
		}
	}
	if m := one(t, "track", `{"userId":null,"anonymousId":"a1","messageId":null,"event":"x"}`); m.UserID != "" || m.MessageID != "" {
		t.Errorf("%+v", m)
	}
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("a", 257)
	for _, c := range []struct{ kind, body, slug string }{
		{"track", ``, "invalid-json"},
		{"track", `{"userId":"u1","event":"x"`, "invalid-json"},
		{"track", `[]`, "invalid-json"},
		{"track", `null`, "invalid-json"},
		{"track", `"text"`, "invalid-json"},
		{"track", `{"userId":true,"event":"x"}`, "invalid-event"},
		{"track", `{"userId":{},"event":"x"}`, "invalid-event"},
		{"track", `{"event":"x"}`, "invalid-event"},
		{"track", `{"userId":"  ","event":"x"}`, "invalid-event"},
		{"track", `{"groupId":"g1","event":"x"}`, "invalid-event"},
		{"track", `{"userId":"u1"}`, "invalid-event"},
		{"track", `{"userId":"u1","event":""}`, "invalid-event"},
		{"track", `{"userId":"` + long + `","event":"x"}`, "invalid-event"},
		{"track", `{"anonymousId":"` + long + `","event":"x"}`, "invalid-event"},
		{"track", `{"userId":"u1","event":"x","messageId":"` + strings.Repeat("a", 101) + `"}`, "invalid-event"},
		{"group", `{"userId":"u1"}`, "invalid-event"},
		{"group", `{"userId":"u1","groupId":"` + long + `"}`, "invalid-event"},
		{"alias", `{"userId":"u1"}`, "invalid-event"},
		{"alias", `{"previousId":"a1"}`, "invalid-event"},
		{"alias", `{"userId":"u1","previousId":"` + long + `"}`, "invalid-event"},
		{"import", `{"userId":"u1"}`, "invalid-event"},
		{"batch", `{"batch":[]}`, "empty-batch"},
		{"batch", `{}`, "empty-batch"},
		{"batch", `{"batch":null}`, "empty-batch"},
		{"batch", `{"batch":{}}`, "invalid-json"},
		{"batch", `{"batch":[{}`, "invalid-json"},
		{"batch", `[]`, "invalid-json"},
		{"batch", `null`, "invalid-json"},
	} {
		r, err := ingest.Parse([]byte(c.body), c.kind, received)
		if fault.SlugOf(err) != c.slug || fault.KindOf(err) != fault.Invalid || len(r.Messages) > 0 {
			t.Errorf("%s %.80s: %v, want %s", c.kind, c.body, err, c.slug)
		}
	}
	if m := one(t, "track", `{"userId":"`+long[:256]+`","event":"x","messageId":"`+strings.Repeat("a", 100)+`","properties":null,"context":null}`); len(m.UserID) != 256 || len(m.MessageID) != 100 {
		t.Errorf("%d, %d", len(m.UserID), len(m.MessageID))
	}
}

// TestMerge: what RudderStack calls a merge is an alias where it names two ids.
func TestMerge(t *testing.T) {
	of := func(first, second string) string {
		return `"mergeProperties":[` + first + `,` + second + `]`
	}
	identity := func(kind, value string) string { return `{"type":"` + kind + `","value":` + value + `}` }
	user, visitor := identity("userId", `"u1"`), identity("anonymous_id", `"a1"`)
	for _, body := range []string{
		`{"userId":"u1",` + of(user, visitor) + `}`, `{"anonymousId":"a9",` + of(identity("user_id", `"u1"`), identity("USERID", `"a1"`)) + `}`,
	} {
		if m := one(t, "merge", body); m.Type != "alias" || m.UserID != "u1" || m.PreviousID != "a1" {
			t.Errorf("%s is %+v", body, m)
		}
		inBatch := `{"batch":[` + strings.Replace(body, "{", `{"type":"merge",`, 1) + `]}`
		if r, err := ingest.Parse([]byte(inBatch), "batch", received); err != nil || len(r.Messages) != 1 || r.Messages[0].PreviousID != "a1" {
			t.Errorf("%s: %+v, %v", inBatch, r, err)
		}
	}
	for _, body := range []string{
		`{"userId":"u1"}`, `{` + of(user, visitor) + `}`, `{"userId":"u2",` + of(user, visitor) + `}`, `{"userId":"u1",` + of(visitor, user) + `}`,
		`{"userId":"u1",` + of(user, user) + `}`, `{"userId":"u1",` + of(user, identity("userId", `""`)) + `}`,
		`{"userId":"u1",` + of(identity("email", `"ada@example.com"`), identity("mobile", `"+44 1"`)) + `}`, `{"userId":"u1",` + of(user, identity("email", `"a@b.example"`)) + `}`,
		`{"userId":"u1","mergeProperties":[` + user + `]}`, `{"userId":"u1","mergeProperties":[` + user + `,` + visitor + `,` + visitor + `]}`,
		`{"userId":"u1","mergeProperties":{}}`, `{"userId":"u1","mergeProperties":null}`, `{"userId":"u1",` + of(user, `7`) + `}`,
		`{"userId":"u1",` + of(user, identity("userId", `"`+strings.Repeat("x", 257)+`"`)) + `}`,
	} {
		if r, err := ingest.Parse([]byte(body), "merge", received); fault.SlugOf(err) != "invalid-event" || len(r.Messages) > 0 {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
}

// TestTheWriteKeyIsFound wherever it stands in the root, and nowhere else.
func TestTheWriteKeyIsFound(t *testing.T) {
	for body, want := range map[string]string{
		`{"writeKey":"k1"}`: "k1", `{"batch":[{"a":[1,{"writeKey":"no"}]}],"writeKey":"k1"}`: "k1", `{"writekey":"k1","batch":`: "k1",
		`{"batch":[{"writeKey":"no"}]}`: "", `[{"writeKey":"no"}]`: "", `{"writeKey":7}`: "", `{"writeKey":""}`: "", ``: "", `{"batch":[}`: "",
	} {
		if got := ingest.WriteKey([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestBatchTakesWhatItCan: events that cannot be taken in are set aside with the reason, and the rest is accepted.
func TestBatchTakesWhatItCan(t *testing.T) {
	large := `{"type":"track","userId":"u1","event":"x","properties":{"a":"` + strings.Repeat("a", ingest.MaxEventBytes) + `"}}`
	r, err := ingest.Parse([]byte(`{"batch":[
		{"type":"track","userId":"u1","event":"first"}, {"type":"dance","userId":"u1"}, null, 7, {"type":"track","event":"nobody's"}, `+large+`,
		{"userId":"u1","event":"no type"}, {"type":"track","userId":"u1","event":"last"}]}`), "batch", received)
	if err != nil || len(r.Messages) != 2 || r.Messages[0].Event != "first" || r.Messages[1].Event != "last" {
		t.Fatalf("%+v, %v", r.Messages, err)
	}
	want := []string{"type must be", "not an object", "not an object", "neither has anonymousId nor userId", "at most 32768 bytes", "type must be"}
	if len(r.Rejected) != len(want) {
		t.Fatalf("%d are set aside: %+v", len(r.Rejected), r.Rejected)
	}
	for i, rejected := range r.Rejected {
		if !strings.Contains(rejected.Reason, want[i]) || len(rejected.Raw) == 0 {
			t.Errorf("%.50s is set aside since %q, want %q", rejected.Raw, rejected.Reason, want[i])
		}
	}
}

// TestLimits: what is just within them is taken, and a byte or an event more is not.
func TestLimits(t *testing.T) {
	event := func(size int) string {
		const frame = `{"type":"track","userId":"u1","event":"x","properties":{"a":""}}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("a", size-len(frame))+`"`, 1)
	}
	one(t, "track", event(ingest.MaxEventBytes))
	if _, err := ingest.Parse([]byte(event(ingest.MaxEventBytes+1)), "track", received); fault.SlugOf(err) != "too-large" {
		t.Errorf("an event of a byte more: %v", err)
	}
	for size, want := range map[int]int{ingest.MaxEventBytes: 0, ingest.MaxEventBytes + 1: 1} {
		if r, err := ingest.Parse([]byte(`{"batch":[`+event(size)+`]}`), "batch", received); err != nil || len(r.Rejected) != want {
			t.Errorf("an event of %d bytes in a batch: %d set aside, %v", size, len(r.Rejected), err)
		}
	}

	many := func(n int) []byte {
		return []byte(`{"batch":[` + strings.Repeat(event(100)+",", n-1) + event(100) + `]}`)
	}
	if r, err := ingest.Parse(many(ingest.MaxBatchEvents), "batch", received); err != nil || len(r.Messages) != ingest.MaxBatchEvents {
		t.Errorf("2500 events: %d taken, %v", len(r.Messages), err)
	}
	if r, err := ingest.Parse(many(ingest.MaxBatchEvents+1), "batch", received); fault.SlugOf(err) != "too-large" || len(r.Messages)+len(r.Rejected) > 0 {
		t.Errorf("2501 events: %d taken, %d set aside, %v", len(r.Messages), len(r.Rejected), err)
	}
	if _, err := ingest.ParseAtMost(many(11), "batch", 10, received); fault.SlugOf(err) != "too-large" {
		t.Errorf("11 events where there may be 10: %v", err)
	}

	fill := ingest.MaxBatchBytes - len(`{"batch":[`+event(100)+`],"pad":""}`)
	full := `{"batch":[` + event(100) + `],"pad":"` + strings.Repeat("a", fill) + `"}`
	if r, err := ingest.Parse([]byte(full), "batch", received); err != nil || len(r.Messages) != 1 {
		t.Errorf("a batch of %d bytes: %v", len(full), err)
	}

	nested := func(deep int) string {
		return `{"userId":"u1","event":"x","properties":{"text":"[[[ \"{{{","a":` + strings.Repeat("[", deep-2) + strings.Repeat("]", deep-2) + `}}`
	}
	one(t, "track", nested(ingest.MaxDepth))
	for _, deep := range []int{ingest.MaxDepth + 1, 9000} {
		if _, err := ingest.Parse([]byte(nested(deep)), "track", received); fault.SlugOf(err) != "invalid-event" {
			t.Errorf("an event nested %d deep: %v", deep, err)
		}
	}
}

// TestSharedContext: a batch's context lies under each event's own, and its sentAt corrects them all.
func TestSharedContext(t *testing.T) {
	r, err := ingest.Parse([]byte(`{
		"sentAt":"2026-03-01T14:00:00Z",
		"context":{"ip":"203.0.113.7","locale":"tr-TR","page":{"url":"https://s.example/","title":"Shop"},"traits":{"plan":"gold"}},
		"batch":[
			{"type":"track","userId":"u1","event":"x","timestamp":"2026-03-01T13:59:00Z"},
			{"type":"track","userId":"u2","event":"x","context":{"locale":"en-GB","page":{"title":"Cart"},"traits":{"plan":"free"}},"sentAt":"2026-03-01T20:00:00Z","timestamp":"2026-03-01T13:58:00Z"},
			{"type":"track","userId":"u3","event":"x","context":null},
			{"type":"track","userId":"u4","event":"x","context":{"traits":{"plan":"none"}}}
		]}`), "batch", received)
	if err != nil || len(r.Messages) != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, want := range []string{
		"203.0.113.7 tr-TR https://s.example/ Shop {\"plan\":\"gold\"}", "203.0.113.7 en-GB https://s.example/ Cart {\"plan\":\"free\"}",
		"203.0.113.7 tr-TR https://s.example/ Shop {\"plan\":\"gold\"}", "203.0.113.7 tr-TR https://s.example/ Shop {\"plan\":\"none\"}",
	} {
		c := r.Messages[i].Context
		if got := fmt.Sprint(c.IP, " ", c.Locale, " ", c.Page.URL, " ", c.Page.Title, " ", string(c.Traits)); got != want {
			t.Errorf("event %d has %s, want %s", i+1, got, want)
		}
	}
	for i, want := range []time.Time{received.Add(-time.Minute), received.Add(-2 * time.Minute), received, received} {
		if got := r.Messages[i].OccurredAt; !got.Equal(want) {
			t.Errorf("event %d occurred at %s, want %s", i+1, got, want)
		}
	}
}

// TestSharedContextIsCheckedToo: it becomes part of each event, so that one that cannot be kept sets them aside: it may say what
// somebody agreed to.
func TestSharedContextIsCheckedToo(t *testing.T) {
	for reason, context := range map[string]string{
		"not UTF-8":     "{\"traits\":{\"name\":\"\xff\"}}",
		"at most 32768": `{"traits":{"name":"` + strings.Repeat("a", ingest.MaxEventBytes) + `"}}`,
		"nested":        `{"traits":{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}}`,
	} {
		r, err := ingest.Parse([]byte(`{"batch":[{"type":"track","userId":"u1","event":"x"}],"context":`+context+`}`), "batch", received)
		if err != nil || len(r.Messages) != 0 || len(r.Rejected) != 1 || !strings.Contains(r.Rejected[0].Reason, reason) {
			t.Errorf("%s: %d taken, %+v set aside, %v", reason, len(r.Messages), r.Rejected, err)
		}
	}
}

// TestP6_TrimmingsLoseNoMessage: what only informs is read as far as it goes, and the rest is left out and noted.
func TestP6_TrimmingsLoseNoMessage(t *testing.T) {
	for trimmings, notes := range map[string][]string{
		`"context":{"page":[]}`: nil, `"context":[]`: nil, `"context":null`: nil, `"traits":[]`: nil, `"properties":[]`: nil, `"properties":null`: nil,
		`"context":{"page":{"title":7}}`: nil, `"context":{"ip":7}`: nil, `"category":7`: nil, `"messageId":null`: nil, `"context":{"consent":[]}`: nil,
		`"context":{"page":{"title":[7]}}`:      {"context.page.title:wrong-type"},
		`"context":"web"`:                       {"context:wrong-type"},
		`"context":{"page":7,"locale":{}}`:      {"context.locale:wrong-type", "context.page:wrong-type"},
		`"context":{"traits":"rich"}`:           {"context.traits:wrong-type"},
		`"context":{"consent":"yes"}`:           {"context.consent:wrong-type"},
		`"category":true`:                       {"category:wrong-type"},
		`"name":{}`:                             {"name:wrong-type"},
		`"traits":[1]`:                          {"traits:wrong-type"},
		`"properties":"x"`:                      {"properties:wrong-type"},
		`"messageId":true`:                      {"messageId:wrong-type"},
		`"anonymousId":[]`:                      {"anonymousId:wrong-type"},
		`"sentAt":17000`:                        {"sentAt:unreadable"},
		`"sentAt":[]`:                           {"sentAt:unreadable"},
		`"timestamp":{}`:                        {"timestamp:unreadable"},
		`"context":{"page":{"title":"\ud83d"}}`: {"text:replaced"},
	} {
		m := one(t, "page", `{"userId":"u1",`+trimmings+`}`)
		if m.UserID != "u1" || !slices.Equal(m.Notes, notes) {
			t.Errorf("%s: user %q, notes %q, want %q", trimmings, m.UserID, m.Notes, notes)
		}
		batch := `{"batch":[{"type":"page","userId":"u1",` + trimmings + `}]}`
		if r, err := ingest.Parse([]byte(batch), "batch", received); err != nil || len(r.Messages) != 1 || !slices.Equal(r.Messages[0].Notes, notes) {
			t.Errorf("%s: %+v, %v", batch, r, err)
		}
	}
	for trimmings, note := range map[string]string{
		`"sentAt":17000`: "sentAt:unreadable", `"sentAt":{}`: "", `"context":"web"`: "context:wrong-type", `"context":[]`: "", `"context":{"page":[]}`: "", `"context":{"ip":[]}`: "context.ip:wrong-type",
		`"context":{"locale":"\u0000"}`: "text:replaced", `"writeKey":7`: "",
	} {
		body := `{` + trimmings + `,"batch":[{"type":"page","userId":"u1"},{"type":"page","userId":"u2"}]}`
		r, err := ingest.Parse([]byte(body), "batch", received)
		if err != nil || len(r.Messages) != 2 {
			t.Errorf("%s: %+v, %v", body, r, err)
			continue
		}
		for _, m := range r.Messages {
			if got := strings.Join(m.Notes, " "); got != note {
				t.Errorf("%s: notes %q, want %q", body, got, note)
			}
		}
	}
	if m := one(t, "page", `{"userId":"u1","context":{"page":{"title":7,"url":"https://s.example/"},"ip":"203.0.113.7"},"category":"\ud83dx"}`); m.Context.Page.Title != "7" ||
		m.Context.Page.URL != "https://s.example/" || m.Context.IP != "203.0.113.7" || m.Category != "\ufffdx" {
		t.Errorf("%+v", m)
	}
}

// TestP6_AChoiceThatCannotBeReadIsNoConsent, and no word of the customer's either.
func TestP6_AChoiceThatCannotBeReadIsNoConsent(t *testing.T) {
	for choices, want := range map[string]string{
		`{"Analytics":true}`: "granted", `{"Analytics":"true"}`: "granted", `{"Analytics":1}`: "granted", `{"Analytics":"no"}`: "refused", `{"Analytics":"perhaps"}`: "not told",
		`{"C0001":true,"C0002":true}`: "granted", `{"statistics":true,"marketing":false}`: "granted", `{"performance":true,"analytics_storage":false}`: "refused",
		`{"analytics":false,"C0002":true}`: "refused", `{"Analytics":true,"analytics":false}`: "refused", `{"C0004":true}`: "not told",
		`{"Analytics":null}`: "not told", `[]`: "not told", `"all"`: "not told",
	} {
		m := one(t, "track", `{"userId":"u1","event":"Segment Consent Preference Updated","context":{"consent":{"categoryPreferences":`+choices+`}}}`)
		agrees, told := m.Context.Consent.Analytics()
		chosen, named := ingest.Chosen(m)
		got := map[bool]string{true: "granted", false: "refused"}[chosen]
		if !named {
			got = "not told"
		}
		if !told || agrees != (want == "granted") || got != want {
			t.Errorf("%s: agrees %v, told %v; recorded as %s, want %s", choices, agrees, told, got, want)
		}
	}
}

// TestP6_TheNamesOfConsentPlatforms are read as each of them publishes them, and a name that nobody knows is noted.
func TestP6_TheNamesOfConsentPlatforms(t *testing.T) {
	for context, want := range map[string]string{
		`"consent":{"categoryPreferences":{"C0001":true,"C0002":true,"C0003":false,"C0004":false,"C0005":false}}`:                                       "granted",
		`"consent":{"categoryPreferences":{"necessary":true,"preferences":false,"statistics":false,"marketing":true}}`:                                  "refused",
		`"consent":{"categoryPreferences":{"ESSENTIAL":"ACCEPT","ANALYTICS":"ACCEPT","MARKETING":"DENY","PERSONALIZATION":"DENY","OPT_OUT":"DENY"}}`:    "granted",
		`"consent":{"categoryPreferences":{"ad_storage":"denied","ad_user_data":"denied","ad_personalization":"denied","analytics_storage":"granted"}}`: "granted",
		`"consent":{"categoryPreferences":{"analytics-storage":"denied"}}`:                                                                              "refused",
		`"consent":{"categoryPreferences":{"marketingAndAnalytics":true,"advertising":false,"functional":true}}`:                                        "granted",
		`"consent":{"categoryPreferences":{"cookies":true,"measure_content_performance":true,"market_research":false,"select_basic_ads":true}}`:         "refused",
		`"consent":{"categoryPreferences":{"required":true,"functional":true,"advertising":true}}`:                                                      "not named",
		`"consent":{"categoryPreferences":{"Analytics":true,"Our own":true}}`:                                                                           "granted context.consent.categoryPreferences:unknown",
		`"consent":{"categoryPreferences":{"Our own":true}}`:                                                                                            "not named context.consent.categoryPreferences:unknown",
		`"consentManagement":{"provider":"oneTrust","allowedConsentIds":["C0001","C0002"],"deniedConsentIds":["C0004"],"resolutionStrategy":"and"}`:     "granted",
		`"consentManagement":{"provider":"oneTrust","allowedConsentIds":{"C0001":"Strictly Necessary","C0002":"Performance"},"deniedConsentIds":[]}`:    "granted",
		`"consentManagement":{"provider":"ketch","allowedConsentIds":["essential_services"],"deniedConsentIds":["analytics","behavioral_advertising"]}`: "refused",
		`"consentManagement":{"provider":"iubenda","allowedConsentIds":["1","4"],"deniedConsentIds":["5"]}`:                                             "granted",
		`"consentManagement":{"provider":"iubenda","allowedConsentIds":[1],"deniedConsentIds":[2,3,4,5]}`:                                               "refused",
		`"consentManagement":{"provider":"custom","allowedConsentIds":["4"],"deniedConsentIds":["c-17"]}`:                                               "not named context.consentManagement.allowedConsentIds:unknown context.consentManagement.deniedConsentIds:unknown",
		`"consentManagement":{"provider":"custom","allowedConsentIds":[],"deniedConsentIds":[]}`:                                                        "not named",
		`"consentManagement":{"provider":"custom","allowedConsentIds":["analytics"],"deniedConsentIds":["Analytics"]}`:                                  "refused",
		`"consentManagement":{"provider":"custom"}`:                                                                                                     "not told",
		`"consentManagement":[]`: "not told",
	} {
		for _, event := range []string{"Segment Consent Preference Updated", "Segment Consent Preference", "Consent Management Interaction"} {
			m := one(t, "track", `{"userId":"u1","event":"`+event+`","context":{`+context+`}}`)
			agrees, told := m.Context.Consent.Analytics()
			chosen, named := ingest.Chosen(m)
			got := "not told"
			switch {
			case named && chosen:
				got = "granted"
			case named:
				got = "refused"
			case told:
				got = "not named"
			}
			if got = strings.Join(append([]string{got}, m.Notes...), " "); got != want || agrees != (named && chosen) {
				t.Errorf("%s: %s, agrees %v, want %s", context, got, agrees, want)
			}
		}
	}
}

// TestSharedContextIsReadOnce: its size is not paid again for each event.
func TestSharedContextIsReadOnce(t *testing.T) {
	body := func(context string) []byte {
		return []byte(`{"context":` + context + `,"batch":[` + strings.TrimSuffix(strings.Repeat(`{"type":"page","userId":"u1"},`, 500), ",") + `]}`)
	}
	allocations := func(body []byte) float64 {
		return testing.AllocsPerRun(3, func() {
			if r, err := ingest.Parse(body, "batch", received); err != nil || len(r.Messages) != 500 {
				t.Fatalf("%d messages, %v", len(r.Messages), err)
			}
		})
	}
	small := allocations(body(`{"ip":"203.0.113.7"}`))
	large := allocations(body(`{"ip":"203.0.113.7","x":"` + strings.Repeat("x", 30_000) + `","traits":{"a":"` + strings.Repeat("y", 1000) + `"}}`))
	if large > small+100 {
		t.Errorf("%v allocations with a small context, %v with a large one", small, large)
	}
}

// TestP5_Times: the skew of the client's clock is taken out; a time that lies in the future even so is not believed, and the
// client's word is kept.
func TestP5_Times(t *testing.T) {
	for _, c := range []struct {
		name, timestamp, original, sentAt string
		want                              time.Duration // before it was received
		claimed                           string
	}{
		{"no time", "", "", "", 0, ""},
		{"a right clock", "2026-03-01T11:59:00Z", "", "2026-03-01T12:00:00Z", time.Minute, ""},
		{"a clock a day ahead", "2026-03-02T11:59:00.250Z", "", "2026-03-02T12:00:00.250Z", time.Minute, ""},
		{"a clock a year behind", "2025-03-01T11:59:00Z", "", "2025-03-01T12:00:00Z", time.Minute, ""},
		{"another zone", "2026-03-01T14:59:00+03:00", "", "2026-03-01T12:00:00Z", time.Minute, ""},
		{"originalTimestamp", "", "2026-03-01T11:58:00Z", "2026-03-01T12:00:00Z", 2 * time.Minute, ""},
		{"timestamp before originalTimestamp", "2026-03-01T11:59:00Z", "2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z", time.Minute, ""},
		{"not sent", "2026-03-01T11:59:00Z", "", "", time.Minute, ""},
		{"sent at no time", "2026-03-01T11:59:00Z", "", "yesterday", time.Minute, ""},
		{"years ago", "2020-03-01T12:00:00Z", "", "", received.Sub(time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)), ""},
		{"a little ahead", "2026-03-01T12:05:00Z", "", "", 0, ""},
		{"too far ahead", "2026-03-01T12:05:01Z", "", "", 0, "2026-03-01T12:05:01Z"},
		{"ahead even as corrected", "2026-03-01T13:00:00Z", "", "2026-03-01T12:00:00Z", 0, "2026-03-01T13:00:00Z"},
		{"before there were clients", "1969-12-31T23:59:59Z", "", "", 0, "1969-12-31T23:59:59Z"},
		{"a clock that was never set", "1970-01-01T00:00:00Z", "", "", 0, "1970-01-01T00:00:00Z"},
		{"a clock that lost its battery", "1980-01-06T00:00:00Z", "", "2026-03-01T12:00:00Z", 0, "1980-01-06T00:00:00Z"},
		{"a clock that was never set, sent by it", "1970-01-01T00:00:05Z", "", "1970-01-01T00:01:05Z", time.Minute, ""},
		{"local times of one clock", "2026-03-01 14:59:00", "", "2026-03-01 15:00:00", time.Minute, ""},
		{"a local time", "2026-03-01 11:59:00", "", "", 0, "2026-03-01 11:59:00"},
		{"a local time, sent at another's", "2026-03-01 11:59:00", "", "2026-03-01T12:00:00Z", 0, "2026-03-01 11:59:00"},
		{"sent by a local time", "2026-03-01T11:59:00Z", "", "2026-03-01 15:00:00", time.Minute, ""},
		{"no colon", "2026-03-01T14:59:00+0300", "", "", time.Minute, ""},
		{"milliseconds", "1772366340000", "", "", time.Minute, ""},
		{"seconds", "1772366340", "", "1772366400", time.Minute, ""},
		{"basic", "20260301T115900Z", "", "", time.Minute, ""},
		{"a colon too many", "2026-03-01T11:59:00.000:Z", "", "", time.Minute, ""},
		{"a second word that is understood", "yesterday", "2026-03-01T11:58:00Z", "", 2 * time.Minute, ""},
		{"sent in another age", "2026-03-01T12:00:00Z", "", "9999-01-01T00:00:00Z", 0, "2026-03-01T12:00:00Z"},
		{"two that are not", "yesterday", "last year", "", 0, "yesterday"},
		{"no time as we know it", "last Tuesday", "", "", 0, "last Tuesday"},
		{"a long story", strings.Repeat("ş", 100), "", "", 0, strings.Repeat("ş", 32)},
		{"digits without end", "2030-01-01T00:00:00." + strings.Repeat("1", 100) + "Z", "", "", 0, "2030-01-01T00:00:00." + strings.Repeat("1", 44)},
	} {
		body, err := json.Marshal(map[string]string{"userId": "u1", "event": "x", "timestamp": c.timestamp, "originalTimestamp": c.original, "sentAt": c.sentAt})
		if err != nil {
			t.Fatal(err)
		}
		m := one(t, "track", string(body))
		if want := received.Add(-c.want); !m.OccurredAt.Equal(want) || m.Claimed != c.claimed {
			t.Errorf("%s: %s, %q, want %s, %q", c.name, m.OccurredAt, m.Claimed, want, c.claimed)
		}
		told := c.timestamp+c.original != ""
		if m.Timed != (told && c.claimed == "") || m.Undated != (c.claimed != "") {
			t.Errorf("%s: timed %v, undated %v", c.name, m.Timed, m.Undated)
		}
	}
}

// TestTimesAreNeverInTheFuture, whatever a client claims, nor before there were clients.
func TestTimesAreNeverInTheFuture(t *testing.T) {
	times := rapid.Custom(func(t *rapid.T) string {
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC().Format(time.RFC3339Nano)
	})
	rapid.Check(t, func(t *rapid.T) {
		claimed, sent := times.Draw(t, "timestamp"), rapid.OneOf(rapid.Just(""), times).Draw(t, "sentAt")
		r, err := ingest.Parse(fmt.Appendf(nil, `{"userId":"u1","timestamp":%q,"sentAt":%q}`, claimed, sent), "page", received)
		if err != nil {
			t.Fatal(err)
		}
		if at := r.Messages[0].OccurredAt; at.After(received) || at.Year() < 2000 {
			t.Fatalf("claimed %s, sent %s, occurred %s", claimed, sent, at)
		}
	})
}

func TestCleanText(t *testing.T) {
	for _, fine := range []string{
		``, `{}`, `"şarkı 🎵"`, `"\ud83c\udfb5"`, `"\uD83C\uDFB5\ud83c\udfb5"`, `"\\ud83c"`, `"\\u0000"`, `"\\\\u0000"`, `"\n\t\""`, `"\u0001"`, `"\ue000"`,
	} {
		if err := foreign.Check([]byte(fine)); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
	for wrong, reason := range map[string]string{
		"\"\xff\"":         "UTF-8",
		"\"\xed\xa0\x80\"": "UTF-8", // a surrogate as bytes
		`"\u0000"`:         "NUL",
		`"a\\\u0000"`:      "NUL",
		`{"\u0000":1}`:     "NUL",
		`"\ud83c"`:         "surrogate",
		`"\ud83cx"`:        "surrogate",
		`"\ud83c\n"`:       "surrogate",
		`"\ud83c\u0041"`:   "surrogate",
		`"\ud83c\ud83c"`:   "surrogate",
		`"\ud83c\\udfb5"`:  "surrogate",
		`"\udfb5"`:         "surrogate",
		`"\udfb5\ud83c"`:   "surrogate",
		`"\uDFB5"`:         "surrogate",
	} {
		if err := foreign.Check([]byte(wrong)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want something about %s", wrong, err, reason)
		}
		if !json.Valid([]byte(wrong)) {
			t.Errorf("%s is not even JSON", wrong)
		}
		raw := `{"type":"track","userId":"u1","event":"x","properties":{"a":` + wrong + `}}`
		if strings.HasPrefix(wrong, `"`) {
			r, err := ingest.Parse([]byte(`{"batch":[`+raw+`]}`), "batch", received)
			if aside := reason == "UTF-8"; err != nil || len(r.Rejected) == 1 != aside || len(r.Messages) == 1 && !slices.Equal(r.Messages[0].Notes, []string{"text:replaced"}) {
				t.Errorf("%s in a batch: %+v, %v", wrong, r, err)
			}
		}
	}
}

// FuzzCleanText: what is clean decodes without any character being replaced or lost.
func FuzzCleanText(f *testing.F) {
	for _, seed := range []string{`"\ud83c\udfb5"`, `"\ud83c"`, `"\u0000"`, `"\\u0000"`, "\"\xff\"", `"\`, `"\u`, `"\u00`, `\`, `"\ud83c\`, `"\ud83c\u`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := foreign.Check(data)
		var text string
		if json.Unmarshal(data, &text) != nil {
			return // of other bytes only that they do not panic
		}
		replaced := strings.ContainsRune(text, utf8.RuneError) && !strings.Contains(string(data), "\ufffd") && !strings.Contains(strings.ToLower(string(data)), `\ufffd`)
		if lost := replaced || strings.ContainsRune(text, 0); (err != nil) != lost {
			t.Fatalf("%q is %q: %v", data, text, err)
		}
	})
}
