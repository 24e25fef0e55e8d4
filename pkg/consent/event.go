// Package consent decides on what a customer has agreed to. Three words: a purpose is what for (marketing, analytics,
// essential); a channel is over what (email, sms, push); a proof is who agreed, when, how and from where.
package consent

import (
	"time"

	"defter/pkg/eventstore"
)

// GDPRContext is the legal frame of a consent.
type GDPRContext struct {
	LegalBasis      string `json:"legalBasis" pii:"-" jsonschema:"maxLength=100"`
	RetentionPeriod string `json:"retentionPeriod" pii:"-" jsonschema:"maxLength=100"`
	DataController  string `json:"dataController" pii:"-" jsonschema:"maxLength=200"`
}

// Granted: the customer agrees, until ExpiresAt.
type Granted struct {
	Purpose       Purpose      `json:"purpose" pii:"-" jsonschema:"enum=marketing,enum=analytics,enum=essential"`
	Channel       Channel      `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	ConsentMethod string       `json:"consentMethod,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100"`
	IPAddress     string       `json:"ipAddress,omitempty" pii:"ip" jsonschema:"maxLength=45"`
	UserAgent     string       `json:"userAgent,omitempty" pii:"device" jsonschema:"maxLength=512"`
	ExpiresAt     *time.Time   `json:"expiresAt,omitempty" pii:"-" jsonschema:"description=absent in events of schema version 1: two years after the event"`
	GDPRContext   *GDPRContext `json:"gdprContext,omitempty" pii:"-"`
	// What was agreed to, and where messages go that it allows.
	TextVersion string `json:"textVersion,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100,description=of the wording that was agreed to"`
	Language    string `json:"language,omitempty" pii:"unless-opaque" jsonschema:"maxLength=35,description=of the wording"`
	AddressHash string `json:"addressHash,omitempty" pii:"email" jsonschema:"maxLength=64,description=keyed hash of the address that the consent was given with"`
}

// Renewed: an active consent is prolonged.
type Renewed struct {
	Purpose       Purpose    `json:"purpose" pii:"-" jsonschema:"enum=marketing,enum=analytics,enum=essential"`
	Channel       Channel    `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	ConsentMethod string     `json:"consentMethod,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100"`
	IPAddress     string     `json:"ipAddress,omitempty" pii:"ip" jsonschema:"maxLength=45"`
	UserAgent     string     `json:"userAgent,omitempty" pii:"device" jsonschema:"maxLength=512"`
	ExpiresAt     *time.Time `json:"expiresAt" pii:"-"`
	TextVersion   string     `json:"textVersion,omitempty" pii:"unless-opaque" jsonschema:"maxLength=100"`
	Language      string     `json:"language,omitempty" pii:"unless-opaque" jsonschema:"maxLength=35"`
	AddressHash   string     `json:"addressHash,omitempty" pii:"email" jsonschema:"maxLength=64"`
}

// Revoked: the customer no longer agrees.
type Revoked struct {
	Purpose Purpose `json:"purpose" pii:"-" jsonschema:"enum=marketing,enum=analytics,enum=essential"`
	Channel Channel `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	Reason  string  `json:"reason,omitempty" pii:"-" jsonschema:"enum=customer-request,enum=account-deactivated,enum=unsubscribed,enum=complaint,enum=other"`
}

// Expired: the consent's term has ended.
type Expired struct {
	Purpose   Purpose   `json:"purpose" pii:"-" jsonschema:"enum=marketing,enum=analytics,enum=essential"`
	Channel   Channel   `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	ExpiredAt time.Time `json:"expiredAt" pii:"-"`
}

// Expiring: the consent's term ends within 30 days.
type Expiring struct {
	Purpose   Purpose   `json:"purpose" pii:"-" jsonschema:"enum=marketing,enum=analytics,enum=essential"`
	Channel   Channel   `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	ExpiresAt time.Time `json:"expiresAt" pii:"-"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Granted]("ConsentGranted", addGDPRContext, more),
	eventstore.Declare[Renewed]("ConsentRenewed", more),
	eventstore.Declare[Revoked]("ConsentRevoked"),
	eventstore.Declare[Expired]("ConsentExpired"),
	eventstore.Declare[Expiring]("ConsentExpiring"),
}

// addGDPRContext makes version 2 of ConsentGranted of version 1, which was always given on the legal basis of consent.
func addGDPRContext(data map[string]any) map[string]any {
	data["gdprContext"] = map[string]any{"legalBasis": "consent", "retentionPeriod": "2years", "dataController": DataController}
	return data
}

// more is the upcaster of a version that only has further, optional fields.
func more(data map[string]any) map[string]any { return data }

// DataController is who answers for the data, unless a grant names another.
const DataController = "company-name"
