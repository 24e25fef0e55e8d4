package source_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"defter/pkg/fault"
	"defter/pkg/source"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// given is the state after events that happened a minute apart, the last of them at noon.
func given(events ...any) source.State {
	var s source.State
	for i, event := range events {
		s = source.Evolve(s, event, noon.Add(time.Duration(i+1-len(events))*time.Minute))
	}
	return s
}

func settings(kind string, change ...func(*source.Settings)) source.Settings {
	s := source.Settings{Name: "the " + kind, Kind: kind, Enabled: true, UnknownEvents: source.Accept, AnalyticsConsent: source.Assumed, RequestsPerSecond: 10}
	for _, c := range change {
		c(&s)
	}
	return s
}

func created(id, kind string) source.Created {
	return source.Created{SourceID: id, Settings: settings(kind)}
}

func issued(id, key string) source.KeyIssued { return source.KeyIssued{SourceID: id, KeyID: key} }

func retired(id, key string, at time.Time) source.KeyRetired {
	return source.KeyRetired{SourceID: id, KeyID: key, ExpiresAt: at}
}

// decided is what a decision returned.
type decided struct {
	events []any
	err    error
}

func when(events []any, err error) decided { return decided{events, err} }

func (d decided) then(t *testing.T, want ...any) {
	t.Helper()
	if d.err != nil || len(d.events) != len(want) || len(want) > 0 && !reflect.DeepEqual(d.events, want) {
		t.Errorf("decided %+v, %v\n want %+v", d.events, d.err, want)
	}
}

func (d decided) fails(t *testing.T, slug string) {
	t.Helper()
	if len(d.events) > 0 || d.err == nil || fault.SlugOf(d.err) != slug {
		t.Errorf("decided %+v, %v, want %s", d.events, d.err, slug)
	}
}

func TestCreate(t *testing.T) {
	when(source.Create(given(), "s1", "k1", settings(source.Server))).then(t, created("s1", source.Server), issued("s1", "k1"))

	var full []any
	for i := range source.MaxSources {
		full = append(full, created(fmt.Sprint("s", i), source.Server))
	}
	when(source.Create(given(full...), "one-more", "k1", settings(source.Server))).fails(t, "too-many-sources")

	for what, change := range map[string]func(*source.Settings){
		"no name":               func(s *source.Settings) { s.Name = " " },
		"a long name":           func(s *source.Settings) { s.Name = strings.Repeat("x", 101) },
		"a kind":                func(s *source.Settings) { s.Kind = "fridge" },
		"unknown events":        func(s *source.Settings) { s.UnknownEvents = "eat" },
		"consent":               func(s *source.Settings) { s.AnalyticsConsent = "whatever" },
		"no rate":               func(s *source.Settings) { s.RequestsPerSecond = 0 },
		"a high rate":           func(s *source.Settings) { s.RequestsPerSecond = source.MaxRate + 1 },
		"a webhook of a server": func(s *source.Settings) { s.Webhook = &source.Webhook{} },
		"a webhook without one": func(s *source.Settings) { s.Kind = source.Hook },
		"an origin":             func(s *source.Settings) { s.AllowedOrigins = []string{"shop.example.com"} },
		"an origin's path":      func(s *source.Settings) { s.AllowedOrigins = []string{"https://shop.example.com/"} },
		"many origins":          func(s *source.Settings) { s.AllowedOrigins = make([]string, 101) },
		"an empty event":        func(s *source.Settings) { s.AllowedEvents = []string{""} },
	} {
		t.Run(what, func(t *testing.T) {
			when(source.Create(given(), "s1", "k1", settings(source.Server, change))).fails(t, "invalid-source")
		})
	}
}

func TestChange(t *testing.T) {
	server := given(created("s1", source.Server), issued("s1", "k1"))
	rename := func(s *source.Settings) error { s.Name = "tills"; return nil }
	renamed := source.Changed{SourceID: "s1", Settings: settings(source.Server, func(s *source.Settings) { _ = rename(s) })}
	when(source.Change(server, "s1", rename)).then(t, renamed)
	when(source.Change(given(created("s1", source.Server), renamed), "s1", rename)).then(t) // asked again
	when(source.Change(server, "nobody", rename)).fails(t, "no-such-source")
	when(source.Change(server, "s1", func(s *source.Settings) error { s.RequestsPerSecond = 0; return nil })).fails(t, "invalid-source")
	when(source.Change(server, "s1", func(*source.Settings) error { return fault.New(fault.Invalid, "no", "no") })).fails(t, "no")
}

// A key that pages have shown to everybody must never become one that is believed.
func TestTheKindIsFixed(t *testing.T) {
	for _, from := range []string{source.Browser, source.Mobile, source.Server} {
		for _, to := range []string{source.Browser, source.Mobile, source.Server, source.Hook, "fridge"} {
			d := when(source.Change(given(created("s1", from), issued("s1", "k1")), "s1", func(s *source.Settings) error {
				s.Kind = to
				if to == source.Hook {
					s.Webhook = &source.Webhook{}
				}
				return nil
			}))
			if from == to {
				d.then(t)
			} else {
				d.fails(t, "kind-is-fixed")
			}
		}
	}
}

func TestRotate(t *testing.T) {
	day := noon.AddDate(0, 0, 1)
	one := []any{created("s1", source.Server), issued("s1", "k1")}
	when(source.Rotate(given(one...), "s1", "k2", noon, day)).then(t, retired("s1", "k1", day), issued("s1", "k2"))
	when(source.Rotate(given(one...), "s1", "k2", noon, noon)).then(t, retired("s1", "k1", noon), issued("s1", "k2"))
	when(source.Rotate(given(one...), "nobody", "k2", noon, day)).fails(t, "no-such-source")

	// What ends sooner is not prolonged.
	ending := append(one, retired("s1", "k1", noon.Add(time.Hour)))
	when(source.Rotate(given(ending...), "s1", "k2", noon, day)).then(t, issued("s1", "k2"))
	when(source.Rotate(given(ending...), "s1", "k2", noon.Add(time.Hour), day)).then(t, issued("s1", "k2"))
}

func TestTenKeysAtATime(t *testing.T) {
	day := noon.AddDate(0, 0, 1)
	events := []any{created("s1", source.Server)}
	var ends []any
	for i := range source.MaxKeys {
		key := fmt.Sprint("k", i)
		events, ends = append(events, issued("s1", key)), append(ends, retired("s1", key, noon))
	}
	when(source.Rotate(given(events...), "s1", "k11", noon, day)).fails(t, "too-many-write-keys")
	when(source.Rotate(given(events...), "s1", "k11", noon, noon)).then(t, append(ends, issued("s1", "k11"))...) // the others end

	s := given(append(append(events, ends...), issued("s1", "k11"))...)
	if keys := s["s1"].Keys; len(keys) != 1 || keys[0].ID != "k11" {
		t.Errorf("keys %+v", keys)
	}
}

func TestList(t *testing.T) {
	var ids []string
	for _, s := range given(created("b", source.Server), created("a", source.Browser), issued("b", "k1")).List() {
		ids = append(ids, s.ID)
	}
	if fmt.Sprint(ids) != "[b a]" {
		t.Errorf("listed as %v, not as created", ids)
	}
}
