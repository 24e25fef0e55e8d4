package intake

import (
	"slices"
	"time"

	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/foreign"
	"defter/pkg/ingest"
	"defter/pkg/mailbox"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/segment"
)

// bannerChannel is the channel of browsers and apps; nothing is sent for analytics, which counts on any.
const bannerChannel = consent.Push

// meaning returns what a message, or its part, says that happened: events, and the reports of orders. unread are notes of what could
// not be read of it.
func meaning(c Take, s customer.State, m Message) (events []any, unread []string, err error) {
	switch {
	case m.Part == OfOrder:
		events, unread = facts(c.Source, m)
		return events, unread, nil
	case !c.Customer && !c.Source.Trusted && (m.Type == "identify" || m.Type == "group" || m.Type == "alias"):
		return claimedOfVisitor(s, m)
	case !c.Customer && (m.Type == "identify" || m.Type == "group" || m.Type == "alias"):
		traits, unread := ingest.Traits(m.Message)
		return []any{activity.Identified{Traits: traits}}, unread, nil
	case !c.Customer:
		events, unread = facts(c.Source, m)
		return events, unread, nil
	case !c.Source.Trusted && !m.Own:
		return claimed(c, s, m)
	case m.Type == "identify":
		return identified(c, s, m)
	}
	if events, err = heardOf(c.Source, s, m); err != nil {
		return nil, nil, err
	}
	for _, e := range events {
		s = customer.Evolve(s, e, m.OccurredAt)
	}
	public := !c.Source.Trusted // a customer's own token proves who they are, and not which visitor they were
	more, err := customer.Decide(s, customer.LinkVisitor{VisitorID: m.Visitor, At: m.OccurredAt, Public: public})
	if err != nil {
		return nil, nil, err
	}
	events = append(events, more...)
	switch m.Type {
	case "alias":
		if public { // that another customer is theirs too is for us to say
			more, err = customer.Decide(s, customer.LinkVisitor{VisitorID: m.Previous, At: m.OccurredAt, Public: public})
			break
		}
		more, err = customer.Decide(s, customer.Alias{PreviousID: m.Previous, At: m.OccurredAt})
	case "group":
		group := customer.JoinGroup{GroupID: m.GroupID}
		group.Traits, unread = ingest.Traits(m.Message)
		more, err = customer.Decide(s, group)
	default:
		more, unread = facts(c.Source, m)
	}
	return append(events, more...), unread, err
}

// identified is what somebody whose word counts says of a customer.
func identified(c Take, s customer.State, m Message) (events []any, unread []string, err error) {
	identify, unread := ingest.Identify(m.Message, c.Source, m.ExternalID, m.Visitor)
	identify.Public = !c.Source.Trusted
	if email := identify.Email; !c.Source.Trusted && email != "" && !mailbox.Same(email, m.OwnEmail) && !mailbox.Same(email, s.Email) {
		// A token proves who somebody is, and not that any address is theirs: it would be kept from whose it is.
		identify.Email = ""
		unread = append(unread, "traits.email:"+foreign.Unverified)
		claim := claimOf(c.Source, m)
		claim.Traits, claim.IPAddress, claim.UserAgent = map[string]any{"email": email}, m.Context.IP, m.Context.UserAgent
		if events, err = customer.Decide(s, claim); err != nil {
			return nil, nil, err
		}
		for _, e := range events {
			s = customer.Evolve(s, e, m.OccurredAt)
		}
	}
	if email, err := customer.NormalEmail(identify.Email); err == nil && c.EmailsTaken[email] {
		identify.EmailTaken = true
		unread = append(unread, "traits.email:"+foreign.Taken)
	}
	more, beyond, err := customer.Hear(s, identify)
	return append(events, more...), noRoom(unread, beyond), err
}

// noRoom adds to the notes of what was not read that there was no room for some of it.
func noRoom(unread []string, beyond bool) []string {
	if beyond {
		unread = append(unread, "traits:"+foreign.TooMany)
	}
	return unread
}

// claimed is what a message means that came with a write key that everybody can read, and without the customer's own token: it
// tells what was done, and who a visitor is. What it says about the customer is kept as claimed.
func claimed(c Take, s customer.State, m Message) (events []any, unread []string, err error) {
	claim := claimOf(c.Source, m)
	visitor := m.Visitor
	switch m.Type {
	case "identify":
		claim.Traits, unread = ingest.Traits(m.Message)
		claim.IPAddress, claim.UserAgent = m.Context.IP, m.Context.UserAgent
	case "group":
		claim.Traits, unread = ingest.Traits(m.Message)
		claim.GroupID = m.GroupID
	case "alias":
		visitor = m.Previous
	}
	events, beyond, err := customer.Hear(s, claim)
	if err != nil {
		return nil, nil, err
	}
	unread = noRoom(unread, beyond)
	for _, e := range events {
		s = customer.Evolve(s, e, m.OccurredAt)
	}
	for _, id := range []string{m.Visitor, visitor} {
		more, err := customer.Decide(s, customer.LinkVisitor{VisitorID: id, At: m.OccurredAt, Public: true})
		if err != nil {
			return nil, nil, err
		}
		for _, e := range more {
			s = customer.Evolve(s, e, m.OccurredAt)
		}
		events = append(events, more...)
	}
	if m.Type == "identify" || m.Type == "group" || m.Type == "alias" {
		return events, unread, nil
	}
	done, unread := facts(c.Source, m)
	return append(events, done...), unread, nil
}

// claimOf is a claim of what a message says, without what that is.
func claimOf(source ingest.Source, m Message) customer.Claim {
	claim := customer.Claim{Source: heardFrom(source), ExternalID: m.ExternalID, At: m.OccurredAt}
	if m.Undated { // whatever was claimed at a known time counts more
		claim.At = time.Time{}
	}
	return claim
}

// claimedOfVisitor is what a page or an app says of a visitor, kept as claimed like what it says of a customer: the visitor may turn out to be one.
func claimedOfVisitor(s customer.State, m Message) (events []any, unread []string, err error) {
	claim := customer.Claim{Visitor: true, At: m.OccurredAt}
	if m.Undated {
		claim.At = time.Time{}
	}
	claim.Traits, unread = ingest.Traits(m.Message)
	events, beyond, err := customer.Hear(s, claim)
	if len(events) == 0 && err == nil {
		events = []any{activity.Identified{}}
	}
	return events, noRoom(unread, beyond), err
}

// facts are what a track, page or screen message says that happened, as far as it is in the message's part.
func facts(source ingest.Source, m Message) (events []any, unread []string) {
	events, unread = ingest.Facts(m.Message, source)
	for i, fact := range events {
		if placed, ok := fact.(order.ReportPlaced); ok {
			placed.Another = m.Another
			events[i] = placed
		}
	}
	return slices.DeleteFunc(events, func(fact any) bool {
		_, ofOrder := fact.(order.Report)
		return m.Part == OfOrder && !ofOrder || m.Part == Rest && ofOrder
	}), unread
}

// heardFrom is where somebody was heard of.
func heardFrom(source ingest.Source) string {
	if source.Trusted {
		return "api"
	}
	return "web"
}

// heardOf makes a customer of whom nothing is known yet.
func heardOf(source ingest.Source, s customer.State, m Message) ([]any, error) {
	if s.Status != customer.StatusNone {
		return nil, nil
	}
	return customer.Decide(s, customer.Identify{Source: heardFrom(source), ExternalID: m.ExternalID, At: m.OccurredAt})
}

// OfBrowser says whether a message is a page's or an app's word on what was chosen in its banner. That holds for the browser, and is no
// word of the customer's whom it names: anybody can send it, in anybody's name (ADR 38).
func (m Message) OfBrowser(source ingest.Source) bool {
	return !source.Trusted && !m.Own && ingest.TellsChoice(m.Message)
}

// chosen is what a banner says was chosen about analytics, as events (ADR 27). A refusal is recorded also of somebody who was never
// asked, since it must be kept to; a consent has a term, and may have ended by the time that it is told. One that was given nobody knows
// when may be older than what is on record. A page's word on a customer changes nothing on record, in either direction.
func chosen(c Take, s record.State, m Message) ([]any, error) {
	granted, told := ingest.Chosen(m.Message)
	_, asked := s.Consent.Stance(consent.Analytics, c.Now)
	if !told || c.Customer && m.OfBrowser(c.Source) || granted && (s.Customer.Status == customer.StatusDeactivated || !consent.Expiry(m.OccurredAt).After(c.Now) || asked && m.Undated) {
		return nil, nil
	}
	ip := m.Context.IP
	if !c.Source.Trusted { // a page can claim any address; the connection's is a proof
		ip = m.Origin.IP
	}
	choice, err := consent.Decide(s.Consent, consent.Choose{
		Purpose: consent.Analytics, Granted: granted, Channel: bannerChannel, At: m.OccurredAt,
		Proof: consent.Proof{Method: "consent-banner", IPAddress: ip, UserAgent: m.Context.UserAgent, Language: m.Context.Locale, Controller: c.Controller},
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
// address that takes no mail is not written to again. What happened before a consent was given or renewed does not end it, unless it
// is told in whole seconds and the consent is of the same one; and a bounce of another address says nothing about this one.
func Consequences(s record.State, events []any, at time.Time) []any {
	var follow []any
	revoke := func(on, reason string) {
		current := s.Consent.Current[consent.Key(consent.Marketing, consent.Channel(on))]
		given := current.GrantedAt
		if current.RenewedAt != nil {
			given = *current.RenewedAt
		}
		if current.Status == consent.StatusActive && !foreign.Reach(at).Before(given) {
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
			if e.Permanent && s.Customer.Email != "" && !s.Customer.EmailInvalid && (e.Address == "" || mailbox.Same(e.Address, s.Customer.Email)) {
				follow = append(follow, customer.EmailInvalidated{Reason: "bounced-permanent"})
			}
		}
	}
	return follow
}
