// Package webhook understands what other services post: it checks their signatures and maps what they say to messages
// as SDKs send them. Two words: a rule makes one message of a payload that fits; an expression takes a value out of it.
package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/source"
)

// Limits.
const (
	tolerance   = 5 * time.Minute // how old or early a signed delivery may be, as the providers' own libraries have it
	maxElements = 2500
	minSecret   = 16 // bytes: one that can be guessed signs nothing
)

// maxRules is how many rules a webhook may have.
const maxRules = 100

// Mapping is a webhook's rules, ready to be used: reading their paths takes longer than following them.
type Mapping struct {
	hook   source.Webhook
	each   *path // nil where a delivery is one element
	rules  []rule
	preset Preset // empty where the webhook has rules of its own
	kind   *path  // what a delivery is, nil where nothing says so
	scope  []scope
}

// scope is what a delivery must be of: the first of the paths that is there must have the value. Absent is "".
type scope struct {
	what  string
	paths []path
	want  string
}

// Read reads a webhook's rules.
func Read(w source.Webhook) (*Mapping, error) {
	m := &Mapping{hook: w}
	each, rules := Rules(w)
	if each != "" {
		each, err := readPath(each)
		if err != nil {
			return nil, err
		}
		m.each = &each
	}
	if len(w.Rules) == 0 {
		m.preset = Presets[w.Signature]
	}
	if m.preset.Kind != "" {
		kind, err := readPath(m.preset.Kind)
		if err != nil {
			return nil, err
		}
		m.kind = &kind
	}
	for _, s := range scopesOf(w) {
		read := scope{what: s.what, want: s.want}
		for _, text := range s.paths {
			p, err := readPath(text)
			if err != nil {
				return nil, err
			}
			read.paths = append(read.paths, p)
		}
		m.scope = append(m.scope, read)
	}
	for _, r := range rules {
		read, err := readRule(r, w.Signature)
		if err != nil {
			return nil, err
		}
		m.rules = append(m.rules, read)
	}
	return m, nil
}

// scopesOf are what a service's deliveries must be of.
func scopesOf(w source.Webhook) []struct {
	what  string
	paths []string
	want  string
} {
	type scopes = []struct {
		what  string
		paths []string
		want  string
	}
	switch w.Signature {
	case source.Stripe:
		return scopes{
			{"livemode", []string{"$.body.livemode"}, strconv.FormatBool(!w.Test)},
			{"account", []string{"$.body.account"}, w.Account},
		}
	case source.Shopify:
		return scopes{
			{"test", []string{"$.body.test", "$.body.transactions[0].test"}, strconv.FormatBool(w.Test)},
			{"topic", []string{"$.header['x-shopify-topic']"}, w.Topic}, // which is not signed: it can say that something is wrong, and nothing else
		}
	}
	return nil
}

// Made is what became of a delivery.
type Made struct {
	Messages  []json.RawMessage // as a batch holds them
	Unmatched []json.RawMessage // the elements that fit no rule
	Elements  bool              // whether these are elements of the body, and not all of it
	Ignored   []string          // why nothing was made of elements that fit no rule, where that is known
	Foreign   string            // why nothing was made of all of it, which then is unmatched: it is not of what the source is for
}

// Messages makes messages of a delivery. header has lower-case names.
func (m *Mapping) Messages(header map[string]string, body []byte) (Made, error) {
	root, err := rootOf(header, body)
	if err != nil {
		return Made{}, err
	}
	if made, foreign := m.foreign(root); foreign {
		return made, nil
	}
	signed := m.Signed(header)
	root["header"] = namesOf(signed)
	made := Made{Elements: m.each != nil}
	elements := []any{root["body"]}
	if made.Elements {
		if elements = m.each.in(&delivery{exact: root}); len(elements) > maxElements {
			return Made{}, fault.New(fault.Invalid, "too-large", "a delivery has at most %d elements", maxElements)
		}
	}
	for _, element := range elements {
		if err := m.add(&made, signed, element); err != nil {
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
	err = m.add(&made, m.Signed(header), root["body"])
	return made, err
}

// foreign is a delivery that is not of what the source is for, such as one of test mode.
func (m *Mapping) foreign(root map[string]any) (Made, bool) {
	d := &delivery{exact: root}
	for _, s := range m.scope {
		said := ""
		for _, p := range s.paths {
			if found := p.in(d); len(found) > 0 && found[0] != nil {
				said = plain(found[0])
				break
			}
		}
		if said == s.want || said == "" && s.what != "livemode" && s.what != "account" { // what Shopify need not say
			continue
		}
		raw, err := json.Marshal(root["body"])
		if err != nil { // it was read
			continue
		}
		return Made{Unmatched: []json.RawMessage{raw}, Foreign: fmt.Sprintf("the delivery's %s is %.100q, and the source is for %q", s.what, said, s.want)}, true
	}
	return Made{}, false
}

// Signed is what of a delivery's header its service has signed, which alone may say what it means: all, where nothing is signed at all.
func (m *Mapping) Signed(header map[string]string) map[string]string {
	switch m.hook.Signature {
	case source.Unsigned:
		return header
	case source.StandardWebhooks:
		return map[string]string{"webhook-id": header["webhook-id"], "webhook-timestamp": header["webhook-timestamp"]}
	}
	return map[string]string{}
}

func (m *Mapping) add(made *Made, header map[string]string, element any) error {
	names := namesOf(header)
	before := len(made.Messages)
	for _, r := range m.rules {
		messages, err := r.messages(names, element, made.Elements)
		if err != nil {
			return err
		}
		if made.Messages = append(made.Messages, messages...); len(made.Messages) > maxElements {
			return fault.New(fault.Invalid, "too-large", "a delivery becomes at most %d messages", maxElements)
		}
	}
	if len(made.Messages) > before {
		return nil
	}
	kind := m.hook.Topic
	if m.kind != nil {
		if found := m.kind.in(&delivery{exact: map[string]any{"body": element}}); len(found) > 0 {
			kind = plain(found[0])
		}
	}
	if reason, ignored := m.preset.ignores(kind); ignored || m.preset.Topics != nil {
		made.Ignored = append(made.Ignored, cmp.Or(reason, "no money has moved, or nothing is new"))
		return nil
	}
	raw, err := json.Marshal(element)
	if err != nil {
		return fmt.Errorf("encode element: %w", err)
	}
	made.Unmatched = append(made.Unmatched, raw)
	return nil
}

func namesOf(header map[string]string) map[string]any {
	names := make(map[string]any, len(header))
	for name, value := range header {
		names[name] = value
	}
	return names
}

func rootOf(header map[string]string, body []byte) (map[string]any, error) {
	var whole any
	d := json.NewDecoder(bytes.NewReader(foreign.JSON(body)))
	d.UseNumber()
	if err := d.Decode(&whole); err != nil {
		return nil, fault.New(fault.Invalid, "invalid-json", "the body is not valid JSON")
	}
	return map[string]any{"header": namesOf(header), "body": whole}, nil
}
