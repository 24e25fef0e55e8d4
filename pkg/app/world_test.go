package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/privacy"
	"defter/pkg/view"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "15") // each check is a history with a database; -rapid.checks asks for more
	slog.SetDefault(slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	os.Exit(dynamotest.Keep(m))
}

// logs are what all tests of this package logged.
var logs = new(journal)

type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *journal) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

func (r *journal) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// tester is a test, or one run of a property.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// world is an app on tables of its own, and what it talks to: small, real and in memory.
type world struct {
	*App
	t      tester
	client meter.API
	tables [3]string // of events, views and keys
	master privacy.Master
	clock  *clock
	bus    *bus
	queue  *queue
	runs   *runs
	post   *post
	shelf  *shelf
}

// begin makes a world. The test is skipped where no DynamoDB is to be had.
func begin(t testing.TB) *world {
	t.Helper()
	client := dynamotest.Client(t)
	master, err := privacy.OpenKeyFile(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, client: client, tables: [3]string{dynamotest.Table(t, client), dynamotest.Table(t, client), dynamotest.Table(t, client)}, master: master,
		clock: new(clock), bus: new(bus), queue: new(queue), runs: new(runs), post: &post{idempotent: true}, shelf: &shelf{objects: map[string][]byte{}},
	}
	return w.process(client)
}

// another is a process of its own in the same world: it shares no memory.
func (w *world) another() *world { return w.process(w.client) }

// process is another whose tables are reached through a client of its own.
func (w *world) process(client meter.API) *world {
	other := *w
	keyring := privacy.NewKeyring(client, w.tables[2], w.master, w.clock.Now)
	log := &eventstore.Log{
		Store: dynamo.New(client, w.tables[0], w.clock.Now), Catalog: catalog.New(), Vault: keyring,
		Now: w.clock.Now, NewID: newID, Validate: events.Validate, Cache: eventstore.NewCache(100),
	}
	other.App = &App{
		Log: log, Views: &view.Views{Table: view.Table{Client: client, Name: w.tables[1]}, Log: log}, Keyring: keyring,
		Access: access{}, Fixed: map[string]ingest.Source{"server": {ID: "server", Trusted: true}, "browser": {ID: "browser"}}, Bus: w.bus, Emails: w.queue, Journeys: w.runs, Erasures: w.runs, Email: w.post, Archive: w.shelf, Now: w.clock.Now, NewID: newID,
		Settings: Settings{OpaqueIDs: wordy, MarketingUnverified: true, EmailFrom: "Shop <shop@shop.example>", WelcomeDelay: 24 * time.Hour},
	}
	log.Catalog.Opaque = other.Settings.Opaque
	return &other
}

// wordy are ids that say in a word what they stand for, as in most stories. What becomes of ids that could tell something is told by itself.
var wordy = regexp.MustCompile(`^(?:[A-Za-z0-9._:-]{0,99}[A-Za-z_:][A-Za-z0-9._:-]{0,99}|[0-9.-]{1,8})$`)

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// clock is the machine's, moved forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead).UTC().Truncate(time.Millisecond)
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

type access struct{}

func (access) APIKey(_ context.Context, presented string) (string, bool, error) {
	return "test", presented == "key", nil
}

// bus keeps what was published. refuse says which entries are not taken this time.
type bus struct {
	mu     sync.Mutex
	calls  [][]Entry // as asked for
	taken  []Entry
	refuse func(call int, e Entry) bool
	fail   func(call int) error
}

func (b *bus) Publish(_ context.Context, entries []Entry) (failed []int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, entries)
	if b.fail != nil {
		if err := b.fail(len(b.calls)); err != nil {
			return nil, err
		}
	}
	for i, e := range entries {
		if b.refuse != nil && b.refuse(len(b.calls), e) {
			failed = append(failed, i)
			continue
		}
		b.taken = append(b.taken, e)
	}
	return failed, nil
}

// queue keeps messages until a test has them delivered.
type queue struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (q *queue) Send(_ context.Context, body []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bodies = append(q.bodies, body)
	return nil
}

func (q *queue) take() [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	bodies := q.bodies
	q.bodies = nil
	return bodies
}

// shelf keeps the archive's objects. fail says whether it takes one.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	fail    func() error
}

func (s *shelf) Put(_ context.Context, name string, lines []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	s.objects[name] = slices.Clone(lines)
	return nil
}

// runs keeps the journeys started, each name once.
type runs struct {
	mu     sync.Mutex
	inputs map[string][]byte
}

func (r *runs) Start(_ context.Context, name string, input []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inputs == nil {
		r.inputs = map[string][]byte{}
	}
	if r.inputs[name] == nil {
		r.inputs[name] = input
	}
	return nil
}

// post is a provider. What it delivers is in letters; an idempotent one delivers each key once.
type post struct {
	idempotent bool
	before     func(Mail) error // fails without delivering
	after      func(Mail) error // fails although delivered
	forget     func() error

	mu        sync.Mutex
	asked     int
	letters   []Mail
	forgotten []string
}

func (p *post) Send(_ context.Context, m Mail) (string, error) {
	p.mu.Lock()
	p.asked++
	p.mu.Unlock()
	if p.before != nil {
		if err := p.before(m); err != nil {
			return "", err
		}
	}
	p.mu.Lock()
	known := slices.ContainsFunc(p.letters, func(l Mail) bool { return l.IdempotencyKey == m.IdempotencyKey })
	if !known || !p.idempotent {
		p.letters = append(p.letters, m)
	}
	p.mu.Unlock()
	if p.after != nil {
		if err := p.after(m); err != nil {
			return "", err
		}
	}
	return "provider-" + m.IdempotencyKey, nil
}

func (p *post) Idempotent() bool { return p.idempotent }

func (p *post) Forget(_ context.Context, customerID string) error {
	if p.forget != nil {
		if err := p.forget(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters = slices.DeleteFunc(p.letters, func(m Mail) bool { return m.CustomerID == customerID })
	p.forgotten = append(p.forgotten, customerID)
	return nil
}

// reply is a function's answer to an HTTP request.
type reply struct {
	tester
	call   string
	status int
	body   string
}

func (r reply) expect(status int) reply {
	r.Helper()
	if r.status != status {
		r.Fatalf("%s answers %d, want %d: %.500s", r.call, r.status, status, r.body)
	}
	return r
}

func (r reply) text(field string) string {
	var fields map[string]any
	_ = json.Unmarshal([]byte(r.body), &fields)
	text, _ := fields[field].(string)
	return text
}

// call calls a function as API Gateway would. The path is what its route's parameters are filled from.
func (w *world) call(function lambdaio.Handler, method, route, path, body string, header map[string]string) reply {
	w.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	in := lambdaevents.APIGatewayV2HTTPRequest{
		RouteKey: method + " " + route, RawPath: path, RawQueryString: query, Headers: map[string]string{}, PathParameters: map[string]string{},
		Body: base64.StdEncoding.EncodeToString([]byte(body)), IsBase64Encoded: true,
	}
	in.RequestContext.RequestID = newID()
	in.RequestContext.HTTP.SourceIP = "203.0.113.1"
	for name, value := range header {
		in.Headers[name] = value
	}
	given := strings.Split(path, "/")
	for i, part := range strings.Split(route, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok && i < len(given) {
			in.PathParameters[strings.TrimSuffix(name, "}")] = given[i]
		}
	}
	payload, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := function.Invoke(context.Background(), payload)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	var out lambdaevents.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(answer, &out); err != nil {
		w.t.Fatal(err)
	}
	return reply{w.t, method + " " + path, out.StatusCode, out.Body}
}

var withKey = map[string]string{"authorization": "Bearer key"}

func (w *world) register(body string) string {
	w.t.Helper()
	return w.call(RegisterCustomer(w.App), "POST", "/v1/customers", "/v1/customers", body, withKey).expect(201).text("customerId")
}

func (w *world) patch(id, body string) reply {
	w.t.Helper()
	return w.call(UpdateProfile(w.App), "PATCH", "/v1/customers/{id}", "/v1/customers/"+id, body, withKey)
}

func (w *world) erase(id string, header map[string]string) reply {
	w.t.Helper()
	return w.call(EraseCustomer(w.App), "POST", "/v1/customers/{id}/erasure", "/v1/customers/"+id+"/erasure", "{}", header)
}

// sends is an SDK with a write key sending a message to one of its endpoints.
func (w *world) sends(writeKey, kind, body string) reply {
	w.t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte(writeKey + ":"))
	return w.call(IngestEvents(w.App), "POST", "/v1/"+kind, "/v1/"+kind, body, map[string]string{"authorization": "Basic " + basic})
}

// commits are everything that was appended, by stream and in order.
func (w *world) commits() []eventstore.Commit {
	w.t.Helper()
	var all []eventstore.Commit
	for c, err := range w.Log.Store.Scan(context.Background(), 0, 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// history are a stream's events.
func (w *world) history(stream string) []eventstore.Event {
	w.t.Helper()
	var all []eventstore.Event
	for e, err := range w.Log.Events(context.Background(), stream, 1, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func kinds(history []eventstore.Event) []string {
	var names []string
	for _, e := range history {
		names = append(names, e.Type)
	}
	return names
}

// messages are a customer's entries of the send ledger, as "template status reason".
func (w *world) messages(id string) []string {
	w.t.Helper()
	list, _, err := w.ledgerPage(context.Background(), view.CustomerStream(id), "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var texts []string
	for _, m := range list {
		texts = append(texts, strings.TrimSpace(fmt.Sprint(m.Template, " ", m.Status, " ", m.Reason)))
	}
	return texts
}

func slugOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.SlugOf(err)
}

// mortal is a client of tables that dies after so many calls.
func mortal(client meter.API, calls int) meter.API {
	return interruptedAt(client, calls+1, nil, true)
}

// interrupted is a client of tables to which something happens before its n-th call: others do something meanwhile, that
// call fails, or it dies.
type interrupted struct {
	meter.API
	left      atomic.Int64
	meanwhile func() error
	dead      bool
}

func interruptedAt(client meter.API, n int, meanwhile func() error, dead bool) meter.API {
	i := &interrupted{API: client, meanwhile: meanwhile, dead: dead}
	i.left.Store(int64(n))
	return i
}

var errDied = errors.New("the process died")

func (i *interrupted) call() error {
	left := i.left.Add(-1)
	if left == 0 && i.meanwhile != nil {
		return i.meanwhile()
	}
	if left <= 0 && i.dead {
		return errDied
	}
	return nil
}

func interrupt[In, Out any](i *interrupted, ctx context.Context, in In, call func(context.Context, In, ...func(*dynamodb.Options)) (*Out, error)) (*Out, error) {
	if err := i.call(); err != nil {
		return nil, err
	}
	return call(ctx, in)
}

func (i *interrupted) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return interrupt(i, ctx, in, i.API.GetItem)
}

func (i *interrupted) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return interrupt(i, ctx, in, i.API.BatchGetItem)
}

func (i *interrupted) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return interrupt(i, ctx, in, i.API.Query)
}

func (i *interrupted) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return interrupt(i, ctx, in, i.API.PutItem)
}

func (i *interrupted) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return interrupt(i, ctx, in, i.API.DeleteItem)
}

func (i *interrupted) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return interrupt(i, ctx, in, i.API.BatchWriteItem)
}

func (i *interrupted) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return interrupt(i, ctx, in, i.API.TransactWriteItems)
}
