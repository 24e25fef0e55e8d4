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

	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/money"
	"defter/pkg/source"

	"github.com/ohler55/ojg/jp"
)

// An expression is a JSON path into {header, body, item}; =text for the text itself; minor:path for an amount in minor units,
// which becomes a decimal number of the property currency; unix:path for seconds since 1970, which become a time. The item is what the
// rule's each found; of the header there is what the service has signed, or all where nothing is. Of a message's id it may also be
// only:path path …, for a service that gives what it sends again another id: where the first path finds something, what the paths find is the
// message's id, whatever else it says.
const (
	constant = "="
	anything = "*" // of a condition: any value but null
	minor    = "minor:"
	unix     = "unix:"
	only     = "only:"
)

// pathsIn are the paths of an expression, without what is said of them; none of a constant.
func pathsIn(text string) []string {
	if strings.HasPrefix(text, constant) {
		return nil
	}
	if rest, ok := strings.CutPrefix(text, only); ok {
		return strings.Fields(rest)
	}
	for _, prefix := range []string{minor, unix} {
		text = strings.TrimPrefix(text, prefix)
	}
	return []string{text}
}

// delivery is what paths look into.
type delivery struct {
	exact   map[string]any // {header, body, item}, its numbers as they were written
	counted map[string]any // the same with numbers that filters can compare, nil until one asks
}

func (d *delivery) numbers() map[string]any {
	if d.counted == nil {
		d.counted, _ = counted(d.exact).(map[string]any)
	}
	return d.counted
}

// counted is a value with its numbers as machines count. They lose digits: an order id may have twenty.
func counted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		next := make(map[string]any, len(v))
		for name, member := range v {
			next[name] = counted(member)
		}
		return next
	case []any:
		next := make([]any, len(v))
		for i, element := range v {
			next[i] = counted(element)
		}
		return next
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return v
}

// maxDescents is how many paths of a webhook may look everywhere: each goes through all of a delivery.
const maxDescents = 10

// descents is how many paths of a webhook look everywhere.
func descents(w source.Webhook) int {
	n := strings.Count(w.Each, "..")
	for _, r := range w.Rules {
		for when := range r.When {
			n += strings.Count(when, "..")
		}
		for _, text := range append([]string{r.Each, r.Event, r.UserID, r.AnonymousID, r.MessageID, r.Timestamp}, slices.Collect(maps.Values(r.Properties))...) {
			if !strings.HasPrefix(text, constant) {
				n += strings.Count(text, "..")
			}
		}
	}
	return n
}

// path is a JSON path that was read.
type path struct {
	expr    jp.Expr
	filters bool
}

func readPath(text string) (path, error) {
	if strings.Count(text, "..") > 1 { // each looks everywhere below everything that the one before found
		return path{}, invalid("%.100q looks everywhere more than once", text)
	}
	x, err := jp.ParseString(text)
	if err != nil || !strings.HasPrefix(text, "$") {
		return path{}, invalid("%.100q is not a JSON path such as $.body.id", text)
	}
	return path{x, slices.ContainsFunc(x, func(f jp.Frag) bool { _, is := f.(*jp.Filter); return is })}, nil
}

// in returns what the path finds. A filter is asked about numbers that it can compare; what it finds is told as written.
func (p path) in(d *delivery) []any {
	if !p.filters {
		return p.expr.Get(d.exact)
	}
	var found []any
	for _, where := range p.expr.Locate(d.numbers(), maxElements+1) {
		found = append(found, where.Get(d.exact)...)
	}
	return found
}

// expression takes a value out of a delivery. The zero expression takes none.
type expression struct {
	is       string // constant, minor, unix or "" for a path as it is
	constant string
	path     path
}

func readExpression(text string) (e expression, err error) {
	if rest, ok := strings.CutPrefix(text, constant); ok {
		return expression{is: constant, constant: rest}, nil
	}
	for _, prefix := range []string{minor, unix} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			e.is, text = prefix, rest
			break
		}
	}
	if text != "" || e.is != "" {
		e.path, err = readPath(text)
	}
	return e, err
}

// value is what the expression says of a delivery, nil for nothing. major writes an amount of minor units. What is none, or no time,
// is told as such, so that whoever reads the message can say that it was not understood.
func (e expression) value(d *delivery, major func(int64) string) any {
	if e.is == constant {
		return e.constant
	}
	if e.path.expr == nil {
		return nil
	}
	found := e.path.in(d)
	if len(found) == 0 || found[0] == nil {
		return nil
	}
	if e.is == "" {
		return found[0]
	}
	said := plain(found[0])
	if e.is == unix {
		at, reason := foreign.Time(said)
		if reason != "" || at.Local {
			return said
		}
		return at.At.Format(time.RFC3339Nano)
	}
	number, _ := foreign.Decimal(said)
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return "no minor units: " + said // which is no amount in any form
	}
	return json.Number(major(n))
}

func (e expression) text(d *delivery) string {
	return plain(e.value(d, func(n int64) string { return strconv.FormatInt(n, 10) }))
}

// plain is a JSON string or number as text, a number in one form however it is written.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return foreign.Scalar(json.RawMessage(v))
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// rule is a source's rule whose expressions were read.
type rule struct {
	kind, event                               string
	when                                      []condition
	each                                      *path // nil where a delivery becomes one message
	userID, anonymousID, messageID, timestamp expression
	only                                      []path // in the place of messageID
	currency                                  expression
	properties                                map[string]expression
	major                                     func(amount int64, currency string) string
	content                                   []byte // all that it says
}

type condition struct {
	path path
	want string
}

func readRule(r source.Rule, signature string) (rule, error) {
	next := rule{kind: r.Type, event: r.Event, properties: map[string]expression{}, major: money.Major}
	if signature == source.Stripe {
		next.major = stripeMajor
	}
	if next.kind == "" {
		next.kind = "track"
	}
	for _, text := range slices.Sorted(maps.Keys(r.When)) {
		p, err := readPath(text)
		if err != nil {
			return rule{}, err
		}
		next.when = append(next.when, condition{p, r.When[text]})
	}
	if r.Each != "" {
		each, err := readPath(r.Each)
		if err != nil {
			return rule{}, err
		}
		next.each = &each
	}
	messageID := r.MessageID
	if strings.HasPrefix(messageID, only) {
		messageID = ""
		for _, text := range pathsIn(r.MessageID) {
			p, err := readPath(text)
			if err != nil {
				return rule{}, err
			}
			next.only = append(next.only, p)
		}
	}
	for to, text := range map[*expression]string{
		&next.userID: r.UserID, &next.anonymousID: r.AnonymousID, &next.messageID: messageID, &next.timestamp: r.Timestamp, &next.currency: r.Properties["currency"],
	} {
		e, err := readExpression(text)
		if err != nil {
			return rule{}, err
		}
		*to = e
	}
	for name, text := range r.Properties {
		if text == "" {
			return rule{}, invalid("the property %.100q has no expression", name)
		}
		e, err := readExpression(text)
		if err != nil {
			return rule{}, err
		}
		next.properties[name] = e
	}
	var err error
	next.content, err = json.Marshal(r)
	return next, err
}

func (r rule) fits(d *delivery) bool {
	for _, c := range r.when {
		found := c.path.in(d)
		if len(found) == 0 || found[0] == nil || c.want != anything && plain(found[0]) != c.want {
			return false
		}
	}
	return true
}

// messages are what SDKs would have sent of a body, or of one of its elements.
func (r rule) messages(header, body any, isElement bool) ([]json.RawMessage, error) {
	whole := &delivery{exact: map[string]any{"header": header, "body": body}}
	if !r.fits(whole) {
		return nil, nil
	}
	items, said := []any{nil}, body
	if r.each != nil {
		if items = r.each.in(whole); len(items) > maxElements {
			return nil, fault.New(fault.Invalid, "too-large", "a delivery becomes at most %d messages", maxElements)
		}
		isElement = true
	}
	var messages []json.RawMessage
	for _, item := range items {
		d := whole
		if r.each != nil {
			d, said = &delivery{exact: map[string]any{"header": header, "body": body, "item": item}}, item
		}
		raw, err := json.Marshal(said)
		if err != nil {
			return nil, fmt.Errorf("encode element: %w", err)
		}
		message, err := r.message(d, raw, isElement)
		if err != nil {
			return nil, fmt.Errorf("encode message: %w", err)
		}
		messages = append(messages, message)
	}
	return messages, nil
}

// id is by what a message is recognised when it comes again. It is made of the rule, of the id that the rule takes, and of what the
// element says, since the id may be the whole delivery's; without an id of what is said. So a delivery that comes again says nothing new,
// however the rules are arranged by then.
func (r rule) id(d *delivery, raw []byte, isElement bool) string {
	parts := [][]byte{r.content, []byte(r.messageID.text(d)), raw}
	if len(parts[1]) > 0 && !isElement {
		parts[2] = nil
	}
	if same, found := r.same(d); found {
		parts = append([][]byte{r.content}, same...)
	}
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d ", len(part))
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:20])
}

// same is what of a message that comes again is the same, where the rule says what that is; found is false where
// the first of it is not there, without which two messages could look the same.
func (r rule) same(d *delivery) (parts [][]byte, found bool) {
	for i, p := range r.only {
		text := ""
		if values := p.in(d); len(values) > 0 {
			text = plain(values[0])
		}
		found = found || i == 0 && text != ""
		parts = append(parts, []byte(text))
	}
	return parts, found
}

// message is what an SDK would have sent of a body, or of one of its elements.
func (r rule) message(d *delivery, raw []byte, isElement bool) (json.RawMessage, error) {
	m := map[string]any{"messageId": r.id(d, raw, isElement), "type": r.kind}
	properties := map[string]any{}
	currency := r.currency.text(d)
	if code, reason := foreign.Currency(currency); reason == "" {
		currency = code
	}
	major := func(n int64) string { return r.major(n, currency) }
	for name, e := range r.properties {
		if v := e.value(d, major); v != nil {
			properties[name] = v
		}
	}
	if _, said := r.properties["currency"]; said {
		properties["currency"] = currency
	}
	for name, e := range map[string]expression{"userId": r.userID, "anonymousId": r.anonymousID, "timestamp": r.timestamp} {
		if text := e.text(d); text != "" {
			m[name] = text
		}
	}
	if r.kind == "identify" {
		m["traits"] = properties
	} else {
		m["event"], m["properties"] = r.event, properties
	}
	return json.Marshal(m)
}
