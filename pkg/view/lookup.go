package view

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// lookup is a partition of the views table that many streams write to, one row each. It is spread over shards, since a
// partition takes 1,000 writes a second and a lookup grows with the number of customers.
type lookup struct {
	prefix string
	shards int
}

var (
	consentedLookup  = lookup{"CONSENTED#", 16}
	dueLookup        = lookup{"DUE#consent#", 4}
	touchedLookup    = lookup{"DUE#cart#", 4}
	unarchivedLookup = lookup{"DUE#archive#", 4}
)

// key is the partition of what is looked up where the one that id names has its row.
func (l lookup) key(what, id string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id)) // never fails
	return l.shard(what, int(hash.Sum32()%uint32(l.shards)))
}

func (l lookup) shard(what string, n int) string { return fmt.Sprintf("%s%s#%02d", l.prefix, what, n) }

// has says whether a partition is one of the lookup.
func (l lookup) has(pk string) bool { return strings.HasPrefix(pk, l.prefix) }

// list returns up to limit rows of what is looked up, shard by shard, of each those up to the sort key upTo (all, if it is empty). A page may
// be short, or empty, before the last: next is empty when there are no more.
func (l lookup) list(ctx context.Context, t Table, what, upTo, cursor string, limit int) (rows []Row, next string, err error) {
	shard, from := 0, ""
	if cursor != "" {
		parts, err := ParseCursor(cursor, 2)
		if err != nil {
			return nil, "", err
		}
		if shard, err = strconv.Atoi(parts[0]); err != nil || shard < 0 || shard >= l.shards {
			return nil, "", errCursor()
		}
		from = parts[1]
	}
	rows, more, err := t.List(ctx, l.shard(what, shard), "", from, limit, false)
	if err != nil {
		return nil, "", err
	}
	for i, row := range rows {
		if upTo != "" && row.SK > upTo {
			rows, more = rows[:i], ""
			break
		}
	}
	switch {
	case more != "":
		return rows, Cursor(strconv.Itoa(shard), more), nil
	case shard+1 < l.shards:
		return rows, Cursor(strconv.Itoa(shard+1), ""), nil
	}
	return rows, "", nil
}
