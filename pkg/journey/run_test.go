package journey_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"defter/pkg/journey"
)

// TestB44_RunIsSerialisable: all that travels through the state machine survives as JSON, which it is on the way.
func TestB44_RunIsSerialisable(t *testing.T) {
	run := journey.RunState{CustomerID: "c1", Journey: "welcome", Version: 1, RunID: "e1", Correlation: "r1", Step: 1, Until: "2026-03-02T12:00:00Z", Done: true}
	for i, v := 0, reflect.ValueOf(run); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not tried", v.Type().Field(i).Name)
		}
	}
	data, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	var back journey.RunState
	if err := json.Unmarshal(data, &back); err != nil || back != run {
		t.Errorf("%s came back as %+v, %v", data, back, err)
	}
}
