package eventstore_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"

	"pgregory.net/rapid"
)

// anyData draws the data of any declared event.
func anyData(text *rapid.Generator[string]) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		amount := rapid.Int64().Draw(t, "amount")
		switch rapid.IntRange(0, 4).Draw(t, "type") {
		case 0:
			return Opened{Owner: text.Draw(t, "owner"), Email: text.Draw(t, "email"), Currency: rapid.StringMatching("[A-Z]{3}").Draw(t, "currency")}
		case 1:
			return Deposited{Amount: amount, Memo: text.Draw(t, "memo")}
		case 2:
			return Withdrawn{Amount: amount}
		case 3:
			m := Moved{Home: Address{Street: text.Draw(t, "street"), City: text.Draw(t, "city")}, From: time.Unix(amount%1e10, amount&0x3fffffff%1e9).UTC()}
			for range rapid.IntRange(0, 3).Draw(t, "tags") {
				m.Tags = append(m.Tags, rapid.StringMatching("[a-z]{1,5}").Draw(t, "tag"))
			}
			return m
		}
		return Closed{}
	})
}

func TestEncodedDataComesBack(t *testing.T) {
	seen := map[reflect.Type]bool{}
	rapid.Check(t, func(t *rapid.T) {
		want := anyData(rapid.String()).Draw(t, "data")
		name, schema, public, private, err := catalog.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if name != catalog.NameOf(want) || schema != catalog.Schema(name) {
			t.Fatalf("encoded as %s %d", name, schema)
		}
		got, err := catalog.Decode(name, schema, public, private)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s + %s came back as %+v, %v, want %+v", public, private, got, err, want)
		}
		seen[reflect.TypeOf(want)] = true
	})
	if len(seen) != len(catalog.Names()) {
		t.Errorf("only tried %v", seen)
	}
}

// TestPrivateFieldsStayOutOfTheRecord: nothing personal is readable in what is stored, in a commit or in a snapshot.
func TestPrivateFieldsStayOutOfTheRecord(t *testing.T) {
	const secret = "sakıncalı"
	personal := rapid.StringMatching("[a-z ]{0,5}" + secret + "[a-z ]{0,5}")
	rapid.Check(t, func(t *rapid.T) {
		w := inMemory()
		data := rapid.SliceOfN(anyData(personal), 1, 10).Draw(t, "data")
		w.record(t, "ACCOUNT#1", data...)
		for range 13 { // for a snapshot
			w.record(t, "ACCOUNT#1", Deposited{Memo: secret + long(1000)})
		}
		for _, c := range w.commits(t, "ACCOUNT#1") {
			sealed := string(c.Sealed)
			c.Sealed = nil
			if readable, err := json.Marshal(c); err != nil || strings.Contains(string(readable), secret) || strings.Contains(sealed, secret) {
				t.Fatalf("readable in %s, %v", readable, err)
			}
			for _, e := range c.Events {
				if strings.Contains(string(e.Data), secret) {
					t.Fatalf("readable in %s", e.Data)
				}
			}
		}
		found, err := w.Store.LoadSnapshots(t.Context(), "ACCOUNT#1", "account", "trail")
		if err != nil || len(found) != 2 || strings.Contains(string(found[0].Sealed)+string(found[1].Sealed), secret) {
			t.Fatalf("readable in one of %d snapshots, %v", len(found), err)
		}
		if memo := account.Of(w.load(t, "ACCOUNT#1", account)).Memo; !strings.Contains(memo, secret) {
			t.Fatalf("lost: %q", memo)
		}
	})
}

func TestEncodeTakesPersonalFieldsApart(t *testing.T) {
	for _, c := range []struct {
		data            any
		public, private string
	}{
		{Opened{Owner: "Ayşe", Email: "a@b.c", Currency: "TRY"}, `{"currency":"TRY"}`, `{"owner":"Ayşe","email":"a@b.c"}`},
		{Deposited{Amount: 7, Memo: "m"}, `{"amount":7}`, `{"memo":"m"}`},
		{Deposited{Amount: 7}, `{"amount":7}`, ``},
		{Withdrawn{Amount: 7}, `{"amount":7}`, ``},
		{Closed{}, `{}`, ``},
		{Moved{Home: Address{City: "Van"}, Tags: []string{"x"}}, `{"from":"0001-01-01T00:00:00Z","tags":["x"]}`, `{"home":{"street":"","city":"Van"}}`},
	} {
		_, _, public, private, err := catalog.Encode(c.data)
		if err != nil || string(public) != c.public || string(private) != c.private {
			t.Errorf("%+v is %s and %s, %v, want %s and %s", c.data, public, private, err, c.public, c.private)
		}
		if (private == nil) != (c.private == "") {
			t.Errorf("%+v: private is %#v", c.data, private)
		}
	}
}

func TestDecodeUpcasts(t *testing.T) {
	for _, c := range []struct {
		name            string
		schema          int
		public, private string
		want            any
	}{
		{"MoneyDeposited", 1, `{"sum":3}`, `{"note":"rent"}`, Deposited{Amount: 300, Memo: "rent"}},
		{"MoneyDeposited", 2, `{"amount":300}`, `{"note":"rent"}`, Deposited{Amount: 300, Memo: "rent"}},
		{"MoneyDeposited", 3, `{"amount":300}`, `{"memo":"rent"}`, Deposited{Amount: 300, Memo: "rent"}},
		{"MoneyDeposited", 1, `{"sum":3}`, ``, Deposited{Amount: 300}},
		{"MoneyDeposited", 2, `{"amount":300}`, ``, Deposited{Amount: 300}},
		{"MoneyDeposited", 2, `{"amount":9223372036854775807}`, ``, Deposited{Amount: math.MaxInt64}},
		{"MoneyDeposited", 3, `{"amount":1,"later":{"added":true}}`, ``, Deposited{Amount: 1}},
		{"AccountClosed", 1, `{}`, ``, Closed{}},
	} {
		var private json.RawMessage
		if c.private != "" {
			private = json.RawMessage(c.private)
		}
		if got, err := catalog.Decode(c.name, c.schema, json.RawMessage(c.public), private); err != nil || got != c.want {
			t.Errorf("%s %d %s %s is %+v, %v, want %+v", c.name, c.schema, c.public, c.private, got, err, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		what, name      string
		schema          int
		public, private string
	}{
		{"a schema of tomorrow", "MoneyDeposited", 4, `{"amount":1}`, ``}, // Busy: see TestD1
		{"schema 0", "MoneyDeposited", 0, `{"amount":1}`, ``},
		{"data that is no JSON", "MoneyWithdrawn", 1, `{"amount":`, ``},
		{"data of another type", "MoneyWithdrawn", 1, `{"amount":"much"}`, ``},
		{"private data that is no JSON", "MoneyDeposited", 3, `{}`, `memo`},
		{"old data that is no JSON", "MoneyDeposited", 1, `{"sum":`, ``},
		{"old private data that is no JSON", "MoneyDeposited", 1, `{"sum":1}`, `note`},
	} {
		var private json.RawMessage
		if c.private != "" {
			private = json.RawMessage(c.private)
		}
		if got, err := catalog.Decode(c.name, c.schema, json.RawMessage(c.public), private); err == nil {
			t.Errorf("%s was decoded as %+v", c.what, got)
		}
	}
}

func TestCatalogKnowsWhatWasDeclared(t *testing.T) {
	if got, want := catalog.Names(), []string{"AccountClosed", "AccountOpened", "MoneyDeposited", "MoneyWithdrawn", "OwnerMoved"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	if got := catalog.Schema("MoneyDeposited"); got != 3 {
		t.Errorf("two upcasters make schema version %d, want 3", got)
	}
	if got := catalog.Type("MoneyDeposited"); got != reflect.TypeFor[Deposited]() {
		t.Errorf("data of MoneyDeposited is %v", got)
	}
	type Unknown struct{}
	if catalog.Schema("Unknown") != 0 || catalog.Type("Unknown") != nil || catalog.NameOf(Unknown{}) != "" || catalog.NameOf(nil) != "" {
		t.Error("the catalog knows what nobody declared")
	}
}

func TestNewCatalogPanics(t *testing.T) {
	type NoTag struct {
		A string `json:"a"`
	}
	type EmptyTag struct {
		A string `json:"a" pii:""`
	}
	type NoName struct {
		A string `pii:"-"`
	}
	type Unstored struct {
		A string `json:"-" pii:"-"`
	}
	type Embedded struct {
		Address
	}
	type Fine struct {
		A string `json:"a,omitempty" pii:"-"`
	}
	type AlsoFine struct{}
	for name, declarations := range map[string][]eventstore.Declaration{
		"no pii tag":             {eventstore.Declare[NoTag]("A")},
		"empty pii tag":          {eventstore.Declare[EmptyTag]("A")},
		"no json name":           {eventstore.Declare[NoName]("A")},
		"not stored":             {eventstore.Declare[Unstored]("A")},
		"embedded":               {eventstore.Declare[Embedded]("A")},
		"one event type twice":   {eventstore.Declare[Fine]("A"), eventstore.Declare[AlsoFine]("A")},
		"one type of data twice": {eventstore.Declare[Fine]("A"), eventstore.Declare[Fine]("B")},
	} {
		if !panics(func() { eventstore.NewCatalog(declarations).Check() }) {
			t.Errorf("%s: accepted", name)
		}
	}
	if panics(func() {
		eventstore.NewCatalog([]eventstore.Declaration{eventstore.Declare[Fine]("A"), eventstore.Declare[AlsoFine]("B")})
	}) {
		t.Error("a catalog without defects panics")
	}
}

func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}
