package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/metric"
	"defter/pkg/order"
	"defter/pkg/source"
	"defter/pkg/view"
	"defter/pkg/webhook"
)

// QuarantinedShown is a message that was accepted and could not be taken in.
type QuarantinedShown struct {
	ID         string          `json:"id"`
	SourceID   string          `json:"sourceId"`
	Reason     string          `json:"reason"`
	ReceivedAt time.Time       `json:"receivedAt"`
	Bytes      int             `json:"bytes" description:"of the message; no more than 32 KB of it are kept"`
	Message    json.RawMessage `json:"message,omitempty" description:"as it came, where it is JSON in UTF-8 and not too large; half a character of it stands as U+FFFD"`
	Raw        []byte          `json:"raw,omitempty" format:"base64" description:"the bytes that came, in base64, where message cannot show them; the beginning of what is too large"`
}

// QuarantineList is a page of quarantined messages, the newest first.
type QuarantineList struct {
	Messages   []QuarantinedShown `json:"messages"`
	NextCursor string             `json:"nextCursor,omitempty" description:"give it as ?cursor= for the next page; absent at the end"`
}

// Released is the answer to a release.
type Released struct {
	Released bool `json:"released"`
}

const (
	quarantinePrefix = "QUARANTINE#"
	asidePrefix      = "ASIDE#" // of notes of what is put aside about somebody who had no data key yet
	quarantineFor    = 30 * 24 * time.Hour
	quarantineOwner  = "SYSTEM#quarantine" // whose data key seals messages of nobody in particular
	quarantinePage   = 50                  // messages in an answer
	maxKeptHeader    = 16 << 10            // bytes of a delivery's header
	contextTooLarge  = `"too large"`       // in the place of a batch's context that is: its messages stay where they are
)

// quarantined is what is kept in the open about a quarantined message.
type quarantined struct {
	Reason string `json:"reason"`
	Bytes  int    `json:"bytes"`
	Stream string `json:"stream"`          // whose data key seals it
	About  string `json:"about,omitempty"` // whom it is about, where it is sealed under the system's key
}

// aside is what is sealed: the message, and what it came with, without which it would be another message when it is tried
// again, of unknown consent and time.
type aside struct {
	Message json.RawMessage `json:"message,omitempty"`
	Cut     []byte          `json:"cut,omitempty"` // one that is no JSON in UTF-8, or the beginning of one that is too large to be kept
	Origin  ingest.Origin   `json:"origin"`
	// Taken says that it was taken in, as far as it was understood.
	Taken bool `json:"taken,omitempty"`
	// MessageID is what was made up for a message that had none and waits for its order.
	MessageID string  `json:"messageId,omitempty"`
	Delivery  *posted `json:"delivery,omitempty"` // of a webhook's element, which is no message yet
}

// noRule is why a delivery, or an element of one, is put aside.
const noRule = "no rule fits the delivery"

// posted is what a webhook's element came with.
type posted struct {
	Header  map[string]string `json:"header"`
	Element bool              `json:"element"` // whether it was an element of the body, and not all of it
}

// keptHeader is what is kept of what a rule may ask for of a delivery's header, without credentials.
func keptHeader(header map[string]string) map[string]string {
	kept, size := map[string]string{}, 0
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name == "authorization" || name == "x-write-key" || name == "x-user-token" || name == "cookie" {
			continue
		}
		if size += len(name) + len(header[name]); size > maxKeptHeader {
			break
		}
		kept[name] = header[name]
	}
	return kept
}

// quarantineMessage keeps a message of an accepted request that cannot be taken in, or must be looked at, with the reason: once,
// however often it is sent, if it has an id of its own. It is sealed under the data key of whom it is about, and so goes with them; of somebody erased nothing is
// kept. Who was never heard of gets no key for it: names can be made up without end.
func (a *App) quarantineMessage(ctx context.Context, source ingest.Source, stream string, rejected ingest.Rejected, now time.Time) error {
	kept := aside{Origin: rejected.Origin, Taken: rejected.Taken}
	if len(kept.Origin.Context) > ingest.MaxEventBytes {
		kept.Origin.Context = json.RawMessage(contextTooLarge)
	}
	_, _, own := ingest.Sender(rejected.Raw)
	id, err := a.NewID(), error(nil)
	if own != "" { // a keyed hash, since it outlives whom it is about
		if id, err = a.Keyring.Lookup(ctx, "quarantined", digest(source.ID, stream, own)); err != nil {
			return err
		}
	}
	rows, err := a.quarantineRows(ctx, source, stream, rejected.Raw, rejected.Reason, kept, fmt.Sprintf("%013d#%s", now.UnixMilli(), id), now)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		return nil
	case err != nil:
		return err
	case own != "":
		return a.putAside(ctx, source, rows, id, rejected.Reason)
	}
	tellAside(ctx, source, rejected.Reason)
	return a.Views.Table.PutMany(ctx, rows)
}

// quarantineElement keeps an element of a webhook's delivery that fits no rule, once however often it is delivered. Nobody
// has understood whom it is about.
func (a *App) quarantineElement(ctx context.Context, source ingest.Source, raw json.RawMessage, reason string, from posted, now time.Time) error {
	// What tells two deliveries of the same words apart, where the service says so.
	id := digest(source.ID, from.Header["webhook-id"], string(raw))
	rows, err := a.quarantineRows(ctx, source, quarantineOwner, raw, reason, aside{Delivery: &from}, fmt.Sprintf("%013d#%s", now.UnixMilli(), id), now)
	if err != nil {
		return err
	}
	return a.putAside(ctx, source, rows, id, reason)
}

// putAside stores a quarantined message, unless the same one is there already or was.
func (a *App) putAside(ctx context.Context, source ingest.Source, rows []view.Row, id, reason string) error {
	known := view.Row{PK: "QUARANTINED#" + source.ID, SK: id, TTL: rows[0].TTL} // a row of its own: the other's place tells the time
	put, err := a.Views.Table.Replace(ctx, known, 0, rows, nil)
	if put {
		tellAside(ctx, source, reason)
	}
	return err
}

func tellAside(ctx context.Context, source ingest.Source, reason string) {
	slog.WarnContext(ctx, "event quarantined", metric.Count(metric.EventsQuarantined, 1), "source", source.ID, "reason", reason)
}

// quarantineRows are the rows of a message that is put aside: itself first, and a note of where it is with whom it is about, if it is not sealed
// under their key. Their erasure finds it by that.
func (a *App) quarantineRows(ctx context.Context, source ingest.Source, stream string, raw json.RawMessage, reason string, kept aside, sk string, now time.Time) ([]view.Row, error) {
	if kept.Message = raw; len(raw) > ingest.MaxEventBytes || !json.Valid(raw) || !utf8.Valid(raw) {
		kept.Message, kept.Cut = nil, raw[:min(len(raw), ingest.MaxEventBytes)]
	}
	var content bytes.Buffer
	e := json.NewEncoder(&content)
	e.SetEscapeHTML(false) // it would grow beyond what is taken in
	if err := e.Encode(kept); err != nil {
		return nil, fmt.Errorf("encode quarantined event: %w", err)
	}
	row := view.Row{PK: quarantinePrefix + source.ID, SK: sk, TTL: now.Add(quarantineFor).Unix()}
	about := ""
	if stream != quarantineOwner {
		known, err := a.Log.Vault.Known(ctx, stream)
		if err != nil {
			return nil, err
		}
		if !known {
			stream, about = quarantineOwner, stream
		}
	}
	var err error
	if row.Sealed, err = a.Log.Vault.Seal(ctx, stream, row.PK+row.SK, content.Bytes()); err != nil {
		return nil, fmt.Errorf("seal quarantined event: %w", err)
	}
	if row.Data, err = json.Marshal(quarantined{Reason: reason, Bytes: len(raw), Stream: stream, About: about}); err != nil {
		return nil, err
	}
	if about == "" {
		return []view.Row{row}, nil
	}
	data, err := json.Marshal(waiting{row.PK, row.SK})
	return []view.Row{row, {PK: about, SK: asidePrefix + row.PK + "#" + row.SK, Data: data, TTL: row.TTL}}, err
}

// eraseQuarantine removes what is put aside about somebody and not sealed under their key.
func (a *App) eraseQuarantine(ctx context.Context, _ *erasure, stream, cursor string) (int, string, error) {
	notes, next, err := a.Views.Table.List(ctx, stream, asidePrefix, cursor, erasureRows, false)
	if err != nil {
		return 0, "", err
	}
	var keys [][2]string
	for _, note := range notes {
		var at waiting
		if err := json.Unmarshal(note.Data, &at); err != nil {
			return 0, "", fmt.Errorf("note of what is put aside: %w", err)
		}
		keys = append(keys, [2]string{at.PK, at.SK}, [2]string{note.PK, note.SK})
	}
	return len(notes), next, a.Views.Table.Delete(ctx, keys...)
}

// quarantineID names a row to API callers.
func quarantineID(row view.Row) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(row.PK, quarantinePrefix) + "\x00" + row.SK))
}

// listQuarantine answers GET /v1/quarantine?source=&cursor=&limit=: of one source or of all, the newest first.
func (a *App) listQuarantine(ctx context.Context, c *Call) (lambdaio.Response, error) {
	cursor, limit, err := pageOf(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	limit = min(limit, quarantinePage)
	ids, err := a.sourceIDs(ctx)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if only := c.Query.Get("source"); only != "" {
		if !slices.Contains(ids, only) {
			return lambdaio.Response{}, fault.New(fault.NotFound, "no-such-source", "there is no such source")
		}
		ids = []string{only}
	}
	rows, more, err := a.newestQuarantined(ctx, ids, cursor, limit)
	if err != nil {
		return lambdaio.Response{}, err
	}
	list, size := QuarantineList{Messages: []QuarantinedShown{}}, 0
	for i, row := range rows {
		if expired(row, a.Now()) { // and so is whatever is older, which the table has not removed yet
			more = false
			break
		}
		shown, _, err := a.showQuarantined(ctx, row)
		if errors.Is(err, eventstore.ErrErased) {
			continue
		}
		if err != nil {
			return lambdaio.Response{}, err
		}
		text, err := json.Marshal(shown)
		if err != nil {
			return lambdaio.Response{}, err
		}
		if size += len(text); size > pageBytes && len(list.Messages) > 0 {
			list.NextCursor = pageCursor(rows[i-1].SK)
			return lambdaio.Response{Status: 200, Body: list}, nil
		}
		list.Messages = append(list.Messages, shown)
	}
	if more {
		list.NextCursor = pageCursor(rows[len(rows)-1].SK)
	}
	return lambdaio.Response{Status: 200, Body: list}, nil
}

// newestQuarantined returns the newest rows of several sources, and whether there are more. DynamoDB cuts a long answer: what
// is older than the last row of one that was cut is not told, since that source may have newer ones.
func (a *App) newestQuarantined(ctx context.Context, sourceIDs []string, cursor string, limit int) (rows []view.Row, more bool, err error) {
	oldest := ""
	for _, id := range sourceIDs {
		page, next, err := a.Views.Table.List(ctx, quarantinePrefix+id, "", cursor, limit+1, true) // a sort key, the same in every source's partition
		if err != nil {
			return nil, false, err
		}
		if next != "" && len(page) > 0 {
			oldest = max(oldest, page[len(page)-1].SK)
		}
		rows = append(rows, page...)
		slices.SortFunc(rows, func(x, y view.Row) int { return strings.Compare(y.SK, x.SK) })
		rows = rows[:min(len(rows), limit+1)] // no more than that is ever held
	}
	n := len(rows)
	for n > 0 && (n > limit || rows[n-1].SK < oldest) {
		n--
	}
	return rows[:n], n < len(rows) || oldest != "", nil
}

// expired says whether a row's time is over: DynamoDB may leave it for days.
func expired(row view.Row, now time.Time) bool { return row.TTL != 0 && row.TTL <= now.Unix() }

func (a *App) showQuarantined(ctx context.Context, row view.Row) (QuarantinedShown, aside, error) {
	var open quarantined
	var kept aside
	if err := json.Unmarshal(row.Data, &open); err != nil {
		return QuarantinedShown{}, kept, fmt.Errorf("quarantined message: %w", err)
	}
	content, err := a.Log.Vault.Open(ctx, open.Stream, row.PK+row.SK, row.Sealed)
	if err != nil {
		return QuarantinedShown{}, kept, fmt.Errorf("open quarantined message: %w", err)
	}
	if err := json.Unmarshal(content, &kept); err != nil {
		return QuarantinedShown{}, kept, fmt.Errorf("quarantined message: %w", err)
	}
	clean, _, err := foreign.Clean(kept.Message)
	if err != nil {
		return QuarantinedShown{}, kept, fmt.Errorf("quarantined message: %w", err)
	}
	at, _, _ := strings.Cut(row.SK, "#")
	ms, _ := strconv.ParseInt(at, 10, 64) // we wrote it
	return QuarantinedShown{
		ID: quarantineID(row), SourceID: strings.TrimPrefix(row.PK, quarantinePrefix), Reason: open.Reason, Bytes: open.Bytes,
		ReceivedAt: time.UnixMilli(ms).UTC(), Message: clean, Raw: kept.Cut,
	}, kept, nil
}

// releaseQuarantined answers POST /v1/quarantine/{id}/release: the message is tried again, as its source may send now, and
// stays where it is if it still cannot be taken in.
func (a *App) releaseQuarantined(ctx context.Context, c *Call) (lambdaio.Response, error) {
	absent := fault.New(fault.NotFound, "not-quarantined", "there is no such quarantined message")
	name, err := base64.RawURLEncoding.DecodeString(c.Params["id"])
	sourceID, sk, ok := strings.Cut(string(name), "\x00")
	if err != nil || !ok || len(name) > ingest.MaxID || sourceID == "" || sk == "" {
		return lambdaio.Response{}, absent
	}
	source, hook, err := a.sourceByID(ctx, sourceID)
	if fault.KindOf(err) == fault.NotFound {
		err = absent
	}
	if err != nil {
		return lambdaio.Response{}, err
	}
	row, ok, err := a.Views.Table.Get(ctx, quarantinePrefix+sourceID, sk)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if !ok || expired(row, a.Now()) {
		return lambdaio.Response{}, absent
	}
	shown, kept, err := a.showQuarantined(ctx, row)
	if errors.Is(err, eventstore.ErrErased) {
		return lambdaio.Response{}, absent
	}
	if err != nil {
		return lambdaio.Response{}, err
	}
	messages, err := kept.again(source, hook, shown.ReceivedAt)
	if err != nil {
		return lambdaio.Response{}, fault.Because(err, fault.Rejected, "still-invalid", "%s", err)
	}
	for _, m := range messages {
		if m.MessageID == "" || kept.Taken { // so that a release made twice stores it once, and what was taken in before is more than it was
			m.MessageID = sk
		}
		if err := a.takeOne(ctx, c, source, m); err != nil {
			if fault.KindOf(err) == fault.Invalid || fault.SlugOf(err) == order.Contradicts {
				err = fault.Because(err, fault.Rejected, "still-invalid", "%s", err)
			}
			return lambdaio.Response{}, err
		}
	}
	if err := a.keep(ctx, c, "", 0, 200); err != nil { // before it is gone: a call that is made again must find its answer
		return lambdaio.Response{}, err
	}
	if err := a.Views.Table.Delete(ctx, [2]string{row.PK, row.SK}); err != nil {
		return lambdaio.Response{}, err
	}
	return a.repeatRelease(ctx, c, "", 0, 200)
}

// again reads what was put aside as its source may send it now. It returns why it still cannot be taken in.
func (s aside) again(from ingest.Source, hook *source.Webhook, receivedAt time.Time) ([]ingest.Message, error) {
	if s.Message == nil {
		return nil, errors.New("it is too large, or no JSON, and not kept whole")
	}
	if string(s.Origin.Context) == contextTooLarge {
		return nil, errors.New("its batch's context is too large, and not kept")
	}
	raws, origin := []json.RawMessage{s.Message}, s.Origin
	if s.Delivery != nil {
		if hook == nil {
			return nil, errors.New("its source is no webhook")
		}
		rules, err := webhook.Read(*hook)
		if err != nil {
			return nil, err
		}
		read := rules.Messages
		if s.Delivery.Element {
			read = rules.Element
		}
		made, err := read(s.Delivery.Header, s.Message)
		if err != nil {
			return nil, err
		}
		if len(made.Messages) == 0 || len(made.Unmatched) > 0 {
			return nil, errors.New(cmp.Or(made.Foreign, noRule))
		}
		raws = made.Messages
	}
	messages := make([]ingest.Message, len(raws))
	for i, raw := range raws {
		m, err := origin.Again(raw, receivedAt)
		if err != nil {
			return nil, err
		}
		if reason := from.Refuses(m); reason != "" {
			return nil, errors.New(reason)
		}
		if doubt := ingest.Doubt(m, from); s.Taken && doubt != "" {
			return nil, errors.New(doubt)
		}
		m.MessageID = cmp.Or(m.MessageID, s.MessageID)
		messages[i] = m
	}
	return messages, nil
}

// repeatRelease answers a release.
func (a *App) repeatRelease(_ context.Context, _ *Call, _ string, _ int64, status int) (lambdaio.Response, error) {
	return lambdaio.Response{Status: status, Body: Released{true}}, nil
}
