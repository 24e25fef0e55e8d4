package intake_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/ingest"
	"defter/pkg/intake"
	"defter/pkg/order"
	"defter/pkg/segment"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	minute  = now.Truncate(time.Minute)
	browser = ingest.Source{ID: "web", Kind: "browser"}
	server  = ingest.Source{ID: "pos", Kind: "server", Trusted: true}

	anybody = storetest.Deciding(intake.Decider)
	ada     = anybody.Given(at(now.Add(-time.Hour), "", customer.Created{Email: "ada@example.com", Source: "web"})...)
)

// at are events that happened at a time, in a message.
func at(when time.Time, message string, data ...any) []eventstore.New {
	events := make([]eventstore.New, len(data))
	for i, d := range data {
		events[i] = eventstore.New{Data: d, OccurredAt: when, Message: message}
	}
	return events
}

// said reads messages as clients send them, and routes each as one with the stream ids that its own ids have.
func said(t *testing.T, source ingest.Source, bodies ...string) intake.Take {
	t.Helper()
	take := intake.Take{Customer: true, Source: source, EmailsTaken: map[string]bool{}, Placed: map[string]*order.Placed{}, Now: now}
	for _, body := range bodies {
		var kind struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal([]byte(body), &kind); err != nil {
			t.Fatal(err)
		}
		parsed, err := ingest.Parse([]byte(body), kind.Type, now)
		if err != nil {
			t.Fatalf("%s: %s", body, err)
		}
		m := parsed.Messages[0]
		take.Messages = append(take.Messages, intake.Message{
			Message: m, Fingerprint: ingest.Fingerprint(source.ID, m.MessageID), Visitor: m.AnonymousID, Previous: m.PreviousID,
		})
	}
	return take
}

func fingerprint(source ingest.Source, id string) string { return ingest.Fingerprint(source.ID, id) }

func TestAMessageCountsOnce(t *testing.T) {
	const page = `{"type":"page","messageId":"m1","userId":"u1","properties":{"url":"https://shop.example/"}}`
	viewed := at(now, fingerprint(browser, "m1"), activity.PageViewed{PageURL: "https://shop.example/"})
	ada.When(t, said(t, browser, page)).Then(viewed...).Again().Nothing()
	ada.When(t, said(t, browser, page, page)).Then(viewed...)
}

func TestWhoIsNotKnownYetBecomesACustomer(t *testing.T) {
	anybody.When(t, said(t, browser, `{"type":"page","messageId":"m1","userId":"u1","anonymousId":"a1"}`)).Then(at(now, fingerprint(browser, "m1"),
		customer.Created{Source: "web"}, customer.VisitorLinked{VisitorID: "a1", LinkedAt: &minute, Public: true}, activity.PageViewed{},
	)...).Again().Nothing()
}

func TestVisitorsHaveNoProfile(t *testing.T) {
	take := said(t, browser, `{"type":"identify","messageId":"m1","anonymousId":"a1","traits":{"plan":"gold"}}`)
	take.Customer = false
	anybody.When(t, take).Then(at(now, fingerprint(browser, "m1"), customer.TraitsClaimed{Traits: map[string]any{"plan": "gold"}})...)
	take = said(t, server, `{"type":"identify","messageId":"m1","anonymousId":"a1","traits":{"plan":"gold"}}`)
	take.Customer = false
	anybody.When(t, take).Then(at(now, fingerprint(server, "m1"), activity.Identified{Traits: map[string]any{"plan": "gold"}})...)
}

func TestAnAddressOfSomebodyElseIsNotTakenOver(t *testing.T) {
	take := said(t, server, `{"type":"identify","messageId":"m1","userId":"u1","traits":{"email":" Grace@Example.com"}}`)
	ada.When(t, take).Then(at(now, fingerprint(server, "m1"), customer.EmailUpdated{OldEmail: "ada@example.com", NewEmail: "Grace@Example.com"})...)
	take.EmailsTaken["grace@example.com"] = true
	ada.When(t, take).Then(eventstore.New{
		Data: customer.AttributesUpdated{Attributes: map[string]any{"email": " Grace@Example.com"}}, OccurredAt: now, Message: fingerprint(server, "m1"),
		Notes: []string{"traits.email:taken"},
	})
}

// TestWhoMayNameAnotherCustomer: a public key says who a visitor is; that two customers are one, a server.
func TestWhoMayNameAnotherCustomer(t *testing.T) {
	const alias = `{"type":"alias","messageId":"m1","userId":"u1","previousId":"u0"}`
	ada.When(t, said(t, server, alias)).Then(at(now, fingerprint(server, "m1"), customer.Aliased{PreviousID: "u0", LinkedAt: &minute})...)
	ada.When(t, said(t, browser, alias)).Then(at(now, fingerprint(browser, "m1"), customer.VisitorLinked{VisitorID: "u0", LinkedAt: &minute, Public: true})...)
}

func TestGroups(t *testing.T) {
	ada.When(t, said(t, server, `{"type":"group","messageId":"m1","userId":"u1","groupId":"g1","traits":{"size":3}}`)).
		Then(at(now, fingerprint(server, "m1"), customer.GroupJoined{GroupID: "g1", Traits: map[string]any{"size": json.Number("3")}})...)
}

func TestWhatAnErasedCustomerDoesIsNotKept(t *testing.T) {
	take := said(t, server, `{"type":"page","messageId":"m1","userId":"u1"}`)
	ada.Given(at(now, "", customer.DeletionRequested{Reason: "gdpr-request", DeletionType: "anonymize"})...).When(t, take).Nothing()
	ada.Given(at(now, "", customer.DataDeleted{DeletionType: "anonymize"})...).When(t, take).Nothing()
}

func TestTheFirstProductBeginsACart(t *testing.T) {
	const added = `{"type":"track","messageId":"m1","userId":"u1","event":"Product Added","properties":{"cart_id":"k1","product_id":"p1","price":1}}`
	item := activity.ItemAddedToCart{CartID: "k1", ProductID: "p1", Quantity: 1, PriceMinor: 100, Currency: "USD"}
	for from, source := range map[string]ingest.Source{"web": browser, "mobile": {ID: "app", Kind: "mobile"}, "api": server} {
		ada.When(t, said(t, source, added)).Then(at(now, fingerprint(source, "m1"), cart.Created{CartID: "k1", Source: from}, item)...)
	}
}

const bought = `{"type":"track","messageId":"m1","userId":"u1","event":"Order Completed","properties":{"order_id":"o1","total":50,"currency":"TRY"}}`

var (
	placed = order.Placed{OrderID: "o1", TotalMinor: 5000, Currency: "TRY"}
	paid   = order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 5000, Currency: "TRY"}
	buyer  = segment.Added{SegmentID: segment.Buyers, SegmentName: "Satin Alan Musteriler", Source: "rule:first-payment"}
)

func TestAnOrderCountsOnce(t *testing.T) {
	ada.When(t, said(t, server, bought)).Then(at(now, fingerprint(server, "m1"), placed, paid, buyer)...)
	const same = `{"type":"track","messageId":"m2","userId":"u1","event":"Order Completed","properties":{"order_id":"o1","total":"50.0","currency":"TRY"}}`
	ada.When(t, said(t, server, bought, same)).Then(at(now, fingerprint(server, "m1"), placed, paid, buyer)...)
	const again = `{"type":"track","messageId":"m2","userId":"u1","event":"Order Completed","properties":{"order_id":"o1","total":70,"currency":"TRY"}}`
	ada.When(t, said(t, server, bought, again)).Fails(order.Contradicts)
	take := said(t, server, bought)
	take.Placed["o1"] = nil // in another stream
	ada.When(t, take).Nothing()
	left := placed // in this one, and so long ago that it left the state
	take.Placed["o1"] = &left
	ada.When(t, take).Nothing()
	left.TotalMinor++
	ada.When(t, take).Fails(order.Contradicts)
}

// TestAPaymentMadeElsewhere of an order that was placed here counts, though the order itself is stored already.
func TestAPaymentMadeElsewhere(t *testing.T) {
	waiting := ada.Given(at(now.Add(-time.Minute), "", placed)...)
	take := said(t, server, bought)
	take.Placed["o1"] = nil
	waiting.When(t, take).Then(at(now, fingerprint(server, "m1"), paid, buyer)...)
}

// TestP9_AReportOfAnOrderIsTheOrdersOwners: what a message reports of an order is one part of it, and what it says of who sent it the
// other.
func TestP9_AReportOfAnOrderIsTheOrdersOwners(t *testing.T) {
	const body = `{"type":"track","messageId":"m2","userId":"u1","anonymousId":"a1","event":"Order Cancelled","properties":{"order_id":"o1","reason":"late"}}`
	part := func(part intake.Part) intake.Take {
		take := said(t, server, body)
		take.Messages[0].Part = part
		return take
	}
	owner := ada.Given(at(now.Add(-time.Minute), "", placed, paid)...)
	owner.When(t, part(intake.OfOrder)).Then(at(now, fingerprint(server, "m2"), order.Cancelled{OrderID: "o1", Reason: "late"})...).Again().Nothing()
	ada.When(t, part(intake.Rest)).Then(at(now, fingerprint(server, "m2"), customer.VisitorLinked{VisitorID: "a1", LinkedAt: &minute})...).Again().Nothing()
	anybody.When(t, part(intake.Rest)).Then(at(now, fingerprint(server, "m2"), customer.Created{Source: "api"}, customer.VisitorLinked{VisitorID: "a1", LinkedAt: &minute})...)
	outcome := ada.When(t, part(intake.OfOrder))
	outcome.Fails("internal") // an order.PastError: nobody knows the order here
}

// TestP2_TwoRefundsInABatch: the items that the first gives back are not given back by the second.
func TestP2_TwoRefundsInABatch(t *testing.T) {
	two := order.Placed{OrderID: "o1", TotalMinor: 1001, Currency: "TRY", Items: []order.Line{{ProductID: "p1", Quantity: 2, PriceMinor: 500}}}
	whole := order.PaymentSucceeded{OrderID: "o1", PaymentID: "o1", AmountMinor: 1001, Currency: "TRY"}
	refund := func(id string) string {
		return `{"type":"track","messageId":"` + id + `","userId":"u1","event":"Order Refunded","properties":{"order_id":"o1","refund_id":"` + id + `","products":[{"product_id":"p1"}]}}`
	}
	take := said(t, server, refund("r1"), refund("r2"))
	take.Past = map[string]order.History{"o1": order.HistoryOf("o1", []eventstore.Event{{Data: two}, {Data: whole}})}
	back := func(id string, amount int64) any {
		return order.RefundCompleted{OrderID: "o1", RefundID: id, AmountMinor: amount, Currency: "TRY", Items: []order.RefundItem{{ProductID: "p1", Quantity: 1}}}
	}
	want := append(at(now, fingerprint(server, "r1"), back("r1", 501)), at(now, fingerprint(server, "r2"), back("r2", 500))...)
	ada.Given(at(now.Add(-time.Minute), "", two, whole)...).When(t, take).Then(want...)
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		event          string
		trusted        bool
		told, followUp bool
	}{
		{"Order Completed", true, true, false}, {"Order Cancelled", true, true, true}, {"Order Refunded", true, true, true}, {"Order Refund Failed", true, true, true},
		{"Order Cancelled", false, false, true}, {"Order Updated", true, false, false}, {"Product Viewed", true, false, false},
	} {
		m := said(t, server, `{"type":"track","userId":"u1","event":"`+c.event+`","properties":{"order_id":"o1","total":1,"product_id":"p1"}}`).Messages[0]
		report := intake.Report(m.Message, ingest.Source{Trusted: c.trusted})
		if (report != nil) != c.told || m.FollowsUp() != c.followUp || report != nil && report.Order() != "o1" {
			t.Errorf("%+v: %+v", c, report)
		}
	}
}

func granted(p consent.Purpose, c consent.Channel) any {
	expires := consent.Expiry(now.Add(-time.Hour))
	return consent.Granted{Purpose: p, Channel: c, ExpiresAt: &expires}
}

// TestWhatBecomesOfMessages: who complains or unsubscribes no longer consents, unless it happened before the consent was given.
func TestWhatBecomesOfMessages(t *testing.T) {
	agreed := ada.Given(at(now.Add(-time.Minute), "", granted(consent.Marketing, consent.Email))...)
	const unsubscribed = `{"type":"track","messageId":"m1","userId":"u1","event":"Unsubscribed","timestamp":"2026-03-01T11:00:00Z"}`
	gone := channel.Unsubscribed{Channel: "email"}
	agreed.When(t, said(t, server, `{"type":"track","messageId":"m1","userId":"u1","event":"Unsubscribed"}`)).
		Then(at(now, fingerprint(server, "m1"), gone, consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "unsubscribed"})...)
	agreed.When(t, said(t, server, unsubscribed)).Then(at(now.Add(-time.Hour), fingerprint(server, "m1"), gone)...)

	bounce := func(address string) intake.Take {
		return said(t, server, `{"type":"track","messageId":"m1","userId":"u1","event":"Email Bounced","properties":{"bounce_type":"hard","email":"`+address+`"}}`)
	}
	bounced := func(address string) any { return channel.Bounced{Channel: "email", Permanent: true, Address: address} }
	invalid := customer.EmailInvalidated{Reason: "bounced-permanent"}
	ada.When(t, bounce("")).Then(at(now, fingerprint(server, "m1"), bounced(""), invalid)...)
	ada.When(t, bounce("Ada@example.com")).Then(at(now, fingerprint(server, "m1"), bounced("Ada@example.com"), invalid)...)
	ada.When(t, bounce("grace@example.com")).Then(at(now, fingerprint(server, "m1"), bounced("grace@example.com"))...)
}

// TestP14_AnUnsubscriptionToldInWholeSeconds ends a consent of the same second: mail services count no smaller.
func TestP14_AnUnsubscriptionToldInWholeSeconds(t *testing.T) {
	second := now.Add(-time.Minute)
	agreed := ada.Given(at(second.Add(900*time.Millisecond), "", granted(consent.Marketing, consent.Email))...)
	gone := []any{channel.Unsubscribed{Channel: "email"}}
	revoked := consent.Revoked{Purpose: consent.Marketing, Channel: consent.Email, Reason: "unsubscribed"}
	for told, want := range map[string]struct {
		at     time.Time
		events []any
	}{
		fmt.Sprint(second.Unix()):                   {second, append(gone[:1:1], revoked)},
		fmt.Sprint(second.UnixMilli() + 500):        {second.Add(500 * time.Millisecond), gone},
		fmt.Sprint(second.Add(-time.Second).Unix()): {second.Add(-time.Second), gone},
	} {
		agreed.When(t, said(t, server, `{"type":"track","messageId":"m1","userId":"u1","event":"Unsubscribed","timestamp":`+told+`}`)).Then(at(want.at, fingerprint(server, "m1"), want.events...)...)
	}
}

// TestWhoseBehaviourIsKept: a refusal on record, then what the banner says, then a consent on record, then what the source
// assumes.
func TestWhoseBehaviourIsKept(t *testing.T) {
	page := func(choice string) string {
		return `{"type":"page","messageId":"m1","userId":"u1","context":{"consent":{"categoryPreferences":` + choice + `}}}`
	}
	const yes, no, unasked = `{"Analytics":true}`, `{"Analytics":false}`, `null`
	careful := browser
	careful.NeedConsent = true
	agreed := ada.Given(at(now.Add(-time.Minute), "", granted(consent.Analytics, consent.Push))...)
	refused := ada.Given(at(now.Add(-time.Minute), "", consent.Revoked{Purpose: consent.Analytics, Channel: consent.Push})...)
	for i, c := range []struct {
		of     storetest.Spec[intake.State, intake.Take, eventstore.New]
		source ingest.Source
		choice string
		kept   bool
	}{
		{ada, browser, unasked, true}, {ada, browser, no, false}, {ada, browser, `{}`, false}, {ada, careful, unasked, false}, {ada, careful, yes, true},
		{agreed, careful, unasked, true}, {agreed, careful, no, false}, {refused, browser, yes, false}, {refused, browser, unasked, false},
	} {
		t.Log(i)
		outcome := c.of.When(t, said(t, c.source, page(c.choice)))
		if c.kept {
			outcome.Then(at(now, fingerprint(browser, "m1"), activity.PageViewed{})...)
		} else {
			outcome.Nothing()
		}
	}
}

func TestABannersChoiceIsRecorded(t *testing.T) {
	choose := func(chosen string) intake.Take {
		take := said(t, browser, `{"type":"track","messageId":"m1","userId":"u1","event":"Segment Consent Preference Updated",
			"context":{"consent":{"categoryPreferences":{"Analytics":`+chosen+`}}}}`)
		take.Messages[0].Own = true
		return take
	}
	refused := consent.Revoked{Purpose: consent.Analytics, Channel: consent.Push, Reason: "customer-request"}
	ada.When(t, choose("false")).Then(at(now, fingerprint(browser, "m1"), refused)...)
	anybody.When(t, choose("false")).Then(at(now, fingerprint(browser, "m1"), customer.Created{Source: "web"}, refused)...)
	take := choose("false")
	take.Customer, take.Messages[0].Own = false, false
	anybody.When(t, take).Then(at(now, fingerprint(browser, "m1"), refused)...)
}

// TestS9_APagesBannerChangesNoCustomersRecord, in either direction: anybody can send it in anybody's name. It holds for the messages that it
// comes with, and for the browser.
func TestS9_APagesBannerChangesNoCustomersRecord(t *testing.T) {
	choose := func(source ingest.Source, chosen string) intake.Take {
		return said(t, source, `{"type":"track","messageId":"m1","userId":"u1","event":"Segment Consent Preference Updated",
			"context":{"consent":{"categoryPreferences":{"Analytics":`+chosen+`,"Marketing":`+chosen+`}}}}`)
	}
	agreed := append(known[:1:1], at(now.Add(-time.Minute), "", granted(consent.Analytics, consent.Push), granted(consent.Marketing, consent.Email))...)
	refused := append(known[:1:1], at(now.Add(-time.Minute), "", consent.Revoked{Purpose: consent.Analytics, Channel: consent.Push})...)
	never := []eventstore.New(nil)
	for _, c := range []struct {
		before            []eventstore.New
		source            ingest.Source
		own, visitor      bool
		chosen            string
		agrees, mayRecord bool
	}{
		{agreed, browser, false, false, "false", true, false}, {refused, browser, false, false, "true", false, false}, {never, browser, false, false, "false", false, false},
		{agreed, browser, true, false, "false", false, true}, {refused, browser, true, false, "true", true, true}, {refused, server, false, false, "true", true, true},
		{agreed, browser, false, true, "false", false, true}, {refused, browser, false, true, "true", true, true}, {never, browser, false, true, "false", false, true},
	} {
		take := choose(c.source, c.chosen)
		take.Customer, take.Messages[0].Own = !c.visitor, c.own
		before := intake.Decider.Fold(c.before...)
		events, silent, err := intake.Understand(before, take)
		if err != nil {
			t.Fatal(err)
		}
		recorded := false
		after := before
		for _, e := range events {
			recorded = recorded || strings.HasPrefix(fmt.Sprintf("%T", e.Data), "consent.")
			after = intake.Decider.Evolve(after, e)
			silent = append(silent, e.Notes...)
		}
		agrees, _ := after.Record.Consent.Stance(consent.Analytics, now)
		noted := slices.Contains(silent, "context.consent:untrusted")
		if agrees != c.agrees || recorded != c.mayRecord || noted == c.mayRecord {
			t.Errorf("%+v: agrees %v, recorded %v, noted %v", c, agrees, recorded, noted)
		}
		if was, is := before.Record.Consent.Allows(consent.Marketing, consent.Email, now), after.Record.Consent.Allows(consent.Marketing, consent.Email, now); was != is {
			t.Errorf("%+v: the consent to marketing is %v, was %v", c, is, was)
		}
	}
}

// TestP5_AChoiceThatNobodyKnowsWhen is taken of who was never asked, and undoes no refusal; a refusal always counts.
func TestP5_AChoiceThatNobodyKnowsWhen(t *testing.T) {
	choose := func(chosen string) intake.Take {
		return said(t, server, `{"type":"track","messageId":"m1","userId":"u1","event":"Segment Consent Preference Updated","timestamp":"some time ago",
			"context":{"consent":{"categoryPreferences":{"Analytics":`+chosen+`}}}}`)
	}
	created := at(now.Add(-time.Hour), "", customer.Created{Source: "web"})
	refused := append(created[:1:1], at(now.Add(-time.Minute), "", consent.Revoked{Purpose: consent.Analytics, Channel: consent.Push})...)
	agreed := append(created[:1:1], at(now.Add(-time.Minute), "", granted(consent.Analytics, consent.Push))...)
	for _, c := range []struct {
		before []eventstore.New
		chosen string
		want   string
	}{{created, "true", "consent.Granted"}, {refused, "true", ""}, {agreed, "false", "consent.Revoked"}} {
		events, err := intake.Decide(intake.Decider.Fold(c.before...), choose(c.chosen))
		if err != nil {
			t.Fatal(err)
		}
		recorded := ""
		for _, e := range events {
			if kind := fmt.Sprintf("%T", e.Data); strings.HasPrefix(kind, "consent.") {
				recorded = kind
			}
		}
		if recorded != c.want {
			t.Errorf("chosen %s: %q is recorded, want %q", c.chosen, recorded, c.want)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		m    ingest.Message
		want bool
	}{
		{ingest.Message{UserID: "u1"}, false}, {ingest.Message{UserID: "null"}, true}, {ingest.Message{UserID: "null", AnonymousID: "a1"}, false},
		{ingest.Message{Type: "alias", UserID: "u1", PreviousID: "undefined"}, true}, {ingest.Message{Type: "alias", UserID: "null", AnonymousID: "a1", PreviousID: "u0"}, true},
	} {
		if named, blocked := intake.Named(c.m, nil); blocked != c.want || named.UserID == "null" {
			t.Errorf("%+v: blocked %v, named %+v", c.m, blocked, named)
		}
	}
}
