package customer

import (
	"cmp"
	"fmt"
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
// can say what they like of a visitor.
func JoinedAttributes(customers, visitors []Said) map[string]any {
	known := lastWords(customers)
	for name, word := range lastWords(visitors) {
		if _, ok := known[name]; !ok {
			known[name] = word
		}
	}
	attributes := map[string]any{}
	for name, word := range known {
		if word.value != nil {
			attributes[name] = word.value
		}
	}
	return attributes
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
