package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// at is the head with the time of a decision made now, never before the stream's last event.
func (l *Log) at(h *Head) *Head {
	now := *h
	now.Now = l.Now().UTC().Truncate(time.Millisecond)
	if now.Now.Before(h.RecordedAt) {
		now.Now = h.RecordedAt
	}
	return &now
}

// Fresh is the head of a stream that cannot be there yet, since its name was just made up: it need not be looked for.
func (l *Log) Fresh(stream string, folds ...AnyFold) *Head {
	h := &Head{Stream: stream, Now: l.Now(), states: map[string]any{}, behind: map[string]int{}, size: map[string]int{}}
	for _, f := range folds {
		h.states[f.name()] = f.initial()
	}
	return h
}

// Load returns the stream's head, strongly consistent.
func (l *Log) Load(ctx context.Context, stream string, folds ...AnyFold) (*Head, error) {
	return l.load(ctx, stream, folds)
}

func (l *Log) load(ctx context.Context, stream string, folds []AnyFold) (*Head, error) {
	if len(folds) == 0 {
		return l.last(ctx, stream)
	}
	names := make([]string, len(folds))
	for i, f := range folds {
		names[i] = f.name()
	}
	snapshots, err := l.Store.LoadSnapshots(ctx, stream, names...)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", kindOf(stream), err)
	}
	h := &Head{Stream: stream, states: map[string]any{}, behind: map[string]int{}, size: map[string]int{}}
	at := make(map[string]int64, len(folds)) // the version each state is at
	from := int64(-1)
	if slices.ContainsFunc(snapshots, func(s Snapshot) bool { return s.State == endedState }) {
		if ended, err := l.foldEnd(ctx, h.initial(folds), folds, at); err != nil || ended {
			return h, err
		}
	}
	for _, f := range folds {
		h.states[f.name()] = f.initial()
		state, s, err := l.restored(ctx, stream, f, snapshots)
		if err != nil {
			return nil, err
		}
		if state != nil {
			h.states[f.name()], at[f.name()], h.size[f.name()] = state, s.Version, len(s.Sealed)
			if s.Version > h.Version {
				h.Version, h.RecordedAt = s.Version, s.RecordedAt
			}
		}
		if from < 0 || at[f.name()] < from {
			from = at[f.name()]
		}
	}
	return h, l.replay(ctx, h, folds, at, from+1)
}

// endedState is the layout of the snapshot of a stream that ended: it keeps nothing, and says that the stream's end is all there is to read.
const endedState = -1

// MarkEnded leaves that note in the place of a fold's snapshot. Without it whoever loads the stream begins with its first page, of up to a
// megabyte.
func (l *Log) MarkEnded(ctx context.Context, h *Head, f AnyFold) error {
	return l.Store.SaveSnapshot(ctx, Snapshot{Stream: h.Stream, Fold: f.name(), Version: h.Version, State: endedState, RecordedAt: h.RecordedAt})
}

// initial is the head with the states that folds begin with.
func (h *Head) initial(folds []AnyFold) *Head {
	for _, f := range folds {
		h.states[f.name()] = f.initial()
	}
	return h
}

// restored is the state that a fold's snapshot among these keeps, nil where there is none that can be read.
func (l *Log) restored(ctx context.Context, stream string, f AnyFold, snapshots []Snapshot) (state any, s Snapshot, err error) {
	i := slices.IndexFunc(snapshots, func(s Snapshot) bool { return s.Fold == f.name() && s.State == f.layout() })
	if i < 0 {
		return nil, s, nil
	}
	s = snapshots[i]
	data, err := l.Vault.Open(ctx, stream, snapshotPlace(stream, s.Fold), s.Sealed)
	if errors.Is(err, ErrErased) {
		return nil, s, nil
	}
	if err != nil {
		return nil, s, fmt.Errorf("load %s: %w", kindOf(stream), err)
	}
	if data, err = Unpack(data); err == nil {
		state, err = f.decode(data)
	}
	if err != nil { // as good as none: the events tell the same
		l.lost(ctx, s.Fold, stream, err)
		return nil, s, nil
	}
	return state, s, nil
}

// last returns a head without states, which takes the last commit alone.
func (l *Log) last(ctx context.Context, stream string) (*Head, error) {
	h := &Head{Stream: stream, states: map[string]any{}, behind: map[string]int{}, size: map[string]int{}}
	for commit, err := range l.Store.ReadBack(ctx, stream, 0) {
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", kindOf(stream), err)
		}
		h.Version, h.RecordedAt = commit.Last(), commit.RecordedAt
		break
	}
	return h, nil
}

// advance returns h with what was appended since.
func (l *Log) advance(ctx context.Context, h *Head, folds []AnyFold) (*Head, error) {
	next := h.clone()
	at := make(map[string]int64, len(folds))
	for _, f := range folds {
		at[f.name()] = h.Version
	}
	return next, l.replay(ctx, next, folds, at, h.Version+1)
}

func (l *Log) replay(ctx context.Context, h *Head, folds []AnyFold, at map[string]int64, from int64) error {
	looked := false
	for commit, err := range l.Store.Read(ctx, h.Stream, from, 0) {
		if err != nil {
			return fmt.Errorf("load %s: %w", kindOf(h.Stream), err)
		}
		if commit.First > from {
			if err := l.replaced(ctx, h, folds, at, &from); err != nil {
				return err
			}
		}
		if commit.Last() < from {
			continue
		}
		if commit.First != from {
			return fmt.Errorf("load %s: a commit begins at version %d, the one before it ended at %d", kindOf(h.Stream), commit.First, from-1)
		}
		from = commit.Last() + 1
		erased, err := l.fold(ctx, h, folds, at, commit)
		if err != nil {
			return err
		}
		if erased && !looked { // no snapshot can be kept of it: its end says all there is to know, however long it is
			looked = true
			if ended, err := l.foldEnd(ctx, h, folds, at); err != nil || ended {
				return err
			}
		}
	}
	return nil
}

// foldEnd folds the last commit of a stream, if that ends it.
func (l *Log) foldEnd(ctx context.Context, h *Head, folds []AnyFold, at map[string]int64) (bool, error) {
	for last, err := range l.Store.ReadBack(ctx, h.Stream, 0) {
		if err != nil {
			return false, fmt.Errorf("load %s: %w", kindOf(h.Stream), err)
		}
		if !slices.ContainsFunc(last.Events, func(r Record) bool { return l.Catalog.Ends(r.Type) }) {
			return false, nil
		}
		_, err = l.fold(ctx, h, folds, at, last)
		return true, err
	}
	return false, nil
}

// replaced folds the commit that begins before from and reaches beyond it, because commits have become fewer since the
// snapshot, or while they were read. Part of what it stands for is folded already: folds take a summary like that.
func (l *Log) replaced(ctx context.Context, h *Head, folds []AnyFold, at map[string]int64, from *int64) error {
	for commit, err := range l.Store.ReadBack(ctx, h.Stream, *from-1) {
		if err != nil {
			return fmt.Errorf("load %s: %w", kindOf(h.Stream), err)
		}
		if commit.Last() < *from {
			return nil
		}
		*from = commit.Last() + 1
		_, err := l.fold(ctx, h, folds, at, commit)
		return err
	}
	return nil
}

// fold folds a commit's events into the states that are not beyond them. It says whether what was personal in them is gone.
func (l *Log) fold(ctx context.Context, h *Head, folds []AnyFold, at map[string]int64, commit Commit) (erased bool, err error) {
	events, err := l.Open(ctx, commit)
	if err != nil {
		return false, err
	}
	for _, e := range events {
		erased = erased || e.Erased
		if _, unknown := e.Data.(Unknown); unknown {
			h.unknown = true
		}
		for _, f := range folds {
			if e.Version > at[f.name()] {
				h.states[f.name()] = f.evolve(h.states[f.name()], e)
			}
		}
	}
	for _, f := range folds {
		if commit.Last() > at[f.name()] {
			h.behind[f.name()] += commit.Size()
		}
	}
	if commit.Last() > h.Version {
		h.Version, h.RecordedAt = commit.Last(), commit.RecordedAt
	}
	return erased, nil
}
