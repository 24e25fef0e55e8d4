package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

func TestHandleAppendsWhatWasDecided(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		before := w.clock.now().Add(-time.Hour).Add(time.Microsecond)
		head, n, err := w.Handle(t.Context(), eventstore.Command{
			Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{account},
			Meta: eventstore.Meta{CorrelationID: "correlation", CausationID: "cause", Actor: "api:7", Source: "api"},
			Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
				if h.Version != 0 || account.Of(h) != (Account{}) || h.Stream != "ACCOUNT#1" {
					t.Errorf("the head of a new stream is %+v", h)
				}
				return eventstore.Decision{Events: []eventstore.New{
					{Data: Opened{Owner: "Ayşe", Currency: "TRY"}},
					{Data: Deposited{Amount: 100, Memo: "first"}, OccurredAt: before, Message: "fingerprint"},
				}}, nil
			},
		})
		if err != nil || n != 2 {
			t.Fatalf("appended %d, %v", n, err)
		}
		if got, want := account.Of(head), (Account{Open: true, Balance: 100, Memo: "first"}); got != want || head.Version != 2 || !head.RecordedAt.Equal(w.clock.now()) {
			t.Errorf("head after it: version %d at %s, %+v", head.Version, head.RecordedAt, got)
		}
		commits := w.commits(t, "ACCOUNT#1")
		if len(commits) != 1 {
			t.Fatalf("%d commits, want 1", len(commits))
		}
		envelope := eventstore.Event{
			ID: commits[0].ID, Type: "AccountOpened", Schema: 1, Stream: "ACCOUNT#1", Version: 1, OccurredAt: w.clock.now(), RecordedAt: w.clock.now(),
			CorrelationID: "correlation", CausationID: "cause", Actor: "api:7", Source: "api", Data: Opened{Owner: "Ayşe", Currency: "TRY"},
		}
		second := envelope
		second.ID, second.Type, second.Schema, second.Version = commits[0].ID[:35]+"1", "MoneyDeposited", 3, 2
		second.OccurredAt, second.Message, second.Data = before.Truncate(time.Millisecond), "fingerprint", Deposited{Amount: 100, Memo: "first"}
		if got, want := w.all(t, "ACCOUNT#1"), []eventstore.Event{envelope, second}; !reflect.DeepEqual(got, want) {
			t.Errorf("events\n got  %+v\n want %+v", got, want)
		}
		if !strings.HasSuffix(commits[0].ID, "000") {
			t.Errorf("commit id %s leaves no room for the ids of its events", commits[0].ID)
		}
	})
}

func TestCorrelationDefaultsToTheCommit(t *testing.T) {
	w := inMemory()
	w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 1})
	for _, e := range w.all(t, "ACCOUNT#1") {
		if want := w.commits(t, "ACCOUNT#1")[0].ID; e.CorrelationID != want {
			t.Errorf("event %d has correlation %s, want %s", e.Version, e.CorrelationID, want)
		}
	}
}

func TestEventIDsAreUnique(t *testing.T) {
	c := eventstore.Commit{ID: "0195f4d1-0000-7000-8000-000000001000", Events: make([]eventstore.Record, eventstore.MaxCommitEvents)}
	ids := map[string]bool{}
	last := ""
	for i := range eventstore.MaxCommitEvents {
		id := c.EventID(i)
		if ids[id] || len(id) != 36 || id <= last {
			t.Fatalf("event %d has id %s after %s", i, id, last)
		}
		ids[id], last = true, id
	}
	if want := "0195f4d1-0000-7000-8000-0000000013e7"; last != want {
		t.Errorf("event 999 has id %s, want %s", last, want)
	}
}

// interfering lets others append just before each of the first n decisions is appended.
func (w world) interfering(t *testing.T, c eventstore.Command, n int) (command eventstore.Command, decided *[]int64) {
	decide, others := c.Decide, w.another()
	decided = new([]int64)
	c.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
		*decided = append(*decided, h.Version)
		d, err := decide(h)
		if len(*decided) <= n {
			others.record(t, c.Stream, Deposited{Amount: 1}, Deposited{Amount: 1})
		}
		return d, err
	}
	return c, decided
}

func TestHandleDecidesAgainAfterAConflict(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		for _, conflicts := range []int{0, 1, 2, 20, eventstore.MaxAttempts} {
			stream := fmt.Sprintf("ACCOUNT#%d", conflicts)
			w.record(t, stream, Opened{}, Deposited{Amount: 100})
			command, decided := w.interfering(t, withdraw(stream, 50), conflicts)
			head, n, err := w.Handle(t.Context(), command)
			for i, version := range *decided {
				if want := int64(2 + 2*i); version != want {
					t.Errorf("decision %d was made on version %d, want %d", i+1, version, want)
				}
			}
			if conflicts == eventstore.MaxAttempts {
				if fault.KindOf(err) != fault.Conflict || fault.SlugOf(err) != "concurrent-change" || !errors.Is(err, eventstore.ErrConflict) || len(*decided) != conflicts {
					t.Errorf("%d conflicts: %d decisions, %v", conflicts, len(*decided), err)
				}
				continue
			}
			if err != nil || n != 1 || len(*decided) != conflicts+1 {
				t.Fatalf("%d conflicts: appended %d after %d decisions, %v", conflicts, n, len(*decided), err)
			}
			if want := int64(50 + 2*conflicts); account.Of(head).Balance != want || head.Version != int64(3+2*conflicts) {
				t.Errorf("%d conflicts: version %d with balance %d, want %d", conflicts, head.Version, account.Of(head).Balance, want)
			}
			if fresh := w.load(t, stream, account); account.Of(fresh) != account.Of(head) || fresh.Version != head.Version {
				t.Errorf("%d conflicts: the head returned is %+v, the stored one %+v", conflicts, account.Of(head), account.Of(fresh))
			}
		}
	})
}

// TestFactsUnderContention: what has happened is always accepted, whoever else is writing.
func TestFactsUnderContention(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		const writers, facts = 6, 10
		var decisions, ready sync.WaitGroup
		ready.Add(writers)
		var conflicts lockedCount
		for i := range writers {
			log := w.another()
			decisions.Go(func() {
				for n := range facts {
					asked := 0
					_, appended, err := log.Handle(t.Context(), eventstore.Command{
						Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{account}, Fact: true,
						Decide: func(*eventstore.Head) (eventstore.Decision, error) {
							if asked++; n == 0 && asked == 1 { // all decide on the same head once
								ready.Done()
								ready.Wait()
							}
							return eventstore.Decision{Events: eventstore.Happened(Deposited{Amount: 1}, Deposited{Memo: fmt.Sprintf("%d.%d", i, n)})}, nil
						},
					})
					conflicts.add(asked - 1)
					if err != nil || appended != 2 {
						t.Errorf("writer %d, fact %d: appended %d, %v", i, n, appended, err)
					}
				}
			})
		}
		decisions.Wait()
		memos := map[string]int{}
		for i, e := range w.all(t, "ACCOUNT#1") {
			if e.Version != int64(i+1) {
				t.Fatalf("event %d has version %d", i+1, e.Version)
			}
			if memo := e.Data.(Deposited).Memo; memo != "" {
				memos[memo]++
			}
		}
		head := w.load(t, "ACCOUNT#1", account)
		if len(memos) != writers*facts || account.Of(head).Balance != writers*facts || head.Version != 2*writers*facts {
			t.Errorf("%d different facts, balance %d, version %d", len(memos), account.Of(head).Balance, head.Version)
		}
		if conflicts.n < writers-1 {
			t.Errorf("only %d conflicts: nobody was in anybody's way", conflicts.n)
		}
	})
}

type lockedCount struct {
	mu sync.Mutex
	n  int
}

func (c *lockedCount) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
}

// TestCachedHead: a cached head may decide only what an append proves current.
func TestCachedHead(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, w, other world){
		"an append that fits needs no load": func(t *testing.T, w, _ world) {
			store := &counting{Store: w.Store}
			w.Store = store
			if _, _, err := w.Handle(t.Context(), withdraw("ACCOUNT#1", 30)); err != nil || store.loads > 0 {
				t.Errorf("%d loads, %v", store.loads, err)
			}
		},
		"an append that does not fit is decided again": func(t *testing.T, w, other world) {
			other.record(t, "ACCOUNT#1", Withdrawn{Amount: 80})
			if _, _, err := w.Handle(t.Context(), withdraw("ACCOUNT#1", 30)); fault.SlugOf(err) != "insufficient-funds" {
				t.Errorf("withdrew what was gone: %v", err)
			}
		},
		"a refusal is decided again": func(t *testing.T, w, other world) {
			other.record(t, "ACCOUNT#1", Deposited{Amount: 50})
			if _, n, err := w.Handle(t.Context(), withdraw("ACCOUNT#1", 130)); err != nil || n != 1 {
				t.Errorf("refused what has become possible: appended %d, %v", n, err)
			}
		},
		"a refusal stays one": func(t *testing.T, w, other world) {
			other.record(t, "ACCOUNT#1", Deposited{Amount: 10})
			head, n, err := w.Handle(t.Context(), withdraw("ACCOUNT#1", 130))
			if fault.SlugOf(err) != "insufficient-funds" || n != 0 || head == nil || head.Version != 3 {
				t.Errorf("appended %d, %v", n, err)
			}
		},
		"nothing to do is decided again": func(t *testing.T, w, other world) {
			if _, n, err := w.Handle(t.Context(), closing("ACCOUNT#1")); err != nil || n != 1 {
				t.Fatalf("closing appended %d, %v", n, err)
			}
			other.record(t, "ACCOUNT#1", Opened{})
			if _, n, err := w.Handle(t.Context(), closing("ACCOUNT#1")); err != nil || n != 1 {
				t.Errorf("closing an account opened again appended %d, %v", n, err)
			}
		},
		"nothing to do answers with the fresh head": func(t *testing.T, w, other world) {
			if _, n, err := w.Handle(t.Context(), closing("ACCOUNT#1")); err != nil || n != 1 {
				t.Fatalf("closing appended %d, %v", n, err)
			}
			other.record(t, "ACCOUNT#1", Deposited{Amount: 7})
			head, n, err := w.Handle(t.Context(), closing("ACCOUNT#1"))
			if err != nil || n != 0 || head.Version != 4 || account.Of(head).Balance != 107 {
				t.Errorf("appended %d, head %+v, %v", n, head, err)
			}
		},
		"what a failed append would have done is forgotten": func(t *testing.T, w, _ world) {
			taken := eventstore.Claim{Key: "UNIQUE#email#1", Owner: "ACCOUNT#2"}
			if err := w.Store.Claim(t.Context(), taken); err != nil {
				t.Fatal(err)
			}
			command := withdraw("ACCOUNT#1", 100)
			decide := command.Decide
			command.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
				d, err := decide(h)
				d.Claims = []eventstore.Claim{{Key: taken.Key, Owner: "ACCOUNT#1"}}
				return d, err
			}
			if _, _, err := w.Handle(t.Context(), command); !is[*eventstore.TakenError](err) {
				t.Fatalf("%v, want the claim to be taken", err)
			}
			if _, n, err := w.Handle(t.Context(), withdraw("ACCOUNT#1", 100)); err != nil || n != 1 {
				t.Errorf("appended %d, %v", n, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, w world) {
				w = w.cached(10)
				w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
				test(t, w, w.another())
			})
		})
	}
}

// TestAHeadThatTheCallerLoaded is decided on first, and again on a newer one where somebody else has written since.
func TestAHeadThatTheCallerLoaded(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
		with := func(head *eventstore.Head, c eventstore.Command) eventstore.Command {
			c.Head = head
			return c
		}
		store := &counting{Store: w.Store}
		w.Store = store
		head := w.load(t, "ACCOUNT#1", account)
		store.taken()
		if next, n, err := w.Handle(t.Context(), with(head, withdraw("ACCOUNT#1", 30))); err != nil || n != 1 || account.Of(next).Balance != 70 || store.taken() > 0 {
			t.Errorf("appended %d: %+v, %v", n, next, err)
		}
		if _, _, err := w.Handle(t.Context(), with(head, withdraw("ACCOUNT#1", 80))); fault.SlugOf(err) != "insufficient-funds" {
			t.Errorf("withdrew what was gone: %v", err)
		}
		if next, n, err := w.Handle(t.Context(), with(head, withdraw("ACCOUNT#1", 10))); err != nil || n != 1 || account.Of(next).Balance != 60 {
			t.Errorf("appended %d: %+v, %v", n, next, err)
		}
	})
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestRecordedAtNeverDecreases(t *testing.T) {
	for name, w := range map[string]world{"loaded": inMemory(), "cached": inMemory().cached(10)} {
		steps := []time.Duration{0, -time.Hour, 30 * time.Minute, time.Millisecond, -400 * 24 * time.Hour, time.Microsecond, 401 * 24 * time.Hour}
		last := time.Time{}
		for i := range 100 {
			w.clock.pass(steps[i%len(steps)])
			head := w.record(t, "ACCOUNT#1", Deposited{Amount: 1, Memo: long(1000)}) // snapshots are in the way, too
			if now := w.clock.now().Truncate(time.Millisecond); head.RecordedAt.Before(last) || head.RecordedAt.Before(now) {
				t.Fatalf("%s: recorded at %s after %s, now %s", name, head.RecordedAt, last, now)
			}
			if head.RecordedAt.After(last) && !head.RecordedAt.Equal(w.clock.now().Truncate(time.Millisecond)) {
				t.Fatalf("%s: recorded at %s, a time that never was", name, head.RecordedAt)
			}
			last = head.RecordedAt
		}
		at := time.Time{}
		for _, e := range w.all(t, "ACCOUNT#1") {
			if e.RecordedAt.Before(at) || e.OccurredAt != e.RecordedAt {
				t.Fatalf("%s: event %d is recorded at %s after %s, and occurred at %s", name, e.Version, e.RecordedAt, at, e.OccurredAt)
			}
			at = e.RecordedAt
		}
	}
}

func TestAnswerReceivesTheNextHead(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
		command := withdraw("ACCOUNT#1", 30)
		decide := command.Decide
		command.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
			d, err := decide(h)
			d.Claims = []eventstore.Claim{{Key: "UNIQUE#receipt#1", Owner: "ACCOUNT#1"}}
			d.Answer = func(next *eventstore.Head) ([]eventstore.Claim, error) {
				answer := fmt.Appendf(nil, "version %d, balance %d", next.Version, account.Of(next).Balance)
				return []eventstore.Claim{{Key: "KEY#1", Owner: "request 1", Value: answer}}, nil
			}
			return d, err
		}
		if _, _, err := w.Handle(t.Context(), command); err != nil {
			t.Fatal(err)
		}
		answer, ok, err := w.Store.Claimed(t.Context(), "KEY#1")
		if got, want := string(answer.Value), "version 3, balance 70"; err != nil || !ok || got != want {
			t.Errorf("stored answer %q, %v, want %q", got, err, want)
		}
		if _, ok, err := w.Store.Claimed(t.Context(), "UNIQUE#receipt#1"); !ok || err != nil {
			t.Errorf("the decision's own claim was not taken: %v", err)
		}

		broken := errors.New("broken")
		command.Decide = func(*eventstore.Head) (eventstore.Decision, error) {
			return eventstore.Decision{
				Events: eventstore.Happened(Closed{}),
				Answer: func(*eventstore.Head) ([]eventstore.Claim, error) { return nil, broken },
			}, nil
		}
		if _, _, err := w.Handle(t.Context(), command); !errors.Is(err, broken) {
			t.Errorf("an answer that cannot be made: %v", err)
		}
		if n := len(w.all(t, "ACCOUNT#1")); n != 3 {
			t.Errorf("%d events, want 3: nothing is appended without its answer", n)
		}
	})
}

func TestHandleRefuses(t *testing.T) {
	w := inMemory()
	unfit := errors.New("unfit")
	var seen []string
	w.Validate = func(name string, schema int, data []byte) error {
		seen = append(seen, fmt.Sprintf("%s %d %s", name, schema, data))
		if strings.Contains(string(data), "unfit") {
			return unfit
		}
		return nil
	}
	handle := func(data ...any) error {
		_, _, err := w.Handle(t.Context(), eventstore.Command{
			Stream: "ACCOUNT#1",
			Decide: func(*eventstore.Head) (eventstore.Decision, error) {
				return eventstore.Decision{Events: eventstore.Happened(data...)}, nil
			},
		})
		return err
	}
	if err := handle(Opened{Owner: "Ayşe", Currency: "TRY"}, Withdrawn{Amount: 5}, Closed{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{`AccountOpened 1 {"currency":"TRY","owner":"Ayşe"}`, `MoneyWithdrawn 1 {"amount":5}`, `AccountClosed 1 {}`}; !slices.Equal(seen, want) {
		t.Errorf("validated %q, want %q", seen, want)
	}
	if err := handle(Withdrawn{}, Opened{Owner: "unfit"}); !errors.Is(err, unfit) {
		t.Errorf("an event that does not fit its schema: %v", err)
	}
	for name, data := range map[string][]any{
		"too many events": slices.Repeat([]any{Withdrawn{}}, eventstore.MaxCommitEvents+1),
		"too many bytes":  {Deposited{Memo: long(2 * eventstore.MaxCommitBytes)}},
	} {
		if err := handle(data...); fault.KindOf(err) != fault.Invalid || fault.SlugOf(err) != "too-large" {
			t.Errorf("%s: %v", name, err)
		}
	}
	type Unknown struct{}
	for name, data := range map[string]any{"undeclared": Unknown{}, "a pointer": &Withdrawn{}, "nothing": nil} {
		if err := handle(data); err == nil {
			t.Errorf("%s was recorded", name)
		}
	}
	if n := len(w.all(t, "ACCOUNT#1")); n != 3 {
		t.Errorf("%d events, want 3: what is refused leaves nothing behind", n)
	}
}

// TestEventsFromTheMiddleOfCommits tries every range there is.
func TestEventsFromTheMiddleOfCommits(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		last := int64(0)
		for _, n := range []int{3, 1, 5, 2} {
			last = w.record(t, "ACCOUNT#1", slices.Repeat([]any{Deposited{Amount: 1}}, n)...).Version
		}
		for from := range last + 3 {
			for to := range last + 3 {
				var want []int64
				for v := max(from, 1); v <= last && (to == 0 || v <= to); v++ {
					want = append(want, v)
				}
				if got := versions(collect(t, w.Events(t.Context(), "ACCOUNT#1", from, to))); !slices.Equal(got, want) {
					t.Errorf("events %d to %d: versions %v, want %v", from, to, got, want)
				}
			}
		}
		for stop := range last {
			n := int64(0)
			for _, err := range w.Events(t.Context(), "ACCOUNT#1", 2, 0) {
				if n++; err != nil || n > stop {
					break
				}
			}
			if want := min(stop+1, last-1); n != want {
				t.Errorf("left after %d events, %d came", want, n)
			}
		}
		if events := w.all(t, "ACCOUNT#2"); len(events) > 0 {
			t.Errorf("a stream that does not exist has events %v", events)
		}
	})
}

// TestMissingVersions: a history with a hole in it is never folded.
func TestMissingVersions(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		deposits := func(first int64, n int) eventstore.Commit {
			c := eventstore.Commit{ID: newID(), Stream: "ACCOUNT#1", First: first, RecordedAt: w.clock.now()}
			for range n {
				c.Events = append(c.Events, eventstore.Record{Type: "MoneyDeposited", Schema: 3, OccurredAt: w.clock.now(), Data: []byte(`{"amount":1}`)})
			}
			return c
		}
		snapshot := func(fold string, layout int, version int64, state string) {
			sealed, err := w.vault.Seal(t.Context(), "ACCOUNT#1", "S#ACCOUNT#1#"+fold, []byte(state))
			if err == nil {
				err = w.Store.SaveSnapshot(t.Context(), eventstore.Snapshot{Stream: "ACCOUNT#1", Fold: fold, State: layout, Version: version, RecordedAt: w.clock.now(), Sealed: sealed})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		fails := func(what string, folds ...eventstore.AnyFold) {
			t.Helper()
			if _, err := w.Load(t.Context(), "ACCOUNT#1", folds...); err == nil || strings.Contains(err.Error(), "#1") {
				t.Errorf("%s: loaded, or the error names the customer: %v", what, err)
			}
		}
		for _, c := range []eventstore.Commit{deposits(1, 3), deposits(5, 2), deposits(7, 1)} {
			if err := w.Store.Append(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		fails("version 4 is missing", account)
		snapshot("account", 2, 6, `{"balance":6}`)
		if head := w.load(t, "ACCOUNT#1", account); head.Version != 7 || account.Of(head).Balance != 7 {
			t.Errorf("with a snapshot beyond the hole: version %d, %+v", head.Version, account.Of(head))
		}
		fails("version 4 is missing for one of two folds", account, trail)
		snapshot("account", 2, 3, `{"balance":3}`)
		fails("version 4 is missing after a snapshot", account)

		if err := w.Store.Append(t.Context(), deposits(4, 1)); err != nil {
			t.Fatal(err)
		}
		if head := w.load(t, "ACCOUNT#1", account, trail); head.Version != 7 || account.Of(head).Balance != 7 || trail.Of(head).Events != 7 {
			t.Errorf("the hole is filled: version %d, %+v, %+v", head.Version, account.Of(head), trail.Of(head))
		}
	})
}

// TestErasure: once the key is destroyed nothing personal can be read, everything else can, and nothing personal is added.
func TestErasure(t *testing.T) {
	eachStore(t, func(t *testing.T, w world) {
		w.record(t, "ACCOUNT#1", Opened{Owner: "Ayşe", Email: "ayse@example.com", Currency: "TRY"}, Withdrawn{Amount: 1})
		for range 30 { // past a snapshot
			w.record(t, "ACCOUNT#1", Deposited{Amount: 10, Memo: long(1000)})
		}
		w.record(t, "ACCOUNT#1", Withdrawn{Amount: 9})
		w.record(t, "ACCOUNT#2", Opened{Owner: "Mehmet", Currency: "TRY"})
		if found, err := w.Store.LoadSnapshots(t.Context(), "ACCOUNT#1", "account"); err != nil || len(found) != 1 {
			t.Fatalf("snapshots %v, %v", found, err)
		}
		before := w.load(t, "ACCOUNT#1", account)

		w.vault.destroy("ACCOUNT#1")
		for i, e := range w.all(t, "ACCOUNT#1") {
			want := any(Deposited{Amount: 10})
			switch i {
			case 0:
				want = Opened{Currency: "TRY"}
			case 1:
				want = Withdrawn{Amount: 1}
			case 32:
				want = Withdrawn{Amount: 9}
			}
			if e.Data != want || e.Version != int64(i+1) {
				t.Errorf("event %d is %+v, want %+v", e.Version, e.Data, want)
			}
			if sealed := i != 32; e.Erased != sealed { // the last commit never held anything personal
				t.Errorf("event %d: erased is %t", e.Version, e.Erased)
			}
		}
		after := w.load(t, "ACCOUNT#1", account)
		want := account.Of(before)
		want.Memo = ""
		if account.Of(after) != want || after.Version != before.Version {
			t.Errorf("after the erasure: version %d, %+v, want %+v", after.Version, account.Of(after), want)
		}

		add := func(data any) error {
			_, _, err := w.Handle(t.Context(), eventstore.Command{
				Stream: "ACCOUNT#1", Folds: []eventstore.AnyFold{account},
				Decide: func(*eventstore.Head) (eventstore.Decision, error) {
					return eventstore.Decision{Events: eventstore.Happened(data)}, nil
				},
			})
			return err
		}
		if err := add(Deposited{Amount: 1, Memo: "more"}); fault.KindOf(err) != fault.NotFound || fault.SlugOf(err) != "customer-erased" || !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("something personal of an erased customer: %v", err)
		}
		if err := add(Withdrawn{Amount: 1}); err != nil {
			t.Errorf("something impersonal of an erased customer: %v", err)
		}
		if other := w.all(t, "ACCOUNT#2")[0]; other.Erased || other.Data.(Opened).Owner != "Mehmet" {
			t.Errorf("another customer's event is %+v", other)
		}
	})
}

// TestSealedDataBelongsToItsPlace: what is sealed for one commit opens in no other, nor for another customer.
func TestSealedDataBelongsToItsPlace(t *testing.T) {
	w := inMemory()
	w.record(t, "ACCOUNT#1", Opened{Owner: "Ayşe"})
	w.record(t, "ACCOUNT#1", Opened{Owner: "Mehmet"})
	one, two := w.commits(t, "ACCOUNT#1")[0], w.commits(t, "ACCOUNT#1")[1]
	for name, change := range map[string]func(*eventstore.Commit){
		"bytes of another commit": func(c *eventstore.Commit) { c.Sealed = two.Sealed },
		"another commit's id":     func(c *eventstore.Commit) { c.ID = two.ID },
		"another version":         func(c *eventstore.Commit) { c.First = two.First },
		"another stream":          func(c *eventstore.Commit) { c.Stream = "ACCOUNT#2" },
		"fewer events":            func(c *eventstore.Commit) { c.Events = nil },
	} {
		moved := one
		change(&moved)
		if events, err := w.Open(t.Context(), moved); err == nil {
			t.Errorf("%s: opened as %+v", name, events)
		}
	}
	if _, err := w.Open(t.Context(), one); err != nil {
		t.Error(err)
	}
}

func TestHandleStopsWithItsContext(t *testing.T) {
	w := inMemory()
	w.record(t, "ACCOUNT#1", Opened{}, Deposited{Amount: 100})
	ctx, cancel := context.WithCancel(t.Context())
	command, decided := w.interfering(t, withdraw("ACCOUNT#1", 1), 100)
	decide := command.Decide
	command.Decide = func(h *eventstore.Head) (eventstore.Decision, error) {
		if len(*decided) == 3 {
			cancel()
		}
		return decide(h)
	}
	if _, _, err := w.Handle(ctx, command); !errors.Is(err, context.Canceled) || len(*decided) > 4 {
		t.Errorf("%d decisions, %v", len(*decided), err)
	}
}
