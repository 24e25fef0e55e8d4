package view

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/preference"
)

// Consents is the consent view, with two lookups: the customers who consent to a purpose on a channel, and the days on
// which a consent must be announced or ended.
var Consents = &Document[ConsentState]{Name: "CONSENT", Evolve: evolveConsent, Lookups: consentLookups}

// ConsentState is the state of the consent view.
type ConsentState struct {
	consent.State
}

func evolveConsent(s ConsentState, e eventstore.Event) ConsentState {
	if _, erased := e.Data.(customer.DataDeleted); erased {
		return ConsentState{}
	}
	next := consent.Evolve(s.State, e.Data, e.OccurredAt)
	for key, c := range next.Current {
		if c.Method != "" { // what clients call it is nobody's business who looks something up here
			c.Method = ""
			next.Current[key] = c
		}
	}
	return ConsentState{next}
}

type consented struct {
	GrantedAt time.Time `json:"grantedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func consentLookups(stream string, s ConsentState) []Row {
	id, ok := CustomerID(stream)
	if !ok {
		return nil
	}
	var rows []Row
	var due time.Time
	for _, c := range s.List(time.Time{}) {
		if at, ok := c.Due(); ok && (due.IsZero() || at.Before(due)) {
			due = at
		}
		if c.Status != consent.StatusActive {
			continue
		}
		data, err := json.Marshal(consented{c.GrantedAt, c.ExpiresAt})
		if err != nil {
			panic(err) // times always marshal
		}
		rows = append(rows, Row{PK: consentedLookup.key(consentedTo(c.Purpose, c.Channel), id), SK: id, Data: data})
	}
	if !due.IsZero() {
		rows = append(rows, Row{PK: dueLookup.key(dueOn(due), id), SK: id})
	}
	return rows
}

func consentedTo(p consent.Purpose, c consent.Channel) string { return string(p) + "#" + string(c) }

func dueOn(day time.Time) string { return day.UTC().Format(time.DateOnly) }

// Consented is a customer who consents.
type Consented struct {
	CustomerID string    `json:"customerId"`
	GrantedAt  time.Time `json:"grantedAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

// ListConsented returns up to limit customers who consent to the purpose on the channel at that time.
func (v *Views) ListConsented(ctx context.Context, p consent.Purpose, c consent.Channel, at time.Time, cursor string, limit int) ([]Consented, string, error) {
	list := []Consented{}
	for {
		rows, next, err := consentedLookup.list(ctx, v.Table, consentedTo(p, c), "", cursor, limit-len(list))
		if err != nil {
			return nil, "", err
		}
		for _, row := range rows {
			var data consented
			if err := json.Unmarshal(row.Data, &data); err != nil {
				return nil, "", fmt.Errorf("decode consent lookup: %w", err)
			}
			if at.Before(data.ExpiresAt) {
				list = append(list, Consented{row.SK, data.GrantedAt, data.ExpiresAt})
			}
		}
		if cursor = next; cursor == "" || len(list) >= limit {
			return list, cursor, nil
		}
	}
}

// DueConsents returns up to limit customers of whom a consent is due on that day.
func (v *Views) DueConsents(ctx context.Context, day time.Time, cursor string, limit int) (ids []string, next string, err error) {
	rows, next, err := dueLookup.list(ctx, v.Table, dueOn(day), "", cursor, limit)
	for _, row := range rows {
		ids = append(ids, row.SK)
	}
	return ids, next, err
}

// PreferenceState is the state of the preference view. All of it is sealed, since categories are whatever a client calls them.
type PreferenceState struct {
	preference.State `json:"-"`
}

// Preferences is the preference view.
var Preferences = &Document[PreferenceState]{
	Name: "PREFERENCES", Personal: func(s *PreferenceState) any { return &s.State },
	Evolve: func(s PreferenceState, e eventstore.Event) PreferenceState {
		if _, erased := e.Data.(customer.DataDeleted); erased {
			return PreferenceState{}
		}
		return PreferenceState{preference.Evolve(s.State, e.Data, preference.Stamp{At: e.OccurredAt, EventID: e.ID})}
	},
}

// EmptyDocuments makes a stream's documents say nothing, as of the version at which the stream's owner was to be erased, and removes the rows that
// are derived from them. It returns how many those were. What is projected late is dropped by the
// version rule, so that nobody reads the stream for it.
func (v *Views) EmptyDocuments(ctx context.Context, stream string, version int64) (removed int, err error) {
	consents, err := Consents.empty(ctx, v, stream, version, ConsentState{}, false)
	if err != nil {
		return 0, err
	}
	if _, err = Preferences.empty(ctx, v, stream, version, PreferenceState{}, false); err != nil {
		return 0, err
	}
	id, _ := CustomerID(stream)
	unarchived, err := Profiles.empty(ctx, v, stream, version, Profile{Facts: Facts{CustomerID: id, Status: customer.StatusErasing, LifetimeValue: []Money{}}}, true)
	return consents + unarchived, err
}
