// Package identity says whose a stream is: an anonymous visitor's or a former id's that turned out to be a customer's. Three
// words: a claim says that a stream is a customer's, and since when; the owner is the one whose claim is the earliest,
// in whatever order claims arrive; a released claim counts no longer, which undoes a wrong merge. The stream's own events
// stay where they are: the owner's profile is shown joined with those of what it owns.
package identity

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/eventstore"
)

// Limits.
const (
	MaxClaims   = 20 // on a stream, that its state knows: those that count first
	MaxReleased = 50 // customers whose claims were released: of a stream with as many nobody's late word is taken
	MaxOwned    = 75 // streams that are joined to one customer
	MaxDepth    = 3  // of who owns whom
	maxOwners   = 20 // that are followed up
)

// Claimed: the stream is the customer's, since when somebody first said so.
type Claimed struct {
	CustomerID string    `json:"customerId" pii:"-" jsonschema:"maxLength=128"`
	Since      time.Time `json:"since" pii:"-"`
	Public     bool      `json:"public,omitempty" pii:"-" jsonschema:"description=said with a write key that everybody can read: any other claim comes before it"`
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

// State is who claims a stream, by customer.
type State struct {
	Claims map[string]Claim `json:"claims,omitempty"`
	First  int64            `json:"first,omitempty"` // when the stream's first event happened, Unix milliseconds
	Left   bool             `json:"left,omitempty"`  // there were more claims than it knows: the stream's events have them
	// Released are the customers whose it is not after all, the latest MaxReleased.
	Released []string `json:"released,omitempty"`
}

// MayBecome says whether the stream may still turn out to be a customer's of whom nothing is known any more but the id. Of one whose
// claim was released it is not; where so many were that some are forgotten, nobody can tell.
func (s State) MayBecome(customerID string) bool {
	return len(s.Released) < MaxReleased && !slices.Contains(s.Released, customerID)
}

// Claim is since when a stream is somebody's, Unix milliseconds, and whether anybody could have said so.
type Claim struct {
	Since  int64 `json:"since"`
	Public bool  `json:"public,omitempty"`
}

// earlier says whether the claim counts before another: a public one after all others, and none from before the stream began,
// since anybody can say 1970.
func (c Claim) earlier(other Claim, first int64) int {
	if c.Public != other.Public {
		return map[bool]int{true: 1, false: -1}[c.Public]
	}
	return cmp.Compare(c.from(first), other.from(first))
}

func (c Claim) from(first int64) int64 {
	if c.Public {
		return max(c.Since, first)
	}
	return c.Since
}

// Decider holds the rules.
var Decider = eventstore.Decider[State, any, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}) },
	Decide: Decide,
}

// Evolve folds one event that happened at a time; of events of other packages the time alone matters here.
func Evolve(s State, event any, at time.Time) State {
	switch e := event.(type) {
	case Claimed:
		s = s.with(e)
		s.Released = without(s.Released, e.CustomerID)
		for len(s.Claims) > MaxClaims {
			delete(s.Claims, slices.MaxFunc(slices.Collect(maps.Keys(s.Claims)), s.order()))
			s.Left = true
		}
	case Released:
		s.Claims = maps.Clone(s.Claims)
		delete(s.Claims, e.CustomerID)
		s.Released = append(without(s.Released, e.CustomerID), e.CustomerID)
		s.Released = s.Released[max(0, len(s.Released)-MaxReleased):]
	default:
		if ms := at.UnixMilli(); !at.IsZero() && (s.First == 0 || ms < s.First) {
			s.First = ms
		}
	}
	return s
}

// without is a list of its own that lacks an entry.
func without(list []string, entry string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == entry })
}

// with is the state with one more claim, in claims of its own.
func (s State) with(e Claimed) State {
	claims := maps.Clone(s.Claims)
	if claims == nil {
		claims = map[string]Claim{}
	}
	claim := Claim{e.Since.UnixMilli(), e.Public}
	if known, ok := claims[e.CustomerID]; !ok || claim.earlier(known, 0) < 0 {
		claims[e.CustomerID] = claim
	}
	s.Claims = claims
	return s
}

// LeftOut are the claims that the state has room for and does not know, those that count first: events are all that were ever made and
// released on the stream, in order.
func (s State) LeftOut(events []any) []Claimed {
	all := State{First: s.First}
	for _, event := range events {
		switch e := event.(type) {
		case Claimed:
			all = all.with(e)
		case Released:
			delete(all.Claims, e.CustomerID)
		}
	}
	var left []Claimed
	for _, id := range slices.SortedFunc(maps.Keys(all.Claims), all.order()) {
		if _, known := s.Claims[id]; !known && len(s.Claims)+len(left) < MaxClaims {
			left = append(left, Claimed{id, time.UnixMilli(all.Claims[id].Since).UTC(), all.Claims[id].Public})
		}
	}
	return left
}

// Owner is the customer whose claim is the earliest, "" for none.
func (s State) Owner() string {
	if len(s.Claims) == 0 {
		return ""
	}
	return slices.MinFunc(slices.Collect(maps.Keys(s.Claims)), s.order())
}

// Owners is who owns a customer, who owns that one, and so on: nearest first.
type Owners struct {
	List []string
	// Head is, of customers who claim each other in a circle, the one whom nobody owns; "" where there is no circle.
	Head string
}

// Owner is the nearest, "" for none.
func (o Owners) Owner() string {
	if len(o.List) == 0 {
		return ""
	}
	return o.List[0]
}

// Follow follows up who owns whom, from a customer (or "" for a visitor) and the claims on them; of returns the claims on another customer.
// Of a circle the claim that was made last is void, since it is what closes the circle: so it has one head, the same whoever asks and in
// whatever order the claims arrived.
func Follow(id string, s State, of func(customerID string) (State, error)) (Owners, error) {
	ids, states := []string{id}, []State{s}
	for range maxOwners {
		owner := s.Owner()
		if owner == "" {
			break
		}
		if at := slices.Index(ids, owner); at >= 0 {
			head := at
			for i := at + 1; i < len(ids); i++ {
				if cmp.Or(states[i].winner().earlier(states[head].winner(), 0), cmp.Compare(ids[i], ids[head])) > 0 {
					head = i
				}
			}
			return Owners{ids[1 : head+1], ids[head]}, nil
		}
		var err error
		if s, err = of(owner); err != nil {
			return Owners{}, err
		}
		ids, states = append(ids, owner), append(states, s)
	}
	return Owners{List: ids[1:]}, nil
}

// winner is the claim of the owner, as it counts.
func (s State) winner() Claim {
	c := s.Claims[s.Owner()]
	return Claim{c.from(s.First), c.Public}
}

func (s State) order() func(a, b string) int {
	return func(a, b string) int { return cmp.Or(s.Claims[a].earlier(s.Claims[b], s.First), cmp.Compare(a, b)) }
}

// Decide returns the claim or the release, unless it says nothing new. A release is remembered also of a claim that was never made: the
// link may have been undone before anybody was told of it.
func Decide(s State, command any) ([]any, error) {
	switch c := command.(type) {
	case Claimed:
		if known, ok := s.Claims[c.CustomerID]; ok && known.earlier(Claim{c.Since.UnixMilli(), c.Public}, 0) <= 0 {
			return nil, nil
		}
	case Released:
		_, known := s.Claims[c.CustomerID]
		said := slices.Contains(s.Released, c.CustomerID) || len(s.Released) == MaxReleased
		if !known && said && !s.Left { // else it may be one of those that were left out
			return nil, nil
		}
	}
	return []any{command}, nil
}
