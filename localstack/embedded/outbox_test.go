package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/lambdaio"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// parked is what was parked for a function, unsealed, by id.
func (s *story) parked(function string) map[string]string {
	s.Helper()
	payloads := map[string]string{}
	for _, row := range s.local("DLQ#" + function) {
		payload, err := s.system.App.Keyring.Open(context.Background(), parkedOwner, row.PK+"#"+row.SK, row.Sealed)
		if err != nil {
			s.Fatal(err)
		}
		payloads[row.SK] = string(payload)
	}
	return payloads
}

// wrapped puts a function of the test's before or behind one of the system's.
func wrapped(function string, by func(lambdaio.Handler) lambdaio.Handler) func(*System) {
	return func(s *System) {
		handler := by(s.handlers[function])
		s.handlers[function] = handler
		for _, m := range s.machines {
			if m.task == function {
				m.handler = handler
			}
		}
		if function == "send-email" {
			s.queues[0].handler = handler
		}
	}
}

// stumbling makes every function fail on its first call.
func stumbling(s *System) {
	for _, function := range []string{"trigger-journeys", "project-consent", "send-email", "run-journey-step", "run-payment-step"} {
		var failed atomic.Bool
		wrapped(function, func(inner lambdaio.Handler) lambdaio.Handler {
			return lambdaio.HandlerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
				if !failed.Swap(true) {
					return nil, errors.New("not now")
				}
				return inner.Invoke(ctx, payload)
			})
		})(s)
	}
	for _, r := range s.readers {
		inner := r.handler
		var failed atomic.Bool
		r.handler = func(ctx context.Context, commits []eventstore.Commit) []int {
			if !failed.Swap(true) {
				return []int{0}
			}
			return inner(ctx, commits)
		}
	}
}

func TestB49_OneReactionFailsAndTheOthersRun(t *testing.T) {
	s := beginWith(t, wrapped("project-audit", func(inner lambdaio.Handler) lambdaio.Handler {
		return lambdaio.HandlerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
			if bytes.Contains(payload, []byte(`"ConsentGranted"`)) {
				return nil, errors.New("this one does not work")
			}
			return inner.Invoke(ctx, payload)
		})
	}))
	c := s.consents()
	c.expectMails("welcome")
	if got := s.pages("/v1/consents?purpose=marketing&channel=email", "customers"); len(got) != 1 {
		t.Errorf("%d consent", len(got))
	}
	var trail []string
	for _, entry := range c.pages(c.path("/audit?limit=100"), "audit") {
		trail = append(trail, entry["type"].(string))
	}
	if want := []string{"CustomerCreated", "EmailVerificationRequested"}; !slices.Equal(trail, want) {
		t.Errorf("the audit trail is %v, want %v", trail, want)
	}
	parked := s.parked("project-audit")
	if len(parked) != 1 || !strings.Contains(slices.Collect(maps.Values(parked))[0], c.id) {
		t.Errorf("parked: %v", parked)
	}
	for key, item := range s.itemsWith(localTable, "DLQ#") { // sealed: a payload may hold anything
		if strings.Contains(item, c.id) || strings.Contains(item, "detail") {
			t.Errorf("parked in the open: %s %s", key, item)
		}
	}
}

// A reaction that fails for a while is called again, and nothing is parked.
func TestReactionsAreCalledAgain(t *testing.T) {
	s := beginWith(t, stumbling)
	c := s.consents()
	eventually(t, "the mail", func() bool {
		s.advance("3s") // the state machine waits before it tries again
		return len(c.subjects()) > 0
	})
	c.expectMails("welcome")
	if got := s.pages("/v1/consents?purpose=marketing&channel=email", "customers"); len(got) != 1 {
		t.Errorf("%d consent", len(got))
	}
	if parked := s.itemsWith(localTable, "DLQ#"); len(parked) > 0 {
		t.Errorf("parked: %v", parked)
	}
}

func TestPoisonRecordStopsItsCustomerAlone(t *testing.T) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for what, spoil := range map[string]map[string]types.AttributeValue{
		"no JSON":               {"e": text(`[{"t":"Custo`)},
		"data of another type":  {"e": text(`[{"t":"CustomerEmailInvalidated","d":[1]}]`)},
		"sealed by nobody":      {"p": &types.AttributeValueMemberB{Value: []byte("sealed by nobody, and long enough to be")}},
		"attributes of no kind": {"e": &types.AttributeValueMemberL{Value: []types.AttributeValue{text("x")}}},
		"nothing":               {"e": nil, "i": nil, "at": nil},
	} {
		t.Run(what, func(t *testing.T) {
			s := begin(t)
			poisoned := s.registers("firstName", "Ada")
			poisoned.patch(poisoned.path(""), m{"phone": "+44 1"}).expect(200)
			s.settled()
			version := poisoned.shown().number("version")

			put := func(write func(key map[string]types.AttributeValue)) {
				write(map[string]types.AttributeValue{"pk": text("CUSTOMER#" + poisoned.id), "sk": text(fmt.Sprintf("E#%012d", version+1))})
			}
			table := aws.String(topology.Events)
			put(func(item map[string]types.AttributeValue) {
				item["i"], item["at"], item["e"] = text("0195f4d1-0000-7000-8000-000000000000"), &types.AttributeValueMemberN{Value: "1"}, text(`[{"t":"CustomerEmailInvalidated","d":{"reason":"bounced-permanent"}}]`)
				maps.Copy(item, spoil)
				maps.DeleteFunc(item, func(_ string, v types.AttributeValue) bool { return v == nil })
				if _, err := s.system.client.API.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: item}); err != nil {
					t.Fatal(err)
				}
			})

			// Everybody else goes on, whatever came before, with or after it.
			others := []customer{s.consents(), s.consents()}
			for _, c := range others {
				c.mailed(c.email, 1)
			}
			s.settled()
			for _, c := range others {
				if row, _, err := view.Profiles.Load(t.Context(), s.system.App.Views, "CUSTOMER#"+c.id); err != nil || row.Personal.Email != c.email {
					t.Errorf("another's profile is %+v %v", row, err)
				}
			}
			if parked := s.itemsWith(localTable, "DLQ#"); len(parked) > 0 { // it is passed by at once, not after retries
				t.Errorf("parked: %v", parked)
			}
			if a := poisoned.patch(poisoned.path(""), m{"firstName": "Augusta"}); a.status < 500 {
				t.Errorf("a decision on a record that cannot be read: %d %s", a.status, a.body)
			}

			// With the record repaired, the customer's next event brings all views up to date.
			put(func(key map[string]types.AttributeValue) {
				if _, err := s.system.client.API.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: table, Key: key}); err != nil {
					t.Fatal(err)
				}
			})
			poisoned.patch(poisoned.path(""), m{"firstName": "Augusta"}).expect(200).has("version", version+1)
			s.settled()
			poisoned.shown().expect(200).has("version", version+1, "firstName", "Augusta")
			if got := poisoned.pages(poisoned.path("/timeline?limit=100"), "timeline"); len(got) != version+1 {
				t.Errorf("the timeline has %d lines, want %d", len(got), version+1)
			}
			s.post("/_local/rebuild", nil).expect(200).has("identical", true)
		})
	}
}

// TestD1_WhatANewerProgramWrote stops nobody: an event of a type that is not known here is carried, and one of a later schema is
// tried again and then kept for a redrive.
func TestD1_WhatANewerProgramWrote(t *testing.T) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	write := func(s *story, c customer, event string) {
		t.Helper()
		version := c.shown().number("version")
		item := map[string]types.AttributeValue{
			"pk": text("CUSTOMER#" + c.id), "sk": text(fmt.Sprintf("E#%012d", version+1)), "i": text("0195f4d1-0000-7000-8000-000000000000"),
			"at": &types.AttributeValueMemberN{Value: "1"}, "e": text(event),
		}
		if _, err := s.system.client.API.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(topology.Events), Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	s := begin(t)
	c := s.registers("firstName", "Ada")
	s.settled()
	write(s, c, `[{"t":"CustomerBeamedUp","v":3,"d":{"where":"up"}}]`)
	c.patch(c.path(""), m{"firstName": "Augusta"}).expect(200).has("firstName", "Augusta")
	s.settled()
	c.shown().has("firstName", "Augusta")
	if parked := s.itemsWith(localTable, "DLQ#"); len(parked) > 0 {
		t.Errorf("parked: %v", parked)
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)

	write(s, c, `[{"t":"EmailVerified","v":99,"d":{"verificationId":"x"}}]`)
	eventually(t, "it is kept for a redrive", func() bool { return len(s.parked("project-audit")) == 1 })
	if a := c.patch(c.path(""), m{"firstName": "Ada"}); a.status != 503 {
		t.Errorf("a decision on what a newer program wrote: %d %s", a.status, a.body)
	}
	other := s.registers("firstName", "Grace")
	s.settled()
	other.shown().has("firstName", "Grace")
}
