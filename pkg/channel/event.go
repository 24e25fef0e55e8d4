// Package channel decides whether a message may be sent, and remembers what became of it. Three words: the class of a
// message says which consent it needs; the ledger holds one entry per message, PENDING before it is handed to the
// provider; a withheld message was decided against, with a reason.
package channel

import "defter/pkg/eventstore"

// Sent: the provider took the message.
type Sent struct {
	Channel           string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID         string `json:"messageId" pii:"-" jsonschema:"maxLength=64"`
	Campaign          string `json:"campaign" pii:"-" jsonschema:"maxLength=100"`
	Template          string `json:"templateId" pii:"-" jsonschema:"maxLength=100"`
	IdempotencyKey    string `json:"idempotencyKey" pii:"-" jsonschema:"maxLength=200"`
	ProviderMessageID string `json:"providerMessageId,omitempty" pii:"-" jsonschema:"maxLength=200"`
}

// Suppressed: the message was withheld.
type Suppressed struct {
	Channel        string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID      string `json:"messageId" pii:"-" jsonschema:"maxLength=64"`
	Campaign       string `json:"campaign" pii:"-" jsonschema:"maxLength=100"`
	IdempotencyKey string `json:"idempotencyKey" pii:"-" jsonschema:"maxLength=200"`
	Reason         string `json:"reason" pii:"-" jsonschema:"maxLength=100"`
}

// Failed: the provider refused the message for good, or its outcome is not known.
type Failed struct {
	Channel        string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID      string `json:"messageId" pii:"-" jsonschema:"maxLength=64"`
	Campaign       string `json:"campaign" pii:"-" jsonschema:"maxLength=100"`
	IdempotencyKey string `json:"idempotencyKey" pii:"-" jsonschema:"maxLength=200"`
	ErrorType      string `json:"errorType" pii:"-" jsonschema:"maxLength=100"`
}

// Delivered: the receiving side took the message. MessageID, here and below, is the provider's.
type Delivered struct {
	Channel   string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID string `json:"messageId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Campaign  string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
}

// Opened: the message was looked at, or fetched by a machine: providers cannot tell.
type Opened struct {
	Channel   string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID string `json:"messageId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Campaign  string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
}

// Clicked: a link of the message was followed.
type Clicked struct {
	Channel   string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID string `json:"messageId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Campaign  string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	URL       string `json:"url,omitempty" pii:"url" jsonschema:"maxLength=2048"`
}

// Bounced: the message could not be delivered; Permanent: nor can any other to that address.
type Bounced struct {
	Channel   string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID string `json:"messageId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Campaign  string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Permanent bool   `json:"permanent" pii:"-"`
	Reason    string `json:"reason,omitempty" pii:"text" jsonschema:"maxLength=500"`
	Address   string `json:"address,omitempty" pii:"email" jsonschema:"maxLength=254"`
}

// Complained: the receiver called the message spam.
type Complained struct {
	Channel   string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID string `json:"messageId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Campaign  string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
}

// Unsubscribed: the receiver wants no more of such messages.
type Unsubscribed struct {
	Channel   string `json:"channel" pii:"-" jsonschema:"enum=email,enum=sms,enum=push"`
	MessageID string `json:"messageId,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
	Campaign  string `json:"campaign,omitempty" pii:"unless-opaque" jsonschema:"maxLength=200"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Sent]("MessageSent"),
	eventstore.Declare[Suppressed]("MessageSuppressed"),
	eventstore.Declare[Failed]("MessageFailed"),
	eventstore.Declare[Delivered]("MessageDelivered"),
	eventstore.Declare[Opened]("MessageOpened"),
	eventstore.Declare[Clicked]("MessageClicked"),
	eventstore.Declare[Bounced]("MessageBounced"),
	eventstore.Declare[Complained]("MessageComplained"),
	eventstore.Declare[Unsubscribed]("MessageUnsubscribed"),
}
