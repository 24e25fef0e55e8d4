package app

import (
	"context"
	"maps"
	"sync"
	"time"

	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/source"
	"defter/pkg/webhook"
)

// sources remembers who may send.
type sources struct {
	loading sync.Mutex // one at a time reads them

	mu      sync.Mutex
	byKey   map[string]issued
	ids     []string // of all sources
	read    time.Time
	absent  map[string]bool // keys that were genuine once, and that no source has
	changed int             // how often they were forgotten: what was read before that is not remembered
}

// issued is a source as one of its write keys finds it.
type issued struct {
	source source.Source
	key    source.Key
	rules  func() (*webhook.Mapping, error) // of a webhook; they are read once
}

// forget makes the next request read the sources again.
func (s *sources) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey = nil
	s.changed++
}

// remembered returns what is known of who presents a write key; ok is false where it must be read again. A key that was not
// found a moment ago may have been issued since.
func (s *sources) remembered(presented string, now time.Time) (byKey map[string]issued, ids []string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.byKey[presented]
	age := now.Sub(s.read)
	return s.byKey, s.ids, s.byKey != nil && age >= 0 && (age < unknownAgain || (known || s.absent[presented]) && age < sourcesFor)
}

// known returns the sources by what their clients present, no older than a while.
func (a *App) known(ctx context.Context, presented string) (map[string]issued, []string, error) {
	if byKey, ids, ok := a.sources.remembered(presented, a.Now()); ok {
		return byKey, ids, nil
	}
	a.sources.loading.Lock()
	defer a.sources.loading.Unlock()
	if byKey, ids, ok := a.sources.remembered(presented, a.Now()); ok { // somebody else has read them meanwhile
		return byKey, ids, nil
	}
	a.sources.mu.Lock()
	changed, began := a.sources.changed, a.Now()
	a.sources.mu.Unlock()
	head, err := a.Log.Load(ctx, source.Stream, source.Fold)
	if err != nil {
		return nil, nil, err
	}
	byKey, ids := map[string]issued{}, []string(nil)
	for _, s := range source.Fold.Of(head).List() {
		ids = append(ids, s.ID)
		rules := sync.OnceValues(func() (*webhook.Mapping, error) {
			if s.Settings.Webhook == nil {
				return nil, fault.New(fault.Unauthorized, "not-a-webhook", "source does not accept webhook events")
			}
			return webhook.Read(*s.Settings.Webhook)
		})
		for _, k := range s.Keys {
			key, err := a.writeKeyOf(ctx, s.ID, k.ID)
			if err != nil {
				return nil, nil, err
			}
			byKey[key] = issued{s, k, rules}
		}
	}
	a.sources.mu.Lock()
	defer a.sources.mu.Unlock()
	if a.sources.changed == changed {
		if began.Sub(a.sources.read) >= sourcesFor || len(a.sources.absent) >= maxAbsent {
			a.sources.absent = nil
		}
		a.sources.byKey, a.sources.ids, a.sources.read = byKey, ids, began
		if _, ok := byKey[presented]; !ok && presented != "" {
			if a.sources.absent == nil {
				a.sources.absent = map[string]bool{}
			}
			a.sources.absent[presented] = true
		}
	}
	return byKey, ids, nil
}

// sourceIDs are the ids of all sources.
func (a *App) sourceIDs(ctx context.Context) ([]string, error) {
	_, known, err := a.known(ctx, "")
	ids := append([]string(nil), known...)
	for _, s := range a.Fixed {
		ids = append(ids, s.ID)
	}
	return ids, err
}

// sourceByID returns a source whatever its keys, with its webhook if it has one.
func (a *App) sourceByID(ctx context.Context, id string) (ingest.Source, *source.Webhook, error) {
	for s := range maps.Values(a.Fixed) {
		if s.ID == id {
			return s, nil, nil
		}
	}
	head, err := a.Log.Load(ctx, source.Stream, source.Fold)
	if err != nil {
		return ingest.Source{}, nil, err
	}
	s, ok := source.Fold.Of(head)[id]
	if !ok {
		return ingest.Source{}, nil, fault.New(fault.NotFound, "no-such-source", "there is no such source")
	}
	return senderOf(s), s.Settings.Webhook, nil
}

// senderOf is a source as its messages are judged.
func senderOf(s source.Source) ingest.Source {
	perRequest, messages, people := s.Settings.Budget()
	return ingest.Source{
		MessagesPerRequest: int(perRequest), MessagesPerMinute: messages, NewPeoplePerMinute: people,
		ID: s.ID, Kind: s.Settings.Kind, Trusted: s.Settings.Trusted(), AllowedEvents: s.Settings.AllowedEvents, AllowedOrigins: s.Settings.AllowedOrigins,
		RefuseUnknown: s.Settings.UnknownEvents == source.Quarantine, NeedConsent: s.Settings.AnalyticsConsent == source.Required,
		Rate: s.Settings.RequestsPerSecond,
	}
}

// source returns who presents a write key.
func (a *App) source(ctx context.Context, key string) (ingest.Source, error) {
	if s, ok := a.Fixed[key]; ok {
		return s, nil
	}
	s, err := a.storedSource(ctx, key)
	return senderOf(s.source), err
}

// storedSource is source of those that are stored. One who makes a key up is refused without a read: the key itself tells.
func (a *App) storedSource(ctx context.Context, key string) (issued, error) {
	if key == "" {
		return issued{}, noWriteKey()
	}
	ours, err := a.genuine(ctx, key)
	if err != nil {
		return issued{}, err
	}
	var known issued
	if ours {
		byKey, _, err := a.known(ctx, key)
		if err != nil {
			return issued{}, err
		}
		known, ours = byKey[key]
	}
	if !ours || !known.key.ValidAt(a.Now()) {
		return issued{}, fault.New(fault.Unauthorized, "invalid-write-key", "invalid write key")
	}
	if !known.source.Settings.Enabled {
		return issued{}, fault.New(fault.NotFound, "source-disabled", "source is disabled")
	}
	return known, nil
}
