package view

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// Views are the tables and keys that projections need.
type Views struct {
	Table   Table
	Log     *eventstore.Log
	Workers int // how many rows a batch writes side by side; 0 for 8
}

// Document is a view with one row per stream. S marshals to what may be read by anybody with the row; the personal part is
// taken out and put back.
type Document[S any] struct {
	Name     string                             // its sort key
	Evolve   func(S, eventstore.Event) S        // pure
	Personal func(*S) any                       // a pointer to the personal part, nil for a view that has none
	Lookups  func(stream string, state S) []Row // derived rows, their keys from the state alone; nil for none
}

// Load returns a stream's document and its version, 0 if there is none.
func (d *Document[S]) Load(ctx context.Context, v *Views, stream string) (S, int64, error) {
	row, ok, err := v.Table.Get(ctx, stream, d.Name)
	if err != nil || !ok {
		var none S
		return none, 0, err
	}
	state, err := d.decode(ctx, v, row)
	return state, row.Version, err
}

func (d *Document[S]) decode(ctx context.Context, v *Views, row Row) (S, error) {
	var state S
	if err := eventstore.Exact(row.Data, &state); err != nil {
		return state, fmt.Errorf("decode %s: %w", d.Name, err)
	}
	if row.Sealed != nil {
		personal, err := ignoreErased(v.Log.Vault.Open(ctx, row.PK, sealedPlace(row.PK, row.SK), row.Sealed))
		if err != nil {
			return state, fmt.Errorf("open %s: %w", d.Name, err)
		}
		if personal != nil {
			if err := eventstore.Exact(personal, d.Personal(&state)); err != nil {
				return state, fmt.Errorf("decode %s: %w", d.Name, err)
			}
		}
	}
	return state, nil
}

func (d *Document[S]) encode(ctx context.Context, v *Views, stream string, state S, version int64) (Row, error) {
	row := Row{PK: stream, SK: d.Name, Version: version}
	var err error
	if row.Data, err = json.Marshal(state); err != nil {
		return row, fmt.Errorf("encode %s: %w", d.Name, err)
	}
	if d.Personal == nil {
		return row, nil
	}
	personal, err := json.Marshal(d.Personal(&state))
	if err != nil {
		return row, fmt.Errorf("encode %s: %w", d.Name, err)
	}
	if string(personal) == "{}" {
		return row, nil
	}
	if row.Sealed, err = ignoreErased(v.Log.Vault.Seal(ctx, stream, sealedPlace(stream, d.Name), personal)); err != nil {
		return row, fmt.Errorf("seal %s: %w", d.Name, err)
	}
	return row, nil
}

// Apply folds events of one stream, of any versions and in any order, into its row.
func (d *Document[S]) Apply(ctx context.Context, v *Views, stream string, events []eventstore.Event) error {
	row, _, err := v.Table.Get(ctx, stream, d.Name)
	if err != nil {
		return err
	}
	return d.ApplyTo(ctx, v, row, stream, events)
}

// ApplyTo is Apply for a row already read; the zero Row for none.
func (d *Document[S]) ApplyTo(ctx context.Context, v *Views, row Row, stream string, events []eventstore.Event) error {
	events = slices.SortedFunc(slices.Values(events), func(a, b eventstore.Event) int { return int(a.Version - b.Version) })
	for attempt := 1; ; attempt++ {
		next, changed, before, after, err := d.fold(ctx, v, row, stream, events)
		if err != nil || !changed {
			return err
		}
		put, remove := d.lookups(stream, before, after)
		written, err := v.Table.Replace(ctx, next, row.Version, put, remove)
		if err != nil {
			return err
		}
		if written && next.Version >= events[len(events)-1].Version {
			return nil
		}
		if written { // a piece of a long gap, which is kept
			row, attempt = next, 0
			continue
		}
		if attempt == maxAttempts {
			return fault.New(fault.Busy, "view-contended", "%s was overtaken %d times", d.Name, attempt)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		if row, _, err = v.Table.Get(ctx, stream, d.Name); err != nil {
			return err
		}
	}
}

// maxPiece is how many events are folded into a row before it is written: a gap may be as long as a stream, and what was worked off
// of it must not be lost when time is up.
const maxPiece = 2_000

// fold applies the version rule, to as many events as make a piece.
func (d *Document[S]) fold(ctx context.Context, v *Views, row Row, stream string, events []eventstore.Event) (next Row, changed bool, before, after S, err error) {
	if len(events) == 0 || events[len(events)-1].Version <= row.Version {
		return row, false, before, after, nil
	}
	if row.Data != nil {
		if before, err = d.decode(ctx, v, row); err != nil {
			return row, false, before, after, err
		}
	}
	after = before
	version, folded := row.Version, 0
	for i, e := range events {
		if _, erased := e.Data.(customer.DataDeleted); erased && e.Version > version { // whatever came before is gone
			var none S
			events, after, version = events[i:], none, e.Version-1
			break
		}
	}
	for _, e := range events {
		if e.Version <= version {
			continue
		}
		if e.First() > version+1 {
			for missing, err := range v.Log.Events(ctx, stream, version+1, e.First()-1) {
				if err != nil {
					return row, false, before, after, fmt.Errorf("read the gap for %s: %w", d.Name, err)
				}
				after, version = d.Evolve(after, missing), missing.Version
				if folded++; folded == maxPiece && version < e.First()-1 {
					next, err = d.encode(ctx, v, stream, after, version)
					return next, true, before, after, err
				}
			}
			if version != e.First()-1 {
				return row, false, before, after, fault.New(fault.Busy, "gap-not-readable", "version %d is not in the store yet", e.First()-1)
			}
		}
		after, version = d.Evolve(after, e), e.Version
	}
	next, err = d.encode(ctx, v, stream, after, version)
	return next, true, before, after, err
}

// derived returns the keys of the rows derived from a row.
func (d *Document[S]) derived(ctx context.Context, v *Views, row Row) (keys [][2]string, err error) {
	state, err := d.decode(ctx, v, row)
	if err != nil || d.Lookups == nil {
		return nil, err
	}
	for _, r := range d.Lookups(row.PK, state) {
		keys = append(keys, [2]string{r.PK, r.SK})
	}
	return keys, nil
}

// empty puts a state that says nothing in the place of a stream's row, if there is one or there must be, as of a version, and removes the rows derived from
// it. It returns how many those were.
func (d *Document[S]) empty(ctx context.Context, v *Views, stream string, version int64, nothing S, always bool) (int, error) {
	for attempt := 1; ; attempt++ {
		row, ok, err := v.Table.Get(ctx, stream, d.Name)
		if err != nil || !ok && !always {
			return 0, err
		}
		var derived [][2]string
		if ok {
			if derived, err = d.derived(ctx, v, row); err != nil {
				return 0, err
			}
		}
		next, err := d.encode(ctx, v, stream, nothing, max(version, row.Version))
		if err != nil {
			return 0, err
		}
		next.Sealed = nil
		written, err := v.Table.Replace(ctx, next, row.Version, nil, derived)
		if err != nil || written {
			return len(derived), err
		}
		if attempt == maxAttempts {
			return 0, fault.New(fault.Busy, "view-contended", "%s was overtaken %d times", d.Name, attempt)
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, err
		}
	}
}

// remove removes a row, as it was read or as it is by now, with the rows derived from it, and returns how many those are.
func (d *Document[S]) remove(ctx context.Context, v *Views, row Row) (int, error) {
	for attempt := 1; ; attempt++ {
		derived, err := d.derived(ctx, v, row)
		if err != nil {
			return 0, err
		}
		removed, err := v.Table.Remove(ctx, row, derived)
		if err != nil || removed {
			return len(derived), err
		}
		if attempt == maxAttempts {
			return 0, fault.New(fault.Busy, "view-contended", "%s was overtaken %d times", d.Name, attempt)
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, err
		}
		ok := false
		if row, ok, err = v.Table.Get(ctx, row.PK, row.SK); err != nil || !ok {
			return 0, err
		}
	}
}

// lookups returns what changes among the derived rows.
func (d *Document[S]) lookups(stream string, before, after S) (put []Row, remove [][2]string) {
	if d.Lookups == nil {
		return nil, nil
	}
	old, now := d.Lookups(stream, before), d.Lookups(stream, after)
	same := func(a Row) func(Row) bool { return func(b Row) bool { return a.PK == b.PK && a.SK == b.SK } }
	for _, r := range old {
		if !slices.ContainsFunc(now, same(r)) {
			remove = append(remove, [2]string{r.PK, r.SK})
		}
	}
	for _, r := range now {
		at := slices.IndexFunc(old, same(r))
		if at < 0 || string(old[at].Data) != string(r.Data) {
			put = append(put, r)
		}
	}
	return put, remove
}
