package embedded

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/app"
	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/topology"
)

// unproduced are event types that nothing makes yet, and why they are there.
var unproduced = map[string]string{
	"CustomerSegmentRemoved": "segments are left by rules that are still to come; whoever reads events must know it before they do",
}

// told are the leaves of events' data that hold a text, as "OrderPlaced.items.productName", and whether one had something personal in it.
type told map[string]bool

// types are the leaves of an event type's data that may say anything: what is public whatever it says is held to a list in pkg/catalog, and what
// the schema limits to some values or a form cannot. What is sealed as a secret is of sources, which are nobody.
func (l told) types(path string, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			l.types(path, t.Elem())
			return
		}
		l[path] = false // any JSON
	case reflect.Map, reflect.String, reflect.Interface:
		l[path] = false
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			schema, seal := f.Tag.Get("jsonschema"), f.Tag.Get("pii")
			whole := !strings.Contains(path, ".") // whose tag counts for all that is in it
			if f.Type == reflect.TypeFor[time.Time]() || strings.Contains(schema, "enum=") || strings.Contains(schema, "pattern=") || whole && (seal == "-" || seal == "secret") {
				continue
			}
			l.types(path+"."+name, f.Type)
		}
	}
}

// hear notes the leaves of one event's data that have something personal in them.
func (l told) hear(path string, data any) {
	switch d := data.(type) {
	case map[string]any:
		if _, leaf := l[path]; !leaf {
			for name, value := range d {
				l.hear(path+"."+name, value)
			}
			return
		}
	case []any:
		if _, leaf := l[path]; !leaf || len(d) > 0 {
			for _, value := range d {
				l.hear(path, value)
			}
			return
		}
	}
	text, _ := json.Marshal(data)
	if _, leaf := l[path]; leaf && slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(string(text), secret) }) {
		l[path] = true
	}
}

// commits are all commits of a system's events table.
func (s *story) commits() []eventstore.Commit {
	s.Helper()
	streams := map[string]bool{}
	for key := range s.items(topology.Events) {
		stream, row, _ := strings.Cut(key, " ")
		if strings.HasPrefix(row, "E#") {
			streams[stream] = true
		}
	}
	var all []eventstore.Commit
	for stream := range streams {
		for c, err := range s.system.App.Log.Store.ReadBack(s.Context(), stream, 0) {
			if err != nil {
				s.Fatal(err)
			}
			all = append(all, c)
		}
	}
	return all
}

// TestS8_ALifeHasEverything: the life that is told of before an erasure has every type of event that there is, with something personal in
// every text that a client can choose. So what is found nowhere afterwards was there before.
func TestS8_ALifeHasEverything(t *testing.T) {
	heard := &wire{}
	s := beginWith(t, heard.tap, func(c *Config) { c.OpaqueIDs = nil })
	c := tell(s)
	s.settled()
	leaves, names := told{}, catalog.New().Names()
	for _, name := range names {
		leaves.types(name, catalog.New().Type(name))
	}
	types := map[string]bool{}
	note := func() {
		for _, commit := range s.commits() {
			events, err := s.system.App.Log.Open(t.Context(), commit)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				types[e.Type] = true
				text, err := json.Marshal(e.Data)
				if err != nil {
					t.Fatal(err)
				}
				var data any
				if err := json.Unmarshal(text, &data); err != nil {
					t.Fatal(err)
				}
				leaves.hear(e.Type, data)
			}
		}
	}
	note()
	c.post(c.path("/erasure"), m{}).expect(200)
	s.settled()
	note()
	for name := range unproduced {
		expectUnproduced(t, catalog.New().Type(name))
	}
	for _, name := range names {
		if _, none := unproduced[name]; types[name] == none {
			t.Errorf("%s is in the life: %v", name, types[name])
		}
	}
	for _, leaf := range slices.Sorted(maps.Keys(leaves)) {
		if leaves[leaf] == (harmless(leaf) != "") {
			t.Errorf("%s has something personal: %v (%s)", leaf, leaves[leaf], harmless(leaf))
		}
	}
	heard.expectNothingPersonal(t)
}

// expectUnproduced: no code makes an event of the type.
func expectUnproduced(t *testing.T, event reflect.Type) {
	t.Helper()
	home := strings.TrimPrefix(event.PkgPath(), "defter/")
	err := filepath.WalkDir("../../pkg", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			made, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			switch of := made.Type.(type) {
			case *ast.SelectorExpr:
				from, _ := of.X.(*ast.Ident)
				ok = from != nil && from.Name == filepath.Base(home) && of.Sel.Name == event.Name()
			case *ast.Ident:
				ok = strings.HasSuffix(filepath.Dir(path), home) && of.Name == event.Name()
			default:
				ok = false
			}
			if ok {
				t.Errorf("%s makes a %s: the life must have it", path, event)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wire listens to everything that leaves the tables: the bus, the queue of emails, and what state machines are started with.
type wire struct {
	mu   sync.Mutex
	said map[string][]string
}

func (w *wire) tap(s *System) {
	w.said = map[string][]string{}
	s.App.Bus = tappedBus{s.App.Bus, w}
	s.App.Emails = tapped{w, "queue", nil, s.App.Emails}
	s.App.Journeys = tapped{w, "journeys", s.App.Journeys, nil}
	s.App.PaymentRuns = tapped{w, "payments", s.App.PaymentRuns, nil}
	s.App.Erasures = tapped{w, "erasures", s.App.Erasures, nil}
}

func (w *wire) note(where string, texts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[where] = append(w.said[where], texts...)
}

// expectNothingPersonal: everything was used, and nobody who listens learns anything about anybody.
func (w *wire) expectNothingPersonal(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, where := range []string{"bus", "queue", "journeys", "payments", "erasures"} {
		if len(w.said[where]) == 0 {
			t.Errorf("nothing went to %s", where)
		}
		for _, text := range w.said[where] {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %s is in %.1000s", where, secret, text)
				}
			}
		}
	}
}

type tappedBus struct {
	app.Bus
	*wire
}

func (b tappedBus) Publish(ctx context.Context, entries []app.Entry) ([]int, error) {
	for _, e := range entries {
		b.note("bus", e.Type, string(e.Detail))
	}
	return b.Bus.Publish(ctx, entries)
}

type tapped struct {
	*wire
	where   string
	starter app.Starter
	queue   app.Queue
}

func (p tapped) Start(ctx context.Context, name string, input []byte) error {
	p.note(p.where, name, string(input))
	return p.starter.Start(ctx, name, input)
}

func (p tapped) Send(ctx context.Context, body []byte) error {
	p.note(p.where, string(body))
	return p.queue.Send(ctx, body)
}

// harmless says why nobody can put something personal into a leaf, "" where they can. That it is so is tested.
func harmless(leaf string) string {
	name, field, _ := strings.Cut(leaf, ".")
	switch {
	case field == "addressHash", leaf == "CustomerTraitsClaimed.groupId":
		return "a keyed hash of ours"
	case name == "VisitorIdentified" && strings.HasPrefix(field, "context"), leaf == "CartCreated.sessionId":
		return "nothing fills it"
	case (name == "PageViewed" || name == "ScreenViewed") && (field == "context.pageUrl" || field == "context.referrer"):
		return "the event has fields of its own for it"
	case field == "preferences.timezone":
		return "one of the world's time zones"
	case field == "errorMessage", field == "errorCode" && name != "RefundReversed", field == "transactionId" && (name == "PaymentSucceeded" || name == "RefundDelayed"):
		return "the payment provider's"
	case field == "paymentId" && name != "PaymentSucceeded":
		return "an id of ours"
	}
	return ""
}
