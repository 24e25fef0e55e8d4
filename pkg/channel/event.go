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

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Sent]("MessageSent"),
	eventstore.Declare[Suppressed]("MessageSuppressed"),
	eventstore.Declare[Failed]("MessageFailed"),
}
