// Package token checks the tokens by which customers prove who they are: JWTs of the deployment's OpenID Connect issuer. Three
// words: the issuer signs them; the audience is whom it made them for, us; the subject is the customer, by the id that the
// business uses.
package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"defter/pkg/fault"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	MaxBytes = 8 << 10 // of a token

	leeway      = time.Minute    // that the issuer's clock and ours may differ by
	keysAtMost  = 24 * time.Hour // that keys count while the issuer cannot be reached
	keysFor     = time.Hour      // before the issuer is asked for its keys again, so that those it withdrew end
	askedAgain  = time.Minute    // before it is asked once more, however many tokens name keys that nobody knows
	maxAnswer   = 256 << 10      // bytes of the issuer's answers
	maxKeys     = 100
	askAtMost   = 3 * time.Second
	discoveryAt = "/.well-known/openid-configuration"
)

// algorithms are those that a token may be signed with: of public keys, so that no key of ours can be mistaken for a secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// Verifier checks tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	verifier *oidc.IDTokenVerifier
}

// New makes a verifier. issuer is the URL below which its configuration is, audience what its tokens must be for. client asks the issuer, and
// whatever address its configuration names for its keys: which addresses that may be is the client's to say.
func New(issuer, audience string, now func() time.Time, client *http.Client) *Verifier {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	keys := &keys{issuer: issuer, now: now, client: client}
	return &Verifier{oidc.NewVerifier(issuer, keys, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: names, Now: func() time.Time { return now().Add(-leeway) },
	})}
}

// Subject is the customer whom a token proves, and the address that the issuer says it has verified (the claims email and email_verified of
// OpenID Connect Core 1.0, section 5.1), "" for none. It fails with Unauthorized for a token that proves nothing, and with Busy where the
// issuer's keys cannot be had.
func (v *Verifier) Subject(ctx context.Context, raw string) (id, email string, err error) {
	if len(raw) > MaxBytes {
		return "", "", fault.New(fault.Unauthorized, "invalid-token", "a token has at most %d bytes", MaxBytes)
	}
	var unreachable error // which the library tells as a text only
	verified, err := v.verifier.Verify(context.WithValue(ctx, why{}, &unreachable), raw)
	if unreachable != nil {
		return "", "", fault.Because(unreachable, fault.Busy, "issuer-unreachable", "the keys of the tokens' issuer cannot be had")
	}
	if err != nil {
		return "", "", fault.Because(err, fault.Unauthorized, "invalid-token", "the token does not prove who this is")
	}
	if verified.Subject == "" {
		return "", "", fault.New(fault.Unauthorized, "invalid-token", "the token names nobody")
	}
	var claims struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"` // some issuers write the text "true"
	}
	if verified.Claims(&claims) != nil || fmt.Sprint(claims.Verified) != "true" {
		claims.Email = ""
	}
	return verified.Subject, claims.Email, nil
}

// why is where a context has room for the error of an issuer that did not answer, which says nothing about the token.
type why struct{}

// keys are the issuer's, fetched when first needed, and again for a token that names another; an oidc.KeySet.
type keys struct {
	issuer string
	now    func() time.Time
	client *http.Client

	asking  sync.Mutex // held by whoever asks the issuer; nobody who knows the key waits for that
	mu      sync.Mutex
	byID    map[string]jose.JSONWebKey
	fetched time.Time // the last success
	asked   time.Time // the last try
	failed  error     // of the last try
}

// VerifySignature returns the payload of a token that one of the keys signed.
func (k *keys) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return nil, err
	}
	if len(signed.Signatures) != 1 {
		return nil, errors.New("a token has one signature")
	}
	header := signed.Signatures[0].Header
	key, err := k.key(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	if key.Algorithm != "" && key.Algorithm != header.Algorithm {
		return nil, fmt.Errorf("the key is for %s", key.Algorithm)
	}
	return signed.Verify(key)
}

// key returns the key of an id. One that is not known is looked for once a minute at most, whoever asks.
func (k *keys) key(ctx context.Context, id string) (jose.JSONWebKey, error) {
	if key, known := k.known(id, keysFor); known {
		return key, nil
	}
	failed := k.ask(ctx, id)
	if key, known := k.known(id, keysAtMost); known { // the issuer may be away for a while
		return key, nil
	}
	if failed != nil {
		if room, ok := ctx.Value(why{}).(*error); ok {
			*room = failed
		}
		return jose.JSONWebKey{}, failed
	}
	return jose.JSONWebKey{}, errors.New("no key of the issuer has this id")
}

// known is a key that was fetched no longer ago than that.
func (k *keys) known(id string, within time.Duration) (jose.JSONWebKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.byID[id]
	return key, ok && k.now().Sub(k.fetched) < within
}

// ask fetches the keys unless that was tried a moment ago, and tells how the last try failed.
func (k *keys) ask(ctx context.Context, id string) error {
	k.asking.Lock()
	defer k.asking.Unlock()
	now := k.now()
	if _, known := k.known(id, keysFor); known || now.Sub(k.asked) < askedAgain && !now.Before(k.asked) {
		return k.failed
	}
	fetched, err := k.fetch(context.WithoutCancel(ctx))
	if k.asked, k.failed = now, err; err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.byID, k.fetched = fetched, now
	}
	return err
}

// fetch asks the issuer where its keys are, and for them.
func (k *keys) fetch(ctx context.Context) (map[string]jose.JSONWebKey, error) {
	var configuration struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+discoveryAt, &configuration); err != nil {
		return nil, err
	}
	if configuration.Issuer != k.issuer {
		return nil, fmt.Errorf("the issuer calls itself %.200q", configuration.Issuer)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, configuration.JWKSURI, &set); err != nil {
		return nil, err
	}
	byID := map[string]jose.JSONWebKey{}
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.IsPublic() && (key.Use == "" || key.Use == "sig") { // others are not for us
			byID[key.KeyID] = key
		}
	}
	return byID, nil
}

func (k *keys) get(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askAtMost)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask the issuer: %w", err)
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the issuer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the issuer: it answered %d", answer.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the issuer's answer: %w", err)
	}
	return nil
}
