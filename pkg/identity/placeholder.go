package identity

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Placeholders are the ids that a business knows to stand for nobody in particular, beside those that are known everywhere: of a shop's
// till, or of a test. They are compared without regard to case.
type Placeholders []string

// nobody are the words that programs, and people who fill in templates, write where they have no id. An id that consists of nothing
// but these and those of anybody is none: anonymous_user, no-id, User ID. One of them beside anything else may be an id, such as
// guest-4711.
var nobody = []string{
	"null", "nil", "none", "undefined", "unknown", "anonymous", "anon", "guest", "nan", "na", "no", "not", "empty", "blank", "missing", "default", "true", "false",
	"id", "ids", "uid", "uuid", "guid", "userid", "visitorid", "customerid", "clientid", "anonymousid", "distinctid", "deviceid", "object", "array",
}

// anybody are words that say who is meant, and not who it is. By themselves they are somebody's name for somebody.
var anybody = []string{"user", "visitor", "customer", "client", "set", "your", "the", "example", "insert", "replace", "here"}

// templates are the forms of what should have been replaced by an id, anywhere in it: {{userId}}, ${id}, %ID%, <%= id %>, #{id}, [[id]],
// <user-id>, __ID__, :id, @id, $id.
var templates = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{\{.*\}\}|[$#]\{.*\}|<%.*%>|\[\[.*\]\]|\{%.*%\}|^%[\pL_ -]+%$|^<[^<>]*>$|^\{[^{}]*\}$|^\[[^\[\]]*\]$|^\([^()]*\)$|^__\pL+__$|^[:$@]\pL+$`)
})

// maxPlaceholder bounds what is looked at: an id that is longer stands for somebody.
const maxPlaceholder = 64

// Blocks says whether an id is a placeholder, which would make one customer of everybody who has none.
func (p Placeholders) Blocks(id string) bool {
	id = strings.ToLower(strings.TrimSpace(id))
	if slices.ContainsFunc(p, func(known string) bool { return strings.EqualFold(strings.TrimSpace(known), id) }) {
		return true
	}
	if len(id) > maxPlaceholder {
		return false
	}
	bare := strings.Trim(id, "\"'`([{<>}])")
	if strings.Trim(bare, "0-") == "" || bare == "-1" || bare == "n/a" || strings.Trim(bare, "f-") == "" && len(bare) == 36 {
		return true
	}
	if templates().MatchString(id) {
		return true
	}
	words := strings.FieldsFunc(bare, func(r rune) bool { return r < 0x80 && !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
	said := 0
	for _, word := range words {
		switch {
		case slices.Contains(nobody, word):
			said++
		case !slices.Contains(anybody, word):
			return false
		}
	}
	return said > 0 || len(words) == 0
}
