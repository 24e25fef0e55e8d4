// Package webhook understands what other services post: it checks their signatures and maps what they say to messages
// as SDKs send them. Two words: a rule makes one message of a payload that fits; an expression takes a value out of it.
package webhook

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"defter/pkg/fault"
	"defter/pkg/source"

	"github.com/ohler55/ojg/jp"
)

// Limits.
const (
	tolerance   = 5 * time.Minute // how old or early a signed delivery may be, as the providers' own libraries have it
	maxElements = 2500
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

// Check refuses settings that could not work: an unknown signature, a secret of the wrong form, an expression that cannot
// be read.
func Check(w source.Webhook) error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.Rejected, "invalid-source", "webhook: "+format, args...)
	}
	switch w.Signature {
	case source.Unsigned:
	case source.StandardWebhooks:
		if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.Secret, "whsec_")); err != nil || len(key) == 0 {
			return invalid("the secret must be base64, behind whsec_ or not")
		}
	case source.SendGrid:
		if _, err := publicKey(w.Secret); err != nil {
			return invalid("the secret must be SendGrid's verification key")
		}
	case source.Stripe, source.Shopify:
		if w.Secret == "" {
			return invalid("the secret is missing")
		}
	default:
		return invalid("signature must be none, standard, stripe, shopify or sendgrid")
	}
	if len(w.Rules) == 0 || len(w.Rules) > 100 {
		return invalid("there must be 1 to 100 rules")
	}
	paths := []string{}
	if w.Each != "" {
		paths = append(paths, w.Each)
	}
	for i, r := range w.Rules {
		r := rule(r)
		if r.Type != "" && r.Type != "track" && r.Type != "identify" {
			return invalid("rule %d: type must be track or identify", i+1)
		}
		if r.Type != "identify" && r.Event == "" {
			return invalid("rule %d: a track needs an event", i+1)
		}
		if r.UserID == "" && r.AnonymousID == "" {
			return invalid("rule %d: userId or anonymousId must say whom it is about", i+1)
		}
		for path := range r.When {
			paths = append(paths, path)
		}
		for _, expression := range r.expressions() {
			if path, constant := pathOf(expression); !constant {
				paths = append(paths, path)
			}
		}
	}
	for _, path := range paths {
		if _, err := jp.ParseString(path); err != nil || !strings.HasPrefix(path, "$") {
			return invalid("%.100q is not a JSON path such as $.body.id", path)
		}
	}
	return nil
}

// Messages makes messages of a delivery, as a batch holds them. What fits no rule is counted.
func Messages(w source.Webhook, header map[string]string, body []byte) (messages []json.RawMessage, unmatched int, err error) {
	var whole any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&whole); err != nil {
		return nil, 0, fault.New(fault.Invalid, "invalid-json", "the body is not valid JSON")
	}
	names := make(map[string]any, len(header))
	for name, value := range header {
		names[name] = value
	}
	root := map[string]any{"header": names, "body": whole}
	elements := []any{whole}
	if w.Each != "" {
		if elements = selected(root, w.Each); len(elements) > maxElements {
			return nil, 0, fault.New(fault.Invalid, "too-large", "a delivery has at most %d elements, this one %d", maxElements, len(elements))
		}
	}
	for _, element := range elements {
		root["body"] = element
		made := 0
		for i, r := range w.Rules {
			rule := rule(r)
			if !rule.fits(root) {
				continue
			}
			message, err := rule.message(root, element, i)
			if err != nil {
				return nil, 0, err
			}
			messages, made = append(messages, message), made+1
		}
		if made == 0 {
			unmatched++
		}
	}
	return messages, unmatched, nil
}
