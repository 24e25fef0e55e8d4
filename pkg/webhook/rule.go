package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"defter/pkg/order"
	"defter/pkg/source"

	"github.com/ohler55/ojg/jp"
)

// An expression is a JSON path into {header, body}; =text for the text itself; minor:path for an amount in minor units,
// which becomes a decimal number of the property currency; unix:path for seconds since 1970, which become a time.
const (
	constant = "="
	minor    = "minor:"
	unix     = "unix:"
)

type rule source.Rule

func (r rule) expressions() []string {
	list := slices.Sorted(maps.Values(r.Properties))
	for _, e := range []string{r.UserID, r.AnonymousID, r.MessageID, r.Timestamp} {
		if e != "" {
			list = append(list, e)
		}
	}
	return list
}

func pathOf(expression string) (path string, isConstant bool) {
	if strings.HasPrefix(expression, constant) {
		return "", true
	}
	return strings.TrimPrefix(strings.TrimPrefix(expression, minor), unix), false
}

func selected(root any, path string) []any {
	x, err := jp.ParseString(path)
	if err != nil { // Check has read it
		return nil
	}
	return x.Get(root)
}

// value is what an expression says of a delivery, nil for nothing.
func value(root any, expression, currency string) any {
	path, isConstant := pathOf(expression)
	if isConstant {
		return expression[len(constant):]
	}
	found := selected(root, path)
	if len(found) == 0 || found[0] == nil {
		return nil
	}
	text := plain(found[0])
	switch {
	case strings.HasPrefix(expression, minor):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil
		}
		return json.Number(order.Major(n, currency))
	case strings.HasPrefix(expression, unix):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil
		}
		return time.Unix(n, 0).UTC().Format(time.RFC3339)
	}
	return found[0]
}

// plain is a JSON string or number as text.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (r rule) fits(root any) bool {
	for path, want := range r.When {
		found := selected(root, path)
		if len(found) == 0 || plain(found[0]) != want {
			return false
		}
	}
	return true
}

// message is what an SDK would have sent. Without an id of its own it gets one from what it says, so that a delivery that
// comes again says nothing new.
func (r rule) message(root, element any, number int) (json.RawMessage, error) {
	raw, err := json.Marshal(element)
	if err != nil {
		return nil, fmt.Errorf("encode element: %w", err)
	}
	id := ""
	if r.MessageID != "" {
		id = plain(value(root, r.MessageID, ""))
	}
	if id == "" {
		id = string(raw)
	}
	sum := sha256.Sum256([]byte(id))
	m := map[string]any{"messageId": fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:16]), number), "type": "track"}
	if r.Type != "" {
		m["type"] = r.Type
	}
	properties := map[string]any{}
	currency := ""
	if e := r.Properties["currency"]; e != "" {
		currency = strings.ToUpper(plain(value(root, e, "")))
		properties["currency"] = currency
	}
	for name, expression := range r.Properties {
		if v := value(root, expression, currency); v != nil && name != "currency" {
			properties[name] = v
		}
	}
	for name, expression := range map[string]string{"userId": r.UserID, "anonymousId": r.AnonymousID, "timestamp": r.Timestamp} {
		if expression == "" {
			continue
		}
		if text := plain(value(root, expression, "")); text != "" {
			m[name] = text
		}
	}
	if m["type"] == "identify" {
		m["traits"] = properties
	} else {
		m["event"], m["properties"] = r.Event, properties
	}
	return json.Marshal(m)
}
