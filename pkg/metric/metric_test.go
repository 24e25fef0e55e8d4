package metric_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"defter/pkg/metric"
)

// TestCountIsInTheEmbeddedMetricFormat reads a line as CloudWatch does: the directive names a member at the root.
func TestCountIsInTheEmbeddedMetricFormat(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Error("parked", "id", "7", metric.Count(metric.EventsParked, 2))
	var line struct {
		EventsParked int
		AWS          struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace string
				Metrics   []struct{ Name, Unit string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.EventsParked != 2 || line.AWS.Timestamp == 0 || len(line.AWS.CloudWatchMetrics) != 1 {
		t.Fatalf("not a metric: %s", out.String())
	}
	d := line.AWS.CloudWatchMetrics[0]
	if d.Namespace != metric.Namespace || len(d.Metrics) != 1 || d.Metrics[0].Name != metric.EventsParked || d.Metrics[0].Unit != "Count" {
		t.Fatalf("the directive does not name the metric: %s", out.String())
	}
}

// TestCountByHasItsDimensionsAtTheRoot, where CloudWatch looks for them.
func TestCountByHasItsDimensionsAtTheRoot(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("values unread", metric.CountBy(metric.ValuesUnread, 3, "source", "s1", "reason", "ambiguous"))
	var line struct {
		ValuesUnread   int
		Source, Reason string
		AWS            struct {
			CloudWatchMetrics []struct{ Dimensions [][]string }
		} `json:"_aws"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.ValuesUnread != 3 || line.Source != "s1" || line.Reason != "ambiguous" || len(line.AWS.CloudWatchMetrics) != 1 {
		t.Fatalf("not a metric: %s", out.String())
	}
	if d := line.AWS.CloudWatchMetrics[0].Dimensions; len(d) != 1 || len(d[0]) != 2 || d[0][0] != "source" || d[0][1] != "reason" {
		t.Fatalf("counted by %v", d)
	}
}
