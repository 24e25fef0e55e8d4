package intake_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/intake"
	"defter/pkg/order"
)

// notesOf are the notes of what a message becomes, and the names of the types of the events.
func notesOf(t *testing.T, before []eventstore.New, take intake.Take) (notes, kinds []string) {
	t.Helper()
	events, err := intake.Decide(intake.Decider.Fold(before...), take)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		notes = append(notes, e.Notes...)
		kinds = append(kinds, fmt.Sprintf("%T", e.Data))
	}
	slices.Sort(notes)
	return slices.Compact(notes), kinds
}

var known = at(now.Add(-time.Hour), "", customer.Created{Email: "ada@example.com", Source: "web"})

// TestP5_RoundedMoneyIsNoted, also where the currency is the order's.
func TestP5_RoundedMoneyIsNoted(t *testing.T) {
	bought := append(known[:1:1], at(now.Add(-time.Minute), "", order.Placed{OrderID: "o1", TotalMinor: 5000, Currency: "JPY"},
		order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 5000, Currency: "JPY"})...)
	for _, c := range []struct {
		event, properties string
		want              []string
	}{
		{"Order Completed", `"order_id":"o2","total":1000.5,"currency":"JPY"`, []string{"properties.total:rounded"}},
		{"Order Completed", `"order_id":"o2","total":"1000.0","currency":"JPY","products":[{"product_id":"p1","price":10.005}]`, []string{"properties.products.price:rounded"}},
		{"Order Completed", `"order_id":"o2","total":1000.10,"currency":"EUR"`, nil},
		{"Product Viewed", `"product_id":"p1","price":0.5,"currency":"JPY"`, []string{"properties.price:rounded"}},
		{"Order Refunded", `"order_id":"o1","total":1000.5`, []string{"properties.total:rounded"}},
		{"Order Refunded", `"order_id":"o1","total":1000`, nil},
	} {
		take := said(t, server, `{"type":"track","messageId":"m1","userId":"u1","event":"`+c.event+`","properties":{`+c.properties+`}}`)
		if got, kinds := notesOf(t, bought, take); !slices.Equal(got, c.want) || len(kinds) == 0 {
			t.Errorf("%s {%s}: %q of %v, want %q", c.event, c.properties, got, kinds, c.want)
		}
	}
}

// TestP5_AnAddressOfSomebodyElseIsNoted.
func TestP5_AnAddressOfSomebodyElseIsNoted(t *testing.T) {
	take := said(t, server, `{"type":"identify","messageId":"m1","userId":"u1","traits":{"email":"grace@example.com"}}`)
	take.EmailsTaken["grace@example.com"] = true
	if got, _ := notesOf(t, known, take); !slices.Equal(got, []string{"traits.email:taken"}) {
		t.Errorf("notes are %q", got)
	}
}

// TestP5_WhatThereIsNoRoomForIsNoted, of a server's word, of a page's and of a visitor.
func TestP5_WhatThereIsNoRoomForIsNoted(t *testing.T) {
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf(`"trait-%d":1`, i))
	}
	identify := `{"type":"identify","messageId":"m1","userId":"u1","traits":{` + strings.Join(many, ",") + `}}`
	visitor := said(t, browser, identify)
	visitor.Customer = false
	for name, take := range map[string]intake.Take{"server": said(t, server, identify), "page": said(t, browser, identify), "visitor": visitor} {
		if got, _ := notesOf(t, nil, take); !slices.Equal(got, []string{"traits:too-many"}) {
			t.Errorf("%s: notes are %q", name, got)
		}
	}
	if got, _ := notesOf(t, known, said(t, server, `{"type":"identify","messageId":"m1","userId":"u1","traits":{"plan":"gold","birthday":"1815-12-10"}}`)); !slices.Equal(got, []string{"traits.birthday:out-of-range"}) {
		t.Errorf("notes are %q", got)
	}
}

// TestP5_TheNotesOfWhatBecomesNoEvent are told besides, once however often the message comes.
func TestP5_TheNotesOfWhatBecomesNoEvent(t *testing.T) {
	const unreadable = `{"type":"identify","messageId":"m1","userId":"u1","traits":{"email":"no address","firstName":[]}}`
	const refused = `{"type":"page","messageId":"m2","userId":"u1","name":{},"context":{"consent":{"categoryPreferences":{"Analytics":false}}}}`
	take := said(t, server, `{"type":"identify","messageId":"m1","userId":"u1","traits":{"phone":[7]}}`, refused, unreadable)
	take.Messages[2].Fingerprint = take.Messages[0].Fingerprint // the first one again
	events, silent, err := intake.Understand(intake.Decider.Fold(known...), take)
	if want := []string{"traits.phone:wrong-type", "name:wrong-type"}; err != nil || len(events) > 0 || !slices.Equal(silent, want) {
		t.Errorf("%d events, silent %q, want %q, %v", len(events), silent, want, err)
	}
	if _, silent, _ := intake.Understand(intake.Decider.Fold(known...), said(t, server, unreadable)); len(silent) > 0 {
		t.Errorf("told by the event and besides: %q", silent)
	}
}

// TestS1_AnOwnTokenReservesNoAddress that its issuer has not verified: it proves who somebody is, and not what is theirs.
func TestS1_AnOwnTokenReservesNoAddress(t *testing.T) {
	const identify = `{"type":"identify","messageId":"m1","userId":"u1","traits":{"email":"Grace@example.com","firstName":"Grace"}}`
	take := said(t, browser, identify)
	take.Messages[0].Own = true
	for _, verified := range []string{"", "eve@example.com"} {
		take.Messages[0].OwnEmail = verified
		events, err := intake.Decide(intake.State{}, take)
		if err != nil {
			t.Fatal(err)
		}
		c := intake.Decider.Fold(events...).Record.Customer
		if c.Email != "" || c.FirstName != "Grace" || c.Claims["email"].Value != "Grace@example.com" {
			t.Errorf("verified %q: email %q, name %q, claims %v", verified, c.Email, c.FirstName, c.Claims)
		}
		if got, _ := notesOf(t, nil, take); !slices.Equal(got, []string{"traits.email:unverified"}) {
			t.Errorf("notes are %q", got)
		}
	}
	take.Messages[0].OwnEmail = "grace@example.com"
	events, _ := intake.Decide(intake.State{}, take)
	if c := intake.Decider.Fold(events...).Record.Customer; c.Email != "Grace@example.com" || len(c.Claims) > 0 {
		t.Errorf("email %q, claims %v", c.Email, c.Claims)
	}
}

// TestP12_AnAddressIsToldPartByPart: what is not told of it stays, a null clears, and it does not matter what arrives first.
func TestP12_AnAddressIsToldPartByPart(t *testing.T) {
	identify := func(minute int, address string) intake.Take {
		return said(t, server, fmt.Sprintf(`{"type":"identify","messageId":"m%d","userId":"u1","timestamp":"2026-03-01T11:%02d:00Z","traits":{"address":%s}}`, minute, minute, address))
	}
	told := []intake.Take{
		identify(1, `{"street":"1 High St","city":"London","country":"UK"}`), identify(2, `{"postalCode":"N1"}`), identify(3, `{"city":"Leeds","country":null}`), identify(4, `{}`),
	}
	want := customer.Address{Line1: "1 High St", City: "Leeds", PostalCode: "N1"}
	for _, order := range [][]int{{0, 1, 2, 3}, {2, 1, 0, 3}, {3, 2, 0, 1}} {
		s := intake.Decider.Fold(known...)
		for _, i := range order {
			events, err := intake.Decide(s, told[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				s = intake.Decider.Evolve(s, e)
			}
		}
		if got := s.Record.Customer.Address; got == nil || *got != want {
			t.Errorf("told in the order %v: %+v, want %+v", order, got, want)
		}
		events, err := intake.Decide(s, identify(5, `null`))
		if err != nil || len(events) == 0 || intake.Decider.Evolve(s, events[0]).Record.Customer.Address != nil {
			t.Errorf("null leaves the address: %+v, %v", events, err)
		}
	}
}
