// Package app holds the handlers: what each function does, between the edge's JSON and the domains' rules. Three words: a
// call is one API request with who made it; a command appends to one customer's stream; a reaction answers an event
// with a side effect, at most once.
package app

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/identity"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/payment"
	"defter/pkg/privacy"
	"defter/pkg/view"
)

// Limits of the API.
const (
	maxBody           = 128 << 10 // bytes of a command's body
	maxIdempotencyKey = 255
	idempotencyFor    = 24 * time.Hour
	verifyWithin      = 7 * 24 * time.Hour
	defaultLimit      = 50
	maxLimit          = 500
)

// App is everything a handler needs. A function sets what its row of the topology lets it touch.
type App struct {
	Log      *eventstore.Log
	Views    *view.Views
	Keyring  *privacy.Keyring
	Access   Access
	Bus      Bus
	Emails   Queue
	Journeys Starter
	Payments payment.Provider // nil for none
	Tokens   Tokens           // nil where customers have none
	Archive  Archive
	Email    Provider
	// PaymentRuns is the state machine of charges and refunds.
	PaymentRuns Starter
	Erasures    Starter // the state machine of erasures
	Settings    Settings
	Fixed       map[string]ingest.Source // sources beside those that are stored, by write key
	Now         func() time.Time
	NewID       func() string

	gate    gate // before the streams that SDKs write to
	sources sources
	rates   rates
	budgets budgets
}

// Settings are the deployment's.
type Settings struct {
	EmailFrom    string
	WelcomeDelay time.Duration // between the two mails of the welcome journey

	DataController string // who answers for the data, as proofs of consent name them
	// MarketingUnverified lets marketing go to addresses that nobody has shown to be the customer's.
	MarketingUnverified bool

	Placeholders identity.Placeholders // ids that stand for nobody here, beside those that do everywhere

	OpaqueIDs *regexp.Regexp // of ids that tell nothing about a person here, beside those that do nowhere; nil for none

	CartIdle        time.Duration // after which a cart counts as abandoned; 0 for an hour
	PaymentProvider string        // stripe, local, or "" for none: then orders cannot be paid here
	ReturnWindow    time.Duration // how long after delivery money can be given back
	KeepFor         time.Duration // of behaviour in the event store, in detail
}

// Access knows the API keys that callers present.
type Access interface {
	// APIKey returns the id of an API key; ok is false for one that is not known.
	APIKey(ctx context.Context, presented string) (id string, ok bool, err error)
}

// Tokens proves who customers are by tokens of theirs.
type Tokens interface {
	// Subject is the customer's id as the business uses it, and the address that the issuer has verified, "" for none; Unauthorized for a
	// token that proves nothing, Busy where nobody can say.
	Subject(ctx context.Context, token string) (id, email string, err error)
}

// Bus takes events to be published.
type Bus interface {
	// Publish returns the indexes of the entries that were not taken.
	Publish(ctx context.Context, entries []Entry) (failed []int, err error)
}

// Entry is one event for the bus: its type, and itself as JSON.
type Entry struct {
	Type   string
	Detail []byte
	At     time.Time
}

// Queue takes messages to be worked on later, at least once.
type Queue interface {
	Send(ctx context.Context, body []byte) error
}

// Archive keeps what leaves the event store.
type Archive interface {
	// Put keeps lines of JSON under a name, compressed.
	Put(ctx context.Context, name string, lines []byte) error
}

// Starter starts executions of the journeys' state machine. A name that was started before is not started again.
type Starter interface {
	Start(ctx context.Context, name string, input []byte) error
}

// Call is an API request of a known caller.
type Call struct {
	lambdaio.Request
	Actor string // "api:<key id>"
	fresh bool   // the stream's name was made up for this call: nothing is there yet
	key   string // of the idempotency claim, "" for none
	hash  string // of what was asked

	unread *unread // of the messages that came with it, nil where nobody counts
}

// API makes a function that answers one route for callers with an API key. repeat gives the answer again of a call that
// was made before with the same idempotency key; it is nil for queries.
func (a *App) API(answer answerFunc, repeat repeatFunc) lambdaio.Handler {
	return lambdaio.HTTP(func(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
		c := &Call{Request: r}
		if err := a.authenticate(ctx, c); err != nil {
			return lambdaio.Response{}, err
		}
		for _, name := range slices.Sorted(maps.Keys(c.Query)) {
			if name != "cursor" && slices.Contains(c.Query[name], "") { // an empty cursor is the first page's
				return lambdaio.Response{}, fault.New(fault.Invalid, "empty-parameter", "the parameter %.100q is empty: leave it out", name)
			}
		}
		if err := c.Load(maxBody); err != nil {
			return lambdaio.Response{}, err
		}
		if repeat == nil || r.Header["idempotency-key"] == "" {
			return answer(ctx, c)
		}
		return a.once(ctx, c, answer, repeat)
	})
}

func (a *App) authenticate(ctx context.Context, c *Call) error {
	scheme, token, _ := strings.Cut(c.Header["authorization"], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return fault.New(fault.Unauthorized, "unauthorized", "send an API key as Authorization: Bearer")
	}
	id, ok, err := a.Access.APIKey(ctx, strings.TrimSpace(token))
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Unauthorized, "unauthorized", "the API key is not known")
	}
	c.Actor = "api:" + id
	return nil
}

// compared is an email address in the form in which addresses are compared, itself where it has none.
func compared(email string) string {
	if normal, err := customer.NormalEmail(email); err == nil {
		return normal
	}
	return email
}

// emailKey is the claim on an email address, whichever way it is written.
func (a *App) emailKey(ctx context.Context, email string) (string, error) {
	hash, err := a.Keyring.Lookup(ctx, "email", compared(email))
	return "UNIQUE#email#" + hash, err
}

// emailClaims take the address that the events give the customer, and release the one it replaces.
func (a *App) emailClaims(ctx context.Context, stream string, events []any) ([]eventstore.Claim, error) {
	var claims []eventstore.Claim
	add := func(email string, release bool) error {
		if email == "" {
			return nil
		}
		key, err := a.emailKey(ctx, email)
		claims = append(claims, eventstore.Claim{Key: key, Owner: stream, Release: release})
		return err
	}
	for _, event := range events {
		switch e := event.(type) {
		case customer.Created:
			if err := add(e.Email, false); err != nil {
				return nil, err
			}
		case customer.EmailUpdated:
			if err := errors.Join(add(e.OldEmail, true), add(e.NewEmail, false)); err != nil {
				return nil, err
			}
		}
	}
	return claims, nil
}

// emailTaken tells a claim on an address that somebody else has.
func emailTaken(err error) bool {
	taken, ok := errors.AsType[*eventstore.TakenError](err)
	return ok && strings.HasPrefix(taken.Key, "UNIQUE#email#")
}

// customerID is the id in the path, as the stream knows it.
func (a *App) customerID(ctx context.Context, c *Call) (string, error) {
	raw := foreign.ID(c.Params["id"])
	if raw == "" || len(raw) > ingest.MaxID || foreign.Check([]byte(raw)) != nil || strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", fault.New(fault.Invalid, "invalid-id", "the customer id must have 1 to %d bytes of text", ingest.MaxID)
	}
	id, _, err := a.resolve(ctx, raw)
	return id, err
}

// resolve turns an id that a client uses into the id of a stream, in the one form in which ids are compared. One that could identify a person, such as an email
// address or a telephone number, is replaced by a keyed hash: stream names cannot be erased.
func (a *App) resolve(ctx context.Context, raw string) (id string, hidden bool, err error) {
	if raw = foreign.ID(raw); a.Settings.Opaque(raw) {
		return raw, false, nil
	}
	hash, err := a.Keyring.Lookup(ctx, "id", raw)
	return "h_" + hash, true, err
}

// Opaque says whether an id tells nothing about a person, by its form or because the deployment says so of ids like it.
func (s Settings) Opaque(id string) bool {
	return foreign.Opaque(id) || s.OpaqueIDs != nil && s.OpaqueIDs.MatchString(id)
}

func (a *App) correlation(c *Call) string {
	if id := c.Header["x-correlation-id"]; id != "" && len(id) <= 64 && a.Settings.Opaque(id) {
		return id
	}
	return ""
}
