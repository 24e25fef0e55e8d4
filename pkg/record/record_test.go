package record_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/journey"
	"defter/pkg/preference"
	"defter/pkg/record"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestEvolve: each domain gets its events, with the time that counts for it.
func TestEvolve(t *testing.T) {
	happened, recorded := noon, noon.Add(time.Hour)
	daily := "daily"
	var s record.State
	for i, data := range []any{
		customer.Created{Email: "ada@example.com"},
		consent.Granted{Purpose: consent.Marketing, Channel: consent.Email},
		preference.Updated{Preferences: preference.Values{EmailFrequency: &daily}},
		journey.Entered{Journey: "welcome", RunID: "r1"},
		channel.Sent{IdempotencyKey: "k1"},
	} {
		s = record.Evolve(s, eventstore.Event{ID: fmt.Sprint("e", i), Data: data, OccurredAt: happened, RecordedAt: recorded})
	}
	if s.Customer.Email != "ada@example.com" || s.Journey.Runs["welcome"].RunID != "r1" {
		t.Errorf("%+v", s)
	}
	if granted := s.Consent.Current["marketing/email"].GrantedAt; !granted.Equal(happened) {
		t.Errorf("consent given %s, want when it happened, %s", granted, happened)
	}
	if stamp := s.Preference.Stamps["emailFrequency"]; stamp != (preference.Stamp{At: happened, EventID: "e2"}) {
		t.Errorf("preference stamped %+v", stamp)
	}
	if at := s.Message.Recorded["k1"]; at != recorded.UnixMilli() {
		t.Errorf("outcome recorded at %d, want %d", at, recorded.UnixMilli())
	}

	s = record.Evolve(s, eventstore.Event{Data: customer.DataDeleted{}})
	if want := (record.State{Customer: customer.State{Status: customer.StatusErased}}); !reflect.DeepEqual(s, want) {
		t.Errorf("an erased customer leaves %+v", s)
	}
}

// anyEvent draws events of all domains, often about the same few things.
func anyEvent() *rapid.Generator[any] {
	expires := noon.AddDate(2, 0, 0)
	daily, off, shoes := "daily", false, []string{"shoes"}
	return rapid.SampledFrom([]any{
		customer.Created{Email: "ada@example.com", FirstName: "Ada", Unconfirmed: true},
		customer.EmailVerificationRequested{VerificationID: "v1", TokenHash: "h", ExpiresAt: noon}, customer.EmailVerified{},
		customer.EmailUpdated{NewEmail: "b@example.com"}, customer.NameUpdated{NewFirstName: "Augusta"},
		customer.AddressUpdated{NewAddress: &customer.Address{City: "London"}}, customer.AddressUpdated{},
		customer.AttributesUpdated{Attributes: map[string]any{"plan": "gold", "nested": map[string]any{"a": []any{1.0, "x", nil}}}},
		customer.AttributesUpdated{Attributes: map[string]any{"plan": nil}},
		customer.Deactivated{PreviousStatus: customer.StatusActive}, customer.Reactivated{Status: customer.StatusActive},
		customer.VisitorLinked{VisitorID: "a1"}, customer.Aliased{PreviousID: "u1"}, customer.GroupJoined{GroupID: "g1"},
		consent.Granted{Purpose: consent.Marketing, Channel: consent.Email, ExpiresAt: &expires}, consent.Granted{Purpose: consent.Analytics, Channel: consent.Push},
		consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "other"},
		consent.Expiring{Purpose: consent.Marketing, Channel: consent.Email}, consent.Expired{Purpose: consent.Analytics, Channel: consent.Push},
		preference.Updated{Preferences: preference.Values{EmailFrequency: &daily, PushCategories: &shoes}},
		preference.Updated{Preferences: preference.Values{EmailEnabled: &off, Categories: &[]string{}}},
		journey.Entered{Journey: "welcome", RunID: "r1"}, journey.StepCompleted{Journey: "welcome"}, journey.Exited{Journey: "welcome", Reason: "completed"},
		channel.Sent{IdempotencyKey: "k1"}, channel.Suppressed{IdempotencyKey: "k2"},
		customer.DataDeleted{},
	})
}

// TestSnapshotAndTail: the state from a snapshot taken at any version, and the events after it, is the state of all events.
func TestSnapshotAndTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []eventstore.Event
		for i, data := range rapid.SliceOfN(anyEvent(), 1, 20).Draw(t, "events") {
			at := noon.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "ms")) * time.Millisecond)
			events = append(events, eventstore.Event{ID: fmt.Sprint("e", i), Data: data, OccurredAt: at, RecordedAt: noon.Add(time.Duration(i) * time.Second)})
		}
		var whole record.State
		for _, e := range events {
			whole = record.Evolve(whole, e)
		}
		cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
		var before record.State
		for _, e := range events[:cut] {
			before = record.Evolve(before, e)
		}
		var tail record.State
		if err := json.Unmarshal([]byte(text(t, before)), &tail); err != nil {
			t.Fatal(err)
		}
		untouched := text(t, tail)
		first := tail
		for _, e := range events[cut:] {
			tail = record.Evolve(tail, e)
		}
		if got, want := text(t, tail), text(t, whole); got != want {
			t.Fatalf("with a snapshot after %d events\n  got:  %s\n  want: %s", cut, got, want)
		}
		if text(t, first) != untouched {
			t.Fatalf("a state was changed in place, from %s to %s", untouched, text(t, first))
		}
	})
}

func text(t *rapid.T, s record.State) string {
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
