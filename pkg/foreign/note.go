package foreign

import (
	"slices"
	"strings"

	"defter/pkg/eventstore"
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
	Rounded    = "rounded"      // an amount with more digits than its currency has
	Taken      = "taken"        // an address that another customer has
	Unverified = "unverified"   // an address that nobody has shown to be the customer's
	TooMany    = "too-many"     // beyond what is kept of one customer
)

// Notes are what was left unread of one message, as "field:reason", each once, the first eventstore.MaxNotes.
type Notes struct{ list []string }

// Add notes a field, by a name that is known beforehand and never by one that a client chose.
func (n *Notes) Add(field, reason string) {
	if note := field + ":" + reason; len(n.list) < eventstore.MaxNotes && !slices.Contains(n.list, note) {
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
