package retention_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/retention"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

// TestB8_ARangeIsArchivedOnce: a range has two ends, and what was archived before is not again, be it the whole or a part.
func TestB8_ARangeIsArchivedOnce(t *testing.T) {
	left := &retention.Oldest{Version: 12, RecordedAt: noon}
	archive := func(from, upTo, events int64) retention.Archive {
		return retention.Archive{From: from, UpTo: upTo, Events: events, Object: "o", Left: left}
	}
	want := retention.Archived{From: 3, UpTo: 9, Events: 4, Object: "o", OldestLeft: 12, OldestRecordedAt: &noon}
	events, err := retention.Decide(retention.State{}, archive(3, 9, 4))
	if err != nil || !reflect.DeepEqual(events, []any{want}) {
		t.Errorf("%+v %v, want %+v", events, err, want)
	}
	s := retention.Evolve(retention.State{}, want)
	for _, again := range []retention.Archive{archive(3, 9, 4), archive(1, 2, 1), archive(1, 12, 4), archive(9, 20, 4), archive(4, 8, 1)} {
		if events, err := retention.Decide(s, again); err != nil || len(events) > 0 {
			t.Errorf("%+v again: %+v %v", again, events, err)
		}
	}
	if events, err := retention.Decide(s, archive(10, 10, 1)); err != nil || len(events) != 1 {
		t.Errorf("what comes after: %+v %v", events, err)
	}
	for _, wrong := range []retention.Archive{{}, archive(0, 9, 1), archive(9, 3, 1), archive(3, 9, 0), archive(3, 9, 8)} {
		if _, err := retention.Decide(retention.State{}, wrong); fault.SlugOf(err) != "invalid-range" {
			t.Errorf("%+v: %v, want a refusal", wrong, err)
		}
	}
}

func TestOldest(t *testing.T) {
	at := func(version int64, days int, behaviour bool, data any) eventstore.Event {
		return eventstore.Event{Version: version, RecordedAt: noon.AddDate(0, 0, days), Behaviour: behaviour, Data: data}
	}
	var o *retention.Oldest
	expect := func(e eventstore.Event, version int64, days int) {
		t.Helper()
		o = retention.EvolveOldest(o, e)
		switch {
		case version == 0 && o != nil, version > 0 && (o == nil || o.Version != version || !o.RecordedAt.Equal(noon.AddDate(0, 0, days))):
			t.Errorf("after version %d the oldest is %+v, want %d of day %d", e.Version, o, version, days)
		}
	}
	expect(at(1, 0, false, nil), 0, 0)
	expect(at(2, 1, true, nil), 2, 1)
	expect(at(3, 2, true, nil), 2, 1)
	day := noon.AddDate(0, 0, 2)
	expect(at(4, 95, false, retention.Archived{From: 2, UpTo: 2, OldestLeft: 3, OldestRecordedAt: &day}), 3, 2)
	expect(at(5, 96, true, nil), 3, 2)
	for days, due := range map[int]bool{92: false, 95: false, 101: false, 102: true, 200: true} {
		if o.Due(noon.AddDate(0, 0, days), retention.KeepFor) != due {
			t.Errorf("on day %d it is due: %t", days, !due)
		}
	}
	expect(at(6, 110, false, retention.Archived{From: 3, UpTo: 5}), 0, 0)
	expect(at(7, 111, false, retention.Summarised{}), 0, 0)
	expect(at(8, 112, true, nil), 8, 112)
	for days, due := range map[int]bool{112: false, 201: false, 202: true} {
		if o.Due(noon.AddDate(0, 0, days), retention.KeepFor) != due {
			t.Errorf("the first of all: on day %d it is due: %t", days, !due)
		}
	}
}

// TestSummariesOfSummaries: however events are put together, the sum is the same.
func TestSummariesOfSummaries(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var events []eventstore.Event
		for i := range rapid.IntRange(1, 40).Draw(r, "events") {
			events = append(events, eventstore.Event{
				Type: rapid.SampledFrom([]string{"PageViewed", "ProductViewed", "EventTracked"}).Draw(r, "type"), Version: int64(i + 1),
				OccurredAt: noon.Add(time.Duration(rapid.IntRange(-1000, 1000).Draw(r, "minutes")) * time.Minute),
			})
		}
		whole := retention.Summary(events)
		for len(events) > 1 {
			from := rapid.IntRange(0, len(events)-1).Draw(r, "from")
			to := rapid.IntRange(from+1, len(events)).Draw(r, "to")
			n := retention.Summary(events[from:to])
			some := eventstore.Event{Type: "BehaviourSummarised", Data: n.Data, OccurredAt: n.OccurredAt}
			events = append(append(append([]eventstore.Event{}, events[:from]...), some), events[to:]...)
		}
		if got := retention.Summary(events); !reflect.DeepEqual(got, whole) {
			r.Fatalf("in pieces %+v, whole %+v", got, whole)
		}
		s, count := whole.Data.(retention.Summarised), int64(0)
		for i, o := range s.ByType {
			if count += o.Events; i > 0 && s.ByType[i-1].Type >= o.Type {
				r.Fatalf("%+v is not sorted", s.ByType)
			}
		}
		if count != s.Events || s.FirstOccurredAt.After(s.LastOccurredAt) {
			r.Fatalf("%+v does not add up", s)
		}
	})
}

func TestSummariesAreByMonth(t *testing.T) {
	commit := func(first int64, at time.Time) eventstore.Commit {
		return eventstore.Commit{First: first, RecordedAt: at, Events: make([]eventstore.Record, 2)}
	}
	for _, c := range []struct {
		next     eventstore.Commit
		together bool
	}{
		{commit(3, noon), true},
		{commit(3, noon.Add(11*time.Hour)), true},
		{commit(3, noon.Add(12*time.Hour)), false}, // the next month
		{commit(3, noon.AddDate(1, 0, 0)), false},
		{commit(4, noon), false}, // there is one between them
	} {
		if got := retention.Together(commit(1, noon), c.next); got != c.together {
			t.Errorf("version %d of %s: %t", c.next.First, c.next.RecordedAt, got)
		}
	}
}

func TestLinesAreCommits(t *testing.T) {
	want := eventstore.Commit{
		ID: "id", Stream: "CUSTOMER#1", First: 7, RecordedAt: noon, CorrelationID: "c", CausationID: "ca", Actor: "a", Source: "s",
		Sealed: []byte{0, 1, 0xff}, Compacted: 2, Events: []eventstore.Record{
			{Type: "PageViewed", Schema: 2, OccurredAt: noon, Message: "m", Notes: []string{"price:unreadable"}, Span: 3, Data: json.RawMessage(`{"a":1}`)},
		},
	}
	for value, all := reflect.ValueOf(want), 0; all < value.NumField(); all++ {
		if value.Field(all).IsZero() {
			t.Errorf("field %s was not tried", value.Type().Field(all).Name)
		}
	}
	for value, all := reflect.ValueOf(want.Events[0]), 0; all < value.NumField(); all++ {
		if value.Field(all).IsZero() {
			t.Errorf("field %s of a record was not tried", value.Type().Field(all).Name)
		}
	}
	data, err := json.Marshal(retention.LineOf(want))
	if err != nil {
		t.Fatal(err)
	}
	var line retention.Line
	if err := json.Unmarshal(data, &line); err != nil || !reflect.DeepEqual(line.Commit(), want) {
		t.Errorf("%s comes back as %+v %v", data, line.Commit(), err)
	}
}
