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
)

// Limits of the wire contract.
const (
	MaxEventBytes  = 32 << 10
	MaxBatchBytes  = 4 << 20
	MaxBatchEvents = 2500
	MaxMessageID   = 100
	MaxID          = 256 // bytes of a user, anonymous, group or previous id
	MaxDepth       = 100 // of nested objects and lists: encoders have a limit too, and an event must stay readable

	maxFuture = 5 * time.Minute // a client's clock may be ahead by this much after correction
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
	Claimed     string    // the client's own time, where it was not believed
	Raw         json.RawMessage
	Origin      Origin
}

// Origin is what a message came with, which is needed beside it to understand it again.
type Origin struct {
	Kind    string          `json:"kind,omitempty"`    // of a message that came by itself, from its path
	Context json.RawMessage `json:"context,omitempty"` // of its batch; likewise
	SentAt  string          `json:"sentAt,omitempty"`
	IP      string          `json:"ip,omitempty"` // that a page's or an app's request came from
}

// Context is the part of a message's context that is kept.
type Context struct {
	IP        string `json:"ip"`
	UserAgent string `json:"userAgent"`
	Locale    string `json:"locale"`
	Timezone  string `json:"timezone"`
	Page      struct {
		URL      string `json:"url"`
		Title    string `json:"title"`
		Referrer string `json:"referrer"`
	} `json:"page"`
	Consent Consents `json:"consent"`
	// UserToken is the customer's own, a JWT that the page got when they signed in.
	UserToken string          `json:"userToken"`
	Traits    json.RawMessage `json:"traits"`
}

// Rejected is a message of an accepted batch that cannot be taken in.
type Rejected struct {
	Raw    json.RawMessage
	Reason string
	Origin Origin
}

// Request is one HTTP request of an SDK.
type Request struct {
	Messages []Message
	Rejected []Rejected
}

// NobodyNamed is why a message without ids is not taken.
const NobodyNamed = "request neither has anonymousId nor userId"

// followsUp says whether a message is about an order that is known already, which says whose it is.
func (m Message) followsUp() bool {
	return m.Type == "track" && FollowsUp(m.Event)
}

// FollowsUp says whether a track event is about an order that must be known before it.
func FollowsUp(event string) bool {
	return slices.Contains([]string{"Order Cancelled", "Order Refunded", RefundFailed}, event)
}

type id string

// UnmarshalJSON takes strings, and numbers as some clients send them.
func (i *id) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		var n json.Number
		if err := json.Unmarshal(data, &n); err != nil {
			return fmt.Errorf("an id must be a string: %w", err)
		}
		*i = id(n)
		return nil
	}
	var s string
	err := json.Unmarshal(data, &s)
	*i = id(strings.TrimSpace(s))
	return err
}

type wireMessage struct {
	Type              string          `json:"type"`
	MessageID         id              `json:"messageId"`
	UserID            id              `json:"userId"`
	AnonymousID       id              `json:"anonymousId"`
	PreviousID        id              `json:"previousId"`
	GroupID           id              `json:"groupId"`
	Event             string          `json:"event"`
	Name              string          `json:"name"`
	Category          string          `json:"category"`
	Properties        json.RawMessage `json:"properties"`
	Traits            json.RawMessage `json:"traits"`
	Context           json.RawMessage `json:"context"`
	Timestamp         string          `json:"timestamp"`
	OriginalTimestamp string          `json:"originalTimestamp"`
	SentAt            string          `json:"sentAt"`
	MergeProperties   json.RawMessage `json:"mergeProperties"`
}

// merged makes an alias of a merge, as RudderStack's API has it, where it says just that: that two ids are one person's, of
// which the first is a user's. Addresses and telephone numbers are no ids here.
func merged(m *Message, properties json.RawMessage) error {
	var identities []struct {
		Type  string `json:"type"`
		Value id     `json:"value"`
	}
	if json.Unmarshal(properties, &identities) != nil || len(identities) != 2 {
		return fmt.Errorf("a merge event needs two mergeProperties, each with a type and a value")
	}
	kinds := map[string]string{"userid": "user", "user_id": "user", "anonymousid": "visitor", "anonymous_id": "visitor"}
	first, second := identities[0], identities[1]
	switch {
	case kinds[strings.ToLower(first.Type)] != "user" || kinds[strings.ToLower(second.Type)] == "":
		return fmt.Errorf("a merge is understood of a userId and, behind it, another userId or an anonymousId")
	case first.Value == "" || second.Value == "" || first.Value == second.Value:
		return fmt.Errorf("a merge event needs two different ids")
	case m.UserID != "" && m.UserID != string(first.Value):
		return fmt.Errorf("a merge event's userId must be the first of its mergeProperties")
	}
	m.Type, m.UserID, m.PreviousID = "alias", string(first.Value), string(second.Value)
	return nil
}

// Parse reads a request's body. kind is the path's last part: "batch" or a message type.
func Parse(body []byte, kind string, receivedAt time.Time) (Request, error) {
	return ParseAtMost(body, kind, MaxBatchEvents, receivedAt)
}

// ParseAtMost is Parse of a body with at most so many messages; one with more is Invalid, "too-large", before any of them is
// understood.
func ParseAtMost(body []byte, kind string, most int, receivedAt time.Time) (Request, error) {
	if kind == "batch" {
		return parseBatch(body, most, receivedAt)
	}
	if len(body) > MaxEventBytes {
		return Request{}, fault.New(fault.Invalid, "too-large", "an event has at most %d bytes, this one %d", MaxEventBytes, len(body))
	}
	var w wireMessage
	if err := json.Unmarshal(body, &w); err != nil || !isObject(body) {
		return Request{}, fault.New(fault.Invalid, "invalid-json", "the body must be a JSON object as the SDKs send it")
	}
	w.Type = kind
	m, err := message(body, w, "", Context{}, receivedAt)
	m.Origin.Kind = kind
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
	shared, sharedErr := sharedContext(batch.context)
	r := Request{Messages: make([]Message, 0, len(batch.messages))}
	for _, raw := range batch.messages {
		m, err := element(raw, batch.sentAt, shared, sharedErr, receivedAt)
		if err != nil {
			r.Rejected = append(r.Rejected, Rejected{Raw: raw, Reason: err.Error(), Origin: origin})
			continue
		}
		m.Origin = origin
		r.Messages = append(r.Messages, m)
	}
	return r, nil
}

// element reads one message of a batch.
func element(raw json.RawMessage, sentAt string, shared Context, sharedErr error, receivedAt time.Time) (Message, error) {
	if len(raw) > MaxEventBytes {
		return Message{}, fmt.Errorf("an event has at most %d bytes, this one %d", MaxEventBytes, len(raw))
	}
	var w wireMessage
	if err := json.Unmarshal(raw, &w); err != nil || !isObject(raw) {
		return Message{}, fmt.Errorf("the event is not an object of the expected fields")
	}
	if sharedErr != nil {
		return Message{}, fmt.Errorf("the batch's %w", sharedErr)
	}
	return message(raw, w, sentAt, shared, receivedAt)
}

// Again reads a message as it was read when it was received.
func (o Origin) Again(raw json.RawMessage, receivedAt time.Time) (m Message, err error) {
	if o.Kind == "" {
		shared, sharedErr := sharedContext(o.Context)
		m, err = element(raw, o.SentAt, shared, sharedErr, receivedAt)
	} else {
		var r Request
		if r, err = Parse(raw, o.Kind, receivedAt); err == nil && len(r.Messages) != 1 {
			err = fmt.Errorf("it is not one event")
		}
		if err == nil {
			m = r.Messages[0]
		}
	}
	if m.Context.IP == "" {
		m.Context.IP = o.IP
	}
	m.Origin = o
	return m, err
}

// Sender is whom a message names, as far as it can be read.
func Sender(raw json.RawMessage) (userID, anonymousID string) {
	var m struct {
		UserID      json.RawMessage `json:"userId"`
		AnonymousID json.RawMessage `json:"anonymousId"`
	}
	_ = json.Unmarshal(raw, &m) // as far as it goes
	var user, visitor id
	for to, data := range map[*id]json.RawMessage{&user: m.UserID, &visitor: m.AnonymousID} {
		if len(data) > 0 && json.Unmarshal(data, to) != nil {
			*to = ""
		}
	}
	return string(user), string(visitor)
}

// sharedContext reads the context that a batch's events have in common.
func sharedContext(raw json.RawMessage) (c Context, err error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return c, nil
	case len(raw) > MaxEventBytes:
		return c, fmt.Errorf("context has at most %d bytes, this one %d", MaxEventBytes, len(raw))
	case !isObject(raw):
		return c, fmt.Errorf("context must be an object")
	}
	if err := clean(raw); err != nil {
		return c, fmt.Errorf("context cannot be kept: %w", err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("context has a field of the wrong type")
	}
	return c, nil
}

// clean refuses what could not be stored or read again.
func clean(raw []byte) error {
	if depth(raw) > MaxDepth {
		return fmt.Errorf("it is nested more than %d deep", MaxDepth)
	}
	return CleanText(raw)
}

func message(raw []byte, w wireMessage, sentAt string, shared Context, receivedAt time.Time) (Message, error) {
	m := Message{
		Type: w.Type, MessageID: string(w.MessageID), UserID: string(w.UserID), AnonymousID: string(w.AnonymousID),
		PreviousID: string(w.PreviousID), GroupID: string(w.GroupID), Event: w.Event, Name: w.Name, Category: w.Category,
		Properties: w.Properties, Traits: w.Traits, Raw: raw,
	}
	if err := clean(raw); err != nil {
		return m, err
	}
	for _, part := range []struct {
		name string
		data json.RawMessage
	}{{"properties", w.Properties}, {"traits", w.Traits}, {"context", w.Context}} {
		if len(part.data) > 0 && !isObject(part.data) && string(part.data) != "null" {
			return m, fmt.Errorf("%s must be an object", part.name)
		}
	}
	if m.Type == "merge" && (m.UserID != "" || m.AnonymousID != "") {
		if err := merged(&m, w.MergeProperties); err != nil {
			return m, err
		}
	}
	switch {
	case m.Type == "merge":
		return m, errors.New(NobodyNamed)
	case !types[m.Type]:
		return m, fmt.Errorf("type must be identify, track, page, screen, group or alias")
	case m.UserID == "" && m.AnonymousID == "" && !(m.Type == "alias" && m.PreviousID != "") && !m.followsUp():
		return m, errors.New(NobodyNamed)
	case m.Type == "track" && m.Event == "":
		return m, fmt.Errorf("a track event needs a name")
	case m.Type == "group" && m.GroupID == "":
		return m, fmt.Errorf("a group event needs a groupId")
	case m.Type == "alias" && (m.PreviousID == "" || m.UserID == ""):
		return m, fmt.Errorf("an alias event needs previousId and userId")
	case len(m.MessageID) > MaxMessageID:
		return m, fmt.Errorf("messageId has at most %d bytes", MaxMessageID)
	case max(len(m.UserID), len(m.AnonymousID), len(m.PreviousID), len(m.GroupID)) > MaxID:
		return m, fmt.Errorf("an id has at most %d bytes", MaxID)
	}
	m.Context = shared
	if len(w.Context) > 0 { // the event's own fields win
		m.Context.Traits, m.Context.Consent = bytes.Clone(shared.Traits), Consents{} // which decoding writes into
		if err := json.Unmarshal(w.Context, &m.Context); err != nil {
			return m, fmt.Errorf("context has a field of the wrong type")
		}
		if m.Context.Consent.Preferences == nil {
			m.Context.Consent = shared.Consent
		}
	}
	if sentAt == "" {
		sentAt = w.SentAt
	}
	claimed := w.Timestamp
	if claimed == "" {
		claimed = w.OriginalTimestamp
	}
	m.OccurredAt, m.Claimed = corrected(claimed, sentAt, receivedAt)
	m.Timed = claimed != ""
	return m, nil
}

// corrected is receivedAt - (sentAt - claimed): the client's time with the skew of its clock taken out. A time that still
// lies in the future is not believed; the client's word is then returned too.
func corrected(claimed, sentAt string, receivedAt time.Time) (time.Time, string) {
	at, err := time.Parse(time.RFC3339, claimed)
	claimed = clipText(claimed, 64)
	if err != nil {
		return receivedAt, claimed
	}
	if sent, err := time.Parse(time.RFC3339, sentAt); err == nil {
		at = receivedAt.Add(-sent.Sub(at))
	}
	if at.After(receivedAt.Add(maxFuture)) || at.Unix() < 0 {
		return receivedAt, claimed
	}
	if at.After(receivedAt) {
		at = receivedAt
	}
	return at, ""
}

func isObject(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}

// depth is how deep valid JSON is nested.
func depth(data []byte) int {
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

// CleanText refuses JSON whose text cannot be stored faithfully: bytes that are not UTF-8, NUL characters, and half
// surrogate pairs, which decoders replace in silence.
func CleanText(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("the text is not UTF-8")
	}
	for rest := data; ; {
		at := bytes.IndexByte(rest, '\\')
		if at < 0 || at+1 >= len(rest) {
			return nil
		}
		if rest[at+1] != 'u' {
			rest = rest[at+2:]
			continue
		}
		unit := hex4(rest[at+2:])
		rest = rest[min(at+6, len(rest)):]
		switch {
		case unit == 0:
			return fmt.Errorf("the text has a NUL character")
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return fmt.Errorf("the text has half a surrogate pair")
		case unit >= 0xD800 && unit <= 0xDBFF:
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return fmt.Errorf("the text has half a surrogate pair")
			}
			if low := hex4(rest[2:]); low < 0xDC00 || low > 0xDFFF {
				return fmt.Errorf("the text has half a surrogate pair")
			}
			rest = rest[6:]
		}
	}
}

// hex4 reads four hexadecimal digits, -1 if they are not.
func hex4(data []byte) int {
	if len(data) < 4 {
		return -1
	}
	n := 0
	for _, c := range data[:4] {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
}

// clipText cuts s to at most limit bytes, between characters.
func clipText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
