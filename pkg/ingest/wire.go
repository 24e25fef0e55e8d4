// Package ingest understands what analytics SDKs send, in the formats of the Segment and RudderStack HTTP APIs, and turns
// it into facts. Three words: a message is one call of an SDK; a batch is several in one request; a source is who sends,
// known by its write key, and how far it is trusted.
package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"defter/pkg/fault"
	"defter/pkg/foreign"
)

// Limits of the wire contract.
const (
	MaxEventBytes  = 32 << 10
	MaxBatchBytes  = 4 << 20
	MaxBatchEvents = 2500
	MaxMessageID   = 100
	MaxID          = 256 // bytes of a user, anonymous, group or previous id
	MaxDepth       = 100 // of nested objects and lists: encoders have a limit too, and an event must stay readable
)

// Types of messages.
var types = map[string]bool{"identify": true, "track": true, "page": true, "screen": true, "group": true, "alias": true}

// IsMessage says whether there are messages of a type.
func IsMessage(kind string) bool { return types[kind] }

// Message is one call of an SDK.
type Message struct {
	Type        string
	MessageID   string // as the client gave it, "" if it gave none
	UserID      string
	AnonymousID string
	PreviousID  string
	GroupID     string
	Event       string
	Name        string
	Category    string
	Properties  json.RawMessage
	Traits      json.RawMessage
	Context     Context
	OccurredAt  time.Time // corrected for the skew of the client's clock
	Timed       bool      // whether the client said when; else it is when the message arrived
	Undated     bool      // the client said when, and it could not be read or not be believed: it may be older than anything
	Claimed     string    // what the client said then
	Notes       []string  // what could not be read of it, as foreign.Notes
	Raw         json.RawMessage
	Origin      Origin
}

// Origin is what a message came with, which is needed beside it to understand it again.
type Origin struct {
	Kind    string          `json:"kind,omitempty"`    // of a message that came by itself, from its path
	Context json.RawMessage `json:"context,omitempty"` // of its batch; likewise
	SentAt  string          `json:"sentAt,omitempty"`
	IP      string          `json:"ip,omitempty"`   // that a page's or an app's request came from
	Past    bool            `json:"past,omitempty"` // it tells what happened long ago: dated by its arrival it would be wrong for good
}

// Rejected is a message of an accepted batch that cannot be taken in, or that must be looked at.
type Rejected struct {
	Raw    json.RawMessage
	Reason string
	Origin Origin
	Taken  bool // it is taken in all the same, as far as it is understood
}

// Request is one HTTP request of an SDK.
type Request struct {
	Messages []Message
	Rejected []Rejected
}

// NobodyNamed is why a message without ids is not taken.
const NobodyNamed = "request neither has anonymousId nor userId"

// NoOrderNamed is why a report of what became of an order is not taken: nothing says which order. Stripe's refunds carry the metadata that they
// were made with, and not their payment's.
const NoOrderNamed = "it is not said which order it is about: order_id is missing (of a refund of Stripe: in the refund's own metadata)"

// FollowsUp says whether a message is about an order that is known already, which says whose it is.
func (m Message) FollowsUp() bool {
	return m.Type == "track" && FollowsUp(m.Means())
}

// FollowsUp says whether a track event is about an order that must be known before it.
func FollowsUp(event string) bool {
	return slices.Contains([]string{"Order Cancelled", "Order Refunded", RefundFailed}, event)
}

// ofMail says whether a track event is what a mail service reports of a mail.
func (m Message) ofMail() bool {
	name := m.Means()
	return strings.HasPrefix(name, "Email ") || name == "Unsubscribed"
}

// Recipient is the address of a mail that a mail service reports of, "" for none and for what is no such report. Where nobody is named, it
// says whose it is.
func (m Message) Recipient() string {
	if m.Type != "track" || !m.ofMail() {
		return ""
	}
	return foreign.In(m.Properties, "properties", &foreign.Notes{}).Text(254, "email")
}

// NobodysAddress is why a report of a mail is not taken.
const NobodysAddress = "it names nobody, and no customer has the address that it is about"

// merged makes an alias of a merge, as RudderStack's API has it, where it says just that: that two ids are one person's, of
// which the first is a user's. Addresses and telephone numbers are no ids here.
func merged(m *Message, identities []foreign.Object) error {
	if len(identities) != 2 {
		return fmt.Errorf("a merge event needs two mergeProperties, each with a type and a value")
	}
	kinds := map[string]string{"userid": "user", "user_id": "user", "anonymousid": "visitor", "anonymous_id": "visitor"}
	kind := func(i int) string { return kinds[strings.ToLower(identities[i].Text(MaxID, "type"))] }
	first, second := identities[0].ID(MaxID, "value"), identities[1].ID(MaxID, "value")
	switch {
	case kind(0) != "user" || kind(1) == "":
		return fmt.Errorf("a merge is understood of a userId and, behind it, another userId or an anonymousId")
	case first == "" || second == "" || first == second:
		return fmt.Errorf("a merge event needs two different ids")
	case m.UserID != "" && m.UserID != first:
		return fmt.Errorf("a merge event's userId must be the first of its mergeProperties")
	}
	m.Type, m.UserID, m.PreviousID = "alias", first, second
	return nil
}

// Parse reads a request's body. kind is the path's last part: "batch" or a message type.
func Parse(body []byte, kind string, receivedAt time.Time) (Request, error) {
	return ParseAtMost(body, kind, MaxBatchEvents, receivedAt)
}

// ParseAtMost is Parse of a body with at most so many messages; one with more is Invalid, "too-large", before any of them is
// understood.
func ParseAtMost(body []byte, kind string, most int, receivedAt time.Time) (Request, error) {
	body = foreign.JSON(body)
	if kind == "batch" {
		return parseBatch(body, most, receivedAt)
	}
	if len(body) > MaxEventBytes {
		return Request{}, fault.New(fault.Invalid, "too-large", "an event has at most %d bytes, this one %d", MaxEventBytes, len(body))
	}
	if !isObject(body) || !json.Valid(body) {
		return Request{}, fault.New(fault.Invalid, "invalid-json", "the body must be a JSON object as the SDKs send it")
	}
	m, err := message(body, Origin{Kind: kind}, common{}, receivedAt)
	if err != nil {
		return Request{}, fault.New(fault.Invalid, "invalid-event", "%s", err)
	}
	return Request{Messages: []Message{m}}, nil
}

func parseBatch(body []byte, most int, receivedAt time.Time) (Request, error) {
	batch, err := readBatch(body, most)
	if err != nil {
		return Request{}, err
	}
	if len(batch.messages) == 0 {
		return Request{}, fault.New(fault.Invalid, "empty-batch", "the batch is empty")
	}
	origin := Origin{Context: batch.context, SentAt: batch.sentAt}
	shared := origin.shared()
	r := Request{Messages: make([]Message, 0, len(batch.messages))}
	for _, raw := range batch.messages {
		m, err := message(raw, origin, shared, receivedAt)
		if err != nil {
			r.Rejected = append(r.Rejected, Rejected{Raw: raw, Reason: err.Error(), Origin: origin})
			continue
		}
		r.Messages = append(r.Messages, m)
	}
	return r, nil
}

// Again reads a message as it was read when it was received.
func (o Origin) Again(raw json.RawMessage, receivedAt time.Time) (m Message, err error) {
	if m, err = message(raw, o, o.shared(), receivedAt); m.Context.IP == "" {
		m.Context.IP = o.IP
	}
	return m, err
}

// Sender is whom a message names, as far as it can be read, and by what it is recognised when it comes again, "" for nothing.
func Sender(raw json.RawMessage) (userID, anonymousID, messageID string) {
	m := foreign.In(raw, "", &foreign.Notes{})
	return m.ID(MaxID, "userId"), m.ID(MaxID, "anonymousId"), m.ID(MaxMessageID, "messageId")
}

// message reads one message. It is refused where it does not say who it is about, or what happened; whatever else cannot be read of
// it is left out and noted.
func message(raw []byte, origin Origin, shared common, receivedAt time.Time) (Message, error) {
	clean, replaced, err := cleaned(raw)
	switch {
	case err != nil:
		return Message{}, fmt.Errorf("the event cannot be kept: %w", err)
	case !isObject(raw):
		return Message{}, fmt.Errorf("the event is not an object")
	case shared.Err != nil:
		return Message{}, shared.Err
	}
	var notes foreign.Notes
	if replaced {
		notes.Add("text", foreign.Replaced)
	}
	o := foreign.In(clean, "", &notes)
	m := Message{
		Type: origin.Kind, MessageID: o.ID(MaxEventBytes, "messageId"), Event: o.Text(MaxEventBytes, "event"), Name: o.Text(200, "name"), Category: o.Text(200, "category"),
		Properties: o.JSON("properties"), Traits: o.JSON("traits"), Raw: raw, Origin: origin,
	}
	if m.Type == "" {
		m.Type = strings.ToLower(strings.TrimSpace(o.Text(20, "type")))
	}
	m.UserID, m.AnonymousID = o.ID(MaxEventBytes, "userId"), o.ID(MaxEventBytes, "anonymousId")
	m.PreviousID, m.GroupID = o.ID(MaxEventBytes, "previousId"), o.ID(MaxEventBytes, "groupId")
	if m.Type == "merge" && (m.UserID != "" || m.AnonymousID != "") {
		identities, _ := o.Objects("mergeProperties")
		if err := merged(&m, identities); err != nil {
			return Message{}, err
		}
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	notes.All(shared.Notes)
	m.Context = shared.Context
	m.Context.read(o.Object("context"))
	m.date(o, receivedAt)
	m.Notes = notes.List()
	return m, nil
}

// check refuses a message that does not say what it must.
func (m Message) check() error {
	switch {
	case m.Type == "merge":
		return errors.New(NobodyNamed)
	case !types[m.Type]:
		return fmt.Errorf("type must be identify, track, page, screen, group or alias")
	case m.UserID == "" && m.AnonymousID == "" && !(m.Type == "alias" && m.PreviousID != "") && !m.FollowsUp() && m.Recipient() == "":
		return errors.New(NobodyNamed)
	case m.Type == "track" && m.Event == "":
		return fmt.Errorf("a track event needs a name")
	case m.Type == "group" && m.GroupID == "":
		return fmt.Errorf("a group event needs a groupId")
	case m.Type == "alias" && (m.PreviousID == "" || m.UserID == ""):
		return fmt.Errorf("an alias event needs previousId and userId")
	case len(m.MessageID) > MaxMessageID:
		return fmt.Errorf("messageId has at most %d bytes", MaxMessageID)
	case max(len(m.UserID), len(m.AnonymousID), len(m.PreviousID), len(m.GroupID)) > MaxID:
		return fmt.Errorf("an id has at most %d bytes", MaxID)
	case strings.ContainsRune(m.UserID+m.AnonymousID+m.PreviousID+m.GroupID, utf8.RuneError): // which stands for many
		return fmt.Errorf("an id has a character that no text has")
	}
	return nil
}

func isObject(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}

// Depth is how deep valid JSON is nested.
func Depth(data []byte) int {
	deepest, now, text := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{', c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}', c == ']':
			now--
		}
	}
	return deepest
}
