package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/ingest"
	"defter/pkg/record"
	"defter/pkg/retention"
	"defter/pkg/view"

	"pgregory.net/rapid"
)

const day = 24 * time.Hour

// delivering brings views up to date with what was appended since, as the stream and the bus would: compacted commits were
// never inserted, and are not delivered.
type delivering struct {
	*world
	done map[string]bool
}

func (d delivering) deliver() {
	d.t.Helper()
	var news []eventstore.Commit
	for _, c := range d.commits() {
		if c.Compacted == 0 && !d.done[c.ID] {
			news, d.done[c.ID] = append(news, c), true
		}
	}
	inOrder := func(n int, _ func(int) bool) []int { return upTo(n) }
	for _, call := range d.deliveries(news, inOrder, func(int) int { return 7 }) {
		if err := call.deliver(); err != nil {
			d.t.Fatalf("%s: %v", call.what, err)
		}
	}
}

func (w *world) delivering() delivering { return delivering{w, map[string]bool{}} }

// behave appends one commit of events as they are.
func (w *world) behave(stream string, data ...any) {
	w.t.Helper()
	_, _, err := w.Log.Handle(context.Background(), eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold, ingest.SeenFold},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			news := eventstore.Happened(data...)
			for i := range news {
				news[i].Message = newID()
				news[i].OccurredAt = h.Now.Add(-time.Duration(len(news)-i) * time.Minute)
			}
			return eventstore.Decision{Events: news}, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) archives() {
	w.t.Helper()
	if err := w.ArchiveBehaviour(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// lines are what the archive holds.
func (w *world) lines() []eventstore.Commit {
	w.t.Helper()
	w.shelf.mu.Lock()
	defer w.shelf.mu.Unlock()
	var all []eventstore.Commit
	for _, name := range slices.Sorted(maps.Keys(w.shelf.objects)) {
		for line := range bytes.Lines(w.shelf.objects[name]) {
			var l retention.Line
			if err := json.Unmarshal(line, &l); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, l.Commit())
		}
	}
	return all
}

// behaviour counts behaviour in commits by stream and type, summaries for what they stand for.
func (w *world) behaviour(commits []eventstore.Commit) map[string]int64 {
	w.t.Helper()
	counts := map[string]int64{}
	for _, c := range commits {
		for _, r := range c.Events {
			if w.Log.Catalog.Behaviour(r.Type) {
				counts[c.Stream+" "+r.Type]++
			}
			if !retention.IsSummary(r) {
				continue
			}
			var s retention.Summarised
			if err := json.Unmarshal(r.Data, &s); err != nil || s.Events != int64(r.Span) {
				w.t.Errorf("a summary of %d versions says %s %v", r.Span, r.Data, err)
			}
			for _, o := range s.ByType {
				counts[c.Stream+" "+o.Type] += o.Events
			}
		}
	}
	return counts
}

// raw counts the behaviour that is in the store as it was.
func (w *world) raw(stream string) (n int) {
	for _, e := range w.history(stream) {
		if e.Behaviour {
			n++
		}
	}
	return n
}

// folded is everything that is folded from a stream's events up to a version, but for what archiving itself adds.
func (w *world) folded(stream string, version int64) string {
	w.t.Helper()
	var s record.State
	var p view.Profile
	var c view.ConsentState
	for _, e := range w.history(stream) {
		if e.Version > version {
			break
		}
		s, p, c = record.Evolve(s, e), view.Profiles.Evolve(p, e), view.Consents.Evolve(c, e)
	}
	s.Retention, p.Unarchived = retention.State{}, nil
	s.Cart, p.CartAt = cart.State{Ordered: s.Cart.Ordered}, nil // is forgotten after a month: the head alone has what was in carts lately
	text, err := json.Marshal([]any{s, p, p.Personal, c})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// behaviours are samples of every type of behaviour there is.
func (w *world) behaviours() []any {
	w.t.Helper()
	var all []any
	for _, name := range w.Log.Catalog.Names() {
		if !w.Log.Catalog.Behaviour(name) {
			continue
		}
		schema := w.Log.Catalog.Schema(name)
		sample, err := events.Files.ReadFile(fmt.Sprintf("%s/v%d.sample.json", name, schema))
		if err != nil {
			w.t.Fatal(err)
		}
		data, err := w.Log.Catalog.Decode(name, schema, sample, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// TestB11_FoldsStayAsTheyWere: whatever the history, archiving takes behaviour that is old and nothing else. What is folded is
// the same at every version that is left, from the beginning and from snapshots; the views are those of a rebuild; what is
// gone from the store is in the archive; and whoever archives again finds nothing to do.
func TestB11_FoldsStayAsTheyWere(t *testing.T) {
	t.Parallel()
	client := dynamotest.Client(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := begin(t)
		w.t = rt
		if err := w.putCheckpoint(rt.Context(), archiveSK, archiveCheckpoint{time.Date(w.Now().Year(), w.Now().Month()-1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
			rt.Fatal(err)
		}
		w.lives(rt)
		var streams []string
		for _, c := range w.commits() {
			if !slices.Contains(streams, c.Stream) && !gone(w.state(c.Stream)) && c.Stream != "SOURCES" {
				streams = append(streams, c.Stream)
			}
		}
		if len(streams) == 0 {
			rt.Skip("everybody was erased")
		}
		kinds := w.behaviours()
		behave := func() {
			for range rapid.IntRange(1, 12).Draw(rt, "commits") {
				stream := rapid.SampledFrom(streams).Draw(rt, "stream")
				data := rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 5).Draw(rt, "behaviour")
				if rapid.IntRange(0, 3).Draw(rt, "mixed") == 0 {
					data = append(data, customer.GroupJoined{GroupID: newID()})
					data = append(data, rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 3).Draw(rt, "more")...)
				}
				w.behave(stream, data...)
				w.clock.advance(time.Duration(rapid.IntRange(0, 20*24).Draw(rt, "hours")) * time.Hour)
			}
		}
		behave()
		views := w.delivering()
		views.deliver()
		before, was := w.commits(), map[string][]eventstore.Event{}
		counts := w.behaviour(before)
		for round := range 2 {
			if round > 0 {
				behave()
				views.deliver()
				before, counts = w.commits(), w.behaviour(w.commits())
			}
			type at struct {
				stream  string
				version int64
			}
			folds, seen := map[at]string{}, map[string]ingest.Seen{}
			for _, c := range before {
				was[c.Stream] = w.history(c.Stream)
				folds[at{c.Stream, c.Last()}] = ""
			}
			for k := range folds {
				folds[k] = w.folded(k.stream, k.version)
			}
			w.clock.advance(time.Duration(rapid.IntRange(80, 200).Draw(rt, "days")) * day)
			for stream := range was {
				seen[stream] = w.seen(stream)
			}
			w.archives()
			views.deliver()
			after := w.commits()
			if got := w.behaviour(after); !maps.Equal(got, counts) {
				rt.Fatalf("behaviour in the store\n got  %v\n want %v", got, counts)
			}
			cutoff := w.Now().Add(-retention.KeepFor)
			for stream, past := range was {
				now := w.history(stream)
				next, kept := int64(1), map[string]eventstore.Event{}
				for _, e := range now {
					if e.First() != next {
						rt.Fatalf("%s: version %d comes after %d", stream, e.First(), next-1)
					}
					next, kept[e.ID] = e.Version+1, e
				}
				for _, e := range past {
					stays := !e.Behaviour && e.Type != "BehaviourSummarised"
					if got := kept[e.ID]; stays && !reflect.DeepEqual(got, e) {
						rt.Fatalf("%s: version %d is\n%+v, was\n%+v", stream, e.Version, got, e)
					}
				}
				if !gone(w.state(stream)) {
					for _, e := range now {
						if e.Behaviour && retention.Old(e.RecordedAt, w.Now(), retention.KeepFor+retention.Pause) && cutoff.After(e.RecordedAt) {
							rt.Fatalf("%s: %s of %s is in the store", stream, e.Type, e.RecordedAt)
						}
					}
				}
				for _, e := range now {
					if want, ok := folds[at{stream, e.Version}]; ok && w.folded(stream, e.Version) != want {
						rt.Fatalf("%s at version %d is\n%s, was\n%s", stream, e.Version, w.folded(stream, e.Version), want)
					}
				}
				w.expectHead(stream)
				for _, e := range past {
					if recent := w.Now().Sub(e.RecordedAt) < ingest.SeenFor; recent && e.Message != "" && w.seen(stream).Has(e.Message) != seen[stream].Has(e.Message) {
						rt.Fatalf("%s: a message of %s is no longer recognised", stream, e.RecordedAt)
					}
				}
			}
			live := w.rows()
			rebuilt := w.on(dynamotest.Table(t, client))
			if _, err := rebuilt.Views.Rebuild(rt.Context()); err != nil {
				rt.Fatal(err)
			}
			rebuilt.expectRows(live, "rebuilt")
			objects := len(w.shelf.objects)
			w.archives()
			if again := w.commits(); !reflect.DeepEqual(again, after) || len(w.shelf.objects) != objects {
				rt.Fatalf("archived again: %d commits, were %d; %d objects, were %d", len(again), len(after), len(w.shelf.objects), objects)
			}
		}
		archived := w.behaviour(w.lines())
		for key, n := range w.summarised(w.commits()) {
			if archived[key] < n {
				rt.Fatalf("%s: %d are summarised, and %d in the archive", key, n, archived[key])
			}
		}
	})
}

// summarised counts what summaries stand for.
func (w *world) summarised(commits []eventstore.Commit) map[string]int64 {
	for i, c := range commits {
		commits[i].Events = slices.DeleteFunc(slices.Clone(c.Events), func(r eventstore.Record) bool { return !retention.IsSummary(r) })
	}
	return w.behaviour(commits)
}

func (w *world) state(stream string) record.State {
	w.t.Helper()
	head, err := w.another().Log.Load(context.Background(), stream, record.Fold)
	if err != nil {
		w.t.Fatal(err)
	}
	return record.Fold.Of(head)
}

func (w *world) seen(stream string) ingest.Seen {
	w.t.Helper()
	head, err := w.another().Log.Load(context.Background(), stream, ingest.SeenFold)
	if err != nil {
		w.t.Fatal(err)
	}
	return ingest.SeenFold.Of(head)
}

// expectHead: a stream loads the same with its snapshots and without.
func (w *world) expectHead(stream string) {
	w.t.Helper()
	with := w.state(stream)
	if err := w.Log.Store.DropSnapshots(context.Background(), stream, record.Fold.Name); err != nil {
		w.t.Fatal(err)
	}
	if without := w.state(stream); !reflect.DeepEqual(jsonOf(with), jsonOf(without)) {
		w.t.Errorf("%s is\n%s with a snapshot, without\n%s", stream, jsonOf(with), jsonOf(without))
	}
}

func jsonOf(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// visits gives a customer a past: days of visits, one commit a day, and something else now and then.
func (w *world) visits(id string, days int) {
	w.t.Helper()
	for n := range days {
		w.behave(view.CustomerStream(id), activity.PageViewed{PageURL: "https://shop.example/secret"}, activity.ProductViewed{ProductID: "p"})
		if n%10 == 5 {
			w.behave(view.CustomerStream(id), activity.SearchPerformed{Query: "gift"}, customer.GroupJoined{GroupID: fmt.Sprint("g", n)}, activity.CartViewed{})
		}
		w.clock.advance(day)
	}
}

func (w *world) ada() string {
	w.t.Helper()
	return w.register(`{"email":"ada@mail.example","firstName":"Ada","termsAccepted":true}`)
}

// TestB8_ArchivingTwiceIsOnce: what was summarised is not counted again, however often, by whomever and over however many
// months it is archived.
func TestB8_ArchivingTwiceIsOnce(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id := w.ada()
	stream := view.CustomerStream(id)
	views := w.delivering()
	want := map[string]int64{}
	w.visits(id, 130)
	views.deliver()
	for _, c := range w.commits() {
		if c.Stream == stream {
			maps.Copy(want, w.behaviour(w.commits()))
		}
	}
	for range 40 {
		errs := make(chan error, 3)
		for range cap(errs) { // three at once
			go func() { errs <- w.another().ArchiveBehaviour(context.Background()) }()
		}
		for range cap(errs) {
			if err := <-errs; err != nil && !strings.Contains(err.Error(), "busy") {
				t.Error(err)
			}
		}
		w.archives()
		views.deliver()
		if got := w.behaviour(w.commits()); !maps.Equal(got, want) {
			t.Fatalf("behaviour is %v, want %v", got, want)
		}
		w.clock.advance(5 * day)
	}
	next := int64(0)
	for _, e := range w.history(stream) {
		d, ok := e.Data.(retention.Archived)
		if !ok {
			continue
		}
		if d.From <= next || d.UpTo < d.From || d.UpTo >= e.Version || !slices.Contains(slices.Collect(maps.Keys(w.shelf.objects)), d.Object) {
			t.Errorf("%+v after version %d", d, next)
		}
		next = d.UpTo
	}
	if n := w.raw(stream); n > 0 {
		t.Errorf("%d are left as they were", n)
	}
	if n := len(w.history(stream)); n > 80 {
		t.Errorf("%d events are left of 300", n)
	}
}

// TestArchivingThatDies between any two of its calls goes on where it stopped, to the same end.
func TestArchivingThatDies(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.ada() // who is not in the way
	for n := 0; ; n++ {
		id := w.register(fmt.Sprintf(`{"email":"ada%d@mail.example","firstName":"Ada","termsAccepted":true}`, n))
		stream := view.CustomerStream(id)
		w.visits(id, 12)
		w.delivering().deliver()
		raw, folded := w.behaviour(w.commits()), w.folded(stream, 1000)
		w.clock.advance(91 * day)
		err := w.process(mortal(w.client, n)).ArchiveBehaviour(context.Background())
		if err != nil && !errors.Is(err, errDied) {
			t.Fatalf("after %d calls: %v", n, err)
		}
		w = w.another()
		w.archives()
		w.delivering().deliver()
		w.archives()
		if got := w.behaviour(w.commits()); !maps.Equal(got, raw) || w.raw(stream) > 0 {
			t.Fatalf("after %d calls, %d are left and behaviour is %v, want %v", n, w.raw(stream), got, raw)
		}
		if got := w.folded(stream, 1000); got != folded {
			t.Fatalf("after %d calls it is\n%s, was\n%s", n, got, folded)
		}
		rows := w.rows()
		if _, err := w.Views.Rebuild(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.expectRows(rows, fmt.Sprintf("rebuilt, died after %d calls", n))
		if keys, err := w.Views.Table.Keys(context.Background(), checkpointPK, archiveSK+"#"); err != nil || len(keys) > 0 {
			t.Fatalf("after %d calls, %v is left undone (%v)", n, keys, err)
		}
		if err == nil {
			if n < 20 {
				t.Errorf("only %d calls were interrupted", n)
			}
			return
		}
	}
}

// TestTheArchiveComesFirst: nothing leaves the store that the archive has not taken.
func TestTheArchiveComesFirst(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id := w.ada()
	w.visits(id, 12)
	w.delivering().deliver()
	w.clock.advance(91 * day)
	before := w.commits()
	w.shelf.fail = failing(1)
	if err := w.ArchiveBehaviour(context.Background()); err == nil {
		t.Error("an archive that fails goes unnoticed")
	}
	if after := w.commits(); !reflect.DeepEqual(after, before) {
		t.Error("the store was changed")
	}
	w.archives()
	if n := w.raw(view.CustomerStream(id)); n > 0 || len(w.shelf.objects) != 1 {
		t.Errorf("%d are left, %d objects", n, len(w.shelf.objects))
	}
}

// TestErasedBehaviourIsNotReadable: in the archive as everywhere else.
func TestErasedBehaviourIsNotReadable(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id, views := w.ada(), w.delivering()
	w.visits(id, 12)
	views.deliver()
	w.clock.advance(91 * day)
	w.archives()
	views.deliver()
	open := func() (readable, erased int) {
		for _, c := range w.another().lines() {
			events, err := w.another().Log.Open(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if strings.Contains(jsonOf(e.Data), "secret") {
					readable++
				}
				if e.Erased {
					erased++
				}
			}
		}
		return readable, erased
	}
	if readable, erased := open(); readable != 12 || erased > 0 {
		t.Errorf("%d are readable and %d erased, want 12 and none", readable, erased)
	}
	for name, lines := range w.shelf.objects {
		if strings.Contains(string(lines), "secret") || strings.Contains(string(lines), "gift") {
			t.Errorf("%s holds what is personal", name)
		}
	}
	w.visits(id, 3) // younger, so that a row of the lookup is left
	views.deliver()
	w.erase(id, withKey).expect(200)
	views.deliver()
	if readable, erased := open(); readable > 0 || erased == 0 {
		t.Errorf("%d are readable and %d erased, want none and all", readable, erased)
	}
	for key := range w.rows() {
		if strings.HasPrefix(key, "DUE#archive#") {
			t.Errorf("%s is left", key)
		}
	}
	w.clock.advance(200 * day)
	before := len(w.commits())
	w.archives()
	if after := len(w.commits()); after != before {
		t.Errorf("an erased customer's stream has %d commits, had %d", after, before)
	}
}

// TestManyObjects: a large past fills several objects, none of them too large.
func TestManyObjects(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id, views := w.ada(), w.delivering()
	stream := view.CustomerStream(id)
	properties := json.RawMessage(fmt.Sprintf(`{"text":%q}`, noise(200_000)))
	for range 75 {
		w.behave(stream, activity.EventTracked{Event: "e", Properties: properties})
	}
	views.deliver()
	w.clock.advance(91 * day)
	want := w.behaviour(w.commits())
	w.archives()
	if got := w.behaviour(w.commits()); !maps.Equal(got, want) || w.raw(stream) > 0 {
		t.Errorf("%d are left, behaviour is %v, want %v", w.raw(stream), got, want)
	}
	if n := len(w.shelf.objects); n < 2 {
		t.Errorf("%d objects", n)
	}
	for name, lines := range w.shelf.objects {
		if len(lines) > archiveBytes {
			t.Errorf("%s has %d bytes", name, len(lines))
		}
	}
	if got := w.behaviour(w.lines()); !maps.Equal(got, want) {
		t.Errorf("in the archive is %v, want %v", got, want)
	}
}

// noise cannot be compressed much.
func noise(bytes int) string {
	text, state := make([]byte, bytes), uint64(88172645463325252)
	for i := range text {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		text[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[state&63]
	}
	return string(text)
}

// TestWhatIsAskedForInsideASummary: the summary or nothing, never an error.
func TestWhatIsAskedForInsideASummary(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id, views := w.ada(), w.delivering()
	w.visits(id, 25)
	views.deliver()
	w.clock.advance(91 * day)
	w.archives()
	views.deliver()
	var last int64
	for _, e := range w.history(view.CustomerStream(id)) {
		last = e.Version
	}
	for version := int64(1); version <= last; version++ {
		path := "/v1/customers/" + id
		shown := w.call(GetCustomer(w.App), "GET", "/v1/customers/{id}", fmt.Sprintf("%s?version=%d", path, version), "", withKey).expect(200)
		var c view.Customer
		if err := json.Unmarshal([]byte(shown.body), &c); err != nil || c.Version > version {
			t.Errorf("as of version %d: %s", version, shown.body)
		}
		listed := w.call(ListEvents(w.App), "GET", "/v1/customers/{id}/events", fmt.Sprintf("%s/events?limit=1&cursor=%s", path, view.Cursor(fmt.Sprint(version))), "", withKey).expect(200)
		var list EventList
		if err := json.Unmarshal([]byte(listed.body), &list); err != nil || len(list.Events) != 1 {
			t.Fatalf("from version %d: %s", version, listed.body)
		}
		if e := list.Events[0]; e.Version < version || e.Version-int64(max(e.Span, 1)) >= version {
			t.Errorf("from version %d: %s", version, listed.body)
		}
	}
	pages, versions := 0, int64(0)
	for cursor := ""; ; pages++ {
		listed := w.call(ListTimeline(w.App), "GET", "/v1/customers/{id}/timeline", "/v1/customers/"+id+"/timeline?limit=2&cursor="+cursor, "", withKey).expect(200)
		var list TimelineList
		if err := json.Unmarshal([]byte(listed.body), &list); err != nil {
			t.Fatal(err)
		}
		for _, line := range list.Timeline {
			versions += int64(max(line.Span, 1))
		}
		if cursor = list.NextCursor; cursor == "" {
			break
		}
	}
	if versions != last {
		t.Errorf("the timeline stands for %d versions, want %d", versions, last)
	}
}

// TestKeptLongEnough: however short the deployment says, messages that come again are recognised.
func TestKeptLongEnough(t *testing.T) {
	if retention.MinKeepFor < ingest.SeenFor+day {
		t.Errorf("behaviour may be archived after %s, and duplicates are recognised for %s", retention.MinKeepFor, ingest.SeenFor)
	}
	for set, want := range map[time.Duration]time.Duration{0: retention.KeepFor, time.Hour: retention.MinKeepFor, 30 * day: 30 * day} {
		if got := (&App{Settings: Settings{KeepFor: set}}).keepFor(); got != want {
			t.Errorf("set to %s it is kept for %s, want %s", set, got, want)
		}
	}
}

// on is the same world with views of its own.
func (w *world) on(table string) *world {
	other := *w
	other.tables[1] = table
	return other.another()
}

// TestNothingAheadOfTheProfile: what is not projected yet is not archived, and is later.
func TestNothingAheadOfTheProfile(t *testing.T) {
	t.Parallel()
	client := dynamotest.Client(t)
	w := begin(t)
	id, views := w.ada(), w.delivering()
	stream := view.CustomerStream(id)
	w.visits(id, 5)
	views.deliver()
	w.visits(id, 5)
	w.clock.advance(91 * day)
	before := w.behaviour(w.commits())
	w.archives()
	left := w.raw(stream)
	if left < 10 || left > 13 {
		t.Errorf("%d are left, want those of five days", left)
	}
	views.deliver()
	w.archives() // not for a week
	if n := w.raw(stream); n != left {
		t.Errorf("%d are left, were %d", n, left)
	}
	w.clock.advance(retention.Pause)
	w.archives()
	views.deliver()
	if got := w.behaviour(w.commits()); w.raw(stream) > 0 || !maps.Equal(got, before) {
		t.Errorf("%d are left, behaviour is %v, was %v", w.raw(stream), got, before)
	}
	rebuilt := w.on(dynamotest.Table(t, client))
	if _, err := rebuilt.Views.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	rebuilt.expectRows(w.rows(), "rebuilt")
}

// TestViewsThatFellBehind: a view that stopped anywhere, in the midst of what is a summary by now, comes to the same as every
// other; and a compacted commit that a reader is told of after all changes nothing.
func TestViewsThatFellBehind(t *testing.T) {
	t.Parallel()
	client := dynamotest.Client(t)
	w := begin(t)
	id, views := w.ada(), w.delivering()
	stream := view.CustomerStream(id)
	w.visits(id, 12)
	w.grant(id, `{"purpose":"analytics","channel":"email"}`)
	views.deliver()
	raw := w.commits()
	var behind []*world
	for n := range raw {
		b := w.on(dynamotest.Table(t, client))
		if failed := b.Views.ProjectActivity(t.Context(), raw[:n]); len(failed) > 0 {
			t.Fatalf("failed: %v", failed)
		}
		behind = append(behind, b)
	}
	w.clock.advance(91 * day)
	w.archives()
	views.deliver()
	w.patch(id, `{"firstName":"Augusta"}`).expect(200)
	views.deliver()
	now := w.commits()
	want := w.rows()
	if failed := w.Views.ProjectActivity(t.Context(), now); len(failed) > 0 {
		t.Fatalf("failed: %v", failed)
	}
	w.expectRows(want, "told of everything again")
	profile := stream + " " + view.Profiles.Name
	for n, b := range behind {
		news := now[len(now)-1:]
		if n%2 == 0 { // it is told of all there is
			news = now
		}
		if failed := b.Views.ProjectActivity(t.Context(), news); len(failed) > 0 {
			t.Fatalf("failed: %v", failed)
		}
		if got := b.rows()[profile]; got != want[profile] {
			t.Errorf("behind at commit %d, the profile is\n%s, want\n%s", n, got, want[profile])
		}
		if err := view.Consents.Apply(t.Context(), b.Views, stream, w.history(stream)[len(w.history(stream))-1:]); err != nil {
			t.Errorf("behind at commit %d: %v", n, err)
		}
		if c, _, err := view.Consents.Load(t.Context(), b.Views, stream); err != nil || len(c.List(w.Now())) == 0 {
			t.Errorf("behind at commit %d, the consents are %+v %v", n, c, err)
		}
	}
}

// TestProfilesThatKnowTooLittle: one that was folded before behaviour was counted names a version that is not the oldest. What
// is older is archived too.
func TestProfilesThatKnowTooLittle(t *testing.T) {
	t.Parallel()
	w := begin(t)
	id, views := w.ada(), w.delivering()
	stream := view.CustomerStream(id)
	w.visits(id, 8)
	views.deliver()
	w.clock.advance(91 * day)
	before := w.behaviour(w.commits())
	p, version, err := view.Profiles.Load(t.Context(), w.Views, stream)
	if err != nil {
		t.Fatal(err)
	}
	later := view.Unarchived{Stream: stream, Oldest: *p.Unarchived}
	later.Oldest.Version = version - 1
	object, err := w.archiveStream(t.Context(), w.newObject(w.Now()), later, w.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.closeObject(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if got := w.behaviour(w.commits()); w.raw(stream) > 0 || !maps.Equal(got, before) {
		t.Errorf("%d are left, behaviour is %v, was %v", w.raw(stream), got, before)
	}
}
