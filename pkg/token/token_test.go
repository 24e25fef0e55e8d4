package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"defter/pkg/fault"
	"defter/pkg/token"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is an OpenID Connect issuer on this machine, with a clock that the test moves.
type issuer struct {
	*httptest.Server
	t     *testing.T
	keys  atomic.Pointer[jose.JSONWebKeySet]
	asked atomic.Int64
	down  atomic.Bool
	now   time.Time
}

func open(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		switch {
		case i.down.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/jwks":
			_ = json.NewEncoder(w).Encode(i.keys.Load())
		default:
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/jwks"})
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) verifier() *token.Verifier {
	return token.New(i.URL, "defter", func() time.Time { return i.now }, i.Client())
}

func (i *issuer) publishes(keys ...jose.JSONWebKey) {
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	i.keys.Store(&set)
}

func rsaKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.RS256), Use: "sig"}
}

func sign(t *testing.T, key jose.JSONWebKey, algorithm jose.SignatureAlgorithm, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (i *issuer) claims(more ...any) map[string]any {
	c := map[string]any{"iss": i.URL, "aud": "defter", "sub": "u1", "exp": i.now.Add(time.Hour).Unix()}
	for at := 0; at < len(more); at += 2 {
		c[more[at].(string)] = more[at+1]
	}
	return c
}

func TestWhatATokenProves(t *testing.T) {
	i := open(t)
	key, other := rsaKey(t, "k1"), rsaKey(t, "k1")
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elliptical := jose.JSONWebKey{Key: curve, KeyID: "k2", Algorithm: string(jose.ES256)}
	i.publishes(key, elliptical)
	v := i.verifier()
	public, err := json.Marshal(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, key, jose.RS256, i.claims())
	parts := strings.Split(good, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + "." + parts[1] + "."
	for _, c := range []struct {
		name, raw string
		proves    string
	}{
		{"as it should be", good, "u1"},
		{"by a curve", sign(t, elliptical, jose.ES256, i.claims("sub", "u2")), "u2"},
		{"for several", sign(t, key, jose.RS256, i.claims("aud", []string{"shop", "defter"})), "u1"},
		{"expired within the leeway", sign(t, key, jose.RS256, i.claims("exp", i.now.Add(-30*time.Second).Unix())), "u1"},
		{"expired", sign(t, key, jose.RS256, i.claims("exp", i.now.Add(-2*time.Minute).Unix())), ""},
		{"not yet", sign(t, key, jose.RS256, i.claims("nbf", i.now.Add(time.Hour).Unix())), ""},
		{"for another", sign(t, key, jose.RS256, i.claims("aud", "shop")), ""},
		{"of another", sign(t, key, jose.RS256, i.claims("iss", "https://evil.example")), ""},
		{"without end", sign(t, key, jose.RS256, i.claims("exp", nil)), ""},
		{"about nobody", sign(t, key, jose.RS256, i.claims("sub", "")), ""},
		{"another key under the same id", sign(t, other, jose.RS256, i.claims()), ""},
		{"the public key as a secret", sign(t, jose.JSONWebKey{Key: public, KeyID: "k1"}, jose.HS256, i.claims()), ""},
		{"another algorithm of the key", sign(t, key, jose.PS256, i.claims()), ""},
		{"unsigned", unsigned, ""},
		{"changed", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"u9"}`)) + "." + parts[2], ""},
		{"none at all", "x", ""},
		{"too long", good + strings.Repeat("A", token.MaxBytes), ""},
	} {
		subject, _, err := v.Subject(t.Context(), c.raw)
		if subject != c.proves || (err == nil) != (c.proves != "") || err != nil && fault.KindOf(err) != fault.Unauthorized {
			t.Errorf("%s: %q, %v", c.name, subject, err)
		}
	}
}

// TestS1_TheAddressThatTheIssuerVerified is told, and no other.
func TestS1_TheAddressThatTheIssuerVerified(t *testing.T) {
	i := open(t)
	key := rsaKey(t, "k1")
	i.publishes(key)
	v := i.verifier()
	const ada = "ada@mail.example"
	for _, c := range []struct {
		verified any
		want     string
	}{{true, ada}, {"true", ada}, {false, ""}, {"false", ""}, {nil, ""}, {1, ""}, {[]string{"true"}, ""}} {
		id, email, err := v.Subject(t.Context(), sign(t, key, jose.RS256, i.claims("email", ada, "email_verified", c.verified)))
		if err != nil || id != "u1" || email != c.want {
			t.Errorf("verified %v: %q, %q, %v", c.verified, id, email, err)
		}
	}
	if id, email, err := v.Subject(t.Context(), sign(t, key, jose.RS256, i.claims("email", []int{7}, "email_verified", true))); err != nil || id != "u1" || email != "" {
		t.Errorf("an address that is none: %q, %q, %v", id, email, err)
	}
}

// TestKeysAreAskedForSeldom: rotated keys are found, and forged tokens make nobody ask without end.
func TestKeysAreAskedForSeldom(t *testing.T) {
	i := open(t)
	first, second := rsaKey(t, "k1"), rsaKey(t, "k2")
	i.publishes(first)
	v := i.verifier()
	proves := func(key jose.JSONWebKey) bool {
		_, _, err := v.Subject(t.Context(), sign(t, key, jose.RS256, i.claims()))
		return err == nil
	}
	if !proves(first) {
		t.Error("the first key counts for nothing")
	}
	i.now = i.now.Add(2 * time.Minute)
	before := i.asked.Load()
	for n := range 20 {
		if proves(rsaKey(t, "forged-"+string(rune('a'+n)))) {
			t.Error("a forged token proves something")
		}
	}
	if n := i.asked.Load() - before; n > 2 {
		t.Errorf("20 forged tokens cost %d requests", n)
	}
	i.publishes(second)
	if !proves(first) || proves(second) {
		t.Error("within the minute the keys are those that are known")
	}
	i.now = i.now.Add(2 * time.Minute)
	if !proves(second) {
		t.Error("a rotated key is not found")
	}
	i.now = i.now.Add(2 * time.Hour)
	if proves(first) {
		t.Error("a withdrawn key counts for ever")
	}
	i.down.Store(true)
	i.now = i.now.Add(2 * time.Hour)
	if !proves(second) {
		t.Error("while the issuer is away, known keys do not count")
	}
	if _, _, err := i.verifier().Subject(t.Context(), sign(t, second, jose.RS256, i.claims())); fault.KindOf(err) != fault.Busy {
		t.Errorf("an issuer that was never reached: %v", err)
	}
}
