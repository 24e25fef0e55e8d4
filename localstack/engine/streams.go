package engine

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the "sqlite" driver
)

const (
	busyLimit = 5 * time.Second // the wait for the engine's own writes
	trimBatch = 500             // records per transaction: the engine's writers wait for one
)

// streamColumns is the engine's table of stream records as of Version: "name type" in order. It belongs to the engine;
// everything below that names a column stands or falls with this list.
var streamColumns = []string{
	"id INTEGER", "table_name TEXT", "event_name TEXT", "keys_json TEXT", "new_image TEXT", "old_image TEXT",
	"sequence_number TEXT", "shard_id TEXT", "created_at INTEGER", "user_identity TEXT",
}

// streamIndexes serve the engine's two questions, both asked with the number as an expression: the highest sequence
// number of a table (on every write) and the records of a shard after one (on every read).
var streamIndexes = []string{
	`CREATE INDEX IF NOT EXISTS defter_stream_number
		ON _stream_records (table_name, CAST(sequence_number AS INTEGER))`,
	`CREATE INDEX IF NOT EXISTS defter_stream_shard
		ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER))`,
}

const (
	newestRecord = `SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1`

	trimRecords = `DELETE FROM _stream_records WHERE id IN (
		SELECT id FROM _stream_records WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) < ?2
		ORDER BY CAST(sequence_number AS INTEGER) LIMIT ?3)`
)

// IndexStreams gives the engine's stream records the indexes they lack; without them every write to a table with a
// stream gets slower with each record kept. It may be called again, and on a running engine.
func (e *Engine) IndexStreams(ctx context.Context) error {
	if e.db == nil {
		return nil
	}
	for _, statement := range streamIndexes {
		if _, err := e.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("index the stream records: %w", err)
		}
	}
	return nil
}

// TrimStream removes the stream records of a table whose sequence number is below before, while the engine runs, and
// returns how many it removed, also when it fails half way. The newest record of a table always stays: the engine
// numbers the next one from it, and would begin again at 1 without.
func (e *Engine) TrimStream(ctx context.Context, table string, before int64) (int64, error) {
	if e.db == nil {
		return 0, nil
	}
	var newest sql.NullInt64
	if err := e.db.QueryRowContext(ctx, newestRecord, table).Scan(&newest); err != nil {
		return 0, fmt.Errorf("find the newest stream record of %s: %w", table, err)
	}
	before = min(before, newest.Int64)
	var removed int64
	for {
		began := time.Now()
		result, err := e.db.ExecContext(ctx, trimRecords, table, before, trimBatch)
		if err != nil {
			return removed, fmt.Errorf("trim the stream of %s below %d: %w", table, before, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return removed, err
		}
		removed += n
		if n < trimBatch {
			return removed, nil
		}
		// The engine does not queue for the write lock, it looks again from time to time and gives up after 5 seconds:
		// it has to find the lock free at least every other time.
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
			return removed, fmt.Errorf("trim the stream of %s below %d: %w", table, before, context.Cause(ctx))
		}
	}
}

// openDatabase opens the engine's file beside it. SQLite's locks keep the two apart.
func openDatabase(file string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: file, RawQuery: url.Values{
		"mode": {"rw"}, // never create: the engine has
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", busyLimit.Milliseconds()),
			// A trimming lost in a power cut is done again; the engine's own commits are synced by the engine.
			"synchronous(NORMAL)",
		},
	}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// checkStreamSchema refuses a table of stream records that is not the one this file was written for.
func checkStreamSchema(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT name || ' ' || type FROM pragma_table_info('_stream_records') ORDER BY cid`)
	if err != nil {
		return fmt.Errorf("read the schema of its stream records: %w", err)
	}
	defer rows.Close()
	var columns []string
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			return err
		}
		columns = append(columns, column)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the schema of its stream records: %w", err)
	}
	if !slices.Equal(columns, streamColumns) {
		return fmt.Errorf("its stream records have the columns (%s); version %s has (%s)",
			strings.Join(columns, ", "), Version, strings.Join(streamColumns, ", "))
	}
	return nil
}
