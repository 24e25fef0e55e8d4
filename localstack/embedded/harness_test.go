package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"defter/localstack/engine"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	patience = 20 * time.Second // for what follows a command; it takes milliseconds on an idle machine
	pause    = 5 * time.Millisecond
)

// asProgram makes the test binary the program itself, so that tests can kill it.
const asProgram = "DEFTER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if err := Main(context.Background(), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "defter:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	os.Exit(m.Run())
}

// logs are what all tests of this package logged.
var logs = new(journal)

type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// m is a JSON object.
type m = map[string]any

// story is the whole system, and an app that calls it.
type story struct {
	testing.TB
	system *System
	url    string
	header http.Header
	place  func(*System)
	client *http.Client // nil for the one of all stories

	process *exec.Cmd // instead of a system
	ended   chan struct{}
}

// begin starts a system of the story's own, beside those of other stories: most of the time they wait. A test begins
// once. It is skipped where the engine is not installed.
func begin(t testing.TB, configure ...func(*Config)) *story {
	t.Helper()
	return beginWith(t, func(*System) {}, configure...)
}

// beginWith is begin with parts of the test's own, put in place before anything happens.
func beginWith(t testing.TB, place func(*System), configure ...func(*Config)) *story {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	config := Config{DataDir: t.TempDir(), MarketingUnverified: true, OpaqueIDs: wordy} // most stories are about something else than verification
	for _, c := range configure {
		c(&config)
	}
	s := &story{TB: t, header: http.Header{"Authorization": {"Bearer " + APIKey}}, place: place}
	s.start(config)
	t.Cleanup(func() {
		if err := s.system.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

func (s *story) start(config Config) {
	s.Helper()
	system, err := assemble(context.Background(), config)
	if errors.Is(err, engine.ErrNotInstalled) {
		s.Skip("needs the DynamoDB engine: ", err)
	}
	if err != nil {
		s.Fatalf("start: %v", err)
	}
	s.place(system)
	system.run(context.Background())
	s.system, s.url = system, system.URL
}

// restart stops the system and starts it again on the same data.
func (s *story) restart() {
	s.Helper()
	if err := s.system.Stop(); err != nil {
		s.Fatalf("stop: %v", err)
	}
	s.start(s.system.config)
}

// with is the same app sending more headers, given in pairs; "" sends none of that name.
func (s *story) with(headers ...string) *story {
	other := *s
	other.header = s.header.Clone()
	for i := 0; i < len(headers); i += 2 {
		other.header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			other.header.Del(headers[i])
		}
	}
	return &other
}

// sdk is an analytics SDK: the write key is the user name, without a password.
func (s *story) sdk() *story {
	return s.with("Authorization", basic(WriteKey, ""))
}

func (s *story) get(path string) *reply            { s.Helper(); return s.send("GET", path, nil) }
func (s *story) post(path string, body any) *reply { s.Helper(); return s.send("POST", path, body) }
func (s *story) put(path string, body any) *reply  { s.Helper(); return s.send("PUT", path, body) }
func (s *story) patch(path string, body any) *reply {
	s.Helper()
	return s.send("PATCH", path, body)
}
func (s *story) delete(path string) *reply { s.Helper(); return s.send("DELETE", path, nil) }

// send calls the API. A string is sent as it is, anything else as JSON.
func (s *story) send(method, path string, body any) *reply {
	s.Helper()
	a := s.try(method, path, body)
	if a.err != nil {
		s.Fatalf("%s: %v", a.call, a.err)
	}
	return a
}

var client = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// try is send for goroutines: what goes wrong on the way is in the answer.
func (s *story) try(method, path string, body any) *reply {
	a := &reply{TB: s.TB, call: method + " " + path}
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			a.err = err
			return a
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, s.url+path, content)
	if err != nil {
		a.err = err
		return a
	}
	r.Header = s.header.Clone()
	response, err := cmp.Or(s.client, client).Do(r)
	if err != nil {
		a.err = err
		return a
	}
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	a.body, a.err = io.ReadAll(response.Body)
	return a
}

// reply is what the API said.
type reply struct {
	testing.TB
	call   string
	status int
	header http.Header
	body   []byte
	err    error
}

// expect ends the test unless the status is that one.
func (a *reply) expect(status int) *reply {
	a.Helper()
	if a.err != nil || a.status != status {
		a.Fatalf("%s answers %d, want %d: %.1000s %v", a.call, a.status, status, a.body, a.err)
	}
	return a
}

// refused ends the test unless the answer is that problem.
func (a *reply) refused(status int, slug string) {
	a.Helper()
	if a.expect(status).slug() != slug {
		a.Errorf("%s is refused as %q, want %q: %.1000s", a.call, a.slug(), slug, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.Errorf("%s refuses as %q", a.call, got)
	}
}

func (a *reply) slug() string {
	slug, _ := strings.CutPrefix(a.text("type"), "urn:defter:problem:")
	return slug
}

// at is what the answer has at a path such as "consents.0.status"; nil for nothing.
func (a *reply) at(path string) any {
	var value any
	if json.Unmarshal(a.body, &value) != nil {
		return nil
	}
	return at(value, path)
}

func at(value any, path string) any {
	if path == "" {
		return value
	}
	for name := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case m:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

func (a *reply) text(path string) string {
	text, _ := a.at(path).(string)
	return text
}

func (a *reply) number(path string) int {
	n, _ := a.at(path).(float64)
	return int(n)
}

// list is a list of objects.
func (a *reply) list(path string) []m {
	items, _ := a.at(path).([]any)
	objects := make([]m, 0, len(items))
	for _, item := range items {
		object, _ := item.(m)
		objects = append(objects, object)
	}
	return objects
}

// has reports what is not as wanted at each path, given in pairs.
func (a *reply) has(want ...any) *reply {
	a.Helper()
	for i := 0; i < len(want); i += 2 {
		path := want[i].(string)
		if got, want := fmt.Sprint(a.at(path)), fmt.Sprint(want[i+1]); got != want {
			a.Errorf("%s: %s is %s, want %s", a.call, path, got, want)
		}
	}
	return a
}

// eventually waits until what is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

var names atomic.Int64

// unique makes a name that no other story uses.
// wordy are ids that say in a word what they stand for, as in most stories. What becomes of ids that could tell something is told by itself.
var wordy = regexp.MustCompile(`^(?:[A-Za-z0-9._:-]{0,99}[A-Za-z_:][A-Za-z0-9._:-]{0,99}|[0-9.-]{1,8})$`)

func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, names.Add(1)) }

func email(name string) string { return name + "@mail.example" }

// customer is somebody who has registered.
type customer struct {
	*story
	id, email string
}

// registers registers somebody; more fields of the body follow in pairs.
func (s *story) registers(fields ...any) customer {
	s.Helper()
	body := m{"email": email(unique("somebody")), "termsAccepted": true}
	for i := 0; i < len(fields); i += 2 {
		body[fields[i].(string)] = fields[i+1]
	}
	a := s.post("/v1/customers", body).expect(201)
	return customer{s, a.text("customerId"), body["email"].(string)}
}

// consents is registers for somebody who agrees to marketing by email.
func (s *story) consents(fields ...any) customer {
	s.Helper()
	return s.registers(append([]any{"marketingConsent", true}, fields...)...)
}

func (c customer) path(rest string) string { return "/v1/customers/" + url.PathEscape(c.id) + rest }

func (c customer) shown() *reply { c.Helper(); return c.get(c.path("")) }

// events are all events of the customer, page after page.
func (c customer) events() []m { c.Helper(); return c.pages(c.path("/events?limit=500"), "events") }

// pages follows the cursors to the end.
func (s *story) pages(path, list string) []m {
	s.Helper()
	all := []m{}
	for cursor := ""; ; {
		a := s.get(path + cursor).expect(200)
		all = append(all, a.list(list)...)
		if a.text("nextCursor") == "" {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(a.text("nextCursor"))
	}
}

// typesOf are the events' types, in order.
func typesOf(events []m) []string {
	types := make([]string, len(events))
	for i, e := range events {
		types[i], _ = e["type"].(string)
	}
	return types
}

// happened is how often events of a type happened to the customer.
func (c customer) happened(eventType string) int {
	c.Helper()
	return len(c.pages(c.path("/events?limit=500&types="+eventType), "events"))
}

// mails are the mails to an address, oldest first.
func (s *story) mails(address string) []Mail {
	s.Helper()
	a := s.get("/_local/mailbox").expect(200)
	var box struct{ Messages []Mail }
	if err := json.Unmarshal(a.body, &box); err != nil {
		s.Fatal(err)
	}
	var own []Mail
	for _, mail := range box.Messages {
		if mail.To == address {
			own = append(own, mail)
		}
	}
	return own
}

// mailed waits until so many mails have come to an address.
func (s *story) mailed(address string, n int) []Mail {
	s.Helper()
	var mails []Mail
	eventually(s, fmt.Sprintf("%d mails to %s", n, address), func() bool {
		mails = s.mails(address)
		return len(mails) >= n
	})
	return mails
}

var tokenInMail = regexp.MustCompile(`(?m)^[A-Za-z0-9_-]{32}$`)

// advance moves the clock.
func (s *story) advance(by string) {
	s.Helper()
	s.post("/_local/clock", m{"advance": by}).expect(200)
}

// settled waits until nothing is left to be done: nothing unread in the stream, queued, or due in a journey. Work moves
// between these, so they must be found empty twice, with nothing written in between.
func (s *story) settled() {
	s.Helper()
	before := -1.0
	eventually(s, "nothing left to do", func() bool {
		written := s.system.Meter.Cost().WriteUnits
		if !s.idle() {
			before = -1
			return false
		}
		same := before == written
		before = written
		return same
	})
}

func (s *story) idle() bool {
	s.Helper()
	ctx := context.Background()
	for _, q := range s.system.queues {
		if rows := s.local(q.partition()); len(rows) > 0 {
			return false
		}
	}
	due := dueKey(s.system.clock.Now(), "~")
	for _, m := range s.system.machines {
		for _, row := range s.local(m.executions()) {
			if row.SK <= due {
				return false
			}
		}
	}
	for _, r := range s.system.readers {
		if lag, err := r.lag(ctx); err != nil || lag > 0 {
			return false
		}
	}
	return true
}

// local are rows of what the stand-ins hold.
func (s *story) local(partition string) []view.Row {
	s.Helper()
	rows, _, err := s.system.local.List(context.Background(), partition, "", "", 1000, false)
	if err != nil {
		s.Fatal(err)
	}
	return rows
}

// items are all items of a table, as text.
func (s *story) items(table string) map[string]string {
	s.Helper()
	return s.itemsWith(table, "")
}

// itemsWith are the items of a table whose partition key begins like that.
func (s *story) itemsWith(table, prefix string) map[string]string {
	s.Helper()
	items := map[string]string{}
	in := &dynamodb.ScanInput{TableName: &table}
	for {
		out, err := s.system.client.API.Scan(context.Background(), in)
		if err != nil {
			s.Fatal(err)
		}
		for _, item := range out.Items {
			row := view.RowOf(item)
			if strings.HasPrefix(row.PK, prefix) {
				items[row.PK+" "+row.SK] = asText(item)
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return items
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

func asText(item map[string]types.AttributeValue) string {
	plain := m{}
	for name, value := range item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			plain[name] = v.Value
		case *types.AttributeValueMemberN:
			plain[name] = json.Number(v.Value)
		case *types.AttributeValueMemberB:
			plain[name] = string(v.Value)
		default:
			plain[name] = fmt.Sprintf("%#v", v)
		}
	}
	text, _ := json.Marshal(plain) // strings and numbers always marshal
	return string(text)
}

// stored is everything that calls can leave behind.
func (s *story) stored() map[string]string {
	s.Helper()
	all := s.items(topology.Events)
	for key, item := range s.items(topology.Views) {
		all[key] = item
	}
	return all
}

// program is the story of the program as its users start it: a process of its own, which can be killed.
func program(t testing.TB, dir string, environment ...string) *story {
	t.Helper()
	s := &story{TB: t, header: http.Header{"Authorization": {"Bearer " + APIKey}}}
	s.process = exec.Command(os.Args[0])
	s.process.Env = append(append(os.Environ(), asProgram+"=yes", "PORT=0", "DATA_DIR="+dir, "LOG_LEVEL=debug", "MARKETING_TO=any"), environment...)
	out := new(journal)
	s.process.Stdout, s.process.Stderr = out, out
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.process.Wait() }() // its state says how it ended
	s.ended = ended
	t.Cleanup(func() { s.end(syscall.SIGTERM) })
	eventually(t, "the program runs", func() bool {
		select {
		case <-ended:
			if strings.Contains(out.String(), engine.ErrNotInstalled.Error()) {
				t.Skip("needs the DynamoDB engine: ", out.String())
			}
			t.Fatalf("the program ended: %s", out.String())
		default:
		}
		if _, rest, ok := strings.Cut(out.String(), "runs on "); ok {
			s.url, _, _ = strings.Cut(rest, " ")
		}
		return s.url != ""
	})
	return s
}

// end ends the program, and returns when it has ended.
func (s *story) end(by syscall.Signal) {
	s.Helper()
	_ = s.process.Process.Signal(by) // it may have ended already
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.Errorf("the program does not end on %s", by)
		_ = s.process.Process.Kill()
		<-s.ended
	}
}
