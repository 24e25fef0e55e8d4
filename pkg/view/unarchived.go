package view

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"defter/pkg/retention"
)

// unarchivedLookups finds a stream by the month of its oldest behaviour. It changes when there is behaviour after none, and
// when some was archived: seldom, and never with each event.
func unarchivedLookups(stream string, p Profile) []Row {
	if p.Unarchived == nil {
		return nil
	}
	data, err := json.Marshal(p.Unarchived)
	if err != nil {
		panic(err) // times always marshal
	}
	return []Row{{PK: unarchivedLookup.key(unarchivedIn(p.Unarchived.RecordedAt), stream), SK: stream, Data: data}}
}

func unarchivedIn(month time.Time) string { return month.UTC().Format("2006-01") }

// Unarchived is a stream whose oldest behaviour is of a month.
type Unarchived struct {
	Stream string
	Oldest retention.Oldest
}

// ListUnarchived returns up to limit streams whose oldest behaviour in the store was recorded in the month.
func (v *Views) ListUnarchived(ctx context.Context, month time.Time, cursor string, limit int) (list []Unarchived, next string, err error) {
	rows, next, err := unarchivedLookup.list(ctx, v.Table, unarchivedIn(month), "", cursor, limit)
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		u := Unarchived{Stream: row.SK}
		if err := json.Unmarshal(row.Data, &u.Oldest); err != nil {
			return nil, "", fmt.Errorf("decode lookup of behaviour: %w", err)
		}
		list = append(list, u)
	}
	return list, next, nil
}

// CheckUnarchived returns up to which version a stream is projected, and removes a row of the lookup that the stream's
// profile, read after it, does not stand for.
func (v *Views) CheckUnarchived(ctx context.Context, u Unarchived) (version int64, err error) {
	p, version, err := Profiles.Load(ctx, v, u.Stream)
	if err != nil {
		return 0, err
	}
	key := [2]string{unarchivedLookups(u.Stream, Profile{Unarchived: &u.Oldest})[0].PK, u.Stream}
	if slices.ContainsFunc(unarchivedLookups(u.Stream, p), func(r Row) bool { return r.PK == key[0] }) {
		return version, nil
	}
	return 0, v.Table.Delete(ctx, key)
}

// Retell makes the timeline of a stream's versions from … upTo say what its commits say by now: those that were compacted
// have a row each, and what is no commit any more has none. A rebuild writes the same.
func (v *Views) Retell(ctx context.Context, stream string, from, upTo int64) error {
	for c, err := range v.Log.Store.ReadBack(ctx, stream, from) { // which may begin earlier by now
		if err != nil {
			return err
		}
		from = c.First
		break
	}
	var rows []Row
	commits := map[string]bool{}
	for c, err := range v.Log.Store.Read(ctx, stream, from, upTo) {
		if err != nil {
			return err
		}
		commits[timelineKey(c.First)] = true
		if c.Compacted == 0 {
			continue
		}
		events, err := v.Log.Open(ctx, c)
		if err != nil {
			return err
		}
		row, err := timelineRow(stream, events)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if err := v.Table.PutMany(ctx, rows); err != nil {
		return err
	}
	var gone [][2]string
	for cursor, last := timelineKey(from-1), timelineKey(upTo); cursor != ""; {
		rows, next, err := v.Table.List(ctx, stream, timelinePrefix, cursor, 500, false)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.SK <= last && !commits[row.SK] {
				gone = append(gone, [2]string{row.PK, row.SK})
			}
		}
		if cursor = next; len(rows) > 0 && rows[len(rows)-1].SK > last {
			break
		}
	}
	return v.Table.Delete(ctx, gone...)
}
