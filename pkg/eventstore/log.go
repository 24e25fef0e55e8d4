package eventstore

import (
	"bytes"
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
	if data, err = unpack(data); err == nil {
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

// Open returns a commit's events.
func (l *Log) Open(ctx context.Context, c Commit) ([]Event, error) {
	private, err := l.unseal(ctx, c)
	erased := errors.Is(err, ErrErased)
	if err != nil && !erased {
		return nil, err
	}
	events := make([]Event, len(c.Events))
	for i, r := range c.Events {
		data, err := l.Catalog.Decode(r.Type, r.Schema, r.Data, private[i])
		if fault.KindOf(err) == fault.Busy { // it is newer than this program
			return nil, fmt.Errorf("version %d of %s: %w", c.Version(i), kindOf(c.Stream), err)
		}
		if err != nil {
			return nil, fmt.Errorf("version %d of %s: %w: %w", c.Version(i), kindOf(c.Stream), ErrCorrupt, err)
		}
		events[i] = envelope(c, i)
		events[i].Data, events[i].Erased, events[i].Behaviour = data, erased, l.Catalog.Behaviour(r.Type)
		if schema := l.Catalog.Schema(r.Type); schema > 0 {
			events[i].Schema = schema
		}
	}
	return events, nil
}

// unseal returns the private fields of each event of a commit, nil for none; with ErrErased, none of any.
func (l *Log) unseal(ctx context.Context, c Commit) ([]json.RawMessage, error) {
	private := make([]json.RawMessage, len(c.Events))
	if c.Sealed == nil {
		return private, nil
	}
	plaintext, err := l.Vault.Open(ctx, c.Stream, commitPlace(c), c.Sealed)
	if errors.Is(err, ErrErased) {
		return private, err
	}
	if err != nil {
		return nil, fmt.Errorf("open version %d of %s: %w", c.First, kindOf(c.Stream), err)
	}
	if plaintext, err = unpack(plaintext); err != nil {
		return nil, fmt.Errorf("open version %d of %s: %w", c.First, kindOf(c.Stream), err)
	}
	if err := json.Unmarshal(plaintext, &private); err != nil || len(private) != len(c.Events) {
		return nil, fmt.Errorf("version %d of %s: private fields do not fit its events: %w", c.First, kindOf(c.Stream), ErrCorrupt)
	}
	for i := range private {
		if string(private[i]) == "null" {
			private[i] = nil
		}
	}
	return private, nil
}

// seal puts private fields into a commit, if there are any.
func (l *Log) seal(ctx context.Context, c *Commit, private []json.RawMessage) error {
	c.Sealed = nil
	if !slices.ContainsFunc(private, func(secret json.RawMessage) bool { return secret != nil }) {
		return nil
	}
	plaintext, err := json.Marshal(private)
	if err != nil {
		return fmt.Errorf("encode private fields: %w", err)
	}
	if plaintext, err = pack(plaintext); err != nil {
		return err
	}
	c.Sealed, err = l.Vault.Seal(ctx, c.Stream, commitPlace(*c), plaintext)
	return err
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
	if data, err = pack(data); err != nil {
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

func envelope(c Commit, i int) Event {
	r := c.Events[i]
	e := Event{
		ID: c.EventID(i), Type: r.Type, Schema: r.Schema, Stream: c.Stream, Version: c.Version(i), Span: r.Span,
		OccurredAt: r.OccurredAt, RecordedAt: c.RecordedAt,
		CorrelationID: c.CorrelationID, CausationID: c.CausationID, Actor: c.Actor, Source: c.Source, Message: r.Message, Notes: r.Notes,
	}
	if e.CorrelationID == "" {
		e.CorrelationID = c.ID
	}
	return e
}

// join puts two JSON objects together; the second may be nil.
func join(public, private json.RawMessage) []byte {
	if private == nil {
		return public
	}
	if len(public) <= 2 {
		return private
	}
	return bytes.Join([][]byte{public[:len(public)-1], private[1:]}, []byte(","))
}

// commitID clears the last 12 bits of a UUID, so that the events' ids can count up from it.
func commitID(id string) string { return id[:len(id)-3] + "000" }

func commitPlace(c Commit) string { return fmt.Sprintf("E#%s#%d", c.ID, c.First) }

func snapshotPlace(stream, fold string) string { return "S#" + stream + "#" + fold }

// kindOf names a stream in errors and logs without its id.
func kindOf(stream string) string {
	for i := range len(stream) {
		if stream[i] == '#' {
			return stream[:i]
		}
	}
	return stream
}

func sealingError(err error) error {
	if errors.Is(err, ErrErased) {
		return fault.Because(err, fault.NotFound, "customer-erased", "this customer was erased")
	}
	return fmt.Errorf("seal private fields: %w", err)
}
