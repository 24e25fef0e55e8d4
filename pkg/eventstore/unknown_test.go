package eventstore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"defter/pkg/eventstore"
)

// TestD1_UnknownTypesAreCarried: what a newer program wrote into a stream stops nobody, and no snapshot hides it from one.
func TestD1_UnknownTypesAreCarried(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
		future := eventstore.Commit{
			ID: "0195f4d1-0000-7000-8000-0000000f1000", Stream: "ACCOUNT#1", First: 3, RecordedAt: w.clock.now(),
			Events: []eventstore.Record{{Type: "Future", Schema: 7, OccurredAt: w.clock.now(), Data: json.RawMessage(`{"what":"comes"}`)}},
		}
		if err := w.Store.Append(t.Context(), future); err != nil {
			t.Fatal(err)
		}
		head := w.load(t, "ACCOUNT#1", account)
		if account.Of(head).Balance != 100 || head.Version != 3 {
			t.Errorf("loaded as %+v at version %d", account.Of(head), head.Version)
		}
		for range 40 { // far beyond a snapshot
			if _, _, err := w.Handle(t.Context(), eventstore.Command{Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{account}, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				return eventstore.Decision{Events: eventstore.Happened(Deposited{Memo: strings.Repeat(fmt.Sprint(t.Name()), 20)})}, nil
			}}); err != nil {
				t.Fatal(err)
			}
		}
		if s, ok := snapshotOf(t, w, "ACCOUNT#1", "account"); ok && s.Version >= 3 {
			t.Errorf("a snapshot of version %d hides version 3", s.Version)
		}
		for _, e := range w.all(t, "ACCOUNT#1") {
			if e.Version == 3 {
				shown, err := json.Marshal(e.Data)
				if err != nil || e.Type != "Future" || e.Schema != 7 || string(shown) != `{"what":"comes"}` {
					t.Errorf("read as %s %d %s, %v", e.Type, e.Schema, shown, err)
				}
			}
		}
	})
}
