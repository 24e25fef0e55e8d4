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
	"slices"
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
	d := signed{secret: w.Secret, header: header, body: body, now: now}
	ok := false
	switch w.Signature {
	case source.Unsigned:
		ok = true
	case source.StandardWebhooks:
		ok = d.standard()
	case source.Stripe:
		ok = d.stripe()
	case source.Shopify:
		given, err := base64.StdEncoding.DecodeString(header["x-shopify-hmac-sha256"])
		ok = err == nil && subtle.ConstantTimeCompare(given, d.mac([]byte(w.Secret))) == 1
	case source.SendGrid:
		ok = d.sendGrid()
	}
	if !ok {
		return fault.New(fault.Unauthorized, "invalid-signature", "the signature does not fit the body and the source's secret")
	}
	return nil
}

// signed is a delivery whose signature is to be checked.
type signed struct {
	secret string
	header map[string]string
	body   []byte
	now    time.Time
}

func (d signed) fresh(seconds string) bool {
	n, err := strconv.ParseInt(seconds, 10, 64)
	return err == nil && d.now.Sub(time.Unix(n, 0)).Abs() <= tolerance
}

// mac is the HMAC-SHA256 of the parts and then the body.
func (d signed) mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		h.Write([]byte(part))
	}
	h.Write(d.body)
	return h.Sum(nil)
}

func (d signed) standard() bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(d.secret, "whsec_"))
	id, at := d.header["webhook-id"], d.header["webhook-timestamp"]
	if err != nil || id == "" || !d.fresh(at) {
		return false
	}
	want := d.mac(key, id, ".", at, ".")
	return slices.ContainsFunc(strings.Fields(d.header["webhook-signature"]), func(signature string) bool {
		version, encoded, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(encoded)
		return version == "v1" && err == nil && subtle.ConstantTimeCompare(given, want) == 1
	})
}

func (d signed) stripe() bool {
	var at string
	var given [][]byte
	for _, part := range strings.Split(d.header["stripe-signature"], ",") {
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
	want := d.mac([]byte(d.secret), at, ".")
	return d.fresh(at) && slices.ContainsFunc(given, func(signature []byte) bool { return subtle.ConstantTimeCompare(signature, want) == 1 })
}

func (d signed) sendGrid() bool {
	at := d.header["x-twilio-email-event-webhook-timestamp"]
	signature, err := base64.StdEncoding.DecodeString(d.header["x-twilio-email-event-webhook-signature"])
	if err != nil || !d.fresh(at) {
		return false
	}
	key, err := publicKey(d.secret)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(append([]byte(at), d.body...))
	return ecdsa.VerifyASN1(key, sum[:], signature)
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
