package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/intake"
	"defter/pkg/metric"
	"defter/pkg/order"
	"defter/pkg/record"
	"defter/pkg/view"
)

const (
	maxAside       = 50 // messages of one request that are quarantined; more are counted
	ingestWorkers  = 8
	commitMessages = 200 // of one customer, before the next commit
	commitBytes    = 200_000
	commitClaims   = 40 // orders and identities: each takes up to two claims, of eventstore.MaxClaims
)

// pastRoutes take what happened long ago: dated by its arrival it would be wrong for good.
var pastRoutes = []string{"/v1/import", "/internal/v1/replay"}

// ingest stores what was parsed: the messages of each stream in their order, different streams side by side, and then what is told of
// orders, which must be known by then.
func (a *App) ingest(ctx context.Context, c *Call, source ingest.Source, parsed ingest.Request, now time.Time) error {
	var messages streams
	var reports []report
	own := &owners{tokens: a.Tokens, header: c.Header["x-user-token"]}
	from := "" // of a server's messages each has its own
	if !source.Trusted {
		from = c.SourceIP
	}
	var doubtful []ingest.Rejected
	for i, m := range parsed.Messages {
		m.Origin.IP = from
		m, told, reason := a.refused(source, m)
		if reason == "" && m.Undated && slices.Contains(pastRoutes, c.Path) {
			reason = "the time of something past cannot be read"
		}
		if reason != "" {
			parsed.Rejected = append(parsed.Rejected, ingest.Rejected{Raw: m.Raw, Reason: reason, Origin: m.Origin})
			continue
		}
		if doubt := ingest.Doubt(m, source); doubt != "" {
			doubtful = append(doubtful, ingest.Rejected{Raw: m.Raw, Reason: doubt, Origin: m.Origin, Taken: true})
		}
		if m.Context.IP == "" {
			m.Context.IP = from
		}
		switch {
		case m.MessageID != "" && !a.Settings.Placeholders.Blocks(m.MessageID): // "undefined" would make one of all messages
		case c.key != "":
			m.MessageID = c.key + "#" + strconv.Itoa(i)
		default:
			m.MessageID = a.NewID()
		}
		in := intake.Message{Message: m, Fingerprint: ingest.Fingerprint(source.ID, m.MessageID)}
		var err error
		if in.Own, in.OwnEmail, err = own.says(ctx, in.Message); err != nil {
			return err
		}
		if in.AnonymousID != "" && in.OfBrowser(source) {
			in.UserID = ""
		}
		stream, err := a.route(ctx, &in)
		if err != nil {
			return err
		}
		if told != nil && in.FollowsUp() {
			reports = append(reports, reportOf(source, told.Order(), stream, in))
		} else {
			messages.add(stream, in)
		}
	}
	if more := len(parsed.Rejected) - maxAside; more > 0 {
		slog.WarnContext(ctx, "events dropped", metric.Count(metric.EventsDropped, more), "source", source.ID, "reason", "more than "+strconv.Itoa(maxAside)+" of a request cannot be taken in")
		parsed.Rejected = parsed.Rejected[:maxAside]
	}
	for _, rejected := range append(parsed.Rejected, doubtful...) { // of those that are taken in, none is left out
		rejected.Origin.IP = from
		stream, err := a.senderOf(ctx, rejected.Raw)
		if err != nil {
			return err
		}
		if err := a.quarantineMessage(ctx, source, stream, rejected, now); err != nil {
			return err
		}
	}
	c.unread = &unread{}
	defer c.unread.tell(ctx, source)
	if err := a.takeStreams(ctx, c, source, &messages); err != nil {
		return err
	}
	return a.file(ctx, c, source, reports)
}

// refused is a message without ids that stand for none, what it reports of an order, and why it is not taken, "" if it is. A report of
// an order that is known needs nobody's id: the order says whose it is.
func (a *App) refused(source ingest.Source, m ingest.Message) (named ingest.Message, told order.Report, reason string) {
	nobody := m.UserID == "" && m.AnonymousID == ""
	named, blocked := intake.Named(m, a.Settings.Placeholders)
	told = intake.Report(named, source)
	switch reason = source.Refuses(m); {
	case reason != "" || !blocked || nobody && told != nil && named.FollowsUp():
	case nobody && source.Trusted && named.FollowsUp():
		reason = ingest.NoOrderNamed
	case nobody:
		reason = ingest.NobodyNamed
	default:
		reason = "the ids are placeholders, such as null"
	}
	if reason == "" && m.Type == "alias" && m.UserID == m.PreviousID {
		reason = "a customer cannot be merged with itself"
	}
	return named, told, reason
}

// streams are messages by the streams that they go to, in the order in which they came.
type streams struct {
	names    []string
	messages map[string][]intake.Message
}

func (s *streams) add(stream string, m intake.Message) {
	if s.messages == nil {
		s.messages = map[string][]intake.Message{}
	}
	if s.messages[stream] == nil {
		s.names = append(s.names, stream)
	}
	s.messages[stream] = append(s.messages[stream], m)
}

// takeStreams stores the messages of several streams, side by side.
func (a *App) takeStreams(ctx context.Context, c *Call, source ingest.Source, s *streams) error {
	errs := make([]error, len(s.names))
	if len(s.names) == 1 {
		return a.take(ctx, c, source, s.names[0], s.messages[s.names[0]])
	}
	var group sync.WaitGroup
	turns := make(chan struct{}, ingestWorkers)
	for i, name := range s.names {
		group.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; group.Done() }()
			errs[i] = a.take(ctx, c, source, name, s.messages[name])
		}()
	}
	group.Wait()
	return errors.Join(errs...)
}

// route names the stream that a message belongs to: the customer's, or the anonymous visitor's; "" for one that names nobody.
func (a *App) route(ctx context.Context, in *intake.Message) (string, error) {
	if in.AnonymousID != "" {
		id, _, err := a.resolve(ctx, in.AnonymousID)
		if err != nil {
			return "", err
		}
		in.Visitor = id
	}
	if in.PreviousID != "" {
		id, _, err := a.resolve(ctx, in.PreviousID)
		if err != nil {
			return "", err
		}
		in.Previous = id
	}
	if in.GroupID != "" {
		id, _, err := a.resolve(ctx, in.GroupID)
		if err != nil {
			return "", err
		}
		in.GroupID = id
	}
	if in.UserID == "" && in.Visitor == "" {
		return "", nil
	}
	if in.UserID == "" {
		return view.VisitorStream(in.Visitor), nil
	}
	id, hidden, err := a.resolve(ctx, in.UserID)
	if hidden {
		in.ExternalID = in.UserID
	}
	return view.CustomerStream(id), err
}

// takeOne stores one message by itself, and fails if it cannot be taken in.
func (a *App) takeOne(ctx context.Context, c *Call, source ingest.Source, m ingest.Message) error {
	m, told, reason := a.refused(source, m)
	if reason != "" {
		return fault.New(fault.Invalid, "invalid-event", "%s", reason)
	}
	in := intake.Message{Message: m, Fingerprint: ingest.Fingerprint(source.ID, m.MessageID)}
	if in.AnonymousID != "" && in.OfBrowser(source) {
		in.UserID = ""
	}
	stream, err := a.route(ctx, &in)
	if err != nil {
		return err
	}
	if told != nil {
		owner, _, known, err := a.ownerOf(ctx, told.Order())
		switch {
		case err != nil:
			return err
		case known:
			return a.fileOne(ctx, c, source, owner, reportOf(source, told.Order(), stream, in))
		case m.FollowsUp():
			return fault.New(fault.Rejected, order.Contradicts, notTold)
		}
	}
	return a.takeAll(ctx, c, source, stream, []intake.Message{in})
}

// take stores one stream's messages, in as many commits as they need.
func (a *App) take(ctx context.Context, c *Call, source ingest.Source, stream string, messages []intake.Message) error {
	if err := a.affordStream(ctx, source, stream, int64(len(messages))); err != nil {
		return err
	}
	for len(messages) > 0 {
		n := min(len(messages), commitMessages)
		err := a.gate.pass(ctx, stream, c.Actor+"#"+a.correlation(c), messages[:n], func(ctx context.Context, shared []intake.Message) error {
			return a.takeSome(ctx, c, source, stream, shared)
		})
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// takeSome stores messages, in one commit if they fit one, else halved. So is one found that does not fit its schema, and is
// quarantined, or that does not agree with its order, and waits for it.
func (a *App) takeSome(ctx context.Context, c *Call, source ingest.Source, stream string, messages []intake.Message) error {
	if len(messages) == 1 || oneCommit(messages) {
		err := a.takeAll(ctx, c, source, stream, messages)
		disagrees := fault.SlugOf(err) == order.Contradicts
		switch {
		case err == nil || fault.KindOf(err) != fault.Invalid && !disagrees:
			return err
		case len(messages) == 1 && disagrees:
			return a.wait(ctx, c, source, stream, messages[0], err.Error())
		case len(messages) == 1:
			return a.quarantineMessage(ctx, source, stream, ingest.Rejected{Raw: messages[0].Raw, Reason: err.Error(), Origin: messages[0].Origin}, a.Now())
		}
	}
	half := len(messages) / 2
	return errors.Join(a.takeSome(ctx, c, source, stream, messages[:half]), a.takeSome(ctx, c, source, stream, messages[half:]))
}

// oneCommit says whether messages are few enough for one commit.
func oneCommit(messages []intake.Message) bool {
	size, claims := 0, 0
	for _, m := range messages {
		size += len(m.Raw) + 400
		if m.Type == "identify" || strings.HasPrefix(m.Means(), "Order ") {
			claims++
		}
	}
	return size <= commitBytes && claims <= commitClaims
}

// newPeople is how many people the events make that were never heard of: the stream's own, and of the visitors whom they link all but
// one, who may be new.
func newPeople(h *eventstore.Head, events []eventstore.New) int {
	people, links := 0, 0
	if h.Version == 0 {
		people = 1
	}
	for _, e := range events {
		if _, ok := e.Data.(customer.VisitorLinked); ok {
			links++
		}
	}
	return people + max(0, links-1)
}

func (a *App) takeAll(ctx context.Context, c *Call, source ingest.Source, stream string, messages []intake.Message) error {
	_, isCustomer := view.CustomerID(stream)
	take := intake.Take{Customer: isCustomer, Source: source, Messages: messages, Controller: a.Settings.DataController, EmailsTaken: map[string]bool{}, Placed: map[string]bool{}}
	emails := map[string]string{} // addresses by the keys of their claims
	var decided []eventstore.New
	var silent []string
	paid := 0 // people taken from the budgets
	command := eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold, ingest.SeenFold}, Fact: true,
		Meta: eventstore.Meta{Actor: c.Actor, Source: source.Kind, CorrelationID: a.correlation(c)},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			events, unkept, err := a.decideTake(ctx, h, take)
			if err != nil {
				return eventstore.Decision{}, err
			}
			if people := newPeople(h, events); people > paid {
				if err := a.affordPeople(ctx, source, c.SourceIP, int64(people-paid)); err != nil {
					return eventstore.Decision{}, err
				}
				paid = people
			}
			decided, silent = events, unkept
			return a.claimed(ctx, h, events, emails)
		},
	}
	for range 2*len(messages) + 1 { // each try more finds out about one claim that is taken
		_, _, err := a.Log.Handle(ctx, command)
		taken, ok := errors.AsType[*eventstore.TakenError](err)
		switch {
		case err == nil:
			c.unread.add(decided, silent)
			return nil
		case emailTaken(err):
			take.EmailsTaken[emails[taken.Key]] = true
		case ok:
			id, err := a.orderOf(ctx, strings.TrimPrefix(taken.Key, orderPrefix), placedIn(decided))
			if err != nil {
				return err
			}
			if err := a.fileElsewhere(ctx, c, source, stream, id, messages); err != nil {
				return err
			}
			take.Placed[id] = true
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

// decideTake decides on messages, with the histories of the orders that this needs, as they are at the head. silent are
// the notes of messages that become no event.
func (a *App) decideTake(ctx context.Context, h *eventstore.Head, take intake.Take) (events []eventstore.New, silent []string, err error) {
	take.Now, take.Past = h.Now, map[string]order.History{}
	if take.Known, err = a.knownMessages(ctx, h, take.Messages); err != nil {
		return nil, nil, err
	}
	for {
		events, silent, err := intake.Understand(intake.State{Record: record.Fold.Of(h), Seen: ingest.SeenFold.Of(h)}, take)
		needed, ok := errors.AsType[*order.PastError](err)
		if !ok {
			return events, silent, err
		}
		if _, known := take.Past[needed.OrderID]; known {
			return nil, nil, err
		}
		if take.Past[needed.OrderID], err = a.orderHistory(ctx, h, needed.OrderID); err != nil {
			return nil, nil, err
		}
	}
}

// knownMessages are those of which the folded state cannot tell whether they came before, because they happened before it begins, and
// that are in the stream.
func (a *App) knownMessages(ctx context.Context, h *eventstore.Head, messages []intake.Message) (map[string]bool, error) {
	seen, known := ingest.SeenFold.Of(h), map[string]bool{}
	untold := slices.DeleteFunc(slices.Clone(messages), func(m intake.Message) bool {
		return seen.Tells(m.Message, h.Now) || seen.Has(m.Fingerprint)
	})
	if len(untold) == 0 || erased(record.Fold.Of(h)) {
		return known, nil
	}
	looked, oldest := 0, h.Now.Add(-ingest.SeenFor-time.Minute)
	all, err := eventstore.Window(ctx, a.Log, h, ingest.AllSeenFold, func(c eventstore.Commit) bool {
		if c.RecordedAt.Before(oldest) || looked >= ingest.MaxSeen {
			return true
		}
		last := ""
		for _, r := range c.Events {
			if r.Message != "" && r.Message != last {
				looked++
			}
			last = r.Message
		}
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("look for messages that came before: %w", err)
	}
	for _, m := range untold {
		known[m.Fingerprint] = all.Has(m.Fingerprint)
	}
	return known, nil
}

// claimed is the decision of events, with the claims that they need. It notes the addresses among them by their keys.
func (a *App) claimed(ctx context.Context, h *eventstore.Head, events []eventstore.New, emails map[string]string) (eventstore.Decision, error) {
	data := make([]any, len(events))
	for i, e := range events {
		data[i] = e.Data
		email := ""
		switch e := e.Data.(type) {
		case customer.Created:
			email = e.Email
		case customer.EmailUpdated:
			email = e.NewEmail
		}
		if email == "" {
			continue
		}
		key, err := a.emailKey(ctx, email)
		if err != nil {
			return eventstore.Decision{}, err
		}
		emails[key] = compared(email)
	}
	claims, err := a.emailClaims(ctx, h.Stream, data)
	if err != nil {
		return eventstore.Decision{}, err
	}
	orders, err := a.orderClaims(ctx, h, data)
	return eventstore.Decision{Events: events, Claims: mergeClaims(orders, claims)}, err
}

// placedIn are the ids of orders that events place.
func placedIn(events []eventstore.New) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, e := range events {
			if placed, ok := e.Data.(order.Placed); ok && !yield(placed.OrderID) {
				return
			}
		}
	}
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

// senderOf names the stream of a message that cannot be understood whole, the system's own where nobody is named.
func (a *App) senderOf(ctx context.Context, raw json.RawMessage) (string, error) {
	var in intake.Message
	in.UserID, in.AnonymousID, _ = ingest.Sender(raw)
	in.Message, _ = intake.Named(in.Message, a.Settings.Placeholders)
	if n := max(len(in.UserID), len(in.AnonymousID)); n == 0 || n > ingest.MaxID {
		return quarantineOwner, nil
	}
	return a.route(ctx, &in)
}
