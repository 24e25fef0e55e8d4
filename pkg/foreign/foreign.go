// Package foreign reads values out of JSON that others wrote, and says what it could not read. Three words: a form is one way of
// writing a value, such as a number as a text, and every form that has one meaning is read; what has none, or several, is not
// guessed, and stays unread; a note names a field that was left unread, and why, and never what it held.
package foreign

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// Told says what became of a value.
type Told int

// A value is absent, or it was read, or it was told and could not be read.
const (
	Absent Told = iota
	Read
	Unread
)

// Object is a JSON object as somebody wrote it. Members are found whatever the case of their names and with or without the
// separators between words: product_id, productId and ProductID are one name, as in Segment's own reader (npm @segment/facade,
// which uses obj-case).
type Object struct {
	members map[string]json.RawMessage
	path    string // before the fields of notes
	notes   *Notes
}

// In reads an object, whose fields are noted under a path. A list without elements is an object without members, as PHP has it.
// Anything else is noted, and read as an object without members; nothing and null are not noted.
func In(raw json.RawMessage, path string, notes *Notes) Object {
	o := Object{path: path, notes: notes}
	switch {
	case absent(raw) || isEmptyList(raw):
	case kind(raw) != '{' || json.Unmarshal(raw, &o.members) != nil:
		notes.Add(path, WrongType)
	}
	return o
}

// value returns the first of the named members that says anything, and the field that its notes are about.
func (o Object) value(names []string) (json.RawMessage, bool) {
	for _, name := range names {
		if _, raw, ok := o.named(name); ok && !absent(raw) && !isBlank(raw) {
			return raw, true
		}
	}
	return nil, false
}

// Null says whether the first of the named members that there is says that there is nothing.
func (o Object) Null(names ...string) bool {
	null := false
	for _, name := range names {
		if _, raw, ok := o.named(name); ok {
			if !absent(raw) {
				return false
			}
			null = true
		}
	}
	return null
}

// Names says whether one of the named members is there, be it to say nothing.
func (o Object) Names(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, _, ok := o.named(name); return ok })
}

// Has says whether one of the named members says anything.
func (o Object) Has(names ...string) bool {
	_, ok := o.value(names)
	return ok
}

// Note notes one of the object's fields.
func (o Object) Note(field, reason string) {
	if o.notes != nil {
		o.notes.Add(o.under(field), reason)
	}
}

func (o Object) under(field string) string {
	if o.path == "" {
		return field
	}
	return o.path + "." + field
}

// unread notes the first of the names.
func (o Object) unread(names []string, reason string) Told {
	if reason == "" {
		return Read
	}
	o.Note(names[0], reason)
	return Unread
}

// Raw is a member as it was written, nil where nothing is said.
func (o Object) Raw(names ...string) json.RawMessage {
	raw, _ := o.value(names)
	return raw
}

// Value is a member as Go has it, its numbers exact (json.Number). One with a number that is beyond every machine's is Unread, and noted
// as the object's: its name may be the sender's own.
func (o Object) Value(name string) (value any, told Told) {
	_, raw, ok := o.named(name)
	if !ok {
		return nil, Absent
	}
	exact := json.NewDecoder(bytes.NewReader(raw))
	exact.UseNumber()
	if exact.Decode(&value) != nil || !finite(value) {
		o.notes.Add(o.path, OutOfRange)
		return nil, Unread
	}
	return value, Read
}

// finite says whether all numbers of a value are within the range of machines.
func finite(value any) bool {
	switch v := value.(type) {
	case json.Number:
		_, err := v.Float64()
		return err == nil
	case map[string]any:
		for _, member := range v {
			if !finite(member) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(element any) bool { return !finite(element) })
	}
	return true
}

// Object is a member that is an object.
func (o Object) Object(name string) Object {
	_, raw, _ := o.named(name)
	if isBlank(raw) {
		raw = nil
	}
	return In(raw, o.under(name), o.notes)
}

// JSON is a member that is an object, as it was written, nil for none.
func (o Object) JSON(name string) json.RawMessage {
	raw, ok := o.value([]string{name})
	if !ok || isEmptyList(raw) {
		return nil
	}
	if kind(raw) != '{' {
		o.Note(name, WrongType)
		return nil
	}
	return raw
}

// MaxObjects bounds what is read of a list of objects.
const MaxObjects = 500

// Objects are a member's objects, the first MaxObjects. One object where a list belongs is a list of one; one whose members are all objects
// by their numbers is a list, as PHP writes it that had something taken out. Unread says that not all of
// them were read.
func (o Object) Objects(names ...string) (objects []Object, told Told) {
	raw, ok := o.value(names)
	if !ok {
		return nil, Absent
	}
	told = Read
	unread := func(reason string) { told = o.unread(names, reason) }
	var list []json.RawMessage
	switch {
	case kind(raw) == '{':
		list = numbered(raw)
	case json.Unmarshal(raw, &list) != nil:
		unread(WrongType)
	}
	if len(list) > MaxObjects {
		list = list[:MaxObjects]
		unread(Cut)
	}
	for _, element := range list {
		if kind(element) == '{' {
			objects = append(objects, In(element, o.under(names[0]), o.notes))
		} else if !absent(element) {
			unread(WrongType)
		}
	}
	return objects, told
}

// numbered are the elements of a list that was written as an object, in the order of their numbers; any other object alone.
func numbered(raw json.RawMessage) []json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || len(members) == 0 {
		return []json.RawMessage{raw}
	}
	for name, member := range members {
		if !isDigits(name) || len(name) > 9 || kind(member) != '{' {
			return []json.RawMessage{raw}
		}
	}
	var list []json.RawMessage
	for _, name := range slices.SortedFunc(maps.Keys(members), func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }) {
		list = append(list, members[name])
	}
	return list
}

// Text is a text: the first of the named members that says anything, in Unicode's composed form and cut to at most limit bytes. A
// number is the text of its digits. "" for none.
func (o Object) Text(limit int, names ...string) string {
	raw, ok := o.value(names)
	if !ok {
		return ""
	}
	text, reason := textOf(raw)
	if len(text) > limit {
		text, reason = Clip(text, limit), Cut
	}
	o.unread(names, reason)
	return text
}

// ID is an id: a text in the form in which ids are compared, of at most limit bytes. "" for none.
func (o Object) ID(limit int, names ...string) string {
	raw, ok := o.value(names)
	if !ok {
		return ""
	}
	text, reason := textOf(raw)
	if text = ID(text); len(text) > limit {
		text, reason = "", TooLong
	}
	o.unread(names, reason)
	return text
}

// IDs are a member's ids, at most count of them.
func (o Object) IDs(count, limit int, names ...string) []string {
	raw, ok := o.value(names)
	if !ok {
		return nil
	}
	var list []json.RawMessage
	if kind(raw) != '[' {
		list = []json.RawMessage{raw} // one of them
	} else if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var ids []string
	for _, element := range list {
		text, reason := textOf(element)
		switch id := ID(text); {
		case reason != "":
			o.Note(names[0], reason)
		case len(id) > limit:
			o.Note(names[0], TooLong)
		case id == "":
		case len(ids) == count:
			o.Note(names[0], Cut)
			return ids
		default:
			ids = append(ids, id)
		}
	}
	return ids
}

// Decimal is a number in JSON's own form, exact to the digit.
func (o Object) Decimal(names ...string) (string, Told) {
	raw, ok := o.value(names)
	if !ok {
		return "", Absent
	}
	number, reason := decimalOf(raw)
	return number, o.unread(names, reason)
}

// Whole is a whole number.
func (o Object) Whole(names ...string) (int64, Told) {
	number, told := o.Decimal(names...)
	if told != Read {
		return 0, told
	}
	n, reason := wholeOf(number)
	return n, o.unread(names, reason)
}

// Bool is a yes or no.
func (o Object) Bool(names ...string) (bool, Told) {
	raw, ok := o.value(names)
	if !ok {
		return false, Absent
	}
	b, reason := Bool(raw)
	return b, o.unread(names, reason)
}

// Currency is the ISO 4217 code of a currency.
func (o Object) Currency(names ...string) (string, Told) {
	raw, ok := o.value(names)
	if !ok {
		return "", Absent
	}
	code, reason := currencyOf(raw)
	return code, o.unread(names, reason)
}

// Date is a day, as YYYY-MM-DD.
func (o Object) Date(names ...string) (string, Told) {
	raw, ok := o.value(names)
	if !ok {
		return "", Absent
	}
	day, reason := dateOf(raw)
	return day, o.unread(names, reason)
}

// Rest is the object without the named members, nil if nothing is left.
func (o Object) Rest(but ...string) json.RawMessage {
	kept := maps.Clone(o.members)
	for _, name := range but {
		if written, _, ok := o.named(name); ok {
			delete(kept, written)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	raw, err := json.Marshal(kept)
	if err != nil { // its members were read from JSON
		return nil
	}
	return raw
}

// Others are the members that none of the names stands for, by the names that they were given, sorted.
func (o Object) Others(known ...string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(o.members)), func(name string) bool {
		return slices.ContainsFunc(known, func(k string) bool { return sameName(k, name) })
	})
}

// Over is the object with another's members where it has none of its own.
func (o Object) Over(beneath Object) Object {
	members := maps.Clone(beneath.members)
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	for name, raw := range o.members {
		if written, _, ok := beneath.named(name); ok {
			delete(members, written)
		}
		members[name] = raw
	}
	return Object{members: members, path: o.path, notes: o.notes}
}

// With is the object with a member more, which is a text.
func (o Object) With(name, text string) Object {
	members := maps.Clone(o.members)
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	members[name], _ = json.Marshal(text) // a text always has a form
	return Object{members: members, path: o.path, notes: o.notes}
}
