package foreign

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const maxOpaque = 100 // bytes of an id that may be opaque

var (
	uuids = pattern(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)
	// A number that is too short for a telephone or an identity, by itself or after a letter or a word that says what it counts.
	numbers = pattern(`^(?i:(?:[a-z]|user|usr|customer|cust|cus|visitor|anon|order|ord|cart|session|sess|product|prod|item|sku|group|message|msg)[-_.:]?)?[0-9]{1,8}$`)
	hashes  = pattern(`^h_[A-Za-z0-9_-]{22}$`) // as we make them
	hexes   = pattern(`^(?:[0-9a-f]{16,64}|[0-9A-F]{16,64})$`)
)

// pattern is an expression that is compiled when it is first asked for: a function that starts for something else need not wait for it.
func pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// OpaquePattern reads a deployment's pattern of ids that tell nothing about a person, nil for "". It must fit an id whole; so it must be an
// expression by itself as well, for one that closes a bracket early would not.
func OpaquePattern(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile("^(?:" + pattern + ")$")
}

// Opaque says whether an id that a client chose tells nothing about a person by its form: a UUID, hexadecimal digits, a short number, a
// keyed hash of ours. Hexadecimal digits and hashes that are a text in another form tell what that says; so may any other id.
func Opaque(id string) bool {
	switch {
	case id == "" || uuids().MatchString(id) || numbers().MatchString(id):
		return true
	case len(id) > maxOpaque:
		return false
	case hashes().MatchString(id):
		raw, err := base64.RawURLEncoding.DecodeString(id[len("h_"):])
		return err == nil && !isText(raw)
	case hexes().MatchString(id) && strings.ContainsAny(id, "0123456789") && strings.ContainsAny(id, "abcdefABCDEF"):
		raw, err := hex.DecodeString(id[:len(id)&^1])
		return err == nil && !isText(raw) && longestNumber(id) <= 9
	}
	return false
}

// isText says whether bytes are printable, as hardly any random ones are.
func isText(raw []byte) bool {
	return utf8.Valid(raw) && !strings.ContainsFunc(string(raw), func(r rune) bool { return !unicode.IsPrint(r) })
}

// longestNumber is how many digits of the id follow each other.
func longestNumber(id string) int {
	longest, now := 0, 0
	for _, r := range id {
		if now++; r < '0' || r > '9' {
			now = 0
		}
		longest = max(longest, now)
	}
	return longest
}
