package view

import (
	"strings"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/retention"
)

// due are the rows of the lookup of behaviour, by key.
func (w world) due() map[string]string {
	w.Helper()
	rows := map[string]string{}
	now := time.Now().UTC()
	for _, month := range []time.Time{now, now.AddDate(0, 0, -now.Day())} {
		for cursor := ""; ; {
			list, next, err := w.ListUnarchived(w.Context(), month, cursor, 1)
			if err != nil {
				w.Fatal(err)
			}
			for _, u := range list {
				rows[u.Stream] = u.Oldest.RecordedAt.Format("2006-01 ") + month.Format("2006-01")
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
	return rows
}

// The lookup changes when behaviour follows none and when some was archived, and with no other event.
func TestTheLookupOfBehaviour(t *testing.T) {
	w := begin(t)
	streams := []string{"CUSTOMER#1", "CUSTOMER#2", "VISITOR#1", "CUSTOMER#5", "CUSTOMER#8"}
	project := func(commits ...eventstore.Commit) {
		t.Helper()
		if failed := w.ProjectActivity(t.Context(), commits); len(failed) > 0 {
			t.Fatalf("failed: %v", failed)
		}
	}
	for _, stream := range streams {
		project(w.append(stream, customer.Created{Source: "api"}))
	}
	if due := w.due(); len(due) > 0 {
		t.Errorf("without behaviour: %v", due)
	}
	for _, stream := range streams {
		project(w.append(stream, activity.PageViewed{}, activity.ProductViewed{ProductID: "p"}))
	}
	if due := w.due(); len(due) != len(streams) {
		t.Errorf("with behaviour: %v", due)
	}
	before, _, err := Profiles.Load(t.Context(), w.Views, streams[0])
	if err != nil || before.Unarchived.Version != 2 {
		t.Fatalf("the oldest is %+v %v", before.Unarchived, err)
	}
	project(w.append(streams[0], activity.PageViewed{}, customer.GroupJoined{GroupID: "g"}))
	after, _, err := Profiles.Load(t.Context(), w.Views, streams[0])
	if err != nil {
		t.Fatal(err)
	}
	if put, remove := Profiles.lookups(streams[0], before, after); len(put)+len(remove) > 0 {
		t.Errorf("more behaviour changes the lookup: %v %v", put, remove)
	}
	recorded := time.Now().UTC().AddDate(0, 0, -time.Now().UTC().Day()) // last month
	project(w.append(streams[0], retention.Archived{From: 2, UpTo: 3, Events: 2, Object: "o", OldestLeft: 4, OldestRecordedAt: &recorded}))
	if got, want := w.due()[streams[0]], strings.Repeat(recorded.Format(" 2006-01"), 2)[1:]; got != want {
		t.Errorf("after archiving the oldest is of %q, want %q", got, want)
	}
	project(w.append(streams[0], retention.Archived{From: 4, UpTo: 5, Events: 1, Object: "o"}))
	if _, err := w.EmptyDocuments(t.Context(), streams[1], 9); err != nil {
		t.Fatal(err)
	}
	if due := w.due(); len(due) != len(streams)-2 || due[streams[0]]+due[streams[1]] != "" {
		t.Errorf("after the last of one was archived, and another's profile emptied: %v", due)
	}
}

// A row that no profile stands for any more goes when it is looked at; any other stays.
func TestStaleRowsOfTheLookup(t *testing.T) {
	w := begin(t)
	const stream = "CUSTOMER#1"
	c := w.append(stream, customer.Created{Source: "api"}, activity.PageViewed{})
	if failed := w.ProjectActivity(t.Context(), []eventstore.Commit{c}); len(failed) > 0 {
		t.Fatal(failed)
	}
	valid := Unarchived{stream, retention.Oldest{Version: 2, RecordedAt: c.RecordedAt}}
	old := Unarchived{stream, retention.Oldest{Version: 1, RecordedAt: c.RecordedAt.AddDate(0, 0, -c.RecordedAt.Day())}}
	nobody := Unarchived{"CUSTOMER#nobody", valid.Oldest}
	for _, stale := range []Unarchived{old, nobody} {
		if err := w.Table.PutMany(t.Context(), unarchivedLookups(stale.Stream, Profile{Unarchived: &stale.Oldest})); err != nil {
			t.Fatal(err)
		}
		if version, err := w.CheckUnarchived(t.Context(), stale); err != nil || version != 0 {
			t.Errorf("a stale row of %s is taken: version %d %v", stale.Stream, version, err)
		}
	}
	if version, err := w.CheckUnarchived(t.Context(), valid); err != nil || version != 2 {
		t.Errorf("version %d %v, want 2", version, err)
	}
	if due := w.due(); len(due) != 1 || due[stream] == "" {
		t.Errorf("left are %v", due)
	}
}
