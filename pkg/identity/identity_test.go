package identity_test

import (
	"fmt"
	"testing"
	"time"

	"defter/pkg/eventstore/storetest"
	"defter/pkg/identity"

	"pgregory.net/rapid"
)

func claim(id string, since int64) identity.Claimed {
	return identity.Claimed{CustomerID: id, Since: time.UnixMilli(since).UTC()}
}

func TestClaims(t *testing.T) {
	nobodys := storetest.Deciding(identity.Decider)
	nobodys.When(t, claim("a", 2)).Then(claim("a", 2)).Again().Nothing()
	adas := nobodys.Given(claim("a", 2))
	adas.When(t, claim("a", 3)).Nothing()
	adas.When(t, claim("a", 1)).Then(claim("a", 1)).Again().Nothing()
	adas.When(t, claim("b", 1)).Then(claim("b", 1))
	adas.When(t, identity.Released{CustomerID: "a"}).Then(identity.Released{CustomerID: "a"}).Again().Nothing()
	adas.When(t, identity.Released{CustomerID: "b"}).Nothing()
}

// TestTheEarliestClaimOwns, in whatever order claims arrive; without it the next one does.
func TestTheEarliestClaimOwns(t *testing.T) {
	owner := func(events ...any) string { return identity.Decider.Fold(events...).Owner() }
	for _, c := range []struct {
		want   string
		events []any
	}{
		{"", nil}, {"a", []any{claim("a", 2)}}, {"b", []any{claim("a", 2), claim("b", 1)}}, {"a", []any{claim("b", 2), claim("a", 2)}},
		{"a", []any{claim("b", 1), claim("a", 2), identity.Released{CustomerID: "b"}}}, {"", []any{claim("a", 1), identity.Released{CustomerID: "a"}}},
	} {
		if got := owner(c.events...); got != c.want {
			t.Errorf("%v: owned by %q, want %q", c.events, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var claims []any
		for range rapid.IntRange(0, 2*identity.MaxClaims).Draw(t, "claims") {
			claims = append(claims, claim(fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "who")), rapid.Int64Range(0, 5).Draw(t, "since")))
		}
		if a, b := owner(claims...), owner(rapid.Permutation(claims).Draw(t, "order")...); a != b {
			t.Fatalf("owned by %q, and in another order by %q", a, b)
		}
	})
}

func TestBlocked(t *testing.T) {
	for id, want := range map[string]bool{
		"": true, "null": true, "Undefined": true, " anonymous ": true, "-1": true, "0": true, "00000000-0000-0000-0000-000000000000": true, "---": true,
		"ada": false, "10": false, "0a": false, "annulled": false,
	} {
		if identity.Blocked(id) != want {
			t.Errorf("%q is blocked: %v", id, !want)
		}
	}
}
