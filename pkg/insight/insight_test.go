package insight_test

import (
	"encoding/json"
	"fmt"
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
