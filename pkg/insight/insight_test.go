package insight_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"defter/pkg/insight"

	"pgregory.net/rapid"
)

// TestTheLaterFindingCounts, in whatever order they are told; and no more is kept than there is room for.
func TestTheLaterFindingCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type told struct {
			event any
			at    time.Time
		}
		var all []told
		for i := range rapid.IntRange(0, 12).Draw(t, "findings") {
			at := time.UnixMilli(int64(1000*i + rapid.IntRange(0, 999).Draw(t, "ms"))).UTC()
			name := fmt.Sprint("n", rapid.IntRange(0, 3).Draw(t, "name"))
			all = append(all, told{rapid.SampledFrom([]any{
				insight.AffinityDetected{Category: name, AffinityScore: float64(i) / 12}, insight.IntegrationSynced{Integration: name, Action: "x"},
				insight.TouchpointRecorded{Channel: "web", Campaign: name}, insight.AttributionCalculated{OrderID: name},
			}).Draw(t, "event"), at})
		}
		fold := func(all []told) string {
			var s insight.State
			for _, one := range all {
				s = insight.Evolve(s, one.event, one.at)
			}
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if a, b := fold(all), fold(rapid.Permutation(all).Draw(t, "order")); a != b {
			t.Fatalf("%s, and in another order %s", a, b)
		}
	})
	var s insight.State
	for i := range 100 {
		s = insight.Evolve(s, insight.AffinityDetected{Category: fmt.Sprint(i)}, time.UnixMilli(int64(i)))
	}
	if _, latest := s.Affinities["99"]; len(s.Affinities) != 20 || !latest {
		t.Errorf("%d affinities", len(s.Affinities))
	}
}

// TestP18_FindingsOfOnePerson: of each thing what was found out last counts, of whichever of their ids, and in whatever order they join.
func TestP18_FindingsOfOnePerson(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC) }
	fold := func(steps ...any) insight.State {
		var s insight.State
		for i := 0; i < len(steps); i += 2 {
			s = insight.Evolve(s, steps[i], at(steps[i+1].(int)))
		}
		return s
	}
	shoes := func(score float64) any { return insight.AffinityDetected{Category: "shoes", AffinityScore: score} }
	a := fold(shoes(0.2), 3, insight.IntegrationSynced{Integration: "crm"}, 1, insight.TouchpointRecorded{Channel: "web"}, 5)
	b := fold(shoes(0.9), 2, insight.AffinityDetected{Category: "hats", AffinityScore: 0.5}, 1, insight.IntegrationSynced{Integration: "crm"}, 4, insight.TouchpointRecorded{Channel: "email"}, 4)
	c := fold(shoes(0.1), 3)
	want := insight.State{
		Affinities:   map[string]insight.Affinity{"shoes": {Score: 0.2, At: at(3)}, "hats": {Score: 0.5, At: at(1)}},
		Integrations: map[string]time.Time{"crm": at(4)}, LastTouch: &insight.Touch{Channel: "web", At: at(5)},
	}
	for _, joined := range []insight.State{insight.Joined(a, b, c), insight.Joined(c, b, a), insight.Joined(b, insight.Joined(c, a))} {
		if !reflect.DeepEqual(joined, want) {
			t.Errorf("%+v, want %+v", joined, want)
		}
	}
}
