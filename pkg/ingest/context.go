package ingest

import (
	"encoding/json"
	"fmt"
	"time"

	"defter/pkg/foreign"
)

// Context is the part of a message's context that is kept.
type Context struct {
	IP        string
	UserAgent string
	Locale    string
	Timezone  string
	Page      Page
	Consent   Consents
	UserToken string          // the customer's own, a JWT that the page got when they signed in
	Traits    json.RawMessage // an object, nil for none
}

// Page is where it was said.
type Page struct{ URL, Title, Referrer string }

// common is what the messages of a batch have in common, with the notes of its reading.
type common struct {
	Context Context
	Notes   []string
	Err     error // why none of them can be kept: nobody knows what they agreed to
}

// shared reads the context of a batch, which becomes part of each of its messages.
func (o Origin) shared() (s common) {
	if len(o.Context) == 0 {
		return s
	}
	clean, replaced, err := cleaned(o.Context)
	if err != nil {
		s.Err = fmt.Errorf("the batch's context cannot be kept: %w", err)
		return s
	}
	var notes foreign.Notes
	if replaced {
		notes.Add("text", foreign.Replaced)
	}
	s.Context.read(foreign.In(clean, "context", &notes))
	s.Notes = notes.List()
	return s
}

// cleaned is JSON as it can be kept: neither too large nor too deep, and its text whole.
func cleaned(raw []byte) (clean []byte, replaced bool, err error) {
	switch {
	case len(raw) > MaxEventBytes:
		return nil, false, fmt.Errorf("it has at most %d bytes, this one %d", MaxEventBytes, len(raw))
	case Depth(raw) > MaxDepth:
		return nil, false, fmt.Errorf("it is nested more than %d deep", MaxDepth)
	}
	return foreign.Clean(raw)
}

// read takes over what a context says; of what it does not say, it stays what it was.
func (c *Context) read(o foreign.Object) {
	take := func(to *string, o foreign.Object, limit int, name string) {
		if said := o.Text(limit, name); said != "" {
			*to = said
		}
	}
	take(&c.IP, o, 45, "ip")
	take(&c.UserAgent, o, 512, "userAgent")
	take(&c.Locale, o, 35, "locale")
	take(&c.Timezone, o, 64, "timezone")
	take(&c.UserToken, o, MaxEventBytes, "userToken")
	page := o.Object("page")
	take(&c.Page.URL, page, 2048, "url")
	take(&c.Page.Title, page, 500, "title")
	take(&c.Page.Referrer, page, 2048, "referrer")
	if said := consents(o); said.Told {
		c.Consent = said
	}
	if traits := o.JSON("traits"); traits != nil {
		c.Traits = traits
	}
}

// date finds out when the message's fact happened: receivedAt - (sentAt - timestamp), which takes the skew of the client's clock
// out. Two times of one clock have a difference also where nobody knows its offset. A time in the future, or before anything
// could be told, is not believed.
func (m *Message) date(o foreign.Object, receivedAt time.Time) {
	m.OccurredAt = receivedAt
	sentAt := m.Origin.SentAt
	if sentAt == "" {
		sentAt = foreign.Scalar(o.Raw("sentAt"))
	}
	sent, unsent := foreign.Time(sentAt)
	if unsent != "" && (sentAt != "" || o.Has("sentAt")) {
		o.Note("sentAt", unsent)
	}
	unusable := ""
	for _, name := range []string{"timestamp", "originalTimestamp"} {
		if !o.Has(name) {
			continue
		}
		told := foreign.Scalar(o.Raw(name))
		at, reason := foreign.Time(told)
		if reason == "" && unsent == "" {
			if age, ok := at.Before(sent); ok {
				at = foreign.Moment{At: receivedAt.Add(-age)}
			}
		}
		switch {
		case reason != "":
		case at.Local:
			reason = foreign.Ambiguous
		case !foreign.Believed(at.At, receivedAt):
			reason = foreign.Unbelieved
		}
		if reason == "" {
			m.OccurredAt, m.Timed = at.At, true
			if at.At.After(receivedAt) {
				m.OccurredAt = receivedAt
			}
			m.Claimed = ""
			return
		}
		if unusable == "" {
			unusable, m.Claimed = reason, foreign.Clip(told, 64)
		}
	}
	if unusable != "" {
		m.Undated = true
		o.Note("timestamp", unusable)
	}
}
