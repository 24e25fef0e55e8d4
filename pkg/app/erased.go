package app

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

const erasedShards = 16

// erasedNote is a line of the journal of erasures: which key was destroyed, and why.
type erasedNote struct {
	CertificateID string    `json:"certificateId"`
	RequestedAt   time.Time `json:"requestedAt"`
}

func erasedKey(stream string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(stream)) // never fails
	return erasedShard(int(hash.Sum32() % erasedShards))
}

func erasedShard(shard int) string { return fmt.Sprintf("ERASED#%02d", shard) }

// ReapplyErasures destroys every key again that the journal of erasures says was destroyed: after a restore of the keys table from a backup,
// which holds them again. It returns how many it found.
func (a *App) ReapplyErasures(ctx context.Context) (destroyed int, err error) {
	for shard := range erasedShards {
		for cursor := ""; ; {
			rows, next, err := a.Views.Table.List(ctx, erasedShard(shard), "", cursor, maxLimit, false)
			if err != nil {
				return destroyed, err
			}
			for _, row := range rows {
				gone, err := a.Keyring.Destroyed(ctx, row.SK)
				if err != nil {
					return destroyed, err
				}
				if gone {
					continue
				}
				if err := errors.Join(a.Keyring.Destroy(ctx, row.SK), a.dropSnapshots(ctx, row.SK)); err != nil {
					return destroyed, err
				}
				a.Log.Cache.Forget(row.SK)
				destroyed++
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	return destroyed, nil
}
