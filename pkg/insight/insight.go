// Package insight holds what other systems of the business found out about a customer and report: facts, as they came. Three
// words: an affinity is how much somebody is drawn to a category of products; a touchpoint is where somebody met the business;
// a credit is the share of an order that an attribution gives a channel.
package insight

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"defter/pkg/eventstore"
)

// AffinityDetected: the customer is drawn to a category. The score is from 0 to 1.
type AffinityDetected struct {
	Category            string   `json:"category" pii:"unless-opaque" jsonschema:"maxLength=200"`
	AffinityScore       float64  `json:"affinityScore" pii:"-" jsonschema:"minimum=0,maximum=1"`
	RecommendedProducts []string `json:"recommendedProducts,omitempty" pii:"unless-opaque" jsonschema:"maxItems=100"`
}

// IntegrationSynced: another service was told of something that happened.
type IntegrationSynced struct {
	Integration string `json:"integration" pii:"unless-opaque" jsonschema:"maxLength=100"`
	Action      string `json:"action" pii:"unless-opaque" jsonschema:"maxLength=100"`
}

// TouchpointRecorded: the customer met the business somewhere. Value is in minor units of Currency.
type TouchpointRecorded struct {
	Channel    string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push,enum=web,enum=social,enum=paid-ad"`
	Campaign   string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	EventType  string `json:"eventType,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100"`
	ValueMinor int64  `json:"valueMinor,omitempty" pii:"-" jsonschema:"minimum=-1000000000000,maximum=1000000000000"`
	Currency   string `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
}

// AttributionCalculated: what an order is owed to, by a model.
type AttributionCalculated struct {
	OrderID  string   `json:"orderId" pii:"unless-opaque" jsonschema:"maxLength=128"`
	Model    string   `json:"model" pii:"-" jsonschema:"enum=first-touch,enum=last-touch,enum=linear,enum=time-decay,enum=position-based"`
	Currency string   `json:"currency,omitempty" pii:"-" jsonschema:"pattern=^[A-Z]{3}$"`
	Credits  []Credit `json:"credits" pii:"unless-opaque" jsonschema:"maxItems=100"`
}

// Credit is a share, in minor units of the attribution's currency.
type Credit struct {
	Channel    string `json:"channel" pii:"unless-opaque" jsonschema:"maxLength=50"`
	Campaign   string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	ValueMinor int64  `json:"valueMinor" pii:"-" jsonschema:"minimum=-1000000000000,maximum=1000000000000"`
	TouchCount int64  `json:"touchCount,omitempty" pii:"-"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[AffinityDetected]("ProductAffinityDetected"),
	eventstore.Declare[IntegrationSynced]("ThirdPartyIntegrationSynced"),
	eventstore.Declare[TouchpointRecorded]("TouchpointRecorded"),
	eventstore.Declare[AttributionCalculated]("AttributionCalculated"),
}

// maxEach is how many affinities and integrations are remembered, the latest.
const maxEach = 20

// State is what was found out last.
type State struct {
	Affinities   map[string]Affinity  `json:"affinities,omitempty" description:"by category"`
	Integrations map[string]time.Time `json:"integrations,omitempty" description:"when each other service was told something last"`
	LastTouch    *Touch               `json:"lastTouch,omitempty"`
}

// Affinity is how much, and when that was found out.
type Affinity struct {
	Score float64   `json:"score"`
	At    time.Time `json:"at"`
}

// Touch is where somebody met the business, and when.
type Touch struct {
	Channel  string    `json:"channel"`
	Campaign string    `json:"campaign,omitempty"`
	At       time.Time `json:"at"`
}

// Evolve folds one event that happened at a time; events of other packages change nothing here. Of two findings the later
// counts, whichever is told first.
func Evolve(s State, event any, at time.Time) State {
	switch e := event.(type) {
	case AffinityDetected:
		return s.found(e.Category, Affinity{e.AffinityScore, at})
	case IntegrationSynced:
		return s.synced(e.Integration, at)
	case TouchpointRecorded:
		return s.touched(Touch{e.Channel, e.Campaign, at})
	}
	return s
}

// Joined is what was found out of several who are one person: of each thing what was found out last, whoever it was said of.
func Joined(s State, others ...State) State {
	for _, o := range others {
		for category, affinity := range o.Affinities {
			s = s.found(category, affinity)
		}
		for integration, at := range o.Integrations {
			s = s.synced(integration, at)
		}
		if o.LastTouch != nil {
			s = s.touched(*o.LastTouch)
		}
	}
	return s
}

func (s State) found(category string, a Affinity) State {
	if old, known := s.Affinities[category]; !known || cmp.Or(a.At.Compare(old.At), cmp.Compare(a.Score, old.Score)) > 0 {
		s.Affinities = with(s.Affinities, category, a, func(a Affinity) time.Time { return a.At })
	}
	return s
}

func (s State) synced(integration string, at time.Time) State {
	if at.After(s.Integrations[integration]) {
		s.Integrations = with(s.Integrations, integration, at, func(t time.Time) time.Time { return t })
	}
	return s
}

func (s State) touched(t Touch) State {
	if last := s.LastTouch; last == nil || cmp.Or(t.At.Compare(last.At), cmp.Compare(t.Channel, last.Channel), cmp.Compare(t.Campaign, last.Campaign)) > 0 {
		s.LastTouch = &t
	}
	return s
}

// with is a map with one more entry, without the oldest one if there are too many.
func with[V any](old map[string]V, name string, value V, when func(V) time.Time) map[string]V {
	next := maps.Clone(old)
	if next == nil {
		next = map[string]V{}
	}
	next[name] = value
	if len(next) > maxEach {
		delete(next, slices.MinFunc(slices.Collect(maps.Keys(next)), func(a, b string) int {
			return cmp.Or(when(next[a]).Compare(when(next[b])), cmp.Compare(a, b))
		}))
	}
	return next
}
