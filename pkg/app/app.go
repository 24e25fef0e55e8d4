// Package app holds the handlers: what each function does, between the edge's JSON and the domains' rules. Three words: a
// call is one API request with who made it; a command appends to one customer's stream; a reaction answers an event
// with a side effect, at most once.
package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
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
	"defter/pkg/record"
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
	PublicURL    string        // where links in messages lead
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

// answerFunc answers a call.
type answerFunc func(ctx context.Context, c *Call) (lambdaio.Response, error)

// repeatFunc gives the answer again that was given with the stream at a version.
type repeatFunc func(ctx context.Context, c *Call, stream string, version int64, status int) (lambdaio.Response, error)

// answerOf is what an idempotency claim keeps: enough to give the same answer again, and nothing personal.
type answerOf struct {
	Hash    string `json:"hash"`
	Stream  string `json:"stream,omitempty"`
	Version int64  `json:"version,omitempty"`
	Status  int    `json:"status"`
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

// once answers a call with an idempotency key: the same key and request get the same answer, another request a conflict.
func (a *App) once(ctx context.Context, c *Call, answer answerFunc, repeat repeatFunc) (lambdaio.Response, error) {
	if err := a.idempotent(ctx, c); err != nil {
		return lambdaio.Response{}, err
	}
	var overtaken error
	for {
		before, ok, err := a.answered(ctx, c)
		if err != nil {
			return lambdaio.Response{}, err
		}
		if ok {
			return repeat(ctx, c, before.Stream, before.Version, before.Status)
		}
		if overtaken != nil {
			return lambdaio.Response{}, overtaken
		}
		response, err := answer(ctx, c)
		taken, ok := errors.AsType[*eventstore.TakenError](err)
		switch {
		case ok && taken.Key == c.key:
			err = fault.Because(err, fault.Conflict, "idempotency-key-in-use", "a request with this Idempotency-Key is under way")
		case fault.KindOf(err) != fault.Conflict:
			return response, err
		}
		overtaken = err // perhaps by the same request, made twice at once: then answer as that one did
	}
}

// idempotent names a call's claim and what was asked. Both are keyed hashes: a guess at a short body must not be provable.
func (a *App) idempotent(ctx context.Context, c *Call) error {
	key := c.Header["idempotency-key"]
	if len(key) > maxIdempotencyKey {
		return fault.New(fault.Invalid, "invalid-idempotency-key", "Idempotency-Key has at most %d bytes", maxIdempotencyKey)
	}
	name, err := a.Keyring.Lookup(ctx, "idempotency-key", digest(c.Actor, key))
	if err != nil {
		return err
	}
	c.key = "KEY#" + name
	c.hash, err = a.Keyring.Lookup(ctx, "request", digest(c.Route, c.Path, c.Query.Encode(), string(c.Body)))
	return err
}

// answered is what a call's idempotency claim keeps, once it was answered. Another request with the same key is a conflict.
func (a *App) answered(ctx context.Context, c *Call) (before answerOf, ok bool, err error) {
	held, ok, err := a.Log.Store.Claimed(ctx, c.key)
	if err != nil || !ok {
		return before, false, err
	}
	if err := json.Unmarshal(held.Value, &before); err != nil {
		return before, false, fmt.Errorf("decode idempotency claim: %w", err)
	}
	if before.Hash != c.hash {
		return before, false, fault.New(fault.Conflict, "idempotency-key-reused", "this Idempotency-Key was used for another request")
	}
	return before, true, nil
}

// claim is the idempotency claim of a call that was answered with the stream at a version; nothing without a key.
func (a *App) claim(c *Call, stream string, version int64, status int) ([]eventstore.Claim, error) {
	if c.key == "" {
		return nil, nil
	}
	value, err := json.Marshal(answerOf{c.hash, stream, version, status})
	if err != nil {
		return nil, err
	}
	return []eventstore.Claim{{Key: c.key, Owner: a.NewID(), Value: value, ExpiresAt: a.Now().Add(idempotencyFor)}}, nil
}

// keep stores the idempotency claim of a call that appended nothing, which is an answer too.
func (a *App) keep(ctx context.Context, c *Call, about string, version int64, status int) error {
	claims, err := a.claim(c, about, version, status)
	for _, claim := range claims {
		err = errors.Join(err, a.Log.Store.Claim(ctx, claim))
	}
	return err
}

// commit is commitDecision on what happens now.
func (a *App) commit(ctx context.Context, c *Call, stream, about string, status int, fold eventstore.AnyFold, decide func(h *eventstore.Head) ([]any, []eventstore.Claim, error)) (*eventstore.Head, error) {
	return a.commitDecision(ctx, c, stream, about, status, fold, func(h *eventstore.Head) (eventstore.Decision, error) {
		data, claims, err := decide(h)
		return eventstore.Decision{Events: eventstore.Happened(data...), Claims: claims}, err
	})
}

// commitDecision loads a stream, decides and appends, with the call's idempotency claim, which remembers what the answer is about.
// It returns the head after.
func (a *App) commitDecision(ctx context.Context, c *Call, stream, about string, status int, fold eventstore.AnyFold, decide func(h *eventstore.Head) (eventstore.Decision, error)) (*eventstore.Head, error) {
	var known *eventstore.Head
	if c.fresh {
		known = a.Log.Fresh(stream, fold)
	}
	head, appended, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{fold}, Head: known,
		Meta: eventstore.Meta{Actor: c.Actor, Source: "api", CorrelationID: a.correlation(c)},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			d, err := decide(h)
			d.Answer = func(next *eventstore.Head) ([]eventstore.Claim, error) {
				return a.claim(c, about, next.Version, status)
			}
			return d, err
		},
	})
	if err == nil && appended == 0 {
		err = a.keep(ctx, c, about, head.Version, status)
	}
	return head, err
}

// command is commit on a customer's record. It returns the record after.
func (a *App) command(ctx context.Context, c *Call, stream string, status int, decide func(s record.State, at time.Time) ([]any, []eventstore.Claim, error)) (record.State, int64, error) {
	head, err := a.commit(ctx, c, stream, stream, status, record.Fold, func(h *eventstore.Head) ([]any, []eventstore.Claim, error) {
		return decide(record.Fold.Of(h), h.Now)
	})
	if err != nil {
		return record.State{}, 0, err
	}
	return record.Fold.Of(head), head.Version, nil
}

// recordAt is a customer's record as of a version, and when that was. Where the history is long, it is the record of now: it must not
// cost more with the customer's age.
func (a *App) recordAt(ctx context.Context, stream string, version int64) (s record.State, at time.Time, err error) {
	if version > view.MaxReread {
		head, err := a.Log.Load(ctx, stream, record.Fold)
		return record.Fold.Of(head), a.Now(), err
	}
	for e, err := range a.Log.Events(ctx, stream, 1, version) {
		if err != nil {
			return s, at, err
		}
		s, at = record.Evolve(s, e), e.RecordedAt
	}
	return s, at, nil
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

// OpaquePattern reads a deployment's pattern of ids that tell nothing about a person. It must fit an id whole.
func OpaquePattern(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	return regexp.Compile("^(?:" + pattern + ")$")
}

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

func (a *App) correlation(c *Call) string {
	if id := c.Header["x-correlation-id"]; id != "" && len(id) <= 64 && a.Settings.Opaque(id) {
		return id
	}
	return ""
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
