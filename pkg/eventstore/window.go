package eventstore

import (
	"context"
	"fmt"
	"slices"
)

// windowTail is how many versions may have followed a window's snapshot for it to be worth reading: what is older than they are the
// window may not even hold.
const windowTail = 8192

// Window computes a fold of the newest part of a stream, of what commits show without being opened: the events come to it without
// their data. It is computed when somebody asks for it, and by no command. ends says whether the window begins after a commit: it is asked of
// one after the other, from the newest back. Where the window was computed before, what was appended since is all that is read.
func Window[S any](ctx context.Context, l *Log, h *Head, f *Fold[S], ends func(Commit) bool) (state S, err error) {
	snapshots, err := l.Store.LoadSnapshots(ctx, h.Stream, f.Name)
	if err != nil {
		return state, fmt.Errorf("load %s: %w", kindOf(h.Stream), err)
	}
	kept, s, err := l.restored(ctx, h.Stream, f, snapshots)
	if err != nil {
		return state, err
	}
	at := &Head{
		Stream: h.Stream, Version: h.Version, RecordedAt: h.RecordedAt,
		states: map[string]any{f.Name: f.initial()}, behind: map[string]int{}, size: map[string]int{},
	}
	var read []opened
	if since := h.Version - s.Version; kept != nil && since >= 0 && since <= windowTail {
		at.states[f.Name], at.size[f.Name] = kept, len(s.Sealed)
		read, err = l.since(ctx, h, s.Version)
	} else {
		read, err = l.back(ctx, h, ends)
	}
	if err != nil {
		return state, err
	}
	for _, c := range read {
		at.behind[f.Name] += c.size
		for i := range c.Events {
			at.states[f.Name] = f.evolve(at.states[f.Name], envelope(c.Commit, i))
		}
	}
	l.snapshot(ctx, at, []AnyFold{f})
	return at.states[f.Name].(S), nil
}

// opened is what a commit shows without being opened, of which there may be thousands in memory, and how large all of it is.
type opened struct {
	Commit
	size int
}

func open(c Commit) opened {
	o := opened{c, c.Size()}
	o.Sealed, o.Events = nil, make([]Record, len(c.Events))
	for i, r := range c.Events {
		o.Events[i] = Record{Type: r.Type, OccurredAt: r.OccurredAt, Message: r.Message, Span: r.Span}
	}
	return o
}

// since reads what follows a version, up to the head's.
func (l *Log) since(ctx context.Context, h *Head, version int64) (read []opened, err error) {
	if version == h.Version {
		return nil, nil
	}
	for c, err := range l.Store.Read(ctx, h.Stream, version+1, h.Version) {
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", kindOf(h.Stream), err)
		}
		read = append(read, open(c))
	}
	return read, nil
}

// back reads from the head's version back to where a window ends, and returns it oldest first.
func (l *Log) back(ctx context.Context, h *Head, ends func(Commit) bool) (read []opened, err error) {
	for c, err := range l.Store.ReadBack(ctx, h.Stream, h.Version) {
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", kindOf(h.Stream), err)
		}
		if ends(c) {
			break
		}
		read = append(read, open(c))
	}
	slices.Reverse(read)
	return read, nil
}
