package customer

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Limits of what is claimed of a customer, apart from those of what is known: junk must not lock out the customer's own.
const (
	MaxClaimed      = 50
	MaxClaimedBytes = 8 << 10 // of all claimed traits as JSON
)

// TraitsClaimed: a page or an app told traits of the customer, with a write key that everybody can read. It is nobody's word: it is
// shown as claimed, and nothing is ever sent to an address in it.
type TraitsClaimed struct {
	Traits  map[string]any `json:"traits,omitempty" pii:"traits"`
	GroupID string         `json:"groupId,omitempty" pii:"traits" jsonschema:"maxLength=128"`
}

// Claim records what a page or an app says of the customer; somebody unknown is created. It is a fact, never refused: what is
// beyond the limits is left out.
type Claim struct {
	Traits               map[string]any
	GroupID              string
	Visitor              bool // of somebody who is no customer by that
	Source, ExternalID   string
	IPAddress, UserAgent string
	At                   time.Time
}

// Claimed is a trait as it was claimed last, and when: Unix milliseconds.
type Claimed struct {
	Value any   `json:"value"`
	At    int64 `json:"at"`
}

// Claims are claimed traits by name.
type Claims map[string]Claimed

// Evolve folds one event that happened at a time; of two claims the later counts, whichever arrives first.
func (c Claims) Evolve(event any, at time.Time) Claims {
	e, ok := event.(TraitsClaimed)
	if !ok {
		return c
	}
	next := maps.Clone(c)
	if next == nil {
		next = Claims{}
	}
	for name, value := range e.traits() {
		if next.overdue(name, value, at) {
			continue
		}
		next[name] = Claimed{value, at.UnixMilli()}
	}
	return next
}

// traits are what the event claims, the group among them.
func (e TraitsClaimed) traits() map[string]any {
	if e.GroupID == "" {
		return e.Traits
	}
	all := maps.Clone(e.Traits)
	if all == nil {
		all = map[string]any{}
	}
	all["groupId"] = e.GroupID
	return all
}

// overdue says whether something was claimed later, or the same time and greater.
func (c Claims) overdue(name string, value any, at time.Time) bool {
	known, ok := c[name]
	return ok && (known.At > at.UnixMilli() || known.At == at.UnixMilli() && fmt.Sprint(known.Value) >= fmt.Sprint(value))
}

// Values are the claimed traits, nil for none.
func (c Claims) Values() map[string]any {
	if len(c) == 0 {
		return nil
	}
	values := make(map[string]any, len(c))
	for name, claimed := range c {
		if claimed.Value != nil {
			values[name] = claimed.Value
		}
	}
	return values
}

// claim decides on a Claim. beyond says that traits were left out for which there is no room.
func claim(s State, c Claim) (events []any, beyond bool) {
	if s.Status == StatusErased || s.Status == StatusErasing {
		return nil, false // suppressed, as Identify is
	}
	if s.Status == StatusNone && !c.Visitor {
		events = append(events, Created{ExternalID: c.ExternalID, Source: c.Source, IPAddress: c.IPAddress, UserAgent: c.UserAgent})
	}
	fits, beyond := s.Claims.fitting(c)
	if len(fits.Traits) > 0 || fits.GroupID != "" {
		events = append(events, fits)
	}
	return events, beyond
}

// fitting is what of a claim says something new and leaves the claims within their limits, by name. beyond says that not all of it does.
func (c Claims) fitting(claim Claim) (fits TraitsClaimed, beyond bool) {
	given := TraitsClaimed{claim.Traits, claim.GroupID}.traits()
	count, size := len(c), sizeOf(c.Values())
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if known, ok := c[name]; c.overdue(name, value, claim.At) || ok && fmt.Sprint(known.Value) == fmt.Sprint(value) {
			continue
		}
		known, had := c[name]
		if !had && (count == MaxClaimed || size >= MaxClaimedBytes) { // junk is not looked at any closer
			beyond = true
			continue
		}
		more := size + claimedSize(name, value)
		if had {
			more -= claimedSize(name, known.Value)
		}
		if more > MaxClaimedBytes {
			beyond = true
			continue
		}
		if size = more; !had {
			count++
		}
		if name == "groupId" && claim.GroupID != "" {
			fits.GroupID = claim.GroupID
			continue
		}
		if fits.Traits == nil {
			fits.Traits = map[string]any{}
		}
		fits.Traits[name] = value
	}
	return fits, beyond
}

// claimedSize is what a trait adds to the size of all; one that was taken back adds nothing.
func claimedSize(name string, value any) int {
	if value == nil {
		return 0
	}
	return sizeOf(map[string]any{name: value})
}
