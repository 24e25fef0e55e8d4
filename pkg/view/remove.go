package view

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// The prefixes of the sort keys of rows that are removed by themselves.
const (
	MessagePrefix  = "MSG#" // the send ledger
	TimelinePrefix = timelinePrefix
)

// RemoveRows removes up to limit rows of a stream whose sort key begins with prefix, from after a cursor, and returns how many they were
// and where the next page begins, "" at the end.
func (v *Views) RemoveRows(ctx context.Context, stream, prefix, cursor string, limit int) (removed int, next string, err error) {
	rows, next, err := v.Table.List(ctx, stream, prefix, cursor, limit, false)
	if err != nil {
		return 0, "", err
	}
	return len(rows), next, v.removeAll(ctx, rows)
}

// RemoveOthers is RemoveRows for whatever a stream has in the views beside its documents, which are emptied, and the audit trail, which
// holds nothing personal.
func (v *Views) RemoveOthers(ctx context.Context, stream, cursor string, limit int) (removed int, next string, err error) {
	rows, next, err := v.Table.List(ctx, stream, "", cursor, limit, false)
	if err != nil {
		return 0, "", err
	}
	rows = slices.DeleteFunc(rows, func(r Row) bool {
		return strings.HasPrefix(r.SK, auditPrefix) || r.SK == Profiles.Name || r.SK == Consents.Name || r.SK == Preferences.Name
	})
	return len(rows), next, v.removeAll(ctx, rows)
}

// removeAll removes rows, several requests side by side.
func (v *Views) removeAll(ctx context.Context, rows []Row) error {
	keys := make([][2]string, len(rows))
	for i, row := range rows {
		keys[i] = [2]string{row.PK, row.SK}
	}
	requests := slices.Collect(slices.Chunk(keys, batchWrite))
	errs := make([]error, len(requests))
	sideBySide(v.Workers, len(requests), func(i int) { errs[i] = v.Table.Delete(ctx, requests[i]...) })
	return errors.Join(errs...)
}
