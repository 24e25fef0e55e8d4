// Package source holds who may send events, and what is believed of them. Three words: a source is a website, an app or a
// server that sends; its write keys are what it presents; it is trusted if its keys are secret, so that it may say what
// was ordered and paid. All sources are one stream: they are few, and every request needs them.
package source

import (
	"cmp"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// Stream is the stream of all sources.
const Stream = "SOURCES"

// Limits.
const (
	MaxSources   = 200
	MaxKeys      = 10 // of one source, not expired
	MaxRate      = 10_000
	MaxPerMinute = 6_000_000
	maxName      = 100 // bytes
	maxList      = 100
	maxOrigin    = 200 // bytes
)

// DefaultRate is how many requests a second a source may send that nobody gave another rate.
const DefaultRate = 1000

// What a page's and an app's sources may send where nobody said otherwise: their keys are known to everybody. A page's SDK sends
// ten messages at a time; an app's sends all of an offline hour at once, up to 475 KB.
const (
	DefaultPageMessages   = 100    // in a request
	DefaultAppMessages    = 500    // in a request
	DefaultMessages       = 30_000 // a minute
	DefaultNewPeople      = 1_500  // a minute: customers and visitors who were never heard of
	MaxMessagesPerRequest = 2500
)

// Kinds of sources.
const (
	Browser = "browser"
	Mobile  = "mobile"
	Server  = "server"
	Hook    = "webhook"
)

// What becomes of what a source says, in the words of its settings.
const (
	Accept     = "accept"     // unknown events are kept as they came
	Quarantine = "quarantine" // unknown events are put aside
	Assumed    = "assumed"    // behaviour is kept unless analytics consent was refused
	Required   = "required"   // behaviour is kept only with analytics consent
)

// How a webhook's deliveries are signed.
const (
	Unsigned         = "none"
	StandardWebhooks = "standard"
	Stripe           = "stripe"
	Shopify          = "shopify"
	SendGrid         = "sendgrid"
)

// Webhook is how the deliveries of another service are checked and understood. Without rules, those that the program has for the
// service count. Stripe's and Shopify's deliveries are of live mode, or of test mode where Test says so; Stripe's are of Account, or of
// the account itself where that is empty; Shopify's are all of one Topic.
type Webhook struct {
	Signature string `json:"signature" pii:"-" jsonschema:"enum=none,enum=standard,enum=stripe,enum=shopify,enum=sendgrid"`
	Secret    string `json:"secret,omitempty" pii:"secret" jsonschema:"maxLength=1000"`
	Topic     string `json:"topic,omitempty" pii:"-" jsonschema:"maxLength=100"`
	Test      bool   `json:"test,omitempty" pii:"-"`
	Account   string `json:"account,omitempty" pii:"-" jsonschema:"maxLength=100"`
	Each      string `json:"each,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Rules     []Rule `json:"rules,omitempty" pii:"-" jsonschema:"maxItems=100"`
}

// Rule makes a message of a delivery in which every path of When has its value, where * is any but null: one, or one of each that Each
// finds. The others are expressions.
type Rule struct {
	When        map[string]string `json:"when,omitempty" pii:"secret"`
	Each        string            `json:"each,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Type        string            `json:"type,omitempty" pii:"-" jsonschema:"enum=track,enum=identify"`
	Event       string            `json:"event,omitempty" pii:"-" jsonschema:"maxLength=200"`
	UserID      string            `json:"userId,omitempty" pii:"-" jsonschema:"maxLength=200"`
	AnonymousID string            `json:"anonymousId,omitempty" pii:"-" jsonschema:"maxLength=200"`
	MessageID   string            `json:"messageId,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Timestamp   string            `json:"timestamp,omitempty" pii:"-" jsonschema:"maxLength=200"`
	Properties  map[string]string `json:"properties,omitempty" pii:"secret"`
}

// Settings are what can be set of a source.
type Settings struct {
	Name              string   `json:"name" pii:"-" jsonschema:"maxLength=100"`
	Kind              string   `json:"kind" pii:"-" jsonschema:"enum=browser,enum=mobile,enum=server,enum=webhook"`
	Enabled           bool     `json:"enabled" pii:"-"`
	AllowedOrigins    []string `json:"allowedOrigins,omitempty" pii:"-" jsonschema:"maxItems=100"`
	AllowedEvents     []string `json:"allowedEvents,omitempty" pii:"-" jsonschema:"maxItems=100"`
	UnknownEvents     string   `json:"unknownEvents" pii:"-" jsonschema:"enum=accept,enum=quarantine"`
	AnalyticsConsent  string   `json:"analyticsConsent" pii:"-" jsonschema:"enum=assumed,enum=required"`
	RequestsPerSecond int64    `json:"requestsPerSecond" pii:"-"`
	// Of a page's or an app's source; 0 for the defaults.
	MessagesPerRequest int64 `json:"messagesPerRequest,omitempty" pii:"-"`
	MessagesPerMinute  int64 `json:"messagesPerMinute,omitempty" pii:"-"`
	NewPeoplePerMinute int64 `json:"newPeoplePerMinute,omitempty" pii:"-"`

	Webhook *Webhook `json:"webhook,omitempty" pii:"secret"`
}

// Trusted says whether the source's keys are secret: only then may it say what was ordered and paid.
func (s Settings) Trusted() bool { return s.Kind == Server || s.Kind == Hook }

// Budget is what a source may send: messages in a request and in a minute, and people in a minute who were never heard of; 0 for
// any number. Only those whose keys are public have one.
func (s Settings) Budget() (perRequest, messages, people int64) {
	if s.Trusted() {
		return MaxMessagesPerRequest, 0, 0
	}
	perRequest = DefaultPageMessages
	if s.Kind == Mobile {
		perRequest = DefaultAppMessages
	}
	return cmp.Or(s.MessagesPerRequest, perRequest), cmp.Or(s.MessagesPerMinute, DefaultMessages), cmp.Or(s.NewPeoplePerMinute, DefaultNewPeople)
}

// Created: there is a new source.
type Created struct {
	SourceID string   `json:"sourceId" pii:"-"`
	Settings Settings `json:"settings" pii:"secret"`
}

// Changed: a source has other settings.
type Changed struct {
	SourceID string   `json:"sourceId" pii:"-"`
	Settings Settings `json:"settings" pii:"secret"`
}

// KeyIssued: a source has a new write key. The key itself can be made again from its id, and is stored nowhere.
type KeyIssued struct {
	SourceID string `json:"sourceId" pii:"-"`
	KeyID    string `json:"keyId" pii:"-"`
}

// KeyRetired: a write key counts no longer from a time on.
type KeyRetired struct {
	SourceID  string    `json:"sourceId" pii:"-"`
	KeyID     string    `json:"keyId" pii:"-"`
	ExpiresAt time.Time `json:"expiresAt" pii:"-"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Created]("SourceCreated"),
	eventstore.Declare[Changed]("SourceChanged"),
	eventstore.Declare[KeyIssued]("WriteKeyIssued"),
	eventstore.Declare[KeyRetired]("WriteKeyRetired"),
}

// Key is a write key of a source.
type Key struct {
	ID        string     `json:"keyId"`
	IssuedAt  time.Time  `json:"issuedAt"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// ValidAt says whether the key counts.
func (k Key) ValidAt(at time.Time) bool { return k.ExpiresAt == nil || at.Before(*k.ExpiresAt) }

// Source is a source as it stands.
type Source struct {
	ID        string    `json:"sourceId"`
	Settings  Settings  `json:"settings"`
	Keys      []Key     `json:"keys"`
	CreatedAt time.Time `json:"createdAt"`
}

// State is all sources, by id.
type State map[string]Source

// Fold computes the State.
var Fold = &eventstore.Fold[State]{Name: "sources", Version: 1, Evolve: func(s State, e eventstore.Event) State {
	return Evolve(s, e.Data, e.OccurredAt)
}}

// Evolve folds one event.
func Evolve(s State, event any, at time.Time) State {
	change := func(id string, by func(*Source)) State {
		next := maps.Clone(s)
		if next == nil {
			next = State{}
		}
		source := next[id]
		by(&source)
		next[id] = source
		return next
	}
	switch e := event.(type) {
	case Created:
		return change(e.SourceID, func(s *Source) { s.ID, s.Settings, s.CreatedAt = e.SourceID, e.Settings, at })
	case Changed:
		return change(e.SourceID, func(s *Source) { s.Settings = e.Settings })
	case KeyIssued:
		return change(e.SourceID, func(s *Source) {
			s.Keys = slices.DeleteFunc(slices.Clone(s.Keys), func(k Key) bool { return !k.ValidAt(at) })
			s.Keys = append(s.Keys, Key{ID: e.KeyID, IssuedAt: at})
		})
	case KeyRetired:
		return change(e.SourceID, func(s *Source) {
			s.Keys = slices.Clone(s.Keys)
			for i := range s.Keys {
				if s.Keys[i].ID == e.KeyID {
					s.Keys[i].ExpiresAt = &e.ExpiresAt
				}
			}
		})
	}
	return s
}

// List returns the sources in the order of their creation.
func (s State) List() []Source {
	return slices.SortedFunc(maps.Values(s), func(a, b Source) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Create makes a source with its first write key.
func Create(s State, id, keyID string, settings Settings) ([]any, error) {
	if len(s) >= MaxSources {
		return nil, fault.New(fault.Rejected, "too-many-sources", "there are %d sources, the most there can be", len(s))
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	return []any{Created{SourceID: id, Settings: settings}, KeyIssued{SourceID: id, KeyID: keyID}}, nil
}

// Change gives a source other settings. Its kind stays: the keys of a page are known to everybody, and must not become
// those of a server.
func Change(s State, id string, by func(*Settings) error) ([]any, error) {
	source, ok := s[id]
	if !ok {
		return nil, unknown()
	}
	next := source.Settings
	if err := by(&next); err != nil {
		return nil, err
	}
	if next.Kind != source.Settings.Kind {
		return nil, fault.New(fault.Rejected, "kind-is-fixed", "a source stays a %s; make another source", source.Settings.Kind)
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	if reflect.DeepEqual(next, source.Settings) {
		return nil, nil
	}
	return []any{Changed{SourceID: id, Settings: next}}, nil
}

// Rotate issues a new write key; those before it count until at.
func Rotate(s State, id, keyID string, now, until time.Time) ([]any, error) {
	source, ok := s[id]
	if !ok {
		return nil, unknown()
	}
	var events []any
	valid := 0 // beside the new one
	for _, k := range source.Keys {
		if !k.ValidAt(now) {
			continue
		}
		if k.ValidAt(until) {
			events = append(events, KeyRetired{SourceID: id, KeyID: k.ID, ExpiresAt: until})
		}
		if now.Before(until) { // else it ends now
			valid++
		}
	}
	if valid >= MaxKeys {
		return nil, fault.New(fault.Rejected, "too-many-write-keys", "a source has at most %d write keys at a time; wait until one expires", MaxKeys)
	}
	return append(events, KeyIssued{SourceID: id, KeyID: keyID}), nil
}

func unknown() error { return fault.New(fault.NotFound, "no-such-source", "there is no such source") }

func (s Settings) check() error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.Rejected, "invalid-source", format, args...)
	}
	switch {
	case strings.TrimSpace(s.Name) == "" || len(s.Name) > maxName:
		return invalid("name must have 1 to %d bytes", maxName)
	case !slices.Contains([]string{Browser, Mobile, Server, Hook}, s.Kind):
		return invalid("kind must be browser, mobile, server or webhook")
	case s.UnknownEvents != Accept && s.UnknownEvents != Quarantine:
		return invalid("unknownEvents must be accept or quarantine")
	case s.AnalyticsConsent != Assumed && s.AnalyticsConsent != Required:
		return invalid("analyticsConsent must be assumed or required")
	case s.RequestsPerSecond < 1 || s.RequestsPerSecond > MaxRate:
		return invalid("requestsPerSecond must be 1 to %d", MaxRate)
	case s.Trusted() && (s.MessagesPerRequest != 0 || s.MessagesPerMinute != 0 || s.NewPeoplePerMinute != 0):
		return invalid("messagesPerRequest, messagesPerMinute and newPeoplePerMinute are for sources of kind browser or mobile, whose keys are public")
	case s.MessagesPerRequest < 0 || s.MessagesPerRequest > MaxMessagesPerRequest:
		return invalid("messagesPerRequest must be 1 to %d, or 0 for the default", MaxMessagesPerRequest)
	case min(s.MessagesPerMinute, s.NewPeoplePerMinute) < 0 || max(s.MessagesPerMinute, s.NewPeoplePerMinute) > MaxPerMinute:
		return invalid("messagesPerMinute and newPeoplePerMinute must be 1 to %d, or 0 for the default", MaxPerMinute)
	case (s.Kind == Hook) != (s.Webhook != nil):
		return invalid("a source of kind webhook, and no other, has a webhook")
	case len(s.AllowedOrigins) > maxList || len(s.AllowedEvents) > maxList:
		return invalid("a list has at most %d entries", maxList)
	}
	for _, origin := range s.AllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != origin || len(origin) > maxOrigin {
			return invalid("an allowed origin is of the form https://shop.example.com")
		}
	}
	for _, event := range s.AllowedEvents {
		if event == "" || len(event) > maxName {
			return invalid("an allowed event has 1 to %d bytes", maxName)
		}
	}
	return nil
}
