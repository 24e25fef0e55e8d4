package customer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Said is what was said of attributes in one stream, and when each was: Unix milliseconds. One with a time and no value was removed.
type Said struct {
	Attributes map[string]any
	Stamps     map[string]int64
}

// Said is what was said of the customer's attributes.
func (s State) Said() Said {
	said := Said{s.Attributes, make(map[string]int64, len(s.Attributes))}
	for name := range s.Attributes {
		said.Stamps[name] = 0
	}
	for name, at := range s.Stamps {
		if attribute, ok := strings.CutPrefix(name, attributeTrait); ok {
			said.Stamps[attribute] = at
		}
	}
	return said
}

// JoinedAttributes are the attributes of a person who is in several streams: of each the word that was said last, as whichever customer
// and in whatever order it was told, also where it removes the attribute. What a visitor said counts where no customer said anything: anybody
// can say what they like of a visitor. They are within the limits of one customer's, the first by name.
func JoinedAttributes(customers, visitors []Said) map[string]any {
	known := lastWords(customers)
	for name, word := range lastWords(visitors) {
		if _, ok := known[name]; !ok {
			known[name] = word
		}
	}
	attributes, size := map[string]any{}, 0
	for _, name := range slices.Sorted(maps.Keys(known)) {
		value := known[name].value
		if value == nil {
			continue
		}
		more := sizeOf(map[string]any{name: value})
		if len(attributes) == MaxAttributes || size+more > MaxAttributeBytes {
			continue
		}
		attributes[name], size = value, size+more
	}
	return attributes
}

// Joined are the claims with those of another stream of the same person, within the limits of one.
func (c Claims) Joined(other Claims) Claims {
	joined, size := maps.Clone(c), sizeOf(c.Values())
	if joined == nil {
		joined = Claims{}
	}
	for _, name := range slices.Sorted(maps.Keys(other)) {
		more := sizeOf(map[string]any{name: other[name].Value})
		if _, known := joined[name]; known || len(joined) >= MaxClaimed || size+more > MaxClaimedBytes {
			continue
		}
		joined[name], size = other[name], size+more
	}
	return joined
}

// word is what was said of an attribute, nil for that there is none.
type word struct {
	value any
	at    int64
}

// lastWords are the last words of several streams by attribute; of two at the same time the greater.
func lastWords(streams []Said) map[string]word {
	last := map[string]word{}
	for _, s := range streams {
		for name, at := range s.Stamps {
			next := word{s.Attributes[name], at}
			old, known := last[name]
			if !known || cmp.Or(cmp.Compare(at, old.at), cmp.Compare(fmt.Sprint(next.value), fmt.Sprint(old.value))) > 0 {
				last[name] = next
			}
		}
	}
	return last
}
