package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/events"
	"defter/pkg/activity"
	"defter/pkg/catalog"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/fault"
	"defter/pkg/meter"
	"defter/pkg/privacy"
	"defter/pkg/record"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }

// world is views on tables of their own.
type world struct {
	testing.TB
	*Views
}

func begin(t testing.TB) world {
	t.Helper()
	client := dynamotest.Client(t)
	master, err := privacy.OpenKeyFile(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	keyring := privacy.NewKeyring(client, dynamotest.Table(t, client), master, time.Now)
	log := &eventstore.Log{
		Store: dynamo.New(client, dynamotest.Table(t, client), time.Now), Catalog: catalog.New(), Vault: keyring, Now: time.Now,
		NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Validate: events.Validate,
	}
	return world{t, &Views{Table: Table{Client: client, Name: dynamotest.Table(t, client)}, Log: log}}
}

// append appends one commit to a stream.
func (w world) append(stream string, data ...any) eventstore.Commit {
	w.Helper()
	head, _, err := w.Views.Log.Handle(w.Context(), eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold},
		Decide: func(*eventstore.Head) (eventstore.Decision, error) {
			return eventstore.Decision{Events: eventstore.Happened(data...)}, nil
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	for c, err := range w.Views.Log.Store.ReadBack(w.Context(), stream, head.Version) {
		if err != nil {
			w.Fatal(err)
		}
		return c
	}
	w.Fatal("it is not there")
	return eventstore.Commit{}
}

func (w world) named(stream string, names ...string) []eventstore.Commit {
	w.Helper()
	commits := []eventstore.Commit{w.append(stream, customer.Created{Email: "ada@mail.example", Source: "api"})}
	for _, name := range names {
		commits = append(commits, w.append(stream, customer.NameUpdated{NewFirstName: name}, customer.PhoneUpdated{NewPhone: name}))
	}
	return commits
}

func (w world) expectProfile(stream, name string, version int64) {
	w.Helper()
	p, at, err := Profiles.Load(w.Context(), w.Views, stream)
	if err != nil || at != version || p.Personal.FirstName != name {
		w.Errorf("the profile is %+v at version %d (%v), want %s at %d", p, at, err, name, version)
	}
	lines, _, err := w.Timeline(w.Context(), stream, Profile{}, "", 500)
	if err != nil || int64(len(lines)) != version {
		w.Errorf("the timeline has %d lines (%v), want %d", len(lines), err, version)
	}
}

func TestActivityOfABatch(t *testing.T) {
	for what, order := range map[string][]int{
		"in order":                {0, 1, 2, 3},
		"backwards":               {3, 2, 1, 0},
		"twice":                   {0, 0, 1, 1, 2, 2, 3, 3},
		"again and again":         {0, 1, 2, 3, 0, 1, 2, 3},
		"with a gap at the front": {2, 3},
		"with a gap in between":   {0, 3},
		"the last alone":          {3},
		"all of it":               {3, 1, 3, 0, 2, 1},
	} {
		t.Run(what, func(t *testing.T) {
			w := begin(t)
			for size := 1; size <= len(order); size++ {
				stream := fmt.Sprint("CUSTOMER#", size)
				commits := w.named(stream, "Ada", "Augusta", "Grace")
				for chunk := range slices.Chunk(order, size) {
					var batch []eventstore.Commit
					for _, i := range chunk {
						batch = append(batch, commits[i])
					}
					if failed := w.ProjectActivity(t.Context(), batch); len(failed) > 0 {
						t.Errorf("failed: %v", failed)
					}
				}
				w.expectProfile(stream, "Grace", 7)
			}
		})
	}
}

// refusing is a client whose writes to some items fail.
type refusing struct {
	meter.API
	pk string
}

var errRefused = errors.New("refused")

func (r refusing) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if pk, ok := in.Item["pk"].(*types.AttributeValueMemberS); ok && pk.Value == r.pk {
		return nil, errRefused
	}
	return r.API.PutItem(ctx, in, o...)
}

func TestWhatFailsIsDeliveredAgain(t *testing.T) {
	w := begin(t)
	var batch []eventstore.Commit
	for i := range 3 {
		batch = append(batch, w.named(fmt.Sprint("CUSTOMER#", i), "Ada")...)
	}
	whole := w.Table.Client
	w.Views.Table.Client = refusing{whole, "CUSTOMER#1"}
	if failed := w.ProjectActivity(t.Context(), batch); !slices.Equal(failed, []int{2, 3}) {
		t.Errorf("failed: %v, want the commits of customer 1", failed)
	}
	w.Views.Table.Client = whole
	w.expectProfile("CUSTOMER#0", "Ada", 3)
	w.expectProfile("CUSTOMER#2", "Ada", 3)
	if failed := w.ProjectActivity(t.Context(), batch[2:4]); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	w.expectProfile("CUSTOMER#1", "Ada", 3)
}

func TestUnreadableCommitsQuarantineTheirCustomer(t *testing.T) {
	w := begin(t)
	bad, good := w.named("CUSTOMER#bad", "Ada"), w.named("CUSTOMER#good", "Grace")
	spoiled := slices.Clone(bad)
	spoiled[1].Events = slices.Clone(spoiled[1].Events)
	spoiled[1].Events[0].Data = json.RawMessage(`{`)
	if failed := w.ProjectActivity(t.Context(), []eventstore.Commit{spoiled[0], good[0], spoiled[1], good[1]}); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	w.expectProfile("CUSTOMER#good", "Grace", 3)
	keys, err := w.Table.Keys(t.Context(), "QUARANTINE#projection", "")
	if err != nil || len(keys) != 1 || !strings.HasPrefix(keys[0][1], "CUSTOMER#bad#") {
		t.Errorf("quarantined: %v %v", keys, err)
	}
	row, _, err := w.Table.Get(t.Context(), keys[0][0], keys[0][1])
	if err != nil || strings.Contains(string(row.Data), "Ada") || !strings.Contains(string(row.Data), spoiled[1].Events[0].Type) || row.TTL == 0 {
		t.Errorf("quarantined: %s, until %d (%v)", row.Data, row.TTL, err)
	}
	if failed := w.ProjectActivity(t.Context(), bad[1:]); len(failed) > 0 { // delivered whole
		t.Errorf("failed: %v", failed)
	}
	w.expectProfile("CUSTOMER#bad", "Ada", 3)
}

// Several processes fold parts of one stream into one row, in no order.
func TestManyFoldOneDocument(t *testing.T) {
	w := begin(t)
	const stream = "CUSTOMER#1"
	year := time.Now().AddDate(1, 0, 0)
	var all []eventstore.Event
	for i := range 30 {
		var c eventstore.Commit
		if i%2 == 0 {
			c = w.append(stream, consent.Granted{Purpose: consent.Marketing, Channel: consent.Email, ExpiresAt: &year})
		} else {
			c = w.append(stream, consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "other"})
		}
		opened, err := w.Views.Log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, opened...)
	}
	var group sync.WaitGroup
	for worker := range 6 {
		group.Go(func() {
			for i := range 5 {
				some := all[:(worker*7+i*11)%len(all)+1]
				for {
					err := Consents.Apply(t.Context(), w.Views, stream, some)
					if err == nil {
						break
					}
					if fault.KindOf(err) != fault.Busy {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	state, version, err := Consents.Load(t.Context(), w.Views, stream)
	if err != nil {
		t.Fatal(err)
	}
	var want ConsentState
	for _, e := range all[:version] {
		want = Consents.Evolve(want, e)
	}
	got, _ := json.Marshal(state)
	if text, _ := json.Marshal(want); string(got) != string(text) || version < 25 {
		t.Errorf("at version %d it is %s, want %s", version, got, text)
	}
	list, _, err := w.ListConsented(t.Context(), consent.Marketing, consent.Email, time.Now(), "", 10)
	if allowed := state.Allows(consent.Marketing, consent.Email, time.Now()); err != nil || allowed != (len(list) == 1) {
		t.Errorf("allowed: %t, listed: %v %v", allowed, list, err)
	}
}

func TestEventsBeforeTheStoreHasThem(t *testing.T) {
	w := begin(t)
	c := w.append("CUSTOMER#1", customer.Created{Source: "api"})
	opened, err := w.Views.Log.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	late := opened[0]
	late.Version = 5
	if err := Profiles.Apply(t.Context(), w.Views, "CUSTOMER#1", []eventstore.Event{late}); fault.KindOf(err) != fault.Busy {
		t.Errorf("an event whose predecessors are not there: %v", err)
	}
	if _, version, err := Profiles.Load(t.Context(), w.Views, "CUSTOMER#1"); err != nil || version != 0 {
		t.Errorf("a row is made at version %d %v", version, err)
	}
}

func TestTablePages(t *testing.T) {
	w := begin(t)
	var rows []Row
	var keys [][2]string
	for i := range 620 {
		row := Row{PK: "P", SK: fmt.Sprintf("A#%04d", i), Data: []byte(fmt.Sprint(i))}
		if i%31 == 0 {
			row.SK = fmt.Sprintf("B#%04d", i)
		}
		rows, keys = append(rows, row), append(keys, [2]string{row.PK, row.SK})
	}
	if err := w.Table.PutMany(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	found, err := w.Table.GetMany(t.Context(), append(keys, [2]string{"P", "not there"}))
	if err != nil || len(found) != len(rows) {
		t.Errorf("found %d rows %v", len(found), err)
	}
	if own, err := w.Table.Keys(t.Context(), "P", "A#"); err != nil || len(own) != 600 {
		t.Errorf("%d keys with the prefix %v", len(own), err)
	}
	for _, backwards := range []bool{false, true} {
		var list []string
		for cursor := ""; ; {
			some, next, err := w.Table.List(t.Context(), "P", "A#", cursor, 77, backwards)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range some {
				list = append(list, row.SK)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if backwards {
			slices.Reverse(list)
		}
		if len(list) != 600 || !slices.IsSorted(list) || len(slices.Compact(list)) != 600 {
			t.Errorf("backwards %t: %d rows", backwards, len(list))
		}
	}
	for _, cursor := range []string{"B#0000", "A", "\x00", "A#\xff"} {
		if _, _, err := w.Table.List(t.Context(), "P", "A#", cursor, 10, false); fault.SlugOf(err) != "invalid-cursor" {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if err := w.Table.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	if left, err := w.Table.Keys(t.Context(), "P", ""); err != nil || len(left) > 0 {
		t.Errorf("%d rows are left %v", len(left), err)
	}
}

func TestCursors(t *testing.T) {
	for _, parts := range [][]string{{""}, {"a"}, {"a", "b"}, {"A#000000000001"}, {"Ünal 😀", "\"", "\\"}} {
		got, err := ParseCursor(Cursor(parts...), len(parts))
		if err != nil || !slices.Equal(got, parts) {
			t.Errorf("%q comes back as %q %v", parts, got, err)
		}
		if _, err := ParseCursor(Cursor(parts...), len(parts)+1); fault.SlugOf(err) != "invalid-cursor" {
			t.Errorf("%q of too few parts: %v", parts, err)
		}
	}
}

// cancelling cancels every transaction for a reason.
type cancelling struct {
	meter.API
	reason string
}

func (c cancelling) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return nil, &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: new("None")}, {Code: &c.reason}}}
}

// TestACancelledTransactionIsNotAlwaysOvertaken: who believed that would think what was not written to be there.
func TestACancelledTransactionIsNotAlwaysOvertaken(t *testing.T) {
	for reason, overtaken := range map[string]bool{"ConditionalCheckFailed": true, "TransactionConflict": true, "ThrottlingError": false, "ValidationError": false} {
		table := Table{Client: cancelling{reason: reason}, Name: "views"}
		written, err := table.Replace(t.Context(), Row{PK: "a", SK: "b"}, 0, []Row{{PK: "a", SK: "c"}}, nil)
		if written || (err == nil) != overtaken {
			t.Errorf("replaced after %s: %v, %v", reason, written, err)
		}
		written, err = table.Remove(t.Context(), Row{PK: "a", SK: "b", Version: 1}, nil)
		if written || (err == nil) != overtaken {
			t.Errorf("removed after %s: %v, %v", reason, written, err)
		}
	}
}

// An answer as of an earlier version costs no more than MaxReread events: where the history is longer, it is as of what is projected.
func TestD4_AnAnswerDoesNotReadALongHistoryAgain(t *testing.T) {
	w := begin(t)
	const id = "1"
	stream := CustomerStream(id)
	w.append(stream, customer.Created{Source: "api"})
	var seen []any
	for range 100 {
		seen = append(seen, activity.PageViewed{})
	}
	for range MaxReread/100 + 2 {
		w.append(stream, seen...)
	}
	var last int64
	for e, err := range w.Views.Log.Events(t.Context(), stream, 1, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := Profiles.Apply(t.Context(), w.Views, stream, []eventstore.Event{e}); err != nil {
			t.Fatal(err)
		}
		last = e.Version
	}
	for asked, want := range map[int64]int64{2: 2, MaxReread: MaxReread, MaxReread + 1: last, last: last} {
		if shown, ok, err := w.ShowCustomerUpTo(t.Context(), id, asked); err != nil || !ok || shown.Version != want {
			t.Errorf("as of %d it is as of %d, %v, want %d", asked, shown.Version, err, want)
		}
	}
}
