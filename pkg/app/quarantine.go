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
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/view"
)

// QuarantinedShown is a message that was accepted and could not be taken in.
type QuarantinedShown struct {
	ID         string          `json:"id"`
	SourceID   string          `json:"sourceId"`
	Reason     string          `json:"reason"`
	ReceivedAt time.Time       `json:"receivedAt"`
	Bytes      int             `json:"bytes" description:"of the message; no more than 32 KB of it are kept"`
	Message    json.RawMessage `json:"message,omitempty" description:"as it came, where it is JSON"`
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

// quarantined is what is kept in the open about a quarantined message.
type quarantined struct {
	Reason string `json:"reason"`
	Bytes  int    `json:"bytes"`
	Stream string `json:"stream"` // whose data key seals it
}

const quarantinePrefix = "QUARANTINE#"

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
	var rows []view.Row
	for _, id := range ids {
		page, _, err := a.Views.Table.List(ctx, quarantinePrefix+id, "", cursor, limit+1, true) // a sort key, the same in every source's partition
		if err != nil {
			return lambdaio.Response{}, err
		}
		rows = append(rows, page...)
	}
	slices.SortFunc(rows, func(x, y view.Row) int { return strings.Compare(y.SK, x.SK) })
	list := QuarantineList{Messages: []QuarantinedShown{}}
	for i, row := range rows {
		if i == limit {
			list.NextCursor = pageCursor(rows[i-1].SK)
			break
		}
		shown, _, err := a.showQuarantined(ctx, row)
		if errors.Is(err, eventstore.ErrErased) {
			continue
		}
		if err != nil {
			return lambdaio.Response{}, err
		}
		list.Messages = append(list.Messages, shown)
	}
	return lambdaio.Response{Status: 200, Body: list}, nil
}

func (a *App) showQuarantined(ctx context.Context, row view.Row) (QuarantinedShown, []byte, error) {
	var kept quarantined
	if err := json.Unmarshal(row.Data, &kept); err != nil {
		return QuarantinedShown{}, nil, fmt.Errorf("quarantined message: %w", err)
	}
	raw, err := a.Log.Vault.Open(ctx, kept.Stream, row.PK+row.SK, row.Sealed)
	if err != nil {
		return QuarantinedShown{}, nil, fmt.Errorf("open quarantined message: %w", err)
	}
	at, _, _ := strings.Cut(row.SK, "#")
	ms, _ := strconv.ParseInt(at, 10, 64) // we wrote it
	shown := QuarantinedShown{
		ID: quarantineID(row), SourceID: strings.TrimPrefix(row.PK, quarantinePrefix), Reason: kept.Reason, Bytes: kept.Bytes, ReceivedAt: time.UnixMilli(ms).UTC(),
	}
	if json.Valid(raw) {
		shown.Message = raw
	}
	return shown, raw, nil
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
	source, err := a.sourceByID(ctx, sourceID)
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
	if !ok {
		return lambdaio.Response{}, absent
	}
	shown, raw, err := a.showQuarantined(ctx, row)
	if errors.Is(err, eventstore.ErrErased) {
		return lambdaio.Response{}, absent
	}
	if err != nil {
		return lambdaio.Response{}, err
	}
	var message struct{ Type string }
	_ = json.Unmarshal(raw, &message) // Parse says what is wrong with it
	parsed, err := ingest.Parse(raw, message.Type, shown.ReceivedAt)
	if err != nil {
		return lambdaio.Response{}, fault.New(fault.Rejected, "still-invalid", "%s", err)
	}
	if reason := source.Refuses(parsed.Messages[0]); reason != "" {
		return lambdaio.Response{}, fault.New(fault.Rejected, "still-invalid", "%s", reason)
	}
	if parsed.Messages[0].MessageID == "" { // so that a release made twice stores it once
		parsed.Messages[0].MessageID = sk
	}
	if err := a.takeOne(ctx, c, source, parsed.Messages[0]); err != nil {
		if fault.KindOf(err) == fault.Invalid {
			err = fault.Because(err, fault.Rejected, "still-invalid", "%s", err)
		}
		return lambdaio.Response{}, err
	}
	if err := a.Views.Table.Delete(ctx, [2]string{row.PK, row.SK}); err != nil {
		return lambdaio.Response{}, err
	}
	if err := a.keep(ctx, c, "", 0, 200); err != nil {
		return lambdaio.Response{}, err
	}
	return a.repeatRelease(ctx, c, "", 0, 200)
}

// repeatRelease answers a release.
func (a *App) repeatRelease(_ context.Context, _ *Call, _ string, _ int64, status int) (lambdaio.Response, error) {
	return lambdaio.Response{Status: status, Body: Released{true}}, nil
}
