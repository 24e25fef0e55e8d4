package preference_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/preference"

	"pgregory.net/rapid"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	// The decider alone stamps nothing, so that each of these events counts as the oldest.
	deciding = storetest.Deciding(preference.Decider)
)

func to[T any](v T) *T { return &v }

func TestSet(t *testing.T) {
	ask := preference.Set{Values: preference.Values{EmailFrequency: to("daily"), EmailEnabled: to(true)}, At: noon}
	deciding.When(t, ask).Then(preference.Updated{Preferences: ask.Values}).Again().Nothing()

	daily := deciding.Given(preference.Updated{Preferences: ask.Values})
	daily.When(t, preference.Set{Values: preference.Values{EmailFrequency: to("weekly"), EmailEnabled: to(true)}, At: noon}).
		Then(preference.Updated{Preferences: preference.Values{EmailFrequency: to("weekly")}}).Again().Nothing()
	daily.When(t, preference.Set{Values: preference.Values{EmailEnabled: to(false)}, At: noon}).
		Then(preference.Updated{Preferences: preference.Values{EmailEnabled: to(false)}})
	daily.When(t, preference.Set{At: noon}).Nothing()

	none := preference.Set{Values: preference.Values{Categories: &[]string{}}, At: noon} // no categories, which says something
	deciding.When(t, none).Then(preference.Updated{Preferences: none.Values}).Again().Nothing()
}

func TestSetRefuses(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, c := range []struct {
		slug   string
		values preference.Values
	}{
		{"invalid-frequency", preference.Values{EmailFrequency: to("hourly")}},
		{"invalid-frequency", preference.Values{EmailFrequency: to("")}},
		{"invalid-timezone", preference.Values{Timezone: to("Mars/Olympus")}},
		{"invalid-timezone", preference.Values{Timezone: to("")}},
		{"invalid-timezone", preference.Values{Timezone: to("Local")}},
		{"invalid-timezone", preference.Values{Timezone: to("../../etc/passwd")}},
		{"too-many-categories", preference.Values{Categories: &many}},
		{"too-many-categories", preference.Values{PushCategories: &many}},
		{"invalid-category", preference.Values{Categories: &[]string{"shoes", ""}}},
		{"invalid-category", preference.Values{PushCategories: &[]string{strings.Repeat("a", 65)}}},
	} {
		deciding.When(t, preference.Set{Values: c.values, At: noon}).Fails(c.slug)
	}
	fine := preference.Values{Timezone: to("Europe/Istanbul"), Categories: to(many[:100]), PushCategories: &[]string{strings.Repeat("a", 64)}}
	deciding.When(t, preference.Set{Values: fine, At: noon}).Then(preference.Updated{Preferences: fine})
}

// stamped is an event with what its envelope says.
type stamped struct {
	preference.Updated
	preference.Stamp
}

func fold(events ...stamped) preference.State {
	var s preference.State
	for _, e := range events {
		s = preference.Evolve(s, e.Updated, e.Stamp)
	}
	return s
}

func at(minutes int, id string, v preference.Values) stamped {
	return stamped{preference.Updated{Preferences: v}, preference.Stamp{At: noon.Add(time.Duration(minutes) * time.Minute), EventID: id}}
}

// TestB82_LastWriteOfEachFieldWins: by time and then by event id, and an absent field erases nothing.
func TestB82_LastWriteOfEachFieldWins(t *testing.T) {
	s := fold(
		at(5, "b", preference.Values{EmailFrequency: to("daily"), Timezone: to("Europe/Istanbul")}),
		at(3, "c", preference.Values{EmailFrequency: to("never"), EmailEnabled: to(false)}), // was offline
		at(9, "a", preference.Values{SMSEnabled: to(true)}),
		at(9, "b", preference.Values{PushEnabled: to(true)}),
		at(9, "a", preference.Values{PushEnabled: to(false)}), // at once: the greater id wins
	)
	want := preference.Values{
		EmailFrequency: to("daily"), Timezone: to("Europe/Istanbul"), EmailEnabled: to(false), SMSEnabled: to(true), PushEnabled: to(true),
	}
	if !reflect.DeepEqual(s.Values, want) {
		t.Errorf("got %s, want %s", text(t, s.Values), text(t, want))
	}

	late := preference.Set{Values: preference.Values{EmailFrequency: to("weekly"), EmailEnabled: to(true)}, At: noon.Add(4 * time.Minute), Dated: true}
	decided, err := preference.Decide(s, late)
	if want := []any{preference.Updated{Preferences: preference.Values{EmailEnabled: to(true)}}}; err != nil || !reflect.DeepEqual(decided, want) {
		t.Errorf("a choice of 12:04 of what was chosen at 12:05 and 12:03: %+v, %v", decided, err)
	}
}

// TestB82_DatedWriteCounts: a choice that changes nothing still is the latest one, if the client says when it was made.
func TestB82_DatedWriteCounts(t *testing.T) {
	s := fold(at(1, "a", preference.Values{EmailFrequency: to("daily")}))
	again := preference.Set{Values: preference.Values{EmailFrequency: to("daily")}, At: noon.Add(9 * time.Minute)}
	if decided, err := preference.Decide(s, again); err != nil || len(decided) != 0 {
		t.Errorf("the same without a date: %+v, %v", decided, err)
	}
	again.Dated = true
	decided, err := preference.Decide(s, again)
	if want := []any{preference.Updated{Preferences: again.Values}}; err != nil || !reflect.DeepEqual(decided, want) {
		t.Fatalf("the same with a later date: %+v, %v", decided, err)
	}
	s = preference.Evolve(s, decided[0], preference.Stamp{At: again.At, EventID: "b"})
	if decided, err := preference.Decide(s, again); err != nil || len(decided) != 0 {
		t.Errorf("once more: %+v, %v", decided, err)
	}
	between := preference.Set{Values: preference.Values{EmailFrequency: to("never")}, At: noon.Add(5 * time.Minute), Dated: true}
	if decided, err := preference.Decide(s, between); err != nil || len(decided) != 0 {
		t.Errorf("another choice, made between: %+v, %v", decided, err)
	}
}

// anyValues draws preferences that may be set.
func anyValues() *rapid.Generator[preference.Values] {
	flag, list := rapid.Ptr(rapid.Bool(), true), rapid.Ptr(rapid.SliceOfN(rapid.SampledFrom([]string{"shoes", "books"}), 0, 2), true)
	return rapid.Custom(func(t *rapid.T) preference.Values {
		return preference.Values{
			EmailFrequency: rapid.Ptr(rapid.SampledFrom([]string{"daily", "weekly", "never"}), true).Draw(t, "frequency"),
			Categories:     list.Draw(t, "categories"), Timezone: rapid.Ptr(rapid.SampledFrom([]string{"Europe/Istanbul", "UTC"}), true).Draw(t, "timezone"),
			EmailEnabled: flag.Draw(t, "email"), SMSEnabled: flag.Draw(t, "sms"), PushEnabled: flag.Draw(t, "push"),
			SMSForPromotions: flag.Draw(t, "promotions"), PushCategories: list.Draw(t, "push categories"),
		}
	})
}

// TestB82_AnyOrder: the same events in any order give the same values.
func TestB82_AnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []stamped
		for i, v := range rapid.SliceOfN(anyValues(), 1, 8).Draw(t, "values") {
			events = append(events, at(rapid.IntRange(0, 3).Draw(t, "minute"), fmt.Sprint(i), v))
		}
		want := fold(events...)
		if got := fold(rapid.Permutation(events).Draw(t, "shuffled")...); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %s, want %s", text(t, got), text(t, want))
		}
		if got := fold(append(slices.Clone(events), events[rapid.IntRange(0, len(events)-1).Draw(t, "again")])...); !reflect.DeepEqual(got, want) {
			t.Fatalf("with one event twice: got %s, want %s", text(t, got), text(t, want))
		}
	})
}

// TestAnyCommands: the event of a command fits its schema, makes the state say so, and the same again is nothing to do.
func TestAnyCommands(t *testing.T) {
	catalog := eventstore.NewCatalog(preference.Events)
	rapid.Check(t, func(t *rapid.T) {
		var s preference.State
		for i := range rapid.IntRange(1, 6).Draw(t, "commands") {
			set := preference.Set{
				Values: anyValues().Draw(t, "values"), At: noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "minute")) * time.Minute),
				Dated: rapid.Bool().Draw(t, "dated"),
			}
			decided, err := preference.Decide(s, set)
			if err != nil || len(decided) > 1 {
				t.Fatalf("%+v, %v", decided, err)
			}
			before := copyOf(t, s)
			for _, e := range decided {
				data := text(t, e)
				if err := events.Validate("PreferencesUpdated", catalog.Schema("PreferencesUpdated"), []byte(data)); err != nil {
					t.Fatalf("%s: %v", data, err)
				}
				next := preference.Evolve(s, e, preference.Stamp{At: set.At, EventID: fmt.Sprint("e", i)})
				if after := copyOf(t, s); !maps.Equal(after, before) {
					t.Fatalf("the state was changed in place: %v, %v", before, after)
				}
				s = next
			}
			if again, err := preference.Decide(s, set); err != nil || len(again) > 0 {
				t.Fatalf("again: %+v, %v", again, err)
			}
		}
	})
}

// copyOf is a state's stamps and values as they are now.
func copyOf(t *rapid.T, s preference.State) map[string]string {
	return map[string]string{"values": text(t, s.Values), "stamps": text(t, s.Stamps)}
}

type failer interface{ Fatal(...any) }

func text(t failer, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestB14_FoldIsComplete: the one event type sets each field it has, and others change nothing.
func TestB14_FoldIsComplete(t *testing.T) {
	if names := eventstore.NewCatalog(preference.Events).Names(); !slices.Equal(names, []string{"PreferencesUpdated"}) {
		t.Errorf("the package has %v, this test knows one", names)
	}
	full := preference.Values{
		EmailFrequency: to("daily"), Categories: &[]string{"shoes"}, Timezone: to("UTC"), EmailEnabled: to(false), SMSEnabled: to(false),
		PushEnabled: to(false), SMSForPromotions: to(false), PushCategories: &[]string{"books"},
	}
	for i, v := 0, reflect.ValueOf(full); i < v.NumField(); i++ {
		if v.Field(i).IsNil() {
			t.Errorf("%s is not tried", v.Type().Field(i).Name)
		}
	}
	s := fold(at(0, "a", full))
	if !reflect.DeepEqual(s.Values, full) || len(s.Stamps) != reflect.TypeFor[preference.Values]().NumField() {
		t.Errorf("got %s", text(t, s))
	}
	if other := preference.Evolve(s, struct{ SomebodyElses string }{"event"}, preference.Stamp{At: noon.AddDate(1, 0, 0)}); !reflect.DeepEqual(other, s) {
		t.Errorf("another package's event made it %s", text(t, other))
	}
}
