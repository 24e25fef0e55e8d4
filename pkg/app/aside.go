package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"defter/pkg/eventstore"
	"defter/pkg/ingest"
	"defter/pkg/metric"
	"defter/pkg/source"
	"defter/pkg/view"
	"defter/pkg/webhook"
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
// kept. Who was never heard of gets no key for it: names can be made up without end. It returns how many bytes are kept.
func (a *App) quarantineMessage(ctx context.Context, source ingest.Source, stream string, rejected ingest.Rejected, now time.Time) (bytes int, err error) {
	kept := aside{Origin: rejected.Origin, Taken: rejected.Taken}
	if len(kept.Origin.Context) > ingest.MaxEventBytes {
		kept.Origin.Context = json.RawMessage(contextTooLarge)
	}
	_, _, own := ingest.Sender(rejected.Raw)
	id := a.NewID()
	if !a.isOwn(own) {
		own = ""
	}
	if own != "" { // a keyed hash, since it outlives whom it is about
		if id, err = a.Keyring.Lookup(ctx, "quarantined", digest(source.ID, stream, own)); err != nil {
			return 0, err
		}
	}
	rows, err := a.quarantineRows(ctx, source, stream, rejected.Raw, rejected.Reason, kept, fmt.Sprintf("%013d#%s", now.UnixMilli(), id), now)
	switch {
	case errors.Is(err, eventstore.ErrErased):
		return 0, nil
	case err != nil:
		return 0, err
	case own != "":
		return len(rows[0].Sealed), a.putAside(ctx, source, rows, id, rejected.Reason)
	}
	tellAside(ctx, source, rejected.Reason)
	return len(rows[0].Sealed), a.Views.Table.PutMany(ctx, rows)
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
	packed, err := eventstore.Pack(content.Bytes())
	if err != nil {
		return nil, err
	}
	if row.Sealed, err = a.Log.Vault.Seal(ctx, stream, row.PK+row.SK, packed); err != nil {
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
		if s.MessageID != "" {
			m.MessageID = s.MessageID
		}
		messages[i] = m
	}
	return messages, nil
}
