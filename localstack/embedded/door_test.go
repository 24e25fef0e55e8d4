package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/lambdaio"
	"defter/pkg/meter"

	"github.com/chromedp/chromedp"
)

// sent is what an SDK's request costs at the tables, and what it is answered.
func (s *story) sent(path, body string, header map[string]string) (lambdaio.Response, meter.Cost) {
	s.Helper()
	cost := new(meter.Meter)
	r := lambdaio.Request{ID: "r", Route: "POST " + path, Path: path, Header: header, SourceIP: "203.0.113.7", Body: []byte(body)}
	response, err := s.system.handlers["ingest-events"].(lambdaio.Endpoint)(meter.With(context.Background(), cost), r)
	if err != nil {
		s.Fatal(err)
	}
	return response, cost.Cost()
}

// TestS2_StrangersAreRefusedBeforeTheirBodies: whoever has no key costs nothing but the look at it.
func TestS2_StrangersAreRefusedBeforeTheirBodies(t *testing.T) {
	s := begin(t)
	s.sent("/v1/track", `{}`, map[string]string{"authorization": basic("caaaaaaaaaaaaaaaaaaaaaaaa", "")}) // a process reads its secret once
	bomb := zipped(json.RawMessage(`{"batch":[` + strings.Repeat("0,", 2_000_000) + `0]}`))
	if len(bomb) > 8<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	gzipped := map[string]string{"content-encoding": "gzip"}
	for what, c := range map[string]struct {
		body   string
		header map[string]string
		status int
	}{
		"a made-up key":          {`{"batch":[]}`, map[string]string{"authorization": basic("nobody", "")}, 401},
		"one of the right form":  {`{"batch":[]}`, map[string]string{"authorization": basic("caaaaaaaaaaaaaaaaaaaaaaaa", "")}, 401},
		"its body is not read":   {"\xff{{{", map[string]string{"authorization": basic("nobody", ""), "content-encoding": "gzip"}, 401},
		"no key":                 {`{"batch":[]}`, nil, 401},
		"no key and a bomb":      {bomb, gzipped, 413},
		"no key, a large body":   {`{"batch":["` + strings.Repeat("x", 600<<10) + `"],"writeKey":"` + WriteKey + `"}`, nil, 413},
		"a made-up key within":   {`{"writeKey":"nobody","batch":[{"a":1}]}`, nil, 401},
		"a key for a made-up id": {`{}`, map[string]string{"x-write-key": "nobody:secret"}, 401},
	} {
		response, cost := s.sent("/v1/batch", c.body, c.header)
		if response.Status != c.status || cost != (meter.Cost{}) {
			t.Errorf("%s is answered %d, want %d, and costs %+v", what, response.Status, c.status, cost)
		}
	}
	for _, path := range []string{"/v1/projects/nobody/settings"} {
		s.with("Authorization", "").get(path).refused(401, "invalid-write-key")
	}
	source := s.source("browser")
	source.tracks("u1", "Seen", nil).expect(200)
	response, cost := s.sent("/v1/batch", bomb, map[string]string{"authorization": basic(source.key, ""), "content-encoding": "gzip"})
	if response.Status != 413 || cost.WriteUnits > 0 {
		t.Errorf("a public key's bomb is answered %d and costs %+v", response.Status, cost)
	}
	response, cost = s.sent("/v1/batch", `{"batch":[`+strings.Repeat("0,", 100_000)+`0]}`, map[string]string{"authorization": basic(WriteKey, "")})
	if response.Status != 413 || cost.WriteUnits > 0 {
		t.Errorf("100,001 elements are answered %d and cost %+v", response.Status, cost)
	}
	if n := len(s.quarantined()); n > 0 {
		t.Errorf("%d elements of what was refused are kept", n)
	}
}

// TestS3_RefusingCostsLessThanAccepting: of a request's rejects so many are kept, and nobody who was made up gets a key.
func TestS3_RefusingCostsLessThanAccepting(t *testing.T) {
	s := begin(t)
	bad := func(from, n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"type":"dance","userId":"made-up-%d"}`, from+i))
		}
		return `{"batch":[` + strings.Join(list, ",") + `]}`
	}
	s.sdk().post("/v1/batch", bad(0, 2000)).expect(200)
	if n := len(s.quarantined()); n != 50 {
		t.Errorf("%d of 2000 are kept, want 50", n)
	}
	for key := range s.itemsWith("keys", "CUSTOMER#made-up-") {
		t.Errorf("somebody made up has a data key: %s", key)
	}
	s.known("real")
	s.sends(track("real", "Seen", nil))
	s.sdk().post("/v1/track", `{"type":"track","userId":"real"}`).expect(400)
	s.sdk().post("/v1/batch", `{"batch":[{"type":"dance","userId":"real"}]}`).expect(200)
	list := s.pages("/v1/quarantine?limit=50", "messages")
	if len(list) != 51 {
		t.Errorf("%d are shown, want 51", len(list))
	}
	s.post("/v1/customers/real/erasure", m{}).expect(200)
	if n := len(s.pages("/v1/quarantine?limit=50", "messages")); n != 50 {
		t.Errorf("after the erasure of whom one is about %d are shown, want 50", n)
	}
}

// TestS4_StrangersHaveBudgets that hold whatever the process, and that honest clients are told of with 429.
func TestS4_StrangersHaveBudgets(t *testing.T) {
	s := begin(t)
	few := s.source("browser", "messagesPerMinute", 50, "newPeoplePerMinute", 5, "messagesPerRequest", 20)
	if a := s.get("/v1/sources").expect(200); a.at("sources.0.messagesPerMinute") != 50.0 || a.at("sources.0.newPeoplePerMinute") != 5.0 || a.at("sources.0.messagesPerRequest") != 20.0 {
		t.Errorf("shown as %s", a.body)
	}
	batch := func(user func(i int) string, n int) m {
		var list []m
		for i := range n {
			list = append(list, track(user(i), "Seen", nil))
		}
		return m{"batch": list}
	}
	same := func(int) string { return "same" }
	few.says("/v1/batch", batch(same, 21)).refused(413, "too-large")
	for range 2 {
		few.says("/v1/batch", batch(same, 20)).expect(200)
	}
	a := few.says("/v1/batch", batch(same, 20))
	a.refused(429, "over-budget")
	if a.header.Get("Retry-After") == "" {
		t.Error("nobody is told when to come again")
	}
	if got := len(s.known("same").tracked()); got != 40 {
		t.Errorf("%d are stored, want 40", got)
	}
	s.advance("61s")
	few.says("/v1/batch", batch(same, 20)).expect(200)

	people := 0
	for i := range 20 {
		if few.tracks(fmt.Sprint("new-", i), "Seen", nil).status == 200 {
			people++
		}
	}
	if people < 5 || people > 6 { // a process may spend a share of its own
		t.Errorf("%d people are made in a minute, want 5", people)
	}
	few.tracks("same", "Seen", nil).expect(200) // who is known costs nobody
	s.source("server").tracks("new-19", "Seen", nil).expect(200)

	s.post("/v1/sources", m{"name": "x", "kind": "server", "messagesPerMinute": 5}).refused(422, "invalid-source")
	for _, wrong := range []m{{"messagesPerMinute": -1}, {"newPeoplePerMinute": 6_000_001}, {"messagesPerRequest": 2501}} {
		s.patch("/v1/sources/"+few.id, wrong).refused(422, "invalid-source")
	}
}

// TestS5_AStreamHasABudget for what public keys say of it: others write to it, too.
func TestS5_AStreamHasABudget(t *testing.T) {
	s := begin(t)
	s.advance(fmt.Sprintf("%ds", 61-s.system.clock.Now().Second())) // all within a minute
	page := s.source("browser")
	batch := func(user string) m { return m{"batch": slices.Repeat([]m{track(user, "Seen", nil)}, 100)} }
	refused := 0
	for range 8 {
		if a := page.says("/v1/batch", batch("victim")); a.status == 429 {
			refused++
		}
	}
	if refused < 4 || refused > 6 { // an address may use half of what may be said of somebody
		t.Errorf("%d of 8 requests are refused", refused)
	}
	page.says("/v1/batch", batch("other")).expect(200)
	s.source("server").says("/v1/batch", batch("victim")).expect(200)
}

// TestS7_AnotherPageCannotUseTheLocalRun in a real browser: neither its API, whose key everybody knows, nor its engine.
func TestS7_AnotherPageCannotUseTheLocalRun(t *testing.T) {
	browser := chromium(t)
	s := begin(t)
	id := s.registers("email", "ada@example.com").id
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Evil</title>")
	}))
	t.Cleanup(page.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.Flag("disable-background-networking", true))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(allocated)
	t.Cleanup(leave)
	tries := func(url, options string) string {
		t.Helper()
		script := fmt.Sprintf(`fetch(%q, %s).then(r => r.text().then(t => r.status + " " + t), e => "refused: " + e)`, url, options)
		said, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	key := `{headers: {Authorization: "Bearer ` + APIKey + `"}}`
	for _, c := range [][2]string{
		{s.url + "/v1/customers/" + id, key},
		{s.url + "/v1/customers/" + id + "/erasure", `{method: "POST", body: "{}", headers: {Authorization: "Bearer ` + APIKey + `"}}`},
		{s.url + "/v1/customers/" + id, `{mode: "no-cors"}`},
		{s.url + "/_local/mailbox", `{}`},
		{s.url + "/openapi.json", `{}`},
		{strings.Replace(s.system.engine.Endpoint(), engineHost(s), "127.0.0.1", 1), `{method: "POST", body: "{}", headers: {"X-Amz-Target": "DynamoDB_20120810.ListTables"}}`},
	} {
		if said := tries(c[0], c[1]); !strings.HasPrefix(said, "refused: ") && said != "0 " && !strings.HasPrefix(said, "401 ") {
			t.Errorf("%s %s says %s", c[0], c[1], said)
		}
	}
	if said := tries(s.url+"/v1/track", `{method: "POST", body: JSON.stringify({userId: "u1", event: "Seen"}), headers: {Authorization: "`+basic(s.source("browser").key, "")+`"}}`); !strings.HasPrefix(said, "200 ") {
		t.Errorf("what pages may do: %s", said)
	}
	s.get("/v1/customers/"+id).expect(200).has("status", "pending-verification")
}

func engineHost(s *story) string {
	return regexp.MustCompile(`127\.[0-9.]+`).FindString(s.system.engine.Endpoint())
}

// TestS7_OtherOriginsAndNames are refused by every route that is not for pages, and preflights with them.
func TestS7_OtherOriginsAndNames(t *testing.T) {
	s := begin(t)
	if engineHost(s) == "127.0.0.1" {
		t.Error("the engine listens where every page looks")
	}
	for _, path := range []string{"/v1/customers?email=a@b.example", "/v1/sources", "/health", "/openapi.json", "/"} {
		s.with("Origin", "https://evil.example").get(path).refused(401, "not-from-here")
	}
	s.with("Origin", s.url).get("/health").expect(200)
	for path, granted := range map[string]bool{
		"/v1/customers": false, "/v1/orders": false, "/_local/clock": false, "/v1/webhook": false, "/internal/v1/replay": false, "/v1/import": false, "/anything/else": false,
		"/v1/track": true, "/v1/t": true, "/v1/batch": true, "/beacon/v1/batch": true, "/pixel/v1/page": true, "/api/s/track": true, "/sourceConfig": true, "/v1/projects/k/settings": true,
	} {
		a := s.with("Authorization", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST").send("OPTIONS", path, nil).expect(204)
		if got := a.header.Get("Access-Control-Allow-Origin") != ""; got != granted {
			t.Errorf("a preflight of %s is granted: %v", path, got)
		}
	}
	r, err := http.NewRequest("GET", s.url+"/v1/track", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 401 && answer.StatusCode != 405 {
		t.Errorf("another name for this machine is answered %d", answer.StatusCode)
	}
}

// TestS13_SmallOnes of the door.
func TestS13_SmallOnes(t *testing.T) {
	s := begin(t)
	t.Run("a secret key in a page", func(t *testing.T) {
		server := s.source("server")
		server.with("Authorization", basic(server.key, ""), "Origin", "https://shop.example.com").post("/v1/track", track("u1", "Seen", nil)).refused(401, "secret-key-in-a-page")
	})
	t.Run("settings are not cached", func(t *testing.T) {
		a := s.with("Authorization", "").get("/v1/projects/" + s.source("browser").key + "/settings").expect(200)
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control: %s", got)
		}
	})
	t.Run("the data are their owner's", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(s.system.config.DataDir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %v %v", file, info.Mode(), err)
			}
		}
	})
	t.Run("rules that look everywhere", func(t *testing.T) {
		rules := func(n int, user string) m {
			return m{"name": "x", "kind": "webhook", "webhook": m{"signature": "none", "rules": slices.Repeat([]m{{"event": "=x..y..z", "userId": user}}, n)}}
		}
		s.post("/v1/sources", rules(1, "$..a..b..c..d..e")).refused(422, "invalid-source")
		s.post("/v1/sources", rules(11, "$..a")).refused(422, "invalid-source")
		s.post("/v1/sources", rules(10, "$..a")).expect(201)
	})
}

// TestC1_ASlashAtTheEnd changes nothing, of no route.
func TestC1_ASlashAtTheEnd(t *testing.T) {
	s := begin(t)
	c := s.registers("email", "ada@example.com")
	s.sdk().post("/v1/import/", m{"batch": []m{track("u1", "Imported", nil)}}).expect(200)
	s.sdk().post("/v1/t/", track("u1", "Seen", nil)).expect(200)
	if got := s.known("u1").tracked(); len(got) != 2 {
		t.Errorf("stored: %v", got)
	}
	s.get("/v1/customers/"+c.id+"/").expect(200).has("customerId", c.id)
	s.get("/health/").expect(200)
	s.get("/v1/customers/?email=ada@example.com").expect(200)
}

// TestC2_EveryClientTakesTheKeys: 25 characters, c and small letters and digits, which Jitsu insists on.
func TestC2_EveryClientTakesTheKeys(t *testing.T) {
	s := begin(t)
	for _, kind := range []string{"browser", "mobile", "server"} {
		c := s.source(kind)
		if !regexp.MustCompile(`^c[0-9a-z]{24}$`).MatchString(c.key) {
			t.Errorf("the key of a %s is %q", kind, c.key)
		}
		c.tracks("u1", "Seen", nil).expect(200)
		last := c.key[len(c.key)-1]
		wrong := c.key[:len(c.key)-1] + string(map[bool]byte{true: 'a', false: 'b'}[last != 'a'])
		c.with("Authorization", basic(wrong, "")).post("/v1/track", track("u1", "Seen", nil)).refused(401, "invalid-write-key")
	}
}

// TestC5_ErrorsHaveCodeAndMessage on the SDKs' routes: RudderStack's Python SDK sends for ever without them.
func TestC5_ErrorsHaveCodeAndMessage(t *testing.T) {
	s := begin(t)
	a := s.with("Authorization", basic("wrong", "")).post("/v1/batch", m{"batch": []m{}})
	a.refused(401, "invalid-write-key")
	a.has("code", "invalid-write-key", "message", "invalid write key")
	if other := s.get("/v1/customers/nobody").expect(404); other.at("code") != nil {
		t.Errorf("other routes: %s", other.body)
	}
}

// TestD12_AnOldKeyCostsARead seldom: it was issued here once, and the sources do not have it.
func TestD12_AnOldKeyCostsARead(t *testing.T) {
	s := begin(t)
	old := s.source("browser")
	s.post("/v1/sources/"+old.id+"/write-keys", m{"overlap": "0s"}).expect(201)
	for range 3 { // a key that is not in the list any more
		s.post("/v1/sources/"+old.id+"/write-keys", m{"overlap": "0s"}).expect(201)
	}
	header := map[string]string{"authorization": basic(old.key, "")}
	s.sent("/v1/track", `{}`, header)
	total := 0
	for range 8 {
		s.advance("1s")
		time.Sleep(time.Millisecond)
		response, cost := s.sent("/v1/track", `{}`, header)
		if total += cost.Requests; response.Status != 401 {
			t.Errorf("answered %d", response.Status)
		}
	}
	if total > 2 {
		t.Errorf("eight requests within ten seconds cost %d reads", total)
	}
}

// TestP17_Encodings that are known are read, and the others told so.
func TestP17_Encodings(t *testing.T) {
	s := begin(t)
	body := `{"userId":"u1","event":"Seen"}`
	for _, encoding := range []string{"gzip", "x-gzip", "GZIP", "identity"} {
		sent := zipped(json.RawMessage(body))
		if encoding == "identity" {
			sent = body
		}
		s.sdk().with("Content-Encoding", encoding).post("/v1/track", sent).expect(200)
	}
	for _, encoding := range []string{"deflate", "br", "gzip, gzip"} {
		s.sdk().with("Content-Encoding", encoding).post("/v1/track", body).refused(415, "unsupported-encoding")
	}
}

// TestC7_TheContract says what the API does.
func TestC7_TheContract(t *testing.T) {
	s := begin(t)
	c := s.registers("email", "ada@mail.example")
	for _, path := range []string{c.path("?asOf="), c.path("?version="), c.path("/events?from="), c.path("/events?limit="), "/v1/quarantine?source=", "/v1/customers?email="} {
		s.get(path).refused(400, "empty-parameter")
	}
	s.get("/v1/quarantine?cursor=").expect(200)
	c.patch(c.path(""), m{"attributes": m{"sizes": m{"shoe": []int{41, 42}}}}).expect(200).has("attributes.sizes.shoe.1", 42)
	c.patch(c.path(""), `{"attributes":{"deep":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}}`).refused(400, "invalid-attribute")
	s.post("/v1/customers", m{"email": "x@mail.example", "termsAccepted": true, "unknown": 1}).refused(400, "invalid-json")
	description := s.get("/openapi.json").expect(200)
	if closed := description.at("components.schemas.AppRegisterRequest.additionalProperties"); closed != false {
		t.Errorf("unknown fields of a request are described as allowed: %v", closed)
	}
	paths, _ := description.at("paths").(m)
	for path, operations := range paths {
		if strings.Contains(path, "+}") {
			t.Errorf("%s is no template", path)
		}
		if commands, _ := operations.(m)["post"].(m); commands != nil && strings.HasPrefix(path, "/v1/customers") {
			if answers := commands["responses"].(m); answers["409"] == nil || answers["401"] == nil || answers["429"] == nil {
				t.Errorf("%s answers %d kinds of errors", path, len(answers))
			}
		}
	}

	s.sdk().post("/v1/batch", `{"batch":[`+strings.TrimSuffix(strings.Repeat(`{"type":"dance","userId":"u1"},`, 40), ",")+`]}`).expect(200)
	s.advance("721h")
	if a := s.get("/v1/quarantine?limit=10").expect(200); a.at("nextCursor") != nil || len(a.at("messages").([]any)) != 0 {
		t.Errorf("what has expired is a page: %s", a.body)
	}
}
