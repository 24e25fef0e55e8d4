package app

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"defter/pkg/activity"
	"defter/pkg/cart"
	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/identity"
	"defter/pkg/ingest"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/segment"
	"defter/pkg/view"
)

const (
	ingestWorkers  = 8
	ingestAttempts = 30  // of a commit that others overtake: a fact is always accepted
	commitMessages = 200 // of one customer, before the next commit
	commitBytes    = 200_000
	commitClaims   = 40           // orders and identities: each takes up to two claims, of eventstore.MaxClaims
	bannerChannel  = consent.Push // the channel of browsers and apps; nothing is sent for analytics, which counts on any
)

// incoming is a message on its way into a stream.
type incoming struct {
	ingest.Message
	fingerprint string
	externalID  string // the user id as given, where the stream's id hides it
	visitor     string // the stream id of the anonymous visitor, "" for none
	previous    string // likewise of an alias's previous id
}

// ingest stores what was parsed: the messages of each stream in their order, different streams side by side.
func (a *App) ingest(ctx context.Context, c *Call, source ingest.Source, parsed ingest.Request, now time.Time) error {
	streams := map[string][]incoming{}
	var names []string
	from := "" // of a server's messages each has its own
	if !source.Trusted {
		from = c.SourceIP
	}
	for i, m := range parsed.Messages {
		m.Origin.IP = from
		reason := source.Refuses(m)
		known, blocked := withoutPlaceholders(m)
		if blocked && reason == "" {
			reason = "the ids are placeholders, such as null"
		}
		if m = known; reason != "" {
			parsed.Rejected = append(parsed.Rejected, ingest.Rejected{Raw: m.Raw, Reason: reason, Origin: m.Origin})
			continue
		}
		if m.Context.IP == "" {
			m.Context.IP = from
		}
		in := incoming{Message: m}
		id := m.MessageID
		switch {
		case id != "":
		case c.key != "":
			id = c.key + "#" + strconv.Itoa(i)
		default:
			id = a.NewID()
		}
		in.fingerprint = ingest.Fingerprint(source.ID, id)
		stream, err := a.route(ctx, &in)
		if err != nil {
			return err
		}
		if streams[stream] == nil {
			names = append(names, stream)
		}
		streams[stream] = append(streams[stream], in)
	}
	for _, rejected := range parsed.Rejected {
		rejected.Origin.IP = from
		stream, err := a.senderOf(ctx, rejected.Raw)
		if err != nil {
			return err
		}
		if err := a.quarantineMessage(ctx, source, stream, rejected, now); err != nil {
			return err
		}
	}
	errs := make([]error, len(names))
	if len(names) == 1 {
		return a.take(ctx, c, source, names[0], streams[names[0]])
	}
	var group sync.WaitGroup
	turns := make(chan struct{}, ingestWorkers)
	for i, name := range names {
		group.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; group.Done() }()
			errs[i] = a.take(ctx, c, source, name, streams[name])
		}()
	}
	group.Wait()
	return errors.Join(errs...)
}

// withoutPlaceholders is the message without ids that stand for none, blocked if nobody is left who it is about.
func withoutPlaceholders(m ingest.Message) (known ingest.Message, blocked bool) {
	if m.UserID != "" && identity.Blocked(m.UserID) {
		m.UserID = ""
	}
	if m.AnonymousID != "" && identity.Blocked(m.AnonymousID) {
		m.AnonymousID = ""
	}
	return m, m.UserID == "" && m.AnonymousID == "" || m.Type == "alias" && (m.UserID == "" || identity.Blocked(m.PreviousID))
}

// route names the stream that a message belongs to: the customer's, or the anonymous visitor's.
func (a *App) route(ctx context.Context, in *incoming) (string, error) {
	if in.AnonymousID != "" {
		id, _, err := a.resolve(ctx, in.AnonymousID)
		if err != nil {
			return "", err
		}
		in.visitor = id
	}
	if in.PreviousID != "" {
		id, _, err := a.resolve(ctx, in.PreviousID)
		if err != nil {
			return "", err
		}
		in.previous = id
	}
	if in.GroupID != "" {
		id, _, err := a.resolve(ctx, in.GroupID)
		if err != nil {
			return "", err
		}
		in.GroupID = id
	}
	if in.UserID == "" {
		return view.VisitorStream(in.visitor), nil
	}
	id, hidden, err := a.resolve(ctx, in.UserID)
	if hidden {
		in.externalID = in.UserID
	}
	return view.CustomerStream(id), err
}

// takeOne stores one message by itself.
func (a *App) takeOne(ctx context.Context, c *Call, source ingest.Source, m ingest.Message) error {
	in := incoming{Message: m, fingerprint: ingest.Fingerprint(source.ID, m.MessageID)}
	stream, err := a.route(ctx, &in)
	if err != nil {
		return err
	}
	return a.takeAll(ctx, c, source, stream, []incoming{in})
}

// take stores one stream's messages, in as many commits as they need.
func (a *App) take(ctx context.Context, c *Call, source ingest.Source, stream string, messages []incoming) error {
	for len(messages) > 0 {
		n := min(len(messages), commitMessages)
		err := a.gate.pass(ctx, stream, c.Actor+"#"+correlation(c), messages[:n], func(ctx context.Context, shared []incoming) error {
			return a.takeSome(ctx, c, source, stream, shared)
		})
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// takeSome stores messages, in one commit if they fit one, else halved. So is one found that does not fit its schema: it
// is quarantined.
func (a *App) takeSome(ctx context.Context, c *Call, source ingest.Source, stream string, messages []incoming) error {
	if len(messages) == 1 || oneCommit(messages) {
		err := a.takeAll(ctx, c, source, stream, messages)
		if fault.KindOf(err) != fault.Invalid {
			return err
		}
		if len(messages) == 1 {
			return a.quarantineMessage(ctx, source, stream, ingest.Rejected{Raw: messages[0].Raw, Reason: err.Error(), Origin: messages[0].Origin}, a.Now())
		}
	}
	half := len(messages) / 2
	return errors.Join(a.takeSome(ctx, c, source, stream, messages[:half]), a.takeSome(ctx, c, source, stream, messages[half:]))
}

// oneCommit says whether messages are few enough for one commit.
func oneCommit(messages []incoming) bool {
	size, claims := 0, 0
	for _, m := range messages {
		size += len(m.Raw) + 400
		if m.Type == "identify" || strings.HasPrefix(m.Event, "Order ") {
			claims++
		}
	}
	return size <= commitBytes && claims <= commitClaims
}

func (a *App) takeAll(ctx context.Context, c *Call, source ingest.Source, stream string, messages []incoming) error {
	known := map[string]bool{} // orders that are stored already
	emailsTaken := map[string]bool{}
	command := eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold, ingest.SeenFold}, Attempts: ingestAttempts,
		Meta: eventstore.Meta{Actor: c.Actor, Source: source.Kind, CorrelationID: correlation(c)},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			return a.decideIntake(ctx, stream, source, h, messages, known, emailsTaken)
		},
	}
	for range 2*len(messages) + 1 { // each try more finds out about one claim that is taken
		_, _, err := a.Log.Handle(ctx, command)
		taken, ok := errors.AsType[*eventstore.TakenError](err)
		switch {
		case emailTaken(err):
			emailsTaken[taken.Key] = true
		case ok:
			known[taken.Key] = true
		case fault.SlugOf(err) == "customer-erased":
			return nil // suppressed: accepted and not stored
		case err != nil && fault.KindOf(err) == fault.Conflict:
			return fault.Because(err, fault.Busy, "busy", "try again")
		default:
			return err
		}
	}
	return fault.New(fault.Busy, "busy", "try again")
}

// decideIntake turns messages into events on a stream as it stands. It may be called again on a newer one.
func (a *App) decideIntake(ctx context.Context, stream string, source ingest.Source, h *eventstore.Head, messages []incoming, known, emailsTaken map[string]bool) (eventstore.Decision, error) {
	var d eventstore.Decision
	s, seen := record.Fold.Of(h), ingest.SeenFold.Of(h)
	if s.Customer.Status == customer.StatusErased || s.Customer.Status == customer.StatusErasing {
		return d, nil
	}
	_, isCustomer := view.CustomerID(stream)
	inBatch := map[string]bool{}
	for _, m := range messages {
		if inBatch[m.fingerprint] || seen.Has(m.fingerprint) {
			continue
		}
		inBatch[m.fingerprint] = true
		choice, err := chosen(isCustomer, source, s, m, h.Now)
		if err != nil {
			return d, err
		}
		for _, event := range choice {
			s = record.Evolve(s, eventstore.Event{Data: event, OccurredAt: m.OccurredAt, RecordedAt: h.Now})
			d.Events = append(d.Events, eventstore.New{Data: event, OccurredAt: m.OccurredAt, Message: m.fingerprint})
		}
		if ingest.Behaviour(m.Message, source) && !mayAnalyse(s.Consent, m.Message, source, h.Now) {
			continue // accepted and not kept
		}
		data, err := a.meaning(ctx, isCustomer, source, s.Customer, m, emailsTaken)
		if err != nil {
			return d, err
		}
		data = begun(s, data, source, m.OccurredAt)
		claims := a.orderClaims(h, len(d.Events), data)
		if slices.ContainsFunc(claims, func(c eventstore.Claim) bool { return known[c.Key] || slices.ContainsFunc(d.Claims, holds(c.Key)) }) {
			// It is stored already, by another message or by a command: what else the message says still counts.
			data, claims = slices.DeleteFunc(data, func(event any) bool { return order.EventOrder(event) != "" && !pays(s.Order, event) }), nil
		}
		d.Claims = append(d.Claims, claims...)
		data = append(data, consequences(s, data, m.OccurredAt)...)
		for _, event := range data {
			s = record.Evolve(s, eventstore.Event{Data: event, OccurredAt: m.OccurredAt, RecordedAt: h.Now})
			d.Events = append(d.Events, eventstore.New{Data: event, OccurredAt: m.OccurredAt, Message: m.fingerprint})
		}
		emails, err := a.emailClaims(ctx, stream, data)
		if err != nil {
			return d, err
		}
		d.Claims = mergeClaims(d.Claims, emails)
	}
	return d, nil
}

// mayAnalyse says whether somebody's behaviour may be kept. A refusal that is on record counts before what a banner says,
// which anybody's page may report; then the banner, then the consent, then what the source assumes of who was never asked.
func mayAnalyse(s consent.State, m ingest.Message, source ingest.Source, at time.Time) bool {
	agrees, asked := s.Stance(consent.Analytics, at)
	if asked && !agrees {
		return false
	}
	if granted, told := m.Context.Consent.Analytics(); told {
		return granted
	}
	return agrees || !source.NeedConsent
}

// pays says whether an event is the payment, made elsewhere, of an order that was placed here and waits for one.
func pays(s order.State, event any) bool {
	e, ok := event.(order.PaymentSucceeded)
	o, known := s.Order(e.OrderID)
	return ok && known && o.Currency == e.Currency && (o.Status == order.PendingPayment || o.Status == order.PaymentIsLost) && !o.Payment.UnderWay()
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

// consequences are what follows from what became of messages: who complains or unsubscribes no longer consents, and an
// address that takes no mail is not written to again. What happened before a consent was given or renewed does not end it, and a
// bounce of another address says nothing about this one.
func consequences(s record.State, events []any, at time.Time) []any {
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

// counted are the claims on what an event says and must count once: an order, its end, a refund by each id it is known by.
func counted(event any) (claims []string) {
	switch e := event.(type) {
	case order.Placed:
		return []string{orderClaim(e.OrderID)}
	case order.Cancelled:
		return []string{"UNIQUE#cancelled-order#" + e.OrderID}
	case order.RefundCompleted:
		for _, id := range []string{e.RefundID, e.TransactionID} {
			if id != "" {
				claims = append(claims, "UNIQUE#refund#"+e.OrderID+"#"+id)
			}
		}
	}
	return claims
}

func holds(key string) func(eventstore.Claim) bool {
	return func(c eventstore.Claim) bool { return c.Key == key }
}

// mergeClaims adds claims; of two on the same key the later counts.
func mergeClaims(claims, more []eventstore.Claim) []eventstore.Claim {
	for _, claim := range more {
		claims = slices.DeleteFunc(claims, holds(claim.Key))
		claims = append(claims, claim)
	}
	return claims
}

// meaning returns the events that a message stands for.
func (a *App) meaning(ctx context.Context, isCustomer bool, source ingest.Source, s customer.State, m incoming, emailsTaken map[string]bool) ([]any, error) {
	if !isCustomer {
		if m.Type == "identify" || m.Type == "group" || m.Type == "alias" {
			return []any{activity.Identified{Traits: traits(m)}}, nil
		}
		return ingest.Facts(m.Message, source), nil
	}
	identify := ingest.Identify(m.Message, source, m.externalID, m.visitor)
	switch m.Type {
	case "identify":
		if email, err := customer.NormalEmail(identify.Email); err == nil {
			key, err := a.emailKey(ctx, email)
			if err != nil {
				return nil, err
			}
			identify.EmailTaken = emailsTaken[key]
		}
		return customer.Decide(s, identify)
	default:
		events, err := heardOf(source, s, m)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			s = customer.Evolve(s, e, m.OccurredAt)
		}
		more, err := customer.Decide(s, customer.LinkVisitor{VisitorID: m.visitor, At: m.OccurredAt})
		if err != nil {
			return nil, err
		}
		events = append(events, more...)
		switch m.Type {
		case "alias":
			if source.Trusted {
				more, err = customer.Decide(s, customer.Alias{PreviousID: m.previous, At: m.OccurredAt})
			} else { // who knows a public key can say who a visitor is, and not that another customer is theirs
				more, err = customer.Decide(s, customer.LinkVisitor{VisitorID: m.previous, At: m.OccurredAt})
			}
		case "group":
			more, err = customer.Decide(s, customer.JoinGroup{GroupID: m.GroupID, Traits: traits(m)})
		default:
			more, err = ingest.Facts(m.Message, source), nil
		}
		return append(events, more...), err
	}
}

// heardOf makes a customer of whom nothing is known yet.
func heardOf(source ingest.Source, s customer.State, m incoming) ([]any, error) {
	if s.Status != customer.StatusNone {
		return nil, nil
	}
	return customer.Decide(s, customer.Identify{Source: ingest.Identify(m.Message, source, "", "").Source, ExternalID: m.externalID, At: m.OccurredAt})
}

// chosen is what a banner says was chosen about analytics, as events (ADR 27). A refusal is recorded of anybody, since it
// must be kept to; a consent has a term, and may have ended by the time that it is told.
func chosen(isCustomer bool, source ingest.Source, s record.State, m incoming, now time.Time) ([]any, error) {
	granted, told := ingest.Chosen(m.Message)
	if !told || granted && (s.Customer.Status == customer.StatusDeactivated || !consent.Expiry(m.OccurredAt).After(now)) {
		return nil, nil
	}
	from := ingest.Identify(m.Message, source, "", "")
	choice, err := consent.Decide(s.Consent, consent.Choose{
		Purpose: consent.Analytics, Granted: granted, Channel: bannerChannel, Method: "consent-banner", IPAddress: from.IPAddress, UserAgent: from.UserAgent,
		At: m.OccurredAt,
	})
	if err != nil || len(choice) == 0 || !isCustomer {
		return choice, err
	}
	created, err := heardOf(source, s.Customer, m)
	return append(created, choice...), err
}

// traits are a message's traits, but for those whose numbers are out of every range.
func traits(m incoming) map[string]any {
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

// senderOf names the stream of a message that cannot be understood whole, the system's own where nobody is named.
func (a *App) senderOf(ctx context.Context, raw json.RawMessage) (string, error) {
	var in incoming
	in.UserID, in.AnonymousID = ingest.Sender(raw)
	in.Message, _ = withoutPlaceholders(in.Message)
	if n := max(len(in.UserID), len(in.AnonymousID)); n == 0 || n > ingest.MaxID {
		return quarantineOwner, nil
	}
	return a.route(ctx, &in)
}
