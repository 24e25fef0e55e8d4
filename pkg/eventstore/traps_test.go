package eventstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// The rows of the list of traps that concern the kernel. B-6 and B-7 have more tests beside the store they are about.

func TestB01_TwoDecideOnTheSameState(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
		var together, group sync.WaitGroup
		together.Add(2)
		errs := make([]error, 2)
		for i, amount := range []int64{80, 70} { // enough for either, not for both
			log, command := w.another(), withdraw("ACCOUNT#1", amount)
			decide, first := command.Decide, true
			command.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
				if first {
					first = false
					together.Done()
					together.Wait()
				}
				return decide(h)
			}
			group.Go(func() { _, _, errs[i] = log.Handle(t.Context(), command) })
		}
		group.Wait()
		refused := slices.IndexFunc(errs, func(err error) bool { return fault.SlugOf(err) == "insufficient-funds" })
		if refused < 0 || errs[1-refused] != nil {
			t.Errorf("two withdrawals: %v, want one done and one refused", errs)
		}
		if head := w.load(t, "ACCOUNT#1", account); account.Of(head).Balance < 0 || head.Version != 3 {
			t.Errorf("version %d with balance %d", head.Version, account.Of(head).Balance)
		}
	})
}

func TestB04_SameMillisecond(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		for range 5 { // ids that fall, and a clock that stands still or goes back
			w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 1}, Closed{})
			w.record(t, "ACCOUNT#1", Opened{})
			w.clock.pass(-time.Minute)
			w.NewID = func() string { return fmt.Sprintf("0195f4d1-0000-7000-8000-%09xabc", 1_000_000-lastID.Add(1)) }
		}
		want := slices.Repeat([]string{"AccountOpened", "MoneyDeposited", "AccountClosed", "AccountOpened"}, 5)
		events := w.all(t, "ACCOUNT#1")
		for i, e := range events {
			if e.Type != want[i] || e.Version != int64(i+1) || !e.RecordedAt.Equal(events[0].RecordedAt) {
				t.Errorf("event %d is version %d, %s, recorded at %s", i+1, e.Version, e.Type, e.RecordedAt)
			}
		}
		if head := w.load(t, "ACCOUNT#1", account); !account.Of(head).Open {
			t.Error("the last thing that happened was its opening, and the account is not open")
		}
	})
}

func TestB05_HistoryBeyondOnePage(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		const commits, each = 25, 4 // 2.5 MB, a page has 1
		unsaved := w.another()
		unsaved.Store = unsaving{w.Store}
		cached := unsaved.cached(1)
		for range commits {
			cached.record(t, "ACCOUNT#1", slices.Repeat([]any{Deposited{Amount: 1, Memo: long(25_000)}}, each)...)
		}
		if head := w.load(t, "ACCOUNT#1", account, trail); head.Version != commits*each || account.Of(head).Balance != commits*each || trail.Of(head).Events != commits*each {
			t.Errorf("loaded version %d with balance %d and %d events, want %d", head.Version, account.Of(head).Balance, trail.Of(head).Events, commits*each)
		}
		if n := len(w.all(t, "ACCOUNT#1")); n != commits*each {
			t.Errorf("%d events, want %d", n, commits*each)
		}
	})
}

func TestB06_DecisionOnStaleState(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		stale := w.cached(10)
		stale.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
		w.record(t, "ACCOUNT#1", Withdrawn{Amount: 60})
		if head := stale.load(t, "ACCOUNT#1", account); account.Of(head).Balance != 40 {
			t.Errorf("loaded balance %d, want 40", account.Of(head).Balance)
		}
		if _, _, err := stale.Handle(t.Context(), withdraw("ACCOUNT#1", 50)); fault.SlugOf(err) != "insufficient-funds" {
			t.Errorf("withdrew 50 of 40: %v", err)
		}
	})
}

func TestB07_SnapshotsAndClaimsAreNoEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{})
		for range 30 {
			w.record(t, "ACCOUNT#1", Deposited{Amount: 1, Memo: long(1000)})
		}
		if err := w.Store.Claim(t.Context(), eventstore.Claim{Key: "ACCOUNT#1", Owner: "ACCOUNT#1"}); err != nil {
			t.Fatal(err)
		}
		for _, fold := range []string{"account", "trail"} {
			if _, ok := snapshotOf(t, w, "ACCOUNT#1", fold); !ok {
				t.Fatalf("no snapshot of %s is in the partition", fold)
			}
		}
		if n := len(w.all(t, "ACCOUNT#1")); n != 31 {
			t.Errorf("%d events, want 31", n)
		}
	})
}

func TestB08_ARangeHasTwoEnds(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		for range 4 {
			w.record(t, "ACCOUNT#1", Deposited{Amount: 1}, Deposited{Amount: 2}, Deposited{Amount: 3})
		}
		if got, want := versions(collect(t, w.Events(t.Context(), "ACCOUNT#1", 5, 8))), []int64{5, 6, 7, 8}; !slices.Equal(got, want) {
			t.Errorf("events 5 to 8 are %v", got)
		}
	})
}

func TestB10_ManyEventsAndANameAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		open := func(stream string) error {
			_, _, err := w.Handle(t.Context(), eventstore.Command{Stream: stream, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				return eventstore.Decision{
					Events: eventstore.Happened(Opened{Owner: stream}, Deposited{Amount: 1}, Deposited{Amount: 2}),
					Claims: []eventstore.Claim{{Key: "UNIQUE#email#1", Owner: stream}},
				}, nil
			}})
			return err
		}
		const customers = 6
		errs := make([]error, customers)
		var group sync.WaitGroup
		for i := range customers {
			group.Go(func() { errs[i] = open(fmt.Sprintf("ACCOUNT#%d", i)) })
		}
		group.Wait()
		opened := 0
		for i, err := range errs {
			commits := w.commits(t, fmt.Sprintf("ACCOUNT#%d", i))
			switch {
			case err == nil && len(commits) == 1 && len(commits[0].Events) == 3:
				opened++
			case err == nil || len(commits) > 0:
				t.Errorf("customer %d: %d commits, %v, want all or nothing", i, len(commits), err)
			case !is[*eventstore.TakenError](err) && !errors.Is(err, eventstore.ErrConflict):
				t.Errorf("customer %d: %v", i, err)
			}
		}
		if opened != 1 {
			t.Errorf("%d customers have one email address", opened)
		}
	})
}

func TestB12_ExpiredButNotYetDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		reserve := func(stream string) error {
			_, _, err := w.Handle(t.Context(), eventstore.Command{Stream: stream, Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				return eventstore.Decision{
					Events: eventstore.Happened(Opened{}),
					Claims: []eventstore.Claim{{Key: "UNIQUE#email#1", Owner: stream, ExpiresAt: w.clock.now().Truncate(time.Second).Add(time.Hour)}},
				}, nil
			}})
			return err
		}
		if err := reserve("ACCOUNT#1"); err != nil {
			t.Fatal(err)
		}
		w.clock.pass(59 * time.Minute)
		if err := reserve("ACCOUNT#2"); !is[*eventstore.TakenError](err) {
			t.Errorf("before it expires: %v, want it to be taken", err)
		}
		w.clock.pass(time.Minute)
		if c, ok, err := w.Store.Claimed(t.Context(), "UNIQUE#email#1"); ok || err != nil {
			t.Errorf("once expired: still held by %s, %v", c.Owner, err)
		}
		if err := reserve("ACCOUNT#2"); err != nil {
			t.Errorf("once expired: %v", err)
		}
	})
}

// TestB13_RetriedCommand: a client that never heard the answer asks again with the same key, gets the same answer, and
// nothing happens twice; not even when both requests are under way at once.
func TestB13_RetriedCommand(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
		const key = "KEY#withdraw#1"
		ask := func(log world, request string, before func()) (string, error) {
			command := withdraw("ACCOUNT#1", 30)
			decide := command.Decide
			command.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
				before()
				d, err := decide(h)
				d.Answer = func(next *eventstore.Head) ([]eventstore.Claim, error) {
					return []eventstore.Claim{{Key: key, Owner: request, Value: fmt.Appendf(nil, "balance %d", account.Of(next).Balance)}}, nil
				}
				return d, err
			}
			if c, ok, err := w.Store.Claimed(t.Context(), key); ok || err != nil {
				return string(c.Value), err
			}
			_, _, err := log.Handle(t.Context(), command)
			if err != nil && !is[*eventstore.TakenError](err) {
				return "", err
			}
			c, _, err := w.Store.Claimed(t.Context(), key)
			return string(c.Value), err
		}
		var together, group sync.WaitGroup
		together.Add(2)
		for i := range 2 {
			first := true
			group.Go(func() {
				answer, err := ask(w.another(), fmt.Sprintf("request %d", i), func() {
					if first {
						first = false
						together.Done()
						together.Wait()
					}
				})
				if answer != "balance 70" || err != nil {
					t.Errorf("request %d: %q, %v", i, answer, err)
				}
			})
		}
		group.Wait()
		w.record(t, "ACCOUNT#1", Deposited{Amount: 1000})
		if answer, err := ask(w, "request 3", func() {}); answer != "balance 70" || err != nil {
			t.Errorf("asked again later: %q, %v", answer, err)
		}
		events := w.all(t, "ACCOUNT#1")
		if len(events) != 4 {
			t.Errorf("%d events, want 4: one withdrawal", len(events))
		}
	})
}

func TestB81_SchemaVersions(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		store := func(stream string, records ...eventstore.Record) {
			c := eventstore.Commit{ID: newID(), Stream: stream, First: 1, RecordedAt: w.clock.now(), Events: records}
			private := make([]json.RawMessage, len(records))
			for i, r := range records {
				records[i].OccurredAt = c.RecordedAt
				if r.Type == "MoneyDeposited" && r.Message != "bare" {
					private[i] = json.RawMessage([]string{1: `{"note":"rent"}`, 2: `{"note":"rent"}`, 3: `{"memo":"rent"}`, 4: `{}`}[r.Schema])
				}
			}
			plaintext, err := json.Marshal(private)
			if err == nil {
				c.Sealed, err = w.vault.Seal(t.Context(), stream, fmt.Sprintf("E#%s#1", c.ID), plaintext)
			}
			if err == nil {
				err = w.Store.Append(t.Context(), c)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		store("ACCOUNT#1",
			eventstore.Record{Type: "MoneyDeposited", Schema: 1, Data: json.RawMessage(`{"sum":2}`)},
			eventstore.Record{Type: "AccountClosed", Schema: 1, Data: json.RawMessage(`{}`)},
			eventstore.Record{Type: "MoneyDeposited", Schema: 1, Data: json.RawMessage(`{"sum":2}`), Message: "bare"},
			eventstore.Record{Type: "MoneyDeposited", Schema: 2, Data: json.RawMessage(`{"amount":200}`)},
			eventstore.Record{Type: "MoneyDeposited", Schema: 3, Data: json.RawMessage(`{"amount":200}`)},
		)
		for _, e := range w.all(t, "ACCOUNT#1") {
			want, schema := any(Deposited{Amount: 200, Memo: "rent"}), 3
			if e.Type == "AccountClosed" {
				want, schema = Closed{}, 1
			} else if e.Message == "bare" {
				want = Deposited{Amount: 200}
			}
			if e.Data != want || e.Schema != schema || e.Erased {
				t.Errorf("version %d was upcast to %+v of schema %d, want %+v", e.Version, e.Data, e.Schema, want)
			}
		}
		if got := account.Of(w.load(t, "ACCOUNT#1", account)).Balance; got != 800 {
			t.Errorf("folded to balance %d, want 800", got)
		}
		w.vault.destroy("ACCOUNT#1")
		for _, e := range w.all(t, "ACCOUNT#1") {
			if d, ok := e.Data.(Deposited); ok && d != (Deposited{Amount: 200}) {
				t.Errorf("version %d of an erased customer was upcast to %+v", e.Version, d)
			}
		}

		w.record(t, "ACCOUNT#2", Deposited{Amount: 1}, Withdrawn{Amount: 1})
		if r := w.commits(t, "ACCOUNT#2")[0].Events; r[0].Schema != 3 || r[1].Schema != 1 {
			t.Errorf("stored with schemas %d and %d, want 3 and 1", r[0].Schema, r[1].Schema)
		}

		store("ACCOUNT#4", eventstore.Record{Type: "MoneyDeposited", Schema: 4, Data: json.RawMessage(`{}`)})
		for stream, what := range map[string]string{"ACCOUNT#4": "of a schema of tomorrow"} {
			if _, err := w.Load(t.Context(), stream, account); fault.KindOf(err) != fault.Busy { // a newer program will read it
				t.Errorf("an event %s: %v", what, err)
			}
			for e, err := range w.Events(t.Context(), stream, 1, 0) {
				if err == nil {
					t.Errorf("an event %s was read as %+v", what, e)
				}
			}
		}
	})
}
