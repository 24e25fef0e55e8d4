package ingest

import (
	"defter/pkg/activity"
	"defter/pkg/foreign"
)

// Facts returns what a track, page or screen message says happened, and notes of what could not be read of it.
func Facts(m Message, s Source) (events []any, unread []string) {
	var notes foreign.Notes
	events = facts(m, s, foreign.In(m.Properties, "properties", &notes), &notes)
	return events, notes.List()
}

func facts(m Message, s Source, p foreign.Object, notes *foreign.Notes) []any {
	switch m.Type {
	case "page":
		return []any{activity.PageViewed{
			PageURL: first(p.Text(2048, "url"), m.Context.Page.URL), PageTitle: first(p.Text(500, "title"), m.Context.Page.Title),
			Referrer: first(p.Text(2048, "referrer"), m.Context.Page.Referrer), Name: m.Name, Category: m.Category,
			SessionID: id(p, sessionID...), Properties: p.Rest("url", "title", "referrer", "session_id"), Context: context(m),
		}}
	case "screen":
		return []any{activity.ScreenViewed{
			Name: m.Name, Category: m.Category, SessionID: id(p, sessionID...), Properties: p.Rest("session_id"), Context: context(m),
		}}
	}
	if name := nearly(m.Event); name != "" {
		notes.Add("event", foreign.Unknown)
	}
	for _, event := range []any{orders(m, s, p), commerce(m, p), reported(m, s, p), insights(m, s, p), engagement(m, p)} {
		if event != nil {
			return []any{event}
		}
	}
	return []any{activity.EventTracked{Event: foreign.Clip(m.Event, 200), Properties: p.Rest(), Context: context(m)}}
}

func context(m Message) *activity.Context {
	c := activity.Context{
		IPAddress: m.Context.IP, UserAgent: m.Context.UserAgent, Locale: m.Context.Locale, Timezone: m.Context.Timezone, OriginalTimestamp: m.Claimed,
	}
	if m.Type == "track" {
		c.PageURL, c.Referrer = m.Context.Page.URL, m.Context.Page.Referrer
	}
	if c == (activity.Context{}) {
		return nil
	}
	return &c
}

// id returns the first of the members that can be an id.
func id(p foreign.Object, names ...string) string { return p.ID(128, names...) }

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// must says whether there is a value without which an event is not what it is called, and notes it where nothing is said of it.
func must(p foreign.Object, value string, names ...string) bool {
	if value == "" && !p.Has(names...) {
		p.Note(names[0], foreign.Missing)
	}
	return value != ""
}
