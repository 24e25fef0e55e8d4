package identity_test

import (
	"errors"
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
	adas.When(t, identity.Released{CustomerID: "b"}).Then(identity.Released{CustomerID: "b"}).Again().Nothing()
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

// TestS6_LeftOutIsNotForgotten: whatever was claimed and released, and in whatever order, the state and what it left out are all there is.
func TestS6_LeftOutIsNotForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s identity.State
		var history []any
		held := map[string]bool{}
		for range rapid.IntRange(0, 4*identity.MaxClaims).Draw(t, "events") {
			id := fmt.Sprint(rapid.IntRange(0, 2*identity.MaxClaims).Draw(t, "who"))
			var command any = claim(id, rapid.Int64Range(0, 5).Draw(t, "since"))
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				command = identity.Released{CustomerID: id}
			}
			events, _ := identity.Decide(s, command)
			for _, event := range events {
				history = append(history, event)
				s = identity.Decider.Evolve(s, event)
			}
			_, released := command.(identity.Released)
			held[id] = !released
			for _, left := range s.LeftOut(history) {
				history = append(history, left)
				s = identity.Decider.Evolve(s, left)
			}
		}
		want := 0
		for id, holds := range held {
			if _, known := s.Claims[id]; known && !holds {
				t.Fatalf("%s released it, and claims it", id)
			}
			if holds {
				want++
			}
		}
		if n := len(s.Claims); n != min(want, identity.MaxClaims) {
			t.Fatalf("%d claims are known, of %d", n, want)
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

// claimed is a customer whom another claims, since so many minutes after 1970 began.
func claimed(by string, minutes int) identity.State {
	return identity.Evolve(identity.State{}, identity.Claimed{CustomerID: by, Since: time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute)}, time.Time{})
}

// TestP11_OfACircleOneIsTheHead: the one whose claim closed it, whoever asks.
func TestP11_OfACircleOneIsTheHead(t *testing.T) {
	for _, c := range []struct {
		name   string
		states map[string]identity.State
		want   map[string]string // the owners of each, nearest first, and the head of their circle
	}{
		{"nobody", map[string]identity.State{"a": {}}, map[string]string{"a": "[] "}},
		{"a chain", map[string]identity.State{"a": claimed("b", 1), "b": claimed("c", 2), "c": {}}, map[string]string{"a": "[b c] ", "b": "[c] ", "c": "[] "}},
		{"two", map[string]identity.State{"a": claimed("b", 1), "b": claimed("a", 2)}, map[string]string{"a": "[b] b", "b": "[] b"}},
		{"two at once", map[string]identity.State{"a": claimed("b", 1), "b": claimed("a", 1)}, map[string]string{"a": "[b] b", "b": "[] b"}},
		{"oneself", map[string]identity.State{"a": claimed("a", 1)}, map[string]string{"a": "[] a"}},
		{"three, and one who belongs to them", map[string]identity.State{"a": claimed("b", 1), "b": claimed("c", 3), "c": claimed("a", 2), "d": claimed("a", 0)},
			map[string]string{"a": "[b] b", "b": "[] b", "c": "[a b] b", "d": "[a b] b"}},
	} {
		for id, want := range c.want {
			got, err := identity.Follow(id, c.states[id], func(id string) (identity.State, error) { return c.states[id], nil })
			if err != nil || fmt.Sprint(got.List, " ", got.Head) != want {
				t.Errorf("%s: of %s %v %q, want %s, %v", c.name, id, got.List, got.Head, want, err)
			}
		}
	}
	long := func(id string) (identity.State, error) { return claimed(id+"x", 1), nil }
	if got, err := identity.Follow("", claimed("x", 1), long); err != nil || len(got.List) != 20 || got.Head != "" {
		t.Errorf("%d owners, %v", len(got.List), err)
	}
	if _, err := identity.Follow("a", claimed("b", 1), func(string) (identity.State, error) { return identity.State{}, errors.New("away") }); err == nil {
		t.Error("nobody says that the claims could not be read")
	}
}

// TestS6_WhoWasReleasedIsRemembered, and where too many were to be remembered, nobody's late word is taken.
func TestS6_WhoWasReleasedIsRemembered(t *testing.T) {
	var s identity.State
	decide := func(command any, events int) {
		t.Helper()
		said, err := identity.Decide(s, command)
		if err != nil || len(said) != events {
			t.Fatalf("%+v becomes %v, %v", command, said, err)
		}
		for _, e := range said {
			s = identity.Evolve(s, e, time.Time{})
		}
	}
	decide(identity.Released{CustomerID: "u0"}, 1) // before anybody was told of the claim
	decide(identity.Released{CustomerID: "u0"}, 0)
	if s.MayBecome("u0") || !s.MayBecome("u1") {
		t.Errorf("u0 was released alone: %+v", s)
	}
	decide(identity.Claimed{CustomerID: "u0", Since: time.Unix(1, 0)}, 1)
	if !s.MayBecome("u0") {
		t.Errorf("u0 claims it again: %+v", s)
	}
	for i := range identity.MaxReleased {
		decide(identity.Released{CustomerID: fmt.Sprint("u", i)}, 1)
	}
	decide(identity.Released{CustomerID: "one more"}, 0)
	if len(s.Released) != identity.MaxReleased || s.MayBecome("nobody") {
		t.Errorf("%d are remembered", len(s.Released))
	}
}
