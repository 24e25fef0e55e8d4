// Package preference decides on how a customer wishes to be addressed. Two words: a preference is one field, such as
// the email frequency; the last write of each field wins, by the time it happened and then by its event's id.
package preference

import "defter/pkg/eventstore"

// Values are preferences; a nil field says nothing.
type Values struct {
	EmailFrequency   *string   `json:"emailFrequency,omitempty" pii:"-" jsonschema:"enum=daily,enum=weekly,enum=never" enum:"daily,weekly,never"`
	Categories       *[]string `json:"categories,omitempty" pii:"-" jsonschema:"maxItems=100"`
	Timezone         *string   `json:"timezone,omitempty" pii:"-" jsonschema:"maxLength=64,description=an IANA time zone" description:"an IANA time zone"`
	EmailEnabled     *bool     `json:"emailEnabled,omitempty" pii:"-"`
	SMSEnabled       *bool     `json:"smsEnabled,omitempty" pii:"-"`
	PushEnabled      *bool     `json:"pushEnabled,omitempty" pii:"-"`
	SMSForPromotions *bool     `json:"smsForPromotions,omitempty" pii:"-"`
	PushCategories   *[]string `json:"pushCategories,omitempty" pii:"-" jsonschema:"maxItems=100"`
}

// Updated: some preferences were set.
type Updated struct {
	Preferences Values `json:"preferences" pii:"unless-opaque"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{eventstore.Declare[Updated]("PreferencesUpdated")}
