package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/order"
	"defter/pkg/view"
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

// noRule is why a delivery, or an element of one, is put aside.
const noRule = "no rule fits the delivery"

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
	if content, err = eventstore.Unpack(content); err != nil {
		return QuarantinedShown{}, kept, fmt.Errorf("quarantined message: %w", err)
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
	cut := kept.Cut
	if !readable(clean) {
		clean, cut = nil, clean
	}
	return QuarantinedShown{
		ID: quarantineID(row), SourceID: strings.TrimPrefix(row.PK, quarantinePrefix), Reason: open.Reason, Bytes: open.Bytes,
		ReceivedAt: time.UnixMilli(ms).UTC(), Message: clean, Raw: cut,
	}, kept, nil
}

// readable says whether whoever lists the quarantine can read a message with any JSON library: one that nobody can would hide all others of its page.
func readable(message json.RawMessage) bool {
	var value any
	return len(message) == 0 || ingest.Depth(message) <= ingest.MaxDepth && json.Unmarshal(message, &value) == nil // of a number beyond doubles it says so
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
		if !a.isOwn(m.MessageID) || kept.Taken { // so that a release made twice stores it once, and what was taken in before is more than it was
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

// repeatRelease answers a release.
func (a *App) repeatRelease(_ context.Context, _ *Call, _ string, _ int64, status int) (lambdaio.Response, error) {
	return lambdaio.Response{Status: status, Body: Released{true}}, nil
}
