// Package identity says whose a stream is: an anonymous visitor's or a former id's that turned out to be a customer's. Three
// words: a claim says that a stream is a customer's, and since when; the owner is the one whose claim is the earliest,
// in whatever order claims arrive; a released claim counts no longer, which undoes a wrong merge. The stream's own events
// stay where they are: the owner's profile is shown joined with those of what it owns.
package identity

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
)

// Limits.
const (
	MaxClaims = 20 // on a stream, the earliest
	MaxOwned  = 50 // streams that are joined to one customer
	MaxDepth  = 3  // of who owns whom
)

// Claimed: the stream is the customer's, since when somebody first said so.
type Claimed struct {
	CustomerID string    `json:"customerId" pii:"-" jsonschema:"maxLength=128"`
	Since      time.Time `json:"since" pii:"-"`
}

// Released: the stream is not the customer's after all.
type Released struct {
	CustomerID string `json:"customerId" pii:"-" jsonschema:"maxLength=128"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Claimed]("IdentityClaimed"),
	eventstore.Declare[Released]("IdentityReleased"),
}

// State is who claims a stream: by customer, since when in Unix milliseconds.
type State struct {
	Claims map[string]int64 `json:"claims,omitempty"`
}

// Decider holds the rules.
var Decider = eventstore.Decider[State, any, any]{Evolve: Evolve, Decide: Decide}

// Evolve folds one event; events of other packages change nothing here.
func Evolve(s State, event any) State {
	switch e := event.(type) {
	case Claimed:
		claims := maps.Clone(s.Claims)
		if claims == nil {
			claims = map[string]int64{}
		}
		if since, known := claims[e.CustomerID]; !known || e.Since.UnixMilli() < since {
			claims[e.CustomerID] = e.Since.UnixMilli()
		}
		for len(claims) > MaxClaims {
			delete(claims, slices.MaxFunc(slices.Collect(maps.Keys(claims)), order(claims)))
		}
		return State{claims}
	case Released:
		claims := maps.Clone(s.Claims)
		delete(claims, e.CustomerID)
		return State{claims}
	}
	return s
}

// Owner is the customer whose claim is the earliest, "" for none.
func (s State) Owner() string {
	if len(s.Claims) == 0 {
		return ""
	}
	return slices.MinFunc(slices.Collect(maps.Keys(s.Claims)), order(s.Claims))
}

func order(claims map[string]int64) func(a, b string) int {
	return func(a, b string) int { return cmp.Or(cmp.Compare(claims[a], claims[b]), cmp.Compare(a, b)) }
}

// Decide returns the claim or the release, unless it says nothing new.
func Decide(s State, command any) ([]any, error) {
	switch c := command.(type) {
	case Claimed:
		if since, known := s.Claims[c.CustomerID]; known && since <= c.Since.UnixMilli() {
			return nil, nil
		}
	case Released:
		if _, known := s.Claims[c.CustomerID]; !known {
			return nil, nil
		}
	}
	return []any{command}, nil
}

// placeholders are what programs send in place of an id that they do not have, as Segment blocks them and others were seen.
var placeholders = []string{
	"null", "nil", "none", "undefined", "unknown", "anonymous", "anon", "guest", "nan", "n/a", "na", "true", "false", "-1", "[object object]",
}

// Blocked says whether an id is a placeholder, which would make one customer of everybody who has none.
func Blocked(id string) bool {
	id = strings.ToLower(strings.TrimSpace(id))
	return strings.Trim(id, "0-") == "" || slices.Contains(placeholders, id)
}
