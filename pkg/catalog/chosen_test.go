package catalog

import (
	"reflect"
	"strings"
	"testing"
)

// ours are the texts that events show in public without asking what they say: ids, names and reasons that the system itself makes, or
// that are resolved before, so that they are opaque or a keyed hash.
var ours = map[string]string{
	"CustomerCreated": "source", "EmailVerificationRequested": "verificationId tokenHash", "EmailVerified": "verificationId", "CustomerDataDeleted": "certificateId",
	"VisitorLinked": "visitorId", "VisitorUnlinked": "visitorId", "CustomerAliased": "previousId", "CustomerUnaliased": "previousId", "GroupJoined": "groupId",
	"IdentityClaimed": "customerId", "IdentityReleased": "customerId", "CustomerDeactivated": "previousStatus", "CustomerReactivated": "status",
	"MessageSent": "messageId campaign templateId idempotencyKey providerMessageId", "MessageSuppressed": "messageId campaign idempotencyKey reason", "MessageFailed": "messageId campaign idempotencyKey errorType",
	"JourneyEntered": "journey runId", "JourneyStepCompleted": "journey runId step", "JourneyExited": "journey runId",
	"CustomerSegmentAdded": "segmentId segmentName source", "CustomerSegmentRemoved": "segmentId source", "PaymentInitiated": "paymentProvider", "OrderConfirmed": "confirmationNumber",
	"BehaviourArchived": "object", "InventoryChanged": "productId", "PriceChanged": "productId", // of products, which API callers name
	"SourceCreated": "sourceId", "SourceChanged": "sourceId", "WriteKeyIssued": "sourceId keyId", "WriteKeyRetired": "sourceId keyId", // of sources
}

// TestS8_WhatClientsChooseIsNotPublic: every text of every event is personal, or so unless it is opaque, or one of a few values, or ours.
func TestS8_WhatClientsChooseIsNotPublic(t *testing.T) {
	c := New()
	for _, name := range c.Names() {
		data := c.Type(name)
		for i := range data.NumField() {
			f := data.Field(i)
			field, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			listed := " " + ours[name] + " "
			schema := f.Tag.Get("jsonschema")
			limited := strings.Contains(schema, "enum=") || strings.Contains(schema, "pattern=")
			if f.Tag.Get("pii") == "-" && isText(f.Type) && !limited && !strings.Contains(listed, " "+field+" ") {
				t.Errorf("%s.%s shows in public what a client may choose", name, field)
			}
		}
	}
}

// isText says whether a field holds a text, or several.
func isText(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.String
}
