package embedded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/archive"
	"defter/pkg/eventstore"
	"defter/pkg/retention"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// archived waits until the day's archiving is done and projected.
func (s *story) archived() {
	s.Helper()
	if err := s.system.App.ArchiveBehaviour(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.settled()
}

// lines are what the archive's folder holds.
func (s *story) lines() []eventstore.Commit {
	s.Helper()
	data, err := archive.Folder(filepath.Join(s.system.config.DataDir, "archive")).Read()
	if err != nil {
		s.Fatal(err)
	}
	var all []eventstore.Commit
	for line := range bytes.Lines(data) {
		var l retention.Line
		if err := json.Unmarshal(line, &l); err != nil {
			s.Fatal(err)
		}
		all = append(all, l.Commit())
	}
	return all
}

// shownWithout is the customer as shown, but for the version.
func (c customer) shownWithout(fields ...string) string {
	c.Helper()
	body := c.shown().expect(200).at("").(m)
	for _, field := range append(fields, "version") {
		delete(body, field)
	}
	text, err := json.Marshal(body)
	if err != nil {
		c.Fatal(err)
	}
	return string(text)
}

// A customer browses, consents and buys. A hundred days later the browsing is a line in the archive and a number in the
// stream; everything else is as it was, until the customer asks to be erased.
func TestB11_AHundredDaysLater(t *testing.T) {
	s := begin(t)
	c := s.consents()
	for n := range 6 {
		s.sdk().post("/v1/batch", m{"batch": []m{
			{"type": "page", "userId": c.id, "messageId": unique("m"), "properties": m{"url": "https://shop.example/very-secret"}},
			{"type": "track", "userId": c.id, "messageId": unique("m"), "event": "Product Viewed", "properties": m{"product_id": "p"}},
		}}).expect(200)
		if n == 2 {
			s.sdk().post("/v1/batch", m{"batch": []m{
				{"type": "track", "userId": c.id, "messageId": unique("m"), "event": "Products Searched", "properties": m{"query": "gift"}},
				{"type": "track", "userId": c.id, "messageId": unique("m"), "event": "Order Completed", "properties": m{"order_id": unique("o"), "total": 12.5, "currency": "TRY"}},
			}}).expect(200)
		}
		s.sdk().post("/v1/page", m{"anonymousId": "v-" + c.id, "messageId": unique("m"), "name": "Landing"}).expect(200)
		s.advance("25h")
	}
	s.settled()
	before, shown := c.events(), c.shownWithout()
	kept := func(list []m) []string {
		var ids []string
		for _, e := range list {
			if kind := e["type"].(string); !s.system.App.Log.Catalog.Behaviour(kind) && !strings.HasPrefix(kind, "Behaviour") {
				ids = append(ids, fmt.Sprint(kind, e["id"], e["version"], e["occurredAt"]))
			}
		}
		return ids
	}
	behaviour := 0
	for _, e := range before {
		if s.system.App.Log.Catalog.Behaviour(e["type"].(string)) {
			behaviour++
		}
	}
	s.archived()
	if got := c.events(); len(got) != len(before) {
		t.Errorf("after some days %d events, were %d", len(got), len(before))
	}

	s.advance("2400h")
	s.archived()
	after := c.events()
	if got, want := kept(after)[:len(kept(before))], kept(before); !slices.Equal(got, want) {
		t.Errorf("what is kept is %v, was %v", got, want)
	}
	sum := 0
	for _, e := range after {
		switch e["type"] {
		case "BehaviourSummarised":
			sum += int(e["span"].(float64))
			if data := e["data"].(m); data["events"] != e["span"] {
				t.Errorf("a summary of %v versions: %v", e["span"], data)
			}
		case "BehaviourArchived":
			if n := e["data"].(m)["events"]; n != float64(behaviour) {
				t.Errorf("%v are archived, want %d", n, behaviour)
			}
		}
		if s.system.App.Log.Catalog.Behaviour(e["type"].(string)) {
			t.Errorf("%v of %v is in the store", e["type"], e["recordedAt"])
		}
	}
	if sum != behaviour || len(after) >= len(before) {
		t.Errorf("%d events stand for %d, were %d with %d", len(after), sum, len(before), behaviour)
	}
	if got := c.shownWithout("updatedAt"); got != without(shown, "updatedAt") {
		t.Errorf("the customer is\n%s, was\n%s", got, shown)
	}
	audited := c.get(c.path("/audit?limit=500")).expect(200).list("audit")
	if n := len(slices.DeleteFunc(audited, func(e m) bool { return e["type"] != "BehaviourArchived" })); n != 1 {
		t.Errorf("it is audited %d times", n)
	}
	timeline := c.get(c.path("/timeline?limit=500")).expect(200).list("timeline")
	if n := len(slices.DeleteFunc(timeline, func(e m) bool { return e["text"] != "Earlier activity, summed up" })); n == 0 {
		t.Error("the timeline shows no summary")
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)

	names, err := filepath.Glob(filepath.Join(s.system.config.DataDir, "archive/behaviour/*/*/*/*.ndjson.zst"))
	if err != nil || len(names) == 0 {
		t.Errorf("in the archive are %v %v", names, err)
	}
	readable := func() (n int) {
		for _, line := range s.lines() {
			events, err := s.system.App.Log.Open(t.Context(), line)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if text := fmt.Sprintf("%+v", e.Data); strings.Contains(text, "very-secret") {
					n++
				}
			}
		}
		return n
	}
	if n := readable(); n != 6 {
		t.Errorf("%d pages are readable, want 6", n)
	}
	s.restart()
	c.story = s
	c.post(c.path("/erasure"), m{}).expect(200)
	s.settled()
	if n := readable(); n > 0 {
		t.Errorf("%d pages of an erased customer are readable", n)
	}
	s.advance("2400h")
	s.archived()
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}

func without(text, field string) string {
	var body m
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		panic(err)
	}
	delete(body, field)
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Commits that are compacted are changed and removed in the table, and are no news.
func TestOnlyNewCommitsAreRead(t *testing.T) {
	for operation, passes := range map[types.OperationType]bool{"INSERT": true, "MODIFY": false, "REMOVE": false} {
		for key, commit := range map[string]bool{"E#000000000001": true, "S#record": false, "#": false} {
			record := types.Record{EventName: operation, Dynamodb: &types.StreamRecord{Keys: map[string]types.AttributeValue{"sk": &types.AttributeValueMemberS{Value: key}}}}
			if got := (*reader)(nil).passes(record); got != (passes && commit) {
				t.Errorf("%s of %s passes: %t", operation, key, got)
			}
		}
	}
	s := begin(t)
	c := s.consents()
	for range 3 {
		s.sdk().post("/v1/track", m{"userId": c.id, "messageId": unique("m"), "event": "Seen"}).expect(200)
		s.advance(time.Hour.String())
	}
	s.settled()
	published := len(s.local("POSITION"))
	s.advance("2400h")
	s.archived()
	eventually(t, "every reader is done", s.idle)
	if n := len(s.local("DLQ#publish-events")) + len(s.local("DLQ#project-activity")); n > 0 || published == 0 {
		t.Errorf("%d records could not be read", n)
	}
}
