package embedded

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"defter/pkg/topology"
)

// notOurFault reports an answer that blames the system, or that takes what it must refuse.
func (a *reply) notOurFault(statuses ...int) {
	a.Helper()
	if !slices.Contains(statuses, a.status) {
		a.Errorf("%.300q answers %d, want one of %v: %.300s", a.call, a.status, statuses, a.body)
	}
}

// Bodies that no route with a JSON object takes.
var badBodies = map[string]string{
	"half an object":         `{"reason":`,
	"half a text":            `{"reason":"customer`,
	"nothing like JSON":      `reason=customer-request`,
	"an array":               `[]`,
	"an array of objects":    `[{}]`,
	"a text":                 `"{}"`,
	"a number":               `1`,
	"null":                   `null`,
	"two objects":            `{}{}`,
	"garbage after it":       `{} x`,
	"a brace after it":       `{}}`,
	"a bracket after it":     `{}]`,
	"a comma after it":       `{},`,
	"an unknown field":       `{"surprise":1}`,
	"a field of __proto__":   `{"__proto__":{"reason":"x"}}`,
	"single quotes":          `{'reason':'fraud'}`,
	"a comment":              `{/* hello */}`,
	"a byte order mark":      "\ufeff{}",
	"a NUL byte":             "{\"reason\":\"\x00\"}",
	"a NUL character":        `{"reason":"\u0000"}`,
	"a NUL in a name":        `{"\u0000":"x"}`,
	"half a surrogate pair":  `{"reason":"\ud800"}`,
	"the other half":         `{"reason":"\udc00x"}`,
	"not UTF-8":              "{\"reason\":\"\xff\"}",
	"a surrogate in UTF-8":   "{\"reason\":\"\xed\xa0\x80\"}",
	"an overlong slash":      "{\"reason\":\"\xc0\xaf\"}",
	"deeply nested arrays":   `{"reason":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}`,
	"deeply nested objects":  strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000),
	"unclosed nesting":       strings.Repeat(`{"a":`, 20_000),
	"a number like no other": `{"surprise":1e400}`,
}

// bodied are the calls with a JSON body, and what each field must be.
func bodied(c customer) map[string]map[string]string {
	return map[string]map[string]string{
		"POST /v1/customers": {
			"email": "text", "firstName": "text", "lastName": "text", "phone": "text", "source": "text",
			"marketingConsent": "flag", "termsAccepted": "flag", "ipAddress": "text", "userAgent": "text",
		},
		"PATCH " + c.path(""): {
			"firstName": "text", "lastName": "text", "phone": "text", "dateOfBirth": "text", "address": "object", "attributes": "map",
		},
		"PUT " + c.path("/email"):               {"email": "text", "ipAddress": "text", "userAgent": "text"},
		"POST " + c.path("/email-verification"): {"token": "text"},
		"POST " + c.path("/deactivation"):       {"reason": "text", "notes": "text"},
		"POST " + c.path("/reactivation"):       {},
		"POST " + c.path("/consents"): {
			"purpose": "text", "channel": "text", "consentMethod": "text", "ipAddress": "text", "userAgent": "text", "renew": "flag",
		},
		"PUT " + c.path("/preferences"): {
			"emailFrequency": "text", "categories": "list", "timezone": "text", "emailEnabled": "flag", "smsEnabled": "flag",
			"pushEnabled": "flag", "smsForPromotions": "flag", "pushCategories": "list", "updatedAt": "text",
		},
		"POST " + c.path("/erasure"): {"reason": "text"},
	}
}

var wrongFor = map[string][]string{
	"text":   {`1`, `-1e400`, `true`, `[]`, `{}`, `["a"]`},
	"flag":   {`1`, `"true"`, `[]`, `{}`},
	"list":   {`1`, `"a"`, `true`, `{}`, `[1]`, `[[]]`, `[{}]`},
	"object": {`1`, `"a"`, `true`, `[]`, `{"surprise":{}}`, `{"line1":[1]}`, `{"line1":1}`},
	"map":    {`1`, `"a"`, `true`, `[]`, `{"":1}`, `{"a":1e400}`, `{"` + strings.Repeat("n", 101) + `":1}`},
}

func TestBadBodies(t *testing.T) {
	s := begin(t)
	c := s.consents()
	s.mailed(c.email, 1)
	s.settled()
	before := s.stored()
	for call, fields := range bodied(c) {
		method, path, _ := strings.Cut(call, " ")
		for what, body := range badBodies {
			a := s.send(method, path, body)
			a.call += " with " + what
			a.notOurFault(400)
		}
		large := s.send(method, path, `{"reason":"`+strings.Repeat("x", 1<<20)+`"}`)
		large.call += " with 1 MB"
		large.refused(413, "too-large")
		for name, kind := range fields {
			for _, wrong := range wrongFor[kind] {
				a := s.send(method, path, fmt.Sprintf(`{%q:%s}`, name, wrong))
				a.call += fmt.Sprintf(" with %s %.100s", name, wrong)
				a.notOurFault(400)
			}
		}
	}
	for _, long := range []struct {
		method, path, field string
		limit               int
		rest                m
	}{
		{"POST", "/v1/customers", "email", 254, m{"termsAccepted": true}},
		{"POST", "/v1/customers", "firstName", 100, m{"email": "new@mail.example", "termsAccepted": true}},
		{"POST", "/v1/customers", "lastName", 100, m{"email": "new@mail.example", "termsAccepted": true}},
		{"POST", "/v1/customers", "phone", 32, m{"email": "new@mail.example", "termsAccepted": true}},
		{"POST", "/v1/customers", "ipAddress", 45, m{"email": "new@mail.example", "termsAccepted": true}},
		{"POST", "/v1/customers", "userAgent", 512, m{"email": "new@mail.example", "termsAccepted": true}},
		{"PATCH", c.path(""), "firstName", 100, m{}},
		{"PATCH", c.path(""), "phone", 32, m{}},
		{"PATCH", c.path(""), "dateOfBirth", 10, m{}},
		{"PUT", c.path("/email"), "email", 254, m{}},
		{"POST", c.path("/consents"), "consentMethod", 100, m{"purpose": "analytics", "channel": "push"}},
		{"POST", c.path("/consents"), "ipAddress", 45, m{"purpose": "analytics", "channel": "push"}},
		{"POST", c.path("/deactivation"), "notes", 1000, m{}},
	} {
		for _, letter := range []string{"x", "ü", "😀"} {
			body := m{long.field: strings.Repeat(letter, long.limit/len(letter)+1)}
			if long.field == "email" {
				body["email"] = fmt.Sprint(body["email"], "@mail.example")
			}
			for name, value := range long.rest {
				body[name] = value
			}
			a := s.send(long.method, long.path, body)
			a.call += " with a long " + long.field
			a.notOurFault(400)
		}
	}
	many := m{}
	for i := range 201 {
		many[fmt.Sprint("attribute ", i)] = i
	}
	c.patch(c.path(""), m{"attributes": many}).refused(422, "too-many-attributes")
	s.post("/v1/customers", strings.Repeat(" ", 11<<20)).refused(413, "too-large")
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
}

// Ids that are nobody's (404), and those that nobody can have (400). What is not UTF-8 may be either.
var badIDs = map[string][]int{
	"%00":                              {400},
	"a%00b":                            {400},
	"%0A":                              {400},
	"a%7Fb":                            {400},
	strings.Repeat("x", 257):           {400},
	strings.Repeat("%F0%9F%98%80", 65): {400},
	strings.Repeat("x", 256):           {404},
	strings.Repeat("9", 256):           {404},
	"a%2Fb":                            {404},
	"..%2F..%2Fetc%2Fpasswd":           {404},
	"CUSTOMER%23nobody":                {404},
	"%20":                              {400},
	"%25":                              {404},
	"%3Cscript%3E":                     {404},
	"nobody@mail.example":              {404},
	"%2B90%20555%20000%2000%2000":      {404},
	"%F0%9F%98%80":                     {404},
	"%E2%80%AE":                        {400},
	"__proto__":                        {404},
	"null":                             {404},
	"-1":                               {404},
	"h_AAAAAAAAAAAAAAAAAAAAAA":         {404},
	"%ED%A0%80":                        {400, 404},
	"%FF":                              {400, 404},
	"%C0%AF":                           {400, 404},
}

func TestBadIDs(t *testing.T) {
	s := begin(t)
	s.consents()
	s.settled()
	before := s.stored()
	for id, statuses := range badIDs {
		for _, call := range callsOf(id) {
			call(s).notOurFault(statuses...)
		}
	}
	for _, path := range []string{"/v1/customers/", "/v1/customers//events", "/v1/customers/./events", "/v1/customers/x/y/z", "/v1/customers/%2e%2e/customers", "//v1/customers"} {
		s.get(path).notOurFault(301, 307, 308, 400, 404)
	}
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
}

// encoded is a cursor as the API makes them.
func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestBadQueries(t *testing.T) {
	s := begin(t)
	c := s.consents()
	s.mailed(c.email, 1)
	s.settled()
	before := s.stored()
	ask := func(path, parameter, value string) *reply {
		joint := "?"
		if strings.Contains(path, "?") {
			joint = "&"
		}
		return s.get(path + joint + parameter + "=" + url.QueryEscape(value))
	}
	for _, path := range []string{c.path("/events"), c.path("/messages"), c.path("/timeline"), c.path("/audit"), "/v1/consents?purpose=marketing&channel=email"} {
		for _, cursor := range []string{
			"x", "!!!!", "====", encoded(" "), encoded("null"), encoded("{}"), encoded("[]"), encoded(`[""]`), encoded("[1]"), encoded("[[]]"), encoded(`["x","y","z"]`),
			encoded(`["\ud800"]`), encoded(`["\u0000"]`), encoded(`["-1"]`), encoded(`["0"]`), encoded(`["1e3"]`), encoded(`["99999999999999999999999"]`), encoded(`["x"]`),
			encoded(`["CONSENT"]`), encoded(`["PROFILE"]`), encoded(`["zzz"]`), encoded(`["` + strings.Repeat("x", 290) + `"]`), encoded(`["` + strings.Repeat("x", 700) + `"]`),
			encoded(`["16","x"]`), encoded(`["-1","x"]`), encoded(`["x","x"]`), strings.Repeat("A", 5000), "\x00", "\xff", "😀",
		} {
			a := ask(path, "cursor", cursor)
			if a.status != 400 || a.slug() != "invalid-cursor" {
				t.Errorf("%s answers %d: %.200s", a.call, a.status, a.body)
			}
		}
		for _, limit := range []string{"0", "-1", "501", "abc", "1e2", "99999999999999999999", "1.5", " 1", "\x00", "0x10"} {
			ask(path, "limit", limit).refused(400, "invalid-limit")
		}
	}
	for path, parameters := range map[string]map[string][]string{
		c.path("/events"): {
			"types": {"x", "ConsentGranted,", ",", "consentgranted", "\x00", strings.Repeat("ConsentGranted,", 1000)},
			"from":  {"x", "0", "2001-01-01", "2001-01-01T00:00:00", "99999-01-01T00:00:00Z", "\x00"},
			"to":    {"x", "-1"},
		},
		c.path(""): {
			"version": {"0", "-1", "x", "1.0", "1e9", "99999999999999999999", "\x00"},
			"asOf":    {"x", "0", "2001-01-01", "2001-02-30T00:00:00Z", "\x00"},
		},
		"/v1/customers": {
			"email": {
				"", "x", "@", "a@b", "\x00@mail.example", "a@mail.example\x00", strings.Repeat("a", 255) + "@mail.example",
				"a@mail.example,b@mail.example", "<a@mail.example>", "😀",
			},
		},
		"/v1/consents": {"purpose": {"", "x", "\x00"}, "channel": {"x"}},
	} {
		for parameter, values := range parameters {
			for _, value := range values {
				ask(path, parameter, value).notOurFault(400)
			}
		}
	}
	ask("/v1/customers", "email", "\xff@mail.example").notOurFault(400, 404)
	for _, query := range []string{"%zz", "limit=%", "%00=%00", "cursor=" + encoded("[]") + "&cursor=x", ";", "limit=1;limit=2"} {
		for _, path := range []string{c.path("/events"), c.path(""), "/v1/consents"} {
			s.get(path+"?"+query).notOurFault(200, 400)
		}
	}
	for _, part := range []string{"x/email", "marketing/x", "%00/email", "marketing/%00", "%FF/%FF", "marketing/email%2Fsms", strings.Repeat("x", 5000) + "/email"} {
		c.delete(c.path("/consents/" + part)).notOurFault(400)
	}
	c.delete(c.path("/consents/marketing/email?reason=%00")).notOurFault(400)
	c.delete(c.path("/consents/marketing/email?reason=%zz")).notOurFault(400)
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
}

func TestBadEvents(t *testing.T) {
	s := begin(t)
	sdk := s.sdk()
	s.settled()
	before := s.stored()
	for _, kind := range []string{"identify", "track", "page", "screen", "group", "alias"} {
		for what, body := range badBodies { // what is well formed lacks a user
			a := sdk.post("/v1/"+kind, body)
			a.call += " with " + what
			a.notOurFault(400, 413)
		}
		for what, fields := range map[string]string{
			"nobody":                    `"event":"x"`,
			"an empty user":             `"event":"x","userId":" "`,
			"a user that is a list":     `"event":"x","userId":["u"]`,
			"a user that is an object":  `"event":"x","userId":{}`,
			"a user that is a flag":     `"event":"x","userId":true`,
			"a long user":               `"event":"x","userId":"` + strings.Repeat("u", 257) + `"`,
			"a long message id":         `"event":"x","userId":"u","messageId":"` + strings.Repeat("i", 101) + `"`,
			"NUL in the user":           `"event":"x","userId":"u\u0000"`,
			"half an emoji in the user": `"event":"x","userId":"u\ud83d"`,
			"too many bytes":            `"event":"x","userId":"u","properties":{"a":"` + strings.Repeat("x", 33<<10) + `"}`,
		} {
			a := sdk.post("/v1/"+kind, "{"+fields+"}")
			a.call += " with " + what
			a.notOurFault(400, 413)
		}
		sdk.post("/v1/"+kind, `{"event":"x","groupId":"g","previousId":"p","userId":"u"} trailing`).notOurFault(400)
	}
	for what, body := range badBodies {
		a := sdk.post("/v1/batch", body)
		a.call += " with " + what
		a.notOurFault(400)
	}
	for _, body := range []string{`{"batch":[]}`, `{"batch":{}}`, `{"batch":"x"}`, `{"batch":null}`, `{"batch":[{}]`} {
		sdk.post("/v1/batch", body).notOurFault(400)
	}
	sdk.post("/v1/batch", `{"batch":["`+strings.Repeat("x", 5<<20)+`"]}`).refused(413, "too-large")
	s.settled()
	s.unchangedBut(before, func(string) bool { return false })
}

// Events at the edge of what JSON can say are taken, and can be read again.
func TestStrangeEventsAreTaken(t *testing.T) {
	s := begin(t)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for what, fields := range map[string]string{
		"a huge number":           `"properties":{"price":1e400,"n":-1e-400}`,
		"a huge number in traits": `"traits":{"score":1e400,"plan":"gold","list":[1e999],"o":{"a":1e999}}`,
		"a long number":           `"properties":{"n":` + strings.Repeat("9", 5000) + `},"traits":{"n":` + strings.Repeat("9", 5000) + `}`,
		"some nesting":            `"properties":{"a":` + deep(50) + `},"traits":{"a":` + deep(50) + `}`,
		"the same name twice":     `"properties":{"a":1,"a":{"b":2}},"traits":{"a":1,"a":2}`,
		"empty names":             `"properties":{"":1},"traits":{"":1}`,
		"nulls":                   `"properties":null,"traits":null,"context":null,"messageId":null,"timestamp":null`,
		"unknown fields":          `"surprise":{"a":1},"integrations":{"All":true}`,
		"a number for an id":      `"messageId":12345678901234567890`,
		"a far future":            `"timestamp":"9999-12-31T23:59:59Z"`,
		"a far past":              `"timestamp":"0001-01-01T00:00:00Z"`,
		"a time that is none":     `"timestamp":"yesterday","sentAt":"today"`,
		"times of other types":    `"timestamp":[1],"sentAt":{}`,
		"lists for objects":       `"properties":[],"traits":[],"context":[]`,
		"texts for objects":       `"properties":"x","traits":"x","context":1`,
		"a context of lists":      `"context":{"page":[],"ip":[1]}`,
		"numbers for texts":       `"event":1,"name":2,"category":true`,
		"half an emoji, and NUL":  `"properties":{"a":"\ud83d"},"traits":{"a":"\u0000"}`,
		"an odd clock":            `"timestamp":"2000-01-01T00:00:00Z","sentAt":"9999-12-31T23:59:59Z"`,
		"all of Unicode":          `"properties":{"a":"\u202e\ufeff\u2028😀\ud83d\ude00"},"traits":{"name":"😀\u2028"}`,
		"traits beyond their fields": `"traits":{"firstName":"` + strings.Repeat("é", 200) + `","phone":"` + strings.Repeat("1", 200) +
			`","email":"` + strings.Repeat("e", 300) + `@mail.example","birthday":"2999-01-01","address":{"city":"` + strings.Repeat("é", 200) + `"}}`,
		"traits of other types": `"traits":{"firstName":1,"email":["a@mail.example"],"phone":{},"address":"here","birthday":true}`,
		"texts beyond their fields": `"properties":{"title":"` + strings.Repeat("é", 2000) + `","url":"` + strings.Repeat("u", 5000) + `","sessionId":"` + strings.Repeat("s", 500) +
			`"},"context":{"userAgent":"` + strings.Repeat("ü", 2000) + `","locale":"` + strings.Repeat("l", 99) + `","ip":"` + strings.Repeat("1", 99) + `","timezone":"` + strings.Repeat("t", 99) + `"}`,
		"an order of nonsense":   `"event":"Order Completed","properties":{"order_id":1e400,"total":"1e9","products":[null,{},{"price":"x","quantity":-1},{"quantity":1e99}],"currency":"€"}`,
		"a search of nonsense":   `"event":"Products Searched","properties":{"query":"` + strings.Repeat("é", 3000) + `","results_count":1.5}`,
		"a checkout of nonsense": `"event":"Checkout Step Completed","properties":{"step":99999999999999999999,"checkout_id":true}`,
	} {
		for _, kind := range []string{"identify", "track", "page", "screen", "group", "alias"} {
			for _, who := range []string{"userId", "anonymousId"} {
				if kind == "alias" && who == "anonymousId" {
					continue
				}
				c := customer{s, unique("u"), ""}
				a := s.sdk().post("/v1/"+kind, fmt.Sprintf(`{%q:%q,"event":"x","groupId":"g","previousId":"p",%s}`, who, c.id, fields))
				a.call += " with " + what + " of " + who
				a.notOurFault(200)
				if who == "userId" {
					c.shown().notOurFault(200)
					c.get(c.path("/events")).notOurFault(200)
					c.patch(c.path(""), m{"lastName": "Lovelace"}).notOurFault(200) // the record can still be folded
				}
			}
		}
	}
	s.settled()
	if parked := s.itemsWith(localTable, "DLQ#"); len(parked) > 0 {
		t.Errorf("parked: %.500v", parked)
	}
	if quarantined := s.itemsWith(topology.Views, "QUARANTINE#"); len(quarantined) != 2 { // what is said of an order of nonsense, by the customer and by the visitor
		t.Errorf("quarantined: %.500v", quarantined)
	}
}

// However deep a message is nested: taken and readable again, or refused. Never half.
func TestDeepNesting(t *testing.T) {
	s := begin(t)
	for _, depth := range []int{10, 90, 99, 100, 5000, 9990, 9996, 9998, 10_001} {
		nested := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		for _, kind := range []string{"track", "identify", "group"} {
			for _, who := range []string{"userId", "anonymousId"} {
				c := customer{s, unique("u"), ""}
				message := fmt.Sprintf(`{"type":%q,%q:%q,"event":"x","groupId":"g","properties":{"a":%s},"traits":{"a":%s}}`, kind, who, c.id, nested, "1")
				if kind != "track" {
					message = fmt.Sprintf(`{"type":%q,%q:%q,"event":"x","groupId":"g","traits":{"a":%s}}`, kind, who, c.id, nested)
				}
				a := s.sdk().post("/v1/"+kind, message)
				a.call += fmt.Sprintf(" of %s nested %d deep", who, depth)
				if depth < 99 {
					a.notOurFault(200)
				} else {
					a.notOurFault(200, 400)
				}
				if a.status == 200 && who == "userId" {
					c.get(c.path("/events")).notOurFault(200)
					c.shown().notOurFault(200)
				}
				other := customer{s, unique("u"), ""}
				b := s.sdk().post("/v1/batch", `{"batch":[`+strings.Replace(message, c.id, other.id, 1)+`]}`)
				b.call += fmt.Sprintf(" of %s nested %d deep", who, depth)
				b.notOurFault(200, 400)
				if who == "userId" {
					other.get(other.path("/events")).notOurFault(200, 404)
				}
			}
		}
	}
}
