package intake_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/customer"
	"defter/pkg/intake"
)

// adas is Ada as she is known.
var adas = intake.Decider.Evolve(intake.State{}, at(now.Add(-time.Hour), "", customer.Created{Email: "ada@example.com", Source: "web"})[0])

// TestS1_APublicKeyIsNobodysWord: what a page says about a customer is kept as claimed, and the customer's own token lifts that.
func TestS1_APublicKeyIsNobodysWord(t *testing.T) {
	const identify = `{"type":"identify","messageId":"m1","userId":"u1","traits":{"email":"eve@example.com","firstName":"Eve"}}`
	claimed := customer.TraitsClaimed{Traits: map[string]any{"email": "eve@example.com", "firstName": "Eve"}}
	ada.When(t, said(t, browser, identify)).Then(at(now, fingerprint(browser, "m1"), claimed)...).Again().Nothing()
	anybody.When(t, said(t, browser, identify)).Then(at(now, fingerprint(browser, "m1"), customer.Created{Source: "web"}, claimed)...)
	ada.When(t, said(t, browser, `{"type":"group","messageId":"m1","userId":"u1","groupId":"g1","traits":{"size":3}}`)).
		Then(at(now, fingerprint(browser, "m1"), customer.TraitsClaimed{GroupID: "g1", Traits: map[string]any{"size": json.Number("3")}})...)

	own := said(t, browser, identify)
	own.Messages[0].Own, own.Messages[0].OwnEmail = true, "eve@example.com"
	ada.When(t, own).Then(at(now, fingerprint(browser, "m1"),
		customer.EmailUpdated{OldEmail: "ada@example.com", NewEmail: "eve@example.com"}, customer.NameUpdated{NewFirstName: "Eve"},
	)...)
	alias := said(t, browser, `{"type":"alias","messageId":"m1","userId":"u1","previousId":"u0"}`)
	alias.Messages[0].Own = true // who they are, and not whom else they are
	ada.When(t, alias).Then(at(now, fingerprint(browser, "m1"), customer.VisitorLinked{VisitorID: "u0", LinkedAt: &minute, Public: true})...)
}

// TestS1_NothingOfValue comes of a public key, whatever it calls its messages.
func TestS1_NothingOfValue(t *testing.T) {
	for _, event := range []string{
		"Order Completed", "Order Refunded", "Order Cancelled", "Unsubscribed", "Email Bounced", "Email Marked as Spam", "Product Affinity Detected", "Attribution Calculated",
	} {
		take := said(t, browser, `{"type":"track","messageId":"m1","userId":"u1","event":"`+event+`","properties":{"order_id":"o1","total":9,"currency":"EUR","channel":"email","email":"ada@example.com"}}`)
		events, err := intake.Decide(adas, take)
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v, %v", event, events, err)
		}
		if _, tracked := events[0].Data.(activity.EventTracked); !tracked {
			t.Errorf("%s becomes %T", event, events[0].Data)
		}
	}
}

// TestS1_JunkLocksNobodyOut: what pages claim has limits of its own.
func TestS1_JunkLocksNobodyOut(t *testing.T) {
	var junk []string
	for i := range 300 {
		junk = append(junk, fmt.Sprintf(`"junk-%d":"%s"`, i, strings.Repeat("x", 50)))
	}
	s := adas
	take := said(t, browser, `{"type":"identify","messageId":"m1","userId":"u1","traits":{`+strings.Join(junk, ",")+`}}`)
	for _, message := range []intake.Take{take, said(t, server, `{"type":"identify","messageId":"m2","userId":"u1","traits":{"plan":"gold"}}`)} {
		events, err := intake.Decide(s, message)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			s = intake.Decider.Evolve(s, e)
		}
	}
	c := s.Record.Customer
	if len(c.Claims) != customer.MaxClaimed || c.Attributes["plan"] != "gold" || len(c.Attributes) != 1 {
		t.Errorf("%d claims, attributes %v", len(c.Claims), c.Attributes)
	}
}
