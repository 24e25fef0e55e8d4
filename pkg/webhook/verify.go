package webhook

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"defter/pkg/fault"
	"defter/pkg/source"
)

// Verify checks a delivery's signature. header has lower-case names.
//
//   - standard: Standard Webhooks 1.0, HMAC-SHA256 of "id.timestamp.body" (github.com/standard-webhooks/standard-webhooks)
//   - stripe: HMAC-SHA256 of "timestamp.body" (docs.stripe.com/webhooks, "Verify manually")
//   - shopify: HMAC-SHA256 of the body (shopify.dev, "Verify webhooks")
//   - sendgrid: ECDSA P-256 of "timestampbody" (Twilio SendGrid, "Event Webhook Security Features")
func Verify(w source.Webhook, header map[string]string, body []byte, now time.Time) error {
	refused := fault.New(fault.Unauthorized, "invalid-signature", "the signature does not fit the body and the source's secret")
	fresh := func(seconds string) bool {
		n, err := strconv.ParseInt(seconds, 10, 64)
		return err == nil && now.Sub(time.Unix(n, 0)).Abs() <= tolerance
	}
	mac := func(key []byte, parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		for _, part := range parts {
			h.Write([]byte(part))
		}
		h.Write(body)
		return h.Sum(nil)
	}
	switch w.Signature {
	case source.Unsigned:
		return nil
	case source.StandardWebhooks:
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.Secret, "whsec_"))
		id, at := header["webhook-id"], header["webhook-timestamp"]
		if err != nil || id == "" || !fresh(at) {
			return refused
		}
		want := mac(key, id, ".", at, ".")
		for _, signature := range strings.Fields(header["webhook-signature"]) {
			version, encoded, _ := strings.Cut(signature, ",")
			given, err := base64.StdEncoding.DecodeString(encoded)
			if version == "v1" && err == nil && subtle.ConstantTimeCompare(given, want) == 1 {
				return nil
			}
		}
	case source.Stripe:
		var at string
		var given [][]byte
		for _, part := range strings.Split(header["stripe-signature"], ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "t":
				at = value
			case "v1":
				if raw, err := hex.DecodeString(value); err == nil {
					given = append(given, raw)
				}
			}
		}
		if !fresh(at) {
			return refused
		}
		want := mac([]byte(w.Secret), at, ".")
		for _, signature := range given {
			if subtle.ConstantTimeCompare(signature, want) == 1 {
				return nil
			}
		}
	case source.Shopify:
		given, err := base64.StdEncoding.DecodeString(header["x-shopify-hmac-sha256"])
		if err == nil && subtle.ConstantTimeCompare(given, mac([]byte(w.Secret))) == 1 {
			return nil
		}
	case source.SendGrid:
		at := header["x-twilio-email-event-webhook-timestamp"]
		signature, err := base64.StdEncoding.DecodeString(header["x-twilio-email-event-webhook-signature"])
		if err != nil || !fresh(at) {
			return refused
		}
		key, err := publicKey(w.Secret)
		if err != nil {
			return refused
		}
		sum := sha256.Sum256(append([]byte(at), body...))
		if ecdsa.VerifyASN1(key, sum[:], signature) {
			return nil
		}
	}
	return refused
}

// publicKey reads a verification key as SendGrid's settings show it: base64 of its DER form.
func publicKey(encoded string) (*ecdsa.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("verification key: %w", err)
	}
	parsed, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("verification key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the verification key is not one of ECDSA")
	}
	return key, nil
}
