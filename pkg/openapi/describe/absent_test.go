package describe

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sameAbsent are the fields of commands' bodies that mean the same absent as empty, with what both mean.
var sameAbsent = map[string]string{
	"RegisterRequest.firstName": "not known", "RegisterRequest.lastName": "not known", "RegisterRequest.phone": "not known", "RegisterRequest.marketingConsent": "no",
	"RegisterRequest.textVersion": "not told", "RegisterRequest.language": "not told", "GrantConsentRequest.textVersion": "not told", "GrantConsentRequest.language": "not told",
	"RegisterRequest.source": "its default stands before the body is read, and an empty one is refused", "DeactivateRequest.reason": "likewise",
	"EraseRequest.reason": "likewise", "RotateRequest.overlap": "likewise", "DeactivateRequest.notes": "none", "GrantConsentRequest.renew": "no",
	"OrderRequest.discountMinor": "none", "OrderRequest.taxMinor": "none", "OrderRequest.shippingMinor": "none", "PaymentRequest.paymentToken": "none",
	"CancellationRequest.reason": "none", "ShipmentRequest.trackingNumber": "none", "ShipmentRequest.carrier": "none", "DeliveryRequest.signedBy": "nobody",
	"Line.productName": "not known", "Line.category": "not known", "Line.priceMinor": "free of charge", "Line.quantity": "refused", "Line.productId": "refused",
	"Address.name": "none", "Address.line1": "none", "Address.line2": "none", "Address.city": "none", "Address.region": "none", "Address.postalCode": "none", "Address.country": "none",
	"Rule.each": "one message of a delivery", "Rule.type": "a track", "Rule.event": "refused of a track", "Rule.userId": "nobody", "Rule.anonymousId": "nobody",
	"Rule.messageId": "made of what is said", "Rule.timestamp": "when it arrives",
}

// TestP1_EveryFieldWhoseAbsenceMeansSomething can be told from an empty one: it is a pointer, a list or a map.
func TestP1_EveryFieldWhoseAbsenceMeansSomething(t *testing.T) {
	seen := map[string]bool{}
	var look func(reflect.Type)
	look = func(body reflect.Type) {
		for body.Kind() == reflect.Pointer || body.Kind() == reflect.Slice {
			body = body.Elem()
		}
		if body.Kind() != reflect.Struct || body.PkgPath() == "time" {
			return
		}
		for i := range body.NumField() {
			field := body.Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case field.Anonymous:
				look(field.Type)
			case name == "":
			case field.Type.Kind() == reflect.Pointer || field.Type.Kind() == reflect.Slice || field.Type.Kind() == reflect.Map:
				look(field.Type)
			case !strings.Contains(options, "omitempty"): // it must be there
			default:
				name = body.Name() + "." + name
				if seen[name] = true; sameAbsent[name] == "" {
					t.Errorf("%s: what does it mean when it is absent, and when it is empty?", name)
				}
			}
		}
	}
	commands := 0
	for _, call := range slices.Sorted(maps.Keys(operations)) {
		for _, in := range operations[call].in {
			if body := reflect.TypeOf(in); body.PkgPath() == "defter/pkg/app" {
				commands++
				look(body)
			}
		}
	}
	for name := range sameAbsent {
		if !seen[name] {
			t.Errorf("%s is not there any more", name)
		}
	}
	if commands < 15 {
		t.Errorf("%d commands have a body", commands)
	}
}
