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

// TestP13_PlaceholdersStandForNobody: in whatever form somebody forgot to put an id.
func TestP13_PlaceholdersStandForNobody(t *testing.T) {
	for _, id := range []string{
		"", "null", "Undefined", " anonymous ", "-1", "0", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "---", "NaN", "n/a", "[object Object]", "true",
		"(null)", "<none>", "<nil>", "{{userId}}", "{{ user.id }}", "user-{{id}}", "${id}", "${user.id}", "#{id}", "%ID%", "%USER_ID%", "<%= id %>", "[]", "{}", "()", "\"\"", "''", "?", "...",
		"id", "ID", "userId", "user_id", "User ID", "anonymous_user", "unknown-user", "guest user", "no id", "not set", "(not set)", "your-user-id", "[[id]]", "__ID__", ":id", "$userId", "{id}", "'null'",
	} {
		if !(identity.Placeholders{}).Blocks(id) {
			t.Errorf("%q is somebody", id)
		}
	}
	for _, id := range []string{
		"ada", "user", "customer", "the client", "10", "0a", "annulled", "guest-4711", "user1", "u1", "7", "ada@example.com", "a%20b", "100%", "{7B3F-1}x", "idris", "noah", "true-north", "object-7", "ş", "用户", "a", "x-y",
		"550e8400-e29b-41d4-a716-446655440000", "auth0|5f7c8ec7", "%41da", "f-f", "$2a$10$N9qo8uLOickgx2ZMRZoMye", "here-4", "dGVzdA==", ":id:7",
	} {
		if (identity.Placeholders{}).Blocks(id) {
			t.Errorf("%q is nobody", id)
		}
	}
	known := identity.Placeholders{"walk-in", " Kiosk "}
	for id, want := range map[string]bool{"Walk-In": true, "kiosk": true, "walk": false, "null": true} {
		if known.Blocks(id) != want {
			t.Errorf("with a list, %q is blocked: %v", id, !want)
		}
	}
}
