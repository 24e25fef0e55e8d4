package storetest

import (
	"reflect"
	"testing"

	"defter/pkg/eventstore"
)

func snapshots(t *testing.T, s suite) {
	load := func(stream string, folds ...string) map[string]eventstore.Snapshot {
		found, err := s.LoadSnapshots(t.Context(), stream, folds...)
		must(t, err)
		byFold := map[string]eventstore.Snapshot{}
		for _, snapshot := range found {
			byFold[snapshot.Fold] = snapshot
		}
		if len(byFold) != len(found) {
			t.Errorf("a snapshot was loaded twice: %v", found)
		}
		return byFold
	}
	var one, two, other eventstore.Snapshot
	for fold, snapshot := range map[string]*eventstore.Snapshot{"one": &one, "two": &two, "other": &other} {
		fill(t, reflect.ValueOf(snapshot).Elem())
		snapshot.Stream, snapshot.Fold = "CUSTOMER#1", fold
	}
	other.Stream = "CUSTOMER#2"
	must(t, s.SaveSnapshot(t.Context(), one))
	one.Version, one.State, one.Sealed = 4711, 12, []byte("newer")
	for _, snapshot := range []eventstore.Snapshot{one, two, other} {
		must(t, s.SaveSnapshot(t.Context(), snapshot))
	}
	for _, c := range []struct {
		folds []string
		want  map[string]eventstore.Snapshot
	}{
		{nil, map[string]eventstore.Snapshot{}},
		{[]string{"none"}, map[string]eventstore.Snapshot{}},
		{[]string{"one"}, map[string]eventstore.Snapshot{"one": one}},
		{[]string{"two", "none", "one", "other"}, map[string]eventstore.Snapshot{"one": one, "two": two}},
	} {
		if got := load("CUSTOMER#1", c.folds...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("snapshots %v:\n got  %+v\n want %+v", c.folds, got, c.want)
		}
	}
	must(t, s.DropSnapshots(t.Context(), "CUSTOMER#1", "one", "none", "other"))
	if got := load("CUSTOMER#1", "one", "two"); len(got) != 1 || got["two"].Fold != "two" {
		t.Errorf("after dropping one: %v", got)
	}
	if got := load("CUSTOMER#2", "other"); len(got) != 1 {
		t.Error("the snapshot of another stream was dropped")
	}
}
