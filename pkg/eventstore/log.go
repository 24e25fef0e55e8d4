package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"defter/pkg/fault"
)

// Limits of a decision.
const (
	MaxAttempts        = 200     // of a command, after as many conflicts but one
	snapshotAfterBytes = 8_000   // of events read beyond a snapshot: two read units
	maxSnapshotBytes   = 380_000 // DynamoDB refuses items over 400 KB
	cachedFor          = 24 * time.Hour
)

// Pauses before a command is tried again, at random up to the first, which doubles with each try up to the second. A decision, for
// which somebody waits, comes before facts: so it gets through to a stream that is flooded with them, and of the facts none is lost.
var (
	decisionPause = [2]time.Duration{4 * time.Millisecond, 50 * time.Millisecond}
	factPause     = [2]time.Duration{25 * time.Millisecond, 500 * time.Millisecond}
)

// ErrErased: the data key was destroyed; what it sealed can never be read again.
var ErrErased = errors.New("the data key was destroyed")

// ErrCorrupt: what is stored cannot be read, now or later. Its stream needs an operator.
var ErrCorrupt = errors.New("what is stored cannot be read")

// Vault seals what is personal under the data key of its owner, a stream. Sealing is deterministic: the same plaintext
// in the same place gives the same bytes. Both fail with ErrErased once the owner's key was destroyed, and Open with
// ErrCorrupt for anything Seal did not make.
type Vault interface {
	// Seal makes the owner's key if there is none. place is bound to the result: it opens nowhere else.
	Seal(ctx context.Context, owner, place string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, owner, place string, sealed []byte) ([]byte, error)
	// Known says whether the owner has a key, or had one. Making one lasts for good.
	Known(ctx context.Context, owner string) (bool, error)
}

// Log appends to streams and reads them, in the program's terms.
type Log struct {
	Store    Store
	Catalog  *Catalog
	Vault    Vault
	Now      func() time.Time
	NewID    func() string                                    // a new UUIDv7
	Validate func(name string, schema int, data []byte) error // against the released schema
	Cache    *Cache                                           // nil for none
	// Wait waits for a random time up to a limit, so that writers who met do not meet again; it ends early with the context. Nil does
	// not wait.
	Wait func(ctx context.Context, atMost time.Duration) error
	// Lost is told of a snapshot that could not be kept or read; nil for nobody. What was asked for succeeds without.
	Lost func(ctx context.Context, err error)
}

// Meta is what an event's envelope says about its command.
type Meta struct {
	CorrelationID string
	CausationID   string
	Actor         string
	Source        string
}

// Head is a stream as loaded: its version and the states of the folds asked for. It never changes.
type Head struct {
	Stream     string
	Version    int64 // 0 for a stream that does not exist
	RecordedAt time.Time
	Now        time.Time // in a Decide: when what is decided will be recorded
	states     map[string]any
	behind     map[string]int // bytes of events beyond each fold's snapshot
	size       map[string]int // bytes of each fold's snapshot, 0 for none known
	unknown    bool           // whether events beyond the snapshots are of types that this program does not know
}

// Command is what Handle decides on.
type Command struct {
	Stream string
	Folds  []AnyFold
	Meta   Meta
	Fact   bool  // it has happened, and nobody waits for a decision: it lets those first who do
	Head   *Head // the stream as the caller has just loaded it with these folds, nil for not: it is decided on first, as a cached one is
	// Decide returns what is to be appended, nothing if there is nothing to do. It is called again after a conflict.
	Decide func(h *Head) (Decision, error)
}

// Decision is what a command appends.
type Decision struct {
	Events []New
	Claims []Claim
	// Answer, if set, makes further claims once the new state is known, such as a stored answer.
	Answer func(next *Head) ([]Claim, error)
}

// Handle loads the stream, decides and appends. It returns the head after it, and how many events it appended. A cached
// head saves the load: it may decide only what an append then proves current; anything else is decided again on a
// fresh one.
func (l *Log) Handle(ctx context.Context, c Command) (*Head, int, error) {
	unlock, err := l.Cache.lock(ctx, c.Stream)
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	head, cached := l.Cache.get(c.Stream, c.Folds)
	if cached && l.Now().Sub(head.Now) > cachedFor { // the commit after it may be compacted: nothing would be in the way of an append
		cached = false
	}
	if !cached && c.Head != nil {
		head, cached = c.Head, true
	}
	if !cached {
		if head, err = l.load(ctx, c.Stream, c.Folds); err != nil {
			return nil, 0, err
		}
	}
	for attempt := 1; ; {
		head = l.at(head)
		d, err := c.Decide(head)
		if err != nil || len(d.Events) == 0 {
			if !cached {
				return head, 0, err
			}
			if head, err = l.advance(ctx, head, c.Folds); err != nil {
				return nil, 0, err
			}
			cached = false
			continue
		}
		next, appended, err := l.append(ctx, c, head, d)
		switch {
		case err == nil:
			l.snapshot(ctx, next, c.Folds)
			l.Cache.put(next)
			return next, appended, nil
		case !errors.Is(err, ErrConflict):
			l.Cache.drop(c.Stream)
			return nil, 0, err
		case attempt >= MaxAttempts:
			l.Cache.drop(c.Stream)
			return nil, 0, fault.Because(err, fault.Conflict, "concurrent-change", "%s was changed by others %d times meanwhile", kindOf(c.Stream), attempt)
		}
		if err := l.pause(ctx, c, attempt); err != nil {
			return nil, 0, fmt.Errorf("wait for %s: %w", kindOf(c.Stream), err)
		}
		attempt++
		cached = false
		if head, err = l.advance(ctx, head, c.Folds); err != nil {
			return nil, 0, err
		}
	}
}

// pause waits before another try. It ends early with the context.
func (l *Log) pause(ctx context.Context, c Command, attempt int) error {
	if l.Wait == nil {
		return ctx.Err()
	}
	pause := decisionPause
	if c.Fact {
		pause = factPause
	}
	return l.Wait(ctx, min(pause[0]<<min(attempt-1, 10), pause[1]))
}

func (l *Log) lost(ctx context.Context, fold, stream string, err error) {
	if l.Lost != nil {
		l.Lost(ctx, fmt.Errorf("snapshot %s of %s: %w", fold, kindOf(stream), err))
	}
}

func (l *Log) append(ctx context.Context, c Command, head *Head, d Decision) (*Head, int, error) {
	commit, events, err := l.commit(ctx, c, head, d.Events)
	if err != nil {
		return nil, 0, err
	}
	next := head.clone()
	for _, f := range c.Folds {
		for _, e := range events {
			next.states[f.name()] = f.evolve(next.states[f.name()], e)
		}
		next.behind[f.name()] += commit.Size()
	}
	next.Version, next.RecordedAt = commit.Last(), commit.RecordedAt
	claims := d.Claims
	if d.Answer != nil {
		more, err := d.Answer(next)
		if err != nil {
			return nil, 0, err
		}
		claims = append(slices.Clip(claims), more...)
	}
	if err := l.Store.Append(ctx, commit, claims...); err != nil {
		return nil, 0, fmt.Errorf("append to %s: %w", kindOf(c.Stream), err)
	}
	return next, len(events), nil
}

// commit makes the commit of decided events, and the events as a reader would see them.
func (l *Log) commit(ctx context.Context, c Command, head *Head, news []New) (Commit, []Event, error) {
	now := head.Now
	commit := Commit{
		ID: commitID(l.NewID()), Stream: c.Stream, First: head.Version + 1, RecordedAt: now,
		CorrelationID: c.Meta.CorrelationID, CausationID: c.Meta.CausationID, Actor: c.Meta.Actor, Source: c.Meta.Source,
	}
	private := make([]json.RawMessage, len(news))
	for i, n := range news {
		name, schema, public, secret, err := l.Catalog.Encode(n.Data)
		if err != nil {
			return Commit{}, nil, err
		}
		if l.Validate != nil {
			if err := l.Validate(name, schema, join(public, secret)); err != nil {
				return Commit{}, nil, err
			}
		}
		if len(n.Notes) > MaxNotes || slices.ContainsFunc(n.Notes, func(note string) bool { return len(note) > MaxNoteBytes }) {
			return Commit{}, nil, fmt.Errorf("%s has more than %d notes, or one of more than %d bytes", name, MaxNotes, MaxNoteBytes)
		}
		at := n.OccurredAt.UTC().Truncate(time.Millisecond)
		if n.OccurredAt.IsZero() {
			at = now
		}
		commit.Events = append(commit.Events, Record{Type: name, Schema: schema, OccurredAt: at, Message: n.Message, Notes: n.Notes, Data: public})
		private[i] = secret
	}
	if err := l.seal(ctx, &commit, private); err != nil {
		return Commit{}, nil, sealingError(err)
	}
	if n := commit.Size(); len(news) > MaxCommitEvents || n > MaxCommitBytes {
		return Commit{}, nil, fault.New(fault.Invalid, "too-large", "%d events of %d bytes are more than one command may append", len(news), n)
	}
	events := make([]Event, len(news))
	for i := range commit.Events {
		events[i] = envelope(commit, i)
		events[i].Data, events[i].Behaviour = news[i].Data, l.Catalog.Behaviour(commit.Events[i].Type)
	}
	return commit, events, nil
}

// Events yields the stream's events of versions from … to (to = 0: to the end), in order. Of a summary that stands for some
// of them, the last one counts.
func (l *Log) Events(ctx context.Context, stream string, from, to int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		next := max(from, 1)
		none := true
		for commit, err := range l.Store.Read(ctx, stream, from, to) {
			if err == nil && commit.First > next {
				var more bool
				if next, more = l.inside(ctx, stream, next, to, yield); !more {
					return
				}
			}
			none = false
			if !l.yieldCommit(ctx, commit, err, next, to, yield) {
				return
			}
			next = max(next, commit.Last()+1)
		}
		if none || to > 0 && next <= to { // what is left, if anything, is inside an earlier commit
			l.inside(ctx, stream, next, to, yield)
		}
	}
}

// inside yields the events from … of the commit that begins before from, and returns which version is next.
func (l *Log) inside(ctx context.Context, stream string, from, to int64, yield func(Event, error) bool) (next int64, more bool) {
	if from <= 1 {
		return from, true
	}
	for commit, err := range l.Store.ReadBack(ctx, stream, from-1) {
		return max(from, commit.Last()+1), l.yieldCommit(ctx, commit, err, from, to, yield)
	}
	return from, true
}

func (l *Log) yieldCommit(ctx context.Context, c Commit, err error, from, to int64, yield func(Event, error) bool) bool {
	if err != nil {
		yield(Event{}, fmt.Errorf("read events: %w", err))
		return false
	}
	events, err := l.Open(ctx, c)
	if err != nil {
		yield(Event{}, err)
		return false
	}
	for _, e := range events {
		if e.Version < from || to > 0 && e.Version > to {
			continue
		}
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

// snapshot saves the folds that have fallen behind. Without one the next load only reads more, so that the command succeeds
// anyway; but it is counted, since a stream that never has one gets dearer for ever. A large state waits for as many events as
// would pay for writing it.
func (l *Log) snapshot(ctx context.Context, h *Head, folds []AnyFold) {
	for _, f := range folds {
		if h.behind[f.name()] < max(snapshotAfterBytes, 2*h.size[f.name()]) {
			continue
		}
		if err := l.saveSnapshot(ctx, h, f); err != nil {
			l.lost(ctx, f.name(), h.Stream, err)
		}
	}
}

func (l *Log) saveSnapshot(ctx context.Context, h *Head, f AnyFold) error {
	if h.unknown {
		return nil // it would hide from a newer program what this one could not fold
	}
	data, err := f.encode(h.states[f.name()])
	if err != nil {
		return err
	}
	if data, err = Pack(data); err != nil {
		return err
	}
	if h.size[f.name()] = len(data); h.behind[f.name()] < 2*len(data) {
		return nil
	}
	if len(data) > maxSnapshotBytes {
		return fmt.Errorf("the state has %d bytes, at most %d can be kept", len(data), maxSnapshotBytes)
	}
	sealed, err := l.Vault.Seal(ctx, h.Stream, snapshotPlace(h.Stream, f.name()), data)
	if err != nil {
		return err
	}
	s := Snapshot{Stream: h.Stream, Fold: f.name(), Version: h.Version, State: f.layout(), RecordedAt: h.RecordedAt, Sealed: sealed}
	if err := l.Store.SaveSnapshot(ctx, s); err != nil {
		return err
	}
	h.behind[f.name()] = 0
	return nil
}

func (h *Head) clone() *Head {
	next := *h
	next.states, next.behind, next.size = maps.Clone(h.states), maps.Clone(h.behind), maps.Clone(h.size)
	return &next
}

// kindOf names a stream in errors and logs without its id.
func kindOf(stream string) string {
	for i := range len(stream) {
		if stream[i] == '#' {
			return stream[:i]
		}
	}
	return stream
}
