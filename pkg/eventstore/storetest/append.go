package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/eventstore"

	"pgregory.net/rapid"
)

func everyField(t *testing.T, s suite) {
	var want eventstore.Commit
	fill(t, reflect.ValueOf(&want).Elem())
	want.ID, want.Stream, want.First = id(1), "CUSTOMER#1", 1
	must(t, s.Append(t.Context(), want))
	sameCommits(t, s.Read(t.Context(), want.Stream, 1, 0), want)

	for i := range want.Events {
		for field, value := range reflect.ValueOf(want.Events[i]).Fields() {
			if value.IsZero() {
				t.Errorf("field %s of a record was not tried", field.Name)
			}
		}
	}
	for field, value := range reflect.ValueOf(want).Fields() {
		if value.IsZero() {
			t.Errorf("field %s of a commit was not tried", field.Name)
		}
	}
}

// fill sets every field to something that is not zero, fields yet to be invented too.
func fill(t *testing.T, v reflect.Value) {
	n := 7
	for field, value := range v.Fields() {
		n++
		switch value.Interface().(type) {
		case string:
			value.SetString(fmt.Sprintf("%s %d", field.Name, n))
		case int, int64:
			value.SetInt(int64(n))
		case bool:
			value.SetBool(true)
		case time.Time:
			value.Set(reflect.ValueOf(start.Add(time.Duration(n) * time.Millisecond)))
		case json.RawMessage:
			value.Set(reflect.ValueOf(json.RawMessage(`{"price":{"amount":-1,"currency":"TRY"},"kitap":"Saatleri Ayarlama Enstitüsü"}`)))
		case []string:
			value.Set(reflect.ValueOf([]string{"currency:unreadable", "timestamp:ambiguous"}))
		case []byte:
			value.SetBytes([]byte{0, 1, 0xff, 0})
		case []eventstore.Record:
			records := make([]eventstore.Record, 3)
			for i := range records {
				fill(t, reflect.ValueOf(&records[i]).Elem())
			}
			value.Set(reflect.ValueOf(records))
		default:
			t.Fatalf("no example for field %s of type %s", field.Name, field.Type)
		}
	}
}

func anyCommit(t *testing.T, s suite) {
	text := rapid.StringN(0, 40, 120)
	when := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-62_135_596_800_000, 253_402_300_799_999)).Draw(t, "ms")).UTC()
	})
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		want := eventstore.Commit{
			ID: id(n), Stream: fmt.Sprintf("CUSTOMER#%d", n), First: 1, RecordedAt: when.Draw(r, "recordedAt"),
			CorrelationID: text.Draw(r, "correlation"), CausationID: text.Draw(r, "causation"),
			Actor: text.Draw(r, "actor"), Source: text.Draw(r, "source"),
		}
		if rapid.Bool().Draw(r, "sealed") {
			want.Sealed = rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(r, "bytes")
		}
		for range rapid.IntRange(1, 8).Draw(r, "events") {
			data, err := json.Marshal(rapid.MapOfN(text, text, 0, 4).Draw(r, "data"))
			must(t, err)
			want.Events = append(want.Events, eventstore.Record{
				Type: text.Draw(r, "type"), Schema: rapid.IntRange(1, 99).Draw(r, "schema"), OccurredAt: when.Draw(r, "occurredAt"),
				Message: text.Draw(r, "message"), Notes: slices.Repeat([]string{text.Draw(r, "note")}, rapid.IntRange(0, 2).Draw(r, "notes")), Data: data,
			})
			if last := &want.Events[len(want.Events)-1]; len(last.Notes) == 0 {
				last.Notes = nil
			}
		}
		must(r, s.Append(t.Context(), want))
		sameCommits(r, s.Read(t.Context(), want.Stream, 1, 0), want)
	})
}

func differentLengths(t *testing.T, s suite) {
	first := int64(1)
	for _, lengths := range [][2]int{{1, 3}, {3, 1}, {1, 1}, {1000, 1}, {2, 1000}} {
		winner, loser := commit("CUSTOMER#1", first, lengths[0]), commit("CUSTOMER#1", first, lengths[1])
		must(t, s.Append(t.Context(), winner))
		if err := s.Append(t.Context(), loser); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("%d events after %d others of the same version: %v, want ErrConflict", lengths[1], lengths[0], err)
		}
		first = winner.Last() + 1
	}
	whole(t, s, "CUSTOMER#1", first-1)
}

func manyWriters(t *testing.T, s suite) {
	const writers, rounds = 12, 8
	first := int64(1)
	for range rounds {
		errs := make([]error, writers)
		var group sync.WaitGroup
		for i := range writers {
			c := commit("CUSTOMER#1", first, i+1)
			group.Go(func() { errs[i] = s.Append(t.Context(), c) })
		}
		group.Wait()
		winners, length := 0, 0
		for i, err := range errs {
			switch {
			case err == nil:
				winners, length = winners+1, i+1
			case !errors.Is(err, eventstore.ErrConflict):
				t.Errorf("writer of %d events: %v, want ErrConflict", i+1, err)
			}
		}
		if winners != 1 {
			t.Fatalf("%d writers appended at version %d, want 1", winners, first)
		}
		first += int64(length)
	}
	whole(t, s, "CUSTOMER#1", first-1)
}

func retriedAppend(t *testing.T, s suite) {
	plain, claiming := commit("CUSTOMER#1", 1, 2), commit("CUSTOMER#2", 1, 2)
	claim := eventstore.Claim{Key: "UNIQUE#email#1", Owner: "CUSTOMER#2", ExpiresAt: start.Add(time.Hour)}
	for range 3 {
		must(t, s.Append(t.Context(), plain))
		must(t, s.Append(t.Context(), claiming, claim))
		s.clock.pass(time.Second)
	}
	later := commit("CUSTOMER#1", 3, 1)
	must(t, s.Append(t.Context(), later))
	must(t, s.Append(t.Context(), plain))
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#1", 1, 0), plain, later)
	sameCommits(t, s.Read(t.Context(), "CUSTOMER#2", 1, 0), claiming)

	another := plain
	another.ID = id(999_999)
	if err := s.Append(t.Context(), another); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("the same events in a commit of another id: %v, want ErrConflict", err)
	}
}

func upToTheLimits(t *testing.T, s suite) {
	big := func(stream string, events, bytes int) eventstore.Commit {
		c := commit(stream, 1, events)
		for i := range c.Events {
			c.Events[i].Data = text(bytes / events)
		}
		return c
	}
	sealed := commit("CUSTOMER#3", 1, 1)
	sealed.Sealed = []byte(strings.Repeat("\xff", 300_000))
	full := commit("CUSTOMER#4", 1, 1)
	full.Events[0].Data = text(eventstore.MaxCommitBytes - full.Size() + len(full.Events[0].Data))
	last := commit("CUSTOMER#5", eventstore.MaxVersion, 1)
	long := commit(strings.Repeat("Ş", eventstore.MaxStreamName/2), 1, 1)
	for _, c := range []eventstore.Commit{
		big("CUSTOMER#1", 1, 300_000), big("CUSTOMER#2", eventstore.MaxCommitEvents, 300_000), sealed, full, last, long,
	} {
		must(t, s.Append(t.Context(), c))
		sameCommits(t, s.Read(t.Context(), c.Stream, 1, 0), c)
		sameCommits(t, s.ReadBack(t.Context(), c.Stream, 0), c)
	}
	if full.Size() != eventstore.MaxCommitBytes {
		t.Errorf("the full commit has %d bytes", full.Size())
	}

	claiming, claims := commit("CUSTOMER#6", 1, 1), make([]eventstore.Claim, eventstore.MaxClaims)
	for i := range claims {
		claims[i] = eventstore.Claim{Key: fmt.Sprintf("UNIQUE#phone#%d", i), Owner: claiming.Stream}
	}
	must(t, s.Append(t.Context(), claiming, claims...))
	for _, c := range claims {
		held(t, s, c.Key, claiming.Stream)
	}
}

func beyondTheLimits(t *testing.T, s suite) {
	for name, change := range map[string]func(*eventstore.Commit){
		"no id":              func(c *eventstore.Commit) { c.ID = "" },
		"no stream":          func(c *eventstore.Commit) { c.Stream = "" },
		"long stream name":   func(c *eventstore.Commit) { c.Stream = strings.Repeat("S", eventstore.MaxStreamName+1) },
		"version 0":          func(c *eventstore.Commit) { c.First = 0 },
		"version too high":   func(c *eventstore.Commit) { c.First = eventstore.MaxVersion },
		"no events":          func(c *eventstore.Commit) { c.Events = nil },
		"too many events":    func(c *eventstore.Commit) { c.Events = commit("", 1, eventstore.MaxCommitEvents+1).Events },
		"400 KB of data":     func(c *eventstore.Commit) { c.Events[1].Data = text(400 << 10) },
		"400 KB sealed":      func(c *eventstore.Commit) { c.Sealed = make([]byte, 400<<10) },
		"one byte too large": func(c *eventstore.Commit) { c.Sealed = make([]byte, eventstore.MaxCommitBytes-c.Size()+1) },
	} {
		c := commit("CUSTOMER#1", 1, 2)
		change(&c)
		err := s.Append(t.Context(), c)
		if err == nil || errors.Is(err, eventstore.ErrConflict) || errors.Is(err, eventstore.ErrBusy) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
		if err := eventstore.Check(c, nil); err == nil {
			t.Errorf("%s: passed Check", name)
		}
	}
	claims := make([]eventstore.Claim, eventstore.MaxClaims+1)
	for i := range claims {
		claims[i] = eventstore.Claim{Key: fmt.Sprintf("UNIQUE#phone#%d", i), Owner: "CUSTOMER#1"}
	}
	if s.Append(t.Context(), commit("CUSTOMER#1", 1, 1), claims...) == nil {
		t.Errorf("%d claims with a commit were accepted", len(claims))
	}
	free(t, s, claims[0].Key)
	sameCommits(t, s.Scan(t.Context(), 0, 1))
}
