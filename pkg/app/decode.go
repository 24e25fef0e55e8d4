package app

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"defter/pkg/fault"
	"defter/pkg/foreign"
)

// plain says whether an id may be chosen for an order, a refund or a product: up to 100 letters, digits and ._:- that are not just a long
// number.
func plain(raw string) bool {
	digits := 0
	for _, r := range raw {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r == ':':
		case r == '-', r == '.':
			digits++ // as they stand in telephone numbers
		default:
			return false
		}
	}
	return len(raw) <= 100 && (digits < len(raw) || digits < 9)
}

// decode reads a call's JSON body strictly into in. Nothing is null: what is not said is left out.
func decode(c *Call, in any) error {
	if err := decodePatch(c, in); err != nil {
		return err
	}
	var whole any
	_ = json.Unmarshal(c.Body, &whole) // it was read; an empty one says nothing
	if name, found := null("", whole); found {
		return fault.New(fault.Invalid, "invalid-json", "field %.100s must not be null: leave it out", name)
	}
	return nil
}

// null names the first member of a JSON value that is null.
func null(name string, value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return name, name != ""
	case map[string]any:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if found, ok := null(strings.TrimPrefix(name+"."+member, "."), v[member]); ok {
				return found, true
			}
		}
	case []any:
		for i, element := range v {
			if found, ok := null(fmt.Sprintf("%s[%d]", name, i), element); ok {
				return found, true
			}
		}
	}
	return "", false
}

// given takes over a text whose absence has a meaning, so that an empty one cannot have the same.
func given(name string, to, from *string) error {
	if from == nil {
		return nil
	}
	if *to = *from; *from == "" {
		return fault.New(fault.Invalid, "invalid-request", "%s must not be empty: leave it out", name)
	}
	return nil
}

// decodePatch reads a call's JSON body strictly into in, where null has a meaning.
func decodePatch(c *Call, in any) error {
	if err := foreign.Check(c.Body); err != nil {
		return fault.New(fault.Invalid, "invalid-text", "%s", err)
	}
	body := strings.TrimSpace(string(c.Body))
	if body == "" {
		body = "{}"
	}
	if !strings.HasPrefix(body, "{") {
		return fault.New(fault.Invalid, "invalid-json", "the body must be a JSON object")
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(in); err != nil {
		return fault.New(fault.Invalid, "invalid-json", "%s", cmp.Or(wrongTime(body, in), jsonDetail(err)))
	}
	if _, err := d.Token(); err != io.EOF {
		return fault.New(fault.Invalid, "invalid-json", "the body must be one JSON object")
	}
	return nil
}

// jsonDetail says what is wrong with a body, and where, without repeating its values.
func jsonDetail(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "field " + wrong.Field + " must be of type " + wrong.Type.String()
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok && len(name) < 100 {
		return "there is no field " + name
	}
	return "the body is not valid JSON"
}

// wrongTime says which of a request's times is none, "" for none of them: the decoder does not tell the field.
func wrongTime(body string, in any) string {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil {
		return ""
	}
	for _, field := range reflect.VisibleFields(reflect.Indirect(reflect.ValueOf(in)).Type()) {
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if raw, told := members[name]; told && kind == reflect.TypeFor[time.Time]() && json.Unmarshal(raw, new(time.Time)) != nil {
			return "field " + name + " must be a time of the form 2006-01-02T15:04:05Z (RFC 3339, with Z or an offset)"
		}
	}
	return ""
}
