package eventstore_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/eventstore/memory"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/fault"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }

// The tests keep savings accounts.
type (
	Opened struct {
		Owner    string `json:"owner" pii:"name"`
		Email    string `json:"email,omitempty" pii:"email"`
		Currency string `json:"currency" pii:"-"`
	}
	Deposited struct {
		Amount int64  `json:"amount" pii:"-"`
		Memo   string `json:"memo,omitempty" pii:"text"`
	}
	Withdrawn struct {
		Amount int64 `json:"amount" pii:"-"`
	}
	Moved struct {
		Home Address   `json:"home" pii:"address"`
		From time.Time `json:"from" pii:"-"`
		Tags []string  `json:"tags,omitempty" pii:"-"`
	}
	Closed struct{}

	Address struct {
		Street string `json:"street"`
		City   string `json:"city"`
	}
)

// catalog: in its first version a deposit had its sum in whole units, as "sum"; in its second its memo was called "note".
var catalog = eventstore.NewCatalog([]eventstore.Declaration{
	eventstore.Declare[Opened]("AccountOpened"),
	eventstore.Declare[Deposited]("MoneyDeposited", sumToAmount, noteToMemo),
	eventstore.Declare[Withdrawn]("MoneyWithdrawn"),
}, []eventstore.Declaration{
	eventstore.Declare[Moved]("OwnerMoved"),
	eventstore.Declare[Closed]("AccountClosed"),
})

func sumToAmount(data map[string]any) map[string]any {
	sum, _ := data["sum"].(json.Number).Int64()
	delete(data, "sum")
	data["amount"] = sum * 100
	return data
}

func noteToMemo(data map[string]any) map[string]any {
	if note, ok := data["note"]; ok {
		delete(data, "note")
		data["memo"] = note
	}
	return data
}

// Account is the state decisions are made on.
type Account struct {
	Open    bool   `json:"open"`
	Balance int64  `json:"balance"`
	Memo    string `json:"memo"`
}

var account = &eventstore.Fold[Account]{Name: "account", Version: 2, Evolve: func(a Account, e eventstore.Event) Account {
	switch d := e.Data.(type) {
	case Opened:
		a.Open = true
	case Deposited:
		a.Balance += d.Amount
		a.Memo = d.Memo
	case Withdrawn:
		a.Balance -= d.Amount
	case Closed:
		a.Open = false
	}
	return a
}}

// Trail is a state that any event left out, repeated, changed or out of order would change.
type Trail struct {
	Events int64  `json:"events"`
	Hash   uint64 `json:"hash"`
}

var trail = &eventstore.Fold[Trail]{Name: "trail", Version: 1, Evolve: func(s Trail, e eventstore.Event) Trail {
	hash := fnv.New64a()
	data, err := json.Marshal(e.Data)
	if err != nil {
		panic(err)
	}
	e.Data = nil
	fmt.Fprintf(hash, "%d %+v %T %s", s.Hash, e, e.Data, data)
	return Trail{Events: s.Events + 1, Hash: hash.Sum64()}
}}

// world is a store with what a Log needs around it.
type world struct {
	*eventstore.Log
	clock *clock
	vault *vault
}

// eachStore runs a test on every kind of store.
func eachStore(t *testing.T, test func(t *testing.T, w world)) {
	t.Run("memory", func(t *testing.T) { test(t, inMemory()) })
	t.Run("dynamo", func(t *testing.T) {
		clock := newClock()
		client := dynamotest.Client(t)
		test(t, newWorld(clock, dynamo.New(client, dynamotest.Table(t, client), clock.now)))
	})
}

func inMemory() world {
	clock := newClock()
	return newWorld(clock, memory.New(clock.now))
}

func newWorld(clock *clock, store eventstore.Store) world {
	vault := &vault{keys: map[string][]byte{}}
	return world{clock: clock, vault: vault, Log: &eventstore.Log{Store: store, Catalog: catalog, Vault: vault, Now: clock.now, NewID: newID}}
}

// another is the same store, seen by another process.
func (w world) another() world {
	log := *w.Log
	log.Cache = nil
	w.Log = &log
	return w
}

func (w world) cached(size int) world {
	w = w.another()
	w.Cache = eventstore.NewCache(size)
	return w
}

// failer is a test, or one try of a property.
type failer interface {
	Helper()
	Fatal(...any)
	Context() context.Context
}

// record appends events without deciding.
func (w world) record(t failer, stream string, data ...any) *eventstore.Head {
	t.Helper()
	head, _, err := w.Handle(t.Context(), eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{account, trail},
		Decide: func(*eventstore.Head) (eventstore.Decision, error) {
			return eventstore.Decision{Events: eventstore.Happened(data...)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// withdraw is a command that looks before it acts.
func withdraw(stream string, amount int64) eventstore.Command {
	return eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{account},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			if account.Of(h).Balance < amount {
				return eventstore.Decision{}, fault.New(fault.Rejected, "insufficient-funds", "not enough")
			}
			return eventstore.Decision{Events: eventstore.Happened(Withdrawn{Amount: amount})}, nil
		},
	}
}

// closing is a command with nothing to do once it was done.
func closing(stream string) eventstore.Command {
	return eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{account},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			if !account.Of(h).Open {
				return eventstore.Decision{}, nil
			}
			return eventstore.Decision{Events: eventstore.Happened(Closed{})}, nil
		},
	}
}

func (w world) all(t failer, stream string) []eventstore.Event {
	t.Helper()
	return collect(t, w.Events(t.Context(), stream, 1, 0))
}

func (w world) commits(t failer, stream string) []eventstore.Commit {
	t.Helper()
	return collect(t, w.Store.Read(t.Context(), stream, 1, 0))
}

func (w world) load(t failer, stream string, folds ...eventstore.AnyFold) *eventstore.Head {
	t.Helper()
	head, err := w.Load(t.Context(), stream, folds...)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func collect[T any](t failer, values iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range values {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func versions(events []eventstore.Event) []int64 {
	all := make([]int64, len(events))
	for i, e := range events {
		all[i] = e.Version
	}
	return all
}

// vault is a Vault in memory whose keys can be destroyed.
type vault struct {
	mu   sync.Mutex
	keys map[string][]byte // nil for a destroyed one
}

func (v *vault) destroy(owner string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[owner] = nil
}

func (v *vault) Seal(_ context.Context, owner, place string, plaintext []byte) ([]byte, error) {
	cipher, err := v.cipher(owner)
	if err != nil {
		return nil, err
	}
	return cipher.EncryptDeterministically(plaintext, []byte(place))
}

func (v *vault) Known(_ context.Context, owner string) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, known := v.keys[owner]
	return known, nil
}

func (v *vault) Open(_ context.Context, owner, place string, sealed []byte) ([]byte, error) {
	cipher, err := v.cipher(owner)
	if err != nil {
		return nil, err
	}
	return cipher.DecryptDeterministically(sealed, []byte(place))
}

func (v *vault) cipher(owner string) (*subtle.AESSIV, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key, known := v.keys[owner]
	switch {
	case !known:
		key = make([]byte, subtle.AESSIVKeySize)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		v.keys[owner] = key
	case key == nil:
		return nil, eventstore.ErrErased
	}
	return subtle.NewAESSIV(key)
}

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock {
	return &clock{at: time.Date(2026, 10, 25, 0, 59, 59, int(123*time.Millisecond), time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var lastID atomic.Int64

// newID makes ids shaped like UUIDv7, the last 12 bits of which are not zero.
func newID() string { return fmt.Sprintf("0195f4d1-0000-7000-8000-%09xabc", lastID.Add(1)) }

// long is a text of that many bytes that cannot be compressed, always the same.
func long(bytes int, seed ...int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text, state := make([]byte, bytes), uint64(bytes)+1
	for _, n := range seed {
		state = state*1_000_003 + uint64(n)
	}
	for i := range text {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		text[i] = letters[state&63]
	}
	return string(text)
}
