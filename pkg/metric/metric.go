// Package metric turns a log line into a CloudWatch metric as well, in the embedded metric format: no request, and
// nothing to flush. Metrics have no dimensions, since each combination of their values is billed by itself, but for one that is of no
// use without them; the line around them says the rest.
package metric

import (
	"log/slog"
	"time"
)

// The metrics, all counts.
const (
	RecordsQuarantined = "RecordsQuarantined" // stored records that cannot be read
	EventsQuarantined  = "EventsQuarantined"  // messages of SDKs that cannot be taken in
	EventsParked       = "EventsParked"       // events that a reaction gave up
	SnapshotsLost      = "SnapshotsLost"      // folds whose state could not be kept or read: dearer loads
	ErasuresHeldUp     = "ErasuresHeldUp"     // steps of an erasure that could not be done yet
	EventsDropped      = "EventsDropped"      // messages of a request beyond what is put aside of it
	BudgetsSpent       = "BudgetsSpent"       // requests of strangers beyond what they may send
	ValuesUnread       = "ValuesUnread"       // of messages, by source and reason
)

// Namespace is the metrics' namespace.
const Namespace = "Defter"

type embedded struct {
	Timestamp         int64       `json:"Timestamp"`
	CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// Count are the attributes that make a log line count n of a metric. The line must be written as JSON.
func Count(name string, n int) slog.Attr { return count(name, n) }

// CountBy is Count with dimensions: the names and the values of what it is counted by, in turn. Few values of each, since all of
// their combinations are metrics of their own.
func CountBy(name string, n int, dimensions ...string) slog.Attr {
	return count(name, n, dimensions...)
}

func count(name string, n int, dimensions ...string) slog.Attr {
	by := []string{}
	attributes := []slog.Attr{slog.Int(name, n)}
	for i := 0; i+1 < len(dimensions); i += 2 {
		by = append(by, dimensions[i])
		attributes = append(attributes, slog.String(dimensions[i], dimensions[i+1]))
	}
	return slog.GroupAttrs("", append(attributes, slog.Any("_aws", embedded{
		Timestamp:         time.Now().UnixMilli(),
		CloudWatchMetrics: []directive{{Namespace, [][]string{by}, []definition{{name, "Count"}}}},
	}))...)
}
