package view

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A lookup that everybody writes to is no single partition, and is read whole all the same.
func TestS12_LookupsAreSpread(t *testing.T) {
	w := begin(t)
	for _, l := range []lookup{consentedLookup, dueLookup, touchedLookup, unarchivedLookup} {
		var want []string
		shards := map[string]bool{}
		for i := range 200 {
			id := fmt.Sprintf("customer-%03d", i)
			want = append(want, id)
			shards[l.key("2026-11", id)] = true
			if err := w.Table.Put(t.Context(), Row{PK: l.key("2026-11", id), SK: id}); err != nil {
				t.Fatal(err)
			}
			if !l.has(l.key("2026-11", id)) || l.key("2026-11", id) == l.key("2026-12", id) {
				t.Errorf("%s is at %s", id, l.key("2026-11", id))
			}
		}
		if len(shards) != l.shards {
			t.Errorf("%s is written to %d partitions, want %d", l.prefix, len(shards), l.shards)
		}
		for upTo, want := range map[string][]string{"": want, "customer-120": want[:121]} {
			var got []string
			for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
				rows, next, err := l.list(t.Context(), w.Table, "2026-11", upTo, cursor, 7)
				if err != nil || len(rows) > 7 || pages > 200 {
					t.Fatalf("page %d has %d rows: %v", pages, len(rows), err)
				}
				for _, row := range rows {
					got = append(got, row.SK)
				}
				cursor = next
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s up to %q: %d listed, want %d", l.prefix, upTo, len(got), len(want))
			}
		}
		for _, cursor := range []string{"x", Cursor("99", ""), Cursor("-1", ""), Cursor("0")} {
			if _, _, err := l.list(t.Context(), w.Table, "2026-11", "", cursor, 7); err == nil {
				t.Errorf("the cursor %q is read", cursor)
			}
		}
	}
}

// Hints of the hour that is not over are read up to a bucket, in each shard.
func TestTouchedCartsEndAtABucket(t *testing.T) {
	w := begin(t)
	hour := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	for i := range 40 {
		for _, minute := range []int{0, 20, 30} {
			if err := w.Table.Put(t.Context(), hintAt(fmt.Sprintf("CUSTOMER#%d", i), hour.Add(time.Duration(minute)*time.Minute))); err != nil {
				t.Fatal(err)
			}
		}
	}
	found := 0
	for cursor, first := "", true; first || cursor != ""; first = false {
		hints, next, err := w.TouchedCarts(t.Context(), hour, hour.Add(25*time.Minute), cursor, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hints {
			if h.SK >= "09:30" {
				t.Errorf("%s is of a later bucket", h.SK)
			}
		}
		found, cursor = found+len(hints), next
	}
	if found != 80 {
		t.Errorf("%d hints, want 80", found)
	}
}
