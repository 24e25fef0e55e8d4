package foreign

import (
	"encoding/json"
	"strings"
)

// sameName says whether two names differ in nothing but case and the separators between their words.
func sameName(a, b string) bool {
	i, j := 0, 0
	for {
		for i < len(a) && isSeparator(a[i]) {
			i++
		}
		for j < len(b) && isSeparator(b[j]) {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i, j = i+1, j+1
	}
}

func isSeparator(c byte) bool { return c == '_' || c == '-' || c == ' ' }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// named returns the member of a name, as it is written there or else in another way of writing it: of several, the first in order.
func (o Object) named(name string) (written string, raw json.RawMessage, ok bool) {
	if raw, ok := o.members[name]; ok {
		return name, raw, true
	}
	for other := range o.members {
		if sameName(other, name) && (!ok || other < written) {
			written, ok = other, true
		}
	}
	return written, o.members[written], ok
}

// kind is the first byte of a JSON value.
func kind(raw json.RawMessage) byte {
	for _, c := range raw {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || kind(raw) == 'n' }

func isEmptyList(raw json.RawMessage) bool {
	return kind(raw) == '[' && strings.Trim(string(raw), "[] \t\r\n") == "" && strings.Count(string(raw), "[") == 1
}

// isBlank says whether a value is a text without anything to be read, which says no more than null does.
func isBlank(raw json.RawMessage) bool {
	if kind(raw) != '"' || len(raw) > 2 && raw[0] == '"' && raw[1] > ' ' && raw[1] < 0x80 && raw[1] != '\\' {
		return false
	}
	var s string
	return json.Unmarshal(raw, &s) == nil && strings.TrimSpace(s) == ""
}
