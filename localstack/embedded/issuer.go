package embedded

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"defter/pkg/fault"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	issuerPath    = "/_local/issuer"
	tokenAudience = "defter"
	tokenFor      = time.Hour
)

// issuer is an OpenID Connect issuer for trying things out: it gives a token of any customer to whoever asks on this machine.
type issuer struct {
	url    string
	key    jose.JSONWebKey
	signer jose.Signer
	now    func() time.Time
}

func newIssuer(url string, now func() time.Time) (*issuer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the issuer's key: %w", err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: newID(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("make the issuer's signer: %w", err)
	}
	return &issuer{url, key, signer, now}, nil
}

func (i *issuer) configuration(context.Context, *http.Request) (any, error) {
	return map[string]any{"issuer": i.url, "jwks_uri": i.url + "/jwks", "id_token_signing_alg_values_supported": []string{"ES256"}}, nil
}

func (i *issuer) keys(context.Context, *http.Request) (any, error) {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}}, nil
}

// issue answers {"userId": "u1"} with a token of that customer, for an hour; with an "email" it says that it has verified the address.
func (i *issuer) issue(_ context.Context, r *http.Request) (any, error) {
	var in struct {
		UserID string `json:"userId"`
		Email  string `json:"email"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, 1024))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || in.UserID == "" {
		return nil, fault.New(fault.Invalid, "invalid-json", `send {"userId": "u1"}`)
	}
	now := i.now()
	raw, err := jwt.Signed(i.signer).Claims(jwt.Claims{
		Issuer: i.url, Audience: jwt.Audience{tokenAudience}, Subject: in.UserID, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenFor)),
	}).Claims(map[string]any{"email": in.Email, "email_verified": in.Email != ""}).Serialize()
	if err != nil {
		return nil, err
	}
	return map[string]any{"userToken": raw, "expiresIn": int(tokenFor.Seconds())}, nil
}
