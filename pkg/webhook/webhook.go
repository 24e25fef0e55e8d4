// Package webhook understands what other services post: it checks their signatures and maps what they say to messages
// as SDKs send them. Two words: a rule makes one message of a payload that fits; an expression takes a value out of it.
package webhook

import (
	"bytes"
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

func invalid(format string, args ...any) error {
	return fault.New(fault.Rejected, "invalid-source", "webhook: "+format, args...)
}

// Check refuses settings that could not work: an unknown signature, a secret of the wrong form, an expression that cannot
// be read.
func Check(w source.Webhook) error {
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
	if descents(w) > maxDescents {
		return invalid("at most %d paths may look everywhere (..)", maxDescents)
	}
	for i, r := range w.Rules {
		if r.Type != "" && r.Type != "track" && r.Type != "identify" {
			return invalid("rule %d: type must be track or identify", i+1)
		}
		if r.Type != "identify" && r.Event == "" {
			return invalid("rule %d: a track needs an event", i+1)
		}
		if r.UserID == "" && r.AnonymousID == "" {
			return invalid("rule %d: userId or anonymousId must say whom it is about", i+1)
		}
	}
	_, err := Read(w)
	return err
}

// Mapping is a webhook's rules, ready to be used: reading their paths takes longer than following them.
type Mapping struct {
	each  *path // nil where a delivery is one element
	rules []rule
}

// Read reads a webhook's rules.
func Read(w source.Webhook) (*Mapping, error) {
	m := new(Mapping)
	if w.Each != "" {
		each, err := readPath(w.Each)
		if err != nil {
			return nil, err
		}
		m.each = &each
	}
	for _, r := range w.Rules {
		read, err := readRule(r, w.Signature)
		if err != nil {
			return nil, err
		}
		m.rules = append(m.rules, read)
	}
	return m, nil
}

// Made is what became of a delivery.
type Made struct {
	Messages  []json.RawMessage // as a batch holds them
	Unmatched []json.RawMessage // the elements that fit no rule
	Elements  bool              // whether these are elements of the body, and not all of it
}

// Messages makes messages of a delivery. header has lower-case names.
func (m *Mapping) Messages(header map[string]string, body []byte) (Made, error) {
	root, err := rootOf(header, body)
	if err != nil {
		return Made{}, err
	}
	made := Made{Elements: m.each != nil}
	elements := []any{root["body"]}
	if made.Elements {
		if elements = m.each.in(&delivery{exact: root}); len(elements) > maxElements {
			return Made{}, fault.New(fault.Invalid, "too-large", "a delivery has at most %d elements", maxElements)
		}
	}
	for _, element := range elements {
		if err := m.add(&made, root["header"], element); err != nil {
			return Made{}, err
		}
	}
	return made, nil
}

// Element makes messages of one element that was taken out of a delivery before.
func (m *Mapping) Element(header map[string]string, element []byte) (Made, error) {
	root, err := rootOf(header, element)
	if err != nil {
		return Made{}, err
	}
	made := Made{Elements: true}
	err = m.add(&made, root["header"], root["body"])
	return made, err
}

func (m *Mapping) add(made *Made, header, element any) error {
	raw, err := json.Marshal(element)
	if err != nil {
		return fmt.Errorf("encode element: %w", err)
	}
	d := &delivery{exact: map[string]any{"header": header, "body": element}}
	before := len(made.Messages)
	for _, r := range m.rules {
		if !r.fits(d) {
			continue
		}
		message, err := r.message(d, raw, made.Elements)
		if err != nil {
			return fmt.Errorf("encode message: %w", err)
		}
		if made.Messages = append(made.Messages, message); len(made.Messages) > maxElements {
			return fault.New(fault.Invalid, "too-large", "a delivery becomes at most %d messages", maxElements)
		}
	}
	if len(made.Messages) == before {
		made.Unmatched = append(made.Unmatched, raw)
	}
	return nil
}

func rootOf(header map[string]string, body []byte) (map[string]any, error) {
	var whole any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&whole); err != nil {
		return nil, fault.New(fault.Invalid, "invalid-json", "the body is not valid JSON")
	}
	names := make(map[string]any, len(header))
	for name, value := range header {
		names[name] = value
	}
	return map[string]any{"header": names, "body": whole}, nil
}
