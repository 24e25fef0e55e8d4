package storetest_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/fault"
)

type (
	lend     struct{ Book string }
	lent     struct{ Book string }
	returned struct{ Book string }
)

var library = eventstore.Decider[map[string]bool, lend, any]{
	Evolve: func(out map[string]bool, e any) map[string]bool {
		next := maps.Clone(out)
		if next == nil {
			next = map[string]bool{}
		}
		switch e := e.(type) {
		case lent:
			next[e.Book] = true
		case returned:
			delete(next, e.Book)
		}
		return next
	},
	Decide: func(out map[string]bool, c lend) ([]any, error) {
		switch {
		case c.Book == "":
			return nil, fault.New(fault.Invalid, "no-book", "which book?")
		case out[c.Book]:
			return nil, nil
		}
		return []any{lent(c)}, nil
	},
}

func TestStories(t *testing.T) {
	spec := storetest.Deciding(library)
	spec.When(t, lend{"Emma"}).Then(lent{"Emma"}).Again().Nothing()
	spec.Given(lent{"Emma"}).When(t, lend{"Emma"}).Nothing()
	spec.Given(lent{"Emma"}, returned{"Emma"}).When(t, lend{"Emma"}).Then(lent{"Emma"})
	spec.When(t, lend{}).Fails("no-book")
}

// TestStoriesThatAreWrong: the helper must fail a test whose story is not so.
func TestStoriesThatAreWrong(t *testing.T) {
	careless := library
	careless.Decide = func(out map[string]bool, c lend) ([]any, error) {
		out[c.Book] = true
		return []any{lent(c)}, nil
	}
	eager := library
	eager.Decide = func(_ map[string]bool, c lend) ([]any, error) {
		return []any{lent(c)}, fault.New(fault.Rejected, "no-more", "enough")
	}
	spec := storetest.Deciding(library)
	for name, story := range map[string]func(t testing.TB){
		"other event":        func(t testing.TB) { spec.When(t, lend{"Emma"}).Then(lent{"Persuasion"}) },
		"other type":         func(t testing.TB) { spec.When(t, lend{"Emma"}).Then(returned{"Emma"}) },
		"one too many":       func(t testing.TB) { spec.When(t, lend{"Emma"}).Then(lent{"Emma"}, lent{"Emma"}) },
		"something":          func(t testing.TB) { spec.When(t, lend{"Emma"}).Nothing() },
		"nothing":            func(t testing.TB) { spec.Given(lent{"Emma"}).When(t, lend{"Emma"}).Then(lent{"Emma"}) },
		"refused":            func(t testing.TB) { spec.When(t, lend{}).Nothing() },
		"not refused":        func(t testing.TB) { spec.When(t, lend{"Emma"}).Fails("no-book") },
		"refused otherwise":  func(t testing.TB) { spec.When(t, lend{}).Fails("no-card") },
		"refused, yet done":  func(t testing.TB) { storetest.Deciding(eager).When(t, lend{"Emma"}).Fails("no-more") },
		"changed in place":   func(t testing.TB) { storetest.Deciding(careless).Given(lent{"Emma"}).When(t, lend{"Ulysses"}) },
		"not the same again": func(t testing.TB) { spec.When(t, lend{"Emma"}).Again().Then(lent{"Emma"}) },
	} {
		told := &listener{TB: t}
		story(told)
		if len(told.errors) == 0 {
			t.Errorf("%s: passed", name)
		}
	}
}

// TestBranches: two stories that begin the same do not share their events.
func TestBranches(t *testing.T) {
	begin := storetest.Deciding(library).Given(lent{"Emma"}).Given(lent{"Ulysses"}).Given(lent{"Walden"})
	emma, ulysses := begin.Given(returned{"Emma"}), begin.Given(returned{"Ulysses"})
	emma.When(t, lend{"Emma"}).Then(lent{"Emma"})
	ulysses.When(t, lend{"Emma"}).Nothing()
}

// listener is a test that notes its errors instead of failing.
type listener struct {
	testing.TB
	errors []string
}

func (l *listener) Errorf(format string, args ...any) {
	l.errors = append(l.errors, strings.TrimSpace(fmt.Sprintf(format, args...)))
}
