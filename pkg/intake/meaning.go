package intake

import (
	"encoding/json"
	"slices"
	"time"

	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/ingest"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/segment"
)

// bannerChannel is the channel of browsers and apps; nothing is sent for analytics, which counts on any.
const bannerChannel = consent.Push

// meaning returns what a message, or its part, says that happened: events, and the reports of orders.
func meaning(c Take, s customer.State, m Message) ([]any, error) {
	if m.Part == OfOrder {
		return facts(c.Source, m), nil
	}
	if !c.Customer {
		if m.Type == "identify" || m.Type == "group" || m.Type == "alias" {
			return []any{activity.Identified{Traits: traits(m)}}, nil
		}
		return facts(c.Source, m), nil
	}
	if !c.Source.Trusted && !m.Own {
		return claimed(c, s, m)
	}
	if m.Type == "identify" {
		identify := ingest.Identify(m.Message, c.Source, m.ExternalID, m.Visitor)
		if email, err := customer.NormalEmail(identify.Email); err == nil {
			identify.EmailTaken = c.EmailsTaken[email]
		}
		return customer.Decide(s, identify)
	}
	events, err := heardOf(c.Source, s, m)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		s = customer.Evolve(s, e, m.OccurredAt)
	}
	more, err := customer.Decide(s, customer.LinkVisitor{VisitorID: m.Visitor, At: m.OccurredAt})
	if err != nil {
		return nil, err
	}
	events = append(events, more...)
	switch m.Type {
	case "alias":
		if !c.Source.Trusted { // that another customer is theirs too is for us to say
			more, err = customer.Decide(s, customer.LinkVisitor{VisitorID: m.Previous, At: m.OccurredAt})
			break
		}
		more, err = customer.Decide(s, customer.Alias{PreviousID: m.Previous, At: m.OccurredAt})
	case "group":
		more, err = customer.Decide(s, customer.JoinGroup{GroupID: m.GroupID, Traits: traits(m)})
	default:
		more = facts(c.Source, m)
	}
	return append(events, more...), err
}

// claimed is what a message means that came with a write key that everybody can read, and without the customer's own token: it
// tells what was done, and who a visitor is. What it says about the customer is kept as claimed.
func claimed(c Take, s customer.State, m Message) ([]any, error) {
	from := ingest.Identify(m.Message, c.Source, m.ExternalID, "")
	claim := customer.Claim{Source: from.Source, ExternalID: m.ExternalID, At: m.OccurredAt}
	visitor := m.Visitor
	switch m.Type {
	case "identify":
		claim.Traits, claim.IPAddress, claim.UserAgent = traits(m), from.IPAddress, from.UserAgent
	case "group":
		claim.Traits, claim.GroupID = traits(m), m.GroupID
	case "alias":
		visitor = m.Previous
	}
	events, err := customer.Decide(s, claim)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		s = customer.Evolve(s, e, m.OccurredAt)
	}
	for _, id := range []string{m.Visitor, visitor} {
		more, err := customer.Decide(s, customer.LinkVisitor{VisitorID: id, At: m.OccurredAt, Public: true})
		if err != nil {
			return nil, err
		}
		for _, e := range more {
			s = customer.Evolve(s, e, m.OccurredAt)
		}
		events = append(events, more...)
	}
	if m.Type == "identify" || m.Type == "group" || m.Type == "alias" {
		return events, nil
	}
	return append(events, facts(c.Source, m)...), nil
}

// facts are what a track, page or screen message says that happened, as far as it is in the message's part.
func facts(source ingest.Source, m Message) []any {
	return slices.DeleteFunc(ingest.Facts(m.Message, source), func(fact any) bool {
		_, ofOrder := fact.(order.Report)
		return m.Part == OfOrder && !ofOrder || m.Part == Rest && ofOrder
	})
}

// heardOf makes a customer of whom nothing is known yet.
func heardOf(source ingest.Source, s customer.State, m Message) ([]any, error) {
	if s.Status != customer.StatusNone {
		return nil, nil
	}
	return customer.Decide(s, customer.Identify{Source: ingest.Identify(m.Message, source, "", "").Source, ExternalID: m.ExternalID, At: m.OccurredAt})
}

// chosen is what a banner says was chosen about analytics, as events (ADR 27). A refusal is recorded of anybody, since it
// must be kept to; a consent has a term, and may have ended by the time that it is told.
func chosen(c Take, s record.State, m Message) ([]any, error) {
	granted, told := ingest.Chosen(m.Message)
	agrees, asked := s.Consent.Stance(consent.Analytics, c.Now)
	if told && granted && asked && !agrees && !c.Source.Trusted && !m.Own { // a page's word does not undo a refusal: anybody can say it
		return nil, nil
	}
	if !told || granted && (s.Customer.Status == customer.StatusDeactivated || !consent.Expiry(m.OccurredAt).After(c.Now)) {
		return nil, nil
	}
	from := ingest.Identify(m.Message, c.Source, "", "")
	if !c.Source.Trusted { // a page can claim any address; the connection's is a proof
		from.IPAddress = m.Origin.IP
	}
	choice, err := consent.Decide(s.Consent, consent.Choose{
		Purpose: consent.Analytics, Granted: granted, Channel: bannerChannel, At: m.OccurredAt,
		Proof: consent.Proof{Method: "consent-banner", IPAddress: from.IPAddress, UserAgent: from.UserAgent, Language: m.Context.Locale[:min(len(m.Context.Locale), 35)], Controller: c.Controller},
	})
	if err != nil || len(choice) == 0 || !c.Customer {
		return choice, err
	}
	created, err := heardOf(c.Source, s.Customer, m)
	return append(created, choice...), err
}

// begun is the events, and before one that puts the first product into a cart that the cart is begun.
func begun(s record.State, events []any, source ingest.Source, at time.Time) []any {
	for i, event := range events {
		id, begins := s.Cart.Begins(event, at)
		if !begins {
			continue
		}
		from, ok := map[string]string{"browser": "web", "mobile": "mobile"}[source.Kind]
		if !ok {
			from = "api"
		}
		return slices.Insert(slices.Clone(events), i, any(cart.Created{CartID: id, Source: from}))
	}
	return events
}

// Consequences are what follows from what became of messages: who complains or unsubscribes no longer consents, and an
// address that takes no mail is not written to again. What happened before a consent was given or renewed does not end it, and a
// bounce of another address says nothing about this one.
func Consequences(s record.State, events []any, at time.Time) []any {
	var follow []any
	revoke := func(on, reason string) {
		current := s.Consent.Current[consent.Key(consent.Marketing, consent.Channel(on))]
		given := current.GrantedAt
		if current.RenewedAt != nil {
			given = *current.RenewedAt
		}
		if current.Status == consent.StatusActive && !at.Before(given) {
			follow = append(follow, consent.Revoked{Purpose: consent.Marketing, Channel: consent.Channel(on), Reason: reason})
		}
	}
	for _, event := range events {
		switch e := event.(type) {
		case order.PaymentSucceeded:
			more, _ := segment.Decide(s.Segment, segment.Paid{}) // knows no error
			follow = append(follow, more...)
		case channel.Complained:
			revoke(e.Channel, "complaint")
		case channel.Unsubscribed:
			revoke(e.Channel, "unsubscribed")
		case channel.Bounced:
			address, err := customer.NormalEmail(e.Address)
			if e.Permanent && s.Customer.Email != "" && !s.Customer.EmailInvalid && (e.Address == "" || err == nil && address == s.Customer.Email) {
				follow = append(follow, customer.EmailInvalidated{Reason: "bounced-permanent"})
			}
		}
	}
	return follow
}

// traits are a message's traits, but for those whose numbers are out of every range.
func traits(m Message) map[string]any {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(m.Traits, &members) // it is an object, null or absent
	known := make(map[string]any, len(members))
	for name, raw := range members {
		var value any
		if json.Unmarshal(raw, &value) == nil {
			known[name] = value
		}
	}
	if len(known) == 0 {
		return nil
	}
	return known
}
