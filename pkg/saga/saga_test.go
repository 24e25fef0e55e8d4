package saga_test

import (
	"encoding/json"
	"slices"
	"testing"

	"defter/pkg/fault"
	"defter/pkg/saga"
)

var kinds = []fault.Kind{fault.Invalid, fault.Unauthorized, fault.NotFound, fault.Conflict, fault.Rejected, fault.Busy, fault.Internal}

type machine struct {
	StartAt string
	States  map[string]struct {
		Type, Next, Default, Resource, TimestampPath string
		TimeoutSeconds                               int
		Retry                                        []struct {
			ErrorEquals []string
			MaxAttempts int
		}
		Choices []struct {
			Variable      string
			BooleanEquals bool
			Next          string
		}
	}
}

// TestMachine walks a run of two steps through the definition: step, wait, step, end. Every transition is billed.
func TestMachine(t *testing.T) {
	var m machine
	if err := json.Unmarshal([]byte(saga.Machine("arn:step")), &m); err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	var way []string
	for at, steps := m.StartAt, 0; ; {
		way = append(way, at)
		state, known := m.States[at]
		if !known || len(way) > 20 {
			t.Fatalf("lost at %q after %v", at, way)
		}
		switch state.Type {
		case "Task":
			if state.Resource != "arn:step" || state.TimeoutSeconds == 0 || len(state.Retry) != 1 || state.Retry[0].MaxAttempts == 0 {
				t.Errorf("%s: %+v", at, state)
			}
			for _, kind := range kinds {
				if tried := slices.Contains(state.Retry[0].ErrorEquals, string(kind)); tried != fault.Retryable(fault.New(kind, "slug", "")) {
					t.Errorf("%s is tried again: %v", kind, tried)
				}
			}
			if slices.Contains(state.Retry[0].ErrorEquals, "States.ALL") {
				t.Error("everything is tried again, what can never succeed too")
			}
			steps++
			data, err := json.Marshal(saga.Turn{Done: steps == 2, Until: "2026-03-02T12:00:00Z"})
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &fields); err != nil {
				t.Fatal(err)
			}
			at = state.Next
		case "Choice":
			at = state.Default
			for _, choice := range state.Choices {
				if fields[choice.Variable[2:]] == choice.BooleanEquals {
					at = choice.Next
				}
			}
		case "Wait":
			if _, ok := fields[state.TimestampPath[2:]].(string); !ok {
				t.Errorf("waits until %s, which is not there", state.TimestampPath)
			}
			at = state.Next
		case "Succeed":
			if want := []string{"RunStep", "Finished?", "Wait", "RunStep", "Finished?", "Done"}; !slices.Equal(way, want) {
				t.Errorf("went %v, want %v", way, want)
			}
			return
		}
	}
}
