package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/intake"
	"defter/pkg/metric"
	"defter/pkg/order"
	"defter/pkg/view"
)

const (
	maxAside       = 50       // messages of one request that are quarantined; more are counted
	maxAsideBytes  = 32 << 10 // of them, from a public write key, compressed: each is kept with what it shares with the others
	ingestWorkers  = 8
	commitMessages = 200 // of one customer, before the next commit
	commitBytes    = 200_000
	commitClaims   = 40 // orders and identities: each takes up to two claims, of eventstore.MaxClaims
)

// pastRoutes take what happened long ago.
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
		m.Origin.IP, m.Origin.Past = from, slices.Contains(pastRoutes, c.Path)
		m, err := a.addressed(ctx, source, m)
		if err != nil {
			return err
		}
		m, told, reason := a.refused(source, m)
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
		m.MessageID = a.messageID(c, m, i)
		in := intake.Message{Message: m, Fingerprint: ingest.Fingerprint(source.ID, m.MessageID)}
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
	if err := a.setAside(ctx, source, parsed.Rejected, doubtful, from, now); err != nil {
		return err
	}
	c.unread = &unread{}
	defer c.unread.tell(ctx, source)
	if err := a.takeStreams(ctx, c, source, &messages); err != nil {
		return err
	}
	return a.file(ctx, c, source, reports)
}

// messageID is a message's id, or one that the i-th message of the call has whenever the call comes again, or a new one.
func (a *App) messageID(c *Call, m ingest.Message, i int) string {
	switch {
	case a.isOwn(m.MessageID):
		return m.MessageID
	case c.key != "":
		return c.key + "#" + strconv.Itoa(i)
	}
	return a.NewID()
}

// isOwn says whether an id is one that the message has to itself: "undefined" would make one of all.
func (a *App) isOwn(messageID string) bool {
	return messageID != "" && !a.Settings.Placeholders.Blocks(messageID)
}

// setAside quarantines messages that are not taken in, maxAside of them at most, and all of those that are taken in but doubtful.
func (a *App) setAside(ctx context.Context, source ingest.Source, refused, doubtful []ingest.Rejected, from string, now time.Time) error {
	kept, room := slices.Concat(refused[:min(len(refused), maxAside)], doubtful), maxAsideBytes
	dropped := len(refused) + len(doubtful) - len(kept)
	for i, rejected := range kept {
		if room <= 0 && !source.Trusted {
			dropped += len(kept) - i
			break
		}
		rejected.Origin.IP = from
		stream, err := a.senderOf(ctx, rejected.Raw)
		if err != nil {
			return err
		}
		bytes, err := a.quarantineMessage(ctx, source, stream, rejected, now)
		if err != nil {
			return err
		}
		room -= bytes
	}
	if dropped > 0 {
		slog.WarnContext(ctx, "events dropped", metric.Count(metric.EventsDropped, dropped), "source", source.ID, "reason", "more of a request cannot be taken in than is kept of one")
	}
	return nil
}

// addressed names the customer whose address a mail service reports of, where it names nobody: whoever unsubscribes must not
// go on getting mails because the service was not told who they are.
func (a *App) addressed(ctx context.Context, source ingest.Source, m ingest.Message) (ingest.Message, error) {
	to := m.Recipient()
	if to == "" || !source.Trusted || m.UserID != "" || m.AnonymousID != "" {
		return m, nil
	}
	key, err := a.emailKey(ctx, to)
	if err != nil {
		return m, err
	}
	held, ok, err := a.Log.Store.Claimed(ctx, key)
	if ok {
		m.UserID, _ = view.CustomerID(held.Owner)
	}
	return m, err
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
	case nobody && source.Trusted && m.Recipient() != "":
		reason = ingest.NobodysAddress
	case nobody:
		reason = ingest.NobodyNamed
	default:
		reason = "the ids are placeholders, such as null"
	}
	switch {
	case reason != "":
	case m.Type == "alias" && m.UserID == m.PreviousID:
		reason = "a customer cannot be merged with itself"
	case m.Undated && m.Origin.Past:
		reason = "the time of something past cannot be read"
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
	m, err := a.addressed(ctx, source, m)
	if err != nil {
		return err
	}
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
