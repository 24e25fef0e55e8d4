// Package foreign reads values out of JSON that others wrote, and says what it could not read. Three words: a form is one way of
// writing a value, such as a number as a text, and every form that has one meaning is read; what has none, or several, is not
// guessed, and stays unread; a note names a field that was left unread, and why, and never what it held.
package foreign

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Reasons why a value was not read as it was sent.
const (
	Unreadable = "unreadable"   // in no form that is known
	Ambiguous  = "ambiguous"    // in a form that has several meanings, such as a time without its offset
	WrongType  = "wrong-type"   // a list where a text belongs
	OutOfRange = "out-of-range" // beyond what is counted
	TooLong    = "too-long"     // an id that is too long to be one
	Cut        = "cut"          // a text that was shortened to what is kept of it
	Replaced   = "replaced"     // characters that no text has, such as half an emoji, stand as U+FFFD
	Unknown    = "unknown"      // a name that only resembles one that is known
	Missing    = "missing"      // without which the message is not what it is called
	Untrusted  = "untrusted"    // said by a source that may not say it
	Unbelieved = "unbelieved"   // a time in the future, or before there was anything to tell
)

// MaxNotes bounds the notes of one message.
const MaxNotes = 16

// Notes are what was left unread of one message, as "field:reason", each once, the first ones.
type Notes struct{ list []string }

// Add notes a field, by a name that is known beforehand and never by one that a client chose.
func (n *Notes) Add(field, reason string) {
	if note := field + ":" + reason; len(n.list) < MaxNotes && !slices.Contains(n.list, note) {
		n.list = append(n.list, note)
	}
}

// All adds the notes of another reading of the same message.
func (n *Notes) All(notes []string) {
	for _, note := range notes {
		field, reason, _ := strings.Cut(note, ":")
		n.Add(field, reason)
	}
}

// List is the notes, nil for none.
func (n *Notes) List() []string { return slices.Clone(n.list) }

// Reason is the part of a note behind its field.
func Reason(note string) string {
	_, reason, _ := strings.Cut(note, ":")
	return reason
}

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
	names   map[string]string // of members, by what is common to all ways of writing them
	path    string            // before the fields of notes
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
	o.names = make(map[string]string, len(o.members))
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if common := commonName(name); o.names[common] == "" {
			o.names[common] = name
		}
	}
	return o
}

// separators stand between the words of names.
var separators = strings.NewReplacer("_", "", "-", "", " ", "")

func commonName(name string) string { return strings.ToLower(separators.Replace(name)) }

// named returns the member of a name, as it is written there or else in another way of writing it.
func (o Object) named(name string) (string, json.RawMessage, bool) {
	if raw, ok := o.members[name]; ok {
		return name, raw, true
	}
	if other, ok := o.names[commonName(name)]; ok {
		return other, o.members[other], true
	}
	return "", nil, false
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

// Objects are a member's objects, the first MaxObjects. One object where a list belongs is a list of one. Unread says that not all of
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
		list = []json.RawMessage{raw}
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

// Text is a text: the first of the named members that says anything, in Unicode's composed form and cut to at most limit bytes. A
// number is the text of its digits. "" for none.
func (o Object) Text(limit int, names ...string) string {
	raw, ok := o.value(names)
	if !ok {
		return ""
	}
	text, reason := textOf(raw)
	if len(text) > limit {
		text, reason = clip(text, limit), Cut
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
	common := make(map[string]bool, len(known))
	for _, name := range known {
		common[commonName(name)] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(o.members)), func(name string) bool { return common[commonName(name)] })
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
	merged := In(nil, o.path, o.notes)
	merged.members = members
	for name := range members {
		merged.names[commonName(name)] = name
	}
	return merged
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
	if kind(raw) != '"' {
		return false
	}
	var s string
	return json.Unmarshal(raw, &s) == nil && strings.TrimSpace(s) == ""
}
