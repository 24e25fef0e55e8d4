package dynamo_test

import (
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
)

// TestB11_NothingThatHappenedExpires: a commit's item has no time to live, so DynamoDB can never remove it.
func TestB11_NothingThatHappenedExpires(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	item, err := dynamo.Marshal(eventstore.Commit{
		ID: "0195-1", Stream: "CUSTOMER#1", First: 1, RecordedAt: at, Sealed: []byte("s"),
		CorrelationID: "c", CausationID: "d", Actor: "a", Source: "s",
		Events: []eventstore.Record{{Type: "PageViewed", Schema: 1, OccurredAt: at, Message: "m", Data: []byte(`{}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, expires := item["ttl"]; expires || len(item) < 10 {
		t.Errorf("the item of a commit is %v", item)
	}
}
