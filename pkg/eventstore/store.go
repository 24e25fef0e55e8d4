// Package eventstore is the kernel: one immutable, gapless stream of events per customer, and what it takes to decide
// on one. Three words: a commit is what one command appended, atomically; a fold is a state computed from a stream; a
// claim is a name that only one owner can hold (an email address, an idempotency key), taken with the commit.
package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Limits of a stream and its commits.
const (
	MaxCommitEvents = 1000            // events in one commit
	MaxCommitBytes  = 360_000         // encoded size of one commit; DynamoDB refuses items over 400 KB
	MaxClaims       = 96              // claims taken or released with one commit
	MaxStreamName   = 256             // bytes of a stream's name
	MaxVersion      = 999_999_999_999 // what twelve digits can count
	MaxCompact      = 25              // commits replaced in one step
)

// Commit is what one command appended to one stream: 1 … MaxCommitEvents events with consecutive versions. It is stored
// as one item keyed by its first version, so that any two writers who saw the same version collide. Commits are never
// changed but by Compact, which leaves every version covered.
type Commit struct {
	ID            string // UUIDv7 whose last 12 bits are zero: the events' ids count up from it
	Stream        string
	First         int64     // version of Events[0]; versions are gapless from 1
	RecordedAt    time.Time // server time, in milliseconds, never decreasing in a stream
	CorrelationID string    // "" stands for ID
	CausationID   string    // the event or request that caused it, "" for none
	Actor         string    // who asked: "api:<key id>", "source:<key id>", "system:<function>"
	Source        string    // the channel it came through: "api", "browser", "server", "system" …
	Events        []Record
	Sealed        []byte // the personal fields of all events, sealed under the stream's data key; nil for none
	Compacted     int    // how often Compact has replaced it, 0 for a commit as it was appended
}

// Record is one event of a commit, its personal fields taken out.
type Record struct {
	Type       string
	Schema     int       // version of the event's schema, from 1
	OccurredAt time.Time // corrected client time, in milliseconds
	Message    string    // fingerprint of the message it came in, for recognising duplicates; "" for none
	Notes      []string  // what could not be read of that message
	Span       int       // how many versions it stands for; 0 for one
	Data       json.RawMessage
}

// Last is the version of the commit's last event.
func (c Commit) Last() int64 { return c.Version(len(c.Events) - 1) }

// Version is the version of the i-th event: the last one it stands for.
func (c Commit) Version(i int) int64 { return c.First + c.before(i+1) - 1 }

// before is how many versions the commit's first i events stand for.
func (c Commit) before(i int) int64 {
	n := int64(0)
	for _, r := range c.Events[:i] {
		n += int64(max(r.Span, 1))
	}
	return n
}

// Claim is a name held by at most one owner.
type Claim struct {
	Key       string // "UNIQUE#email#<hmac>", "KEY#<scope>#<hash>"
	Owner     string // who holds it: a stream, or the request whose answer it keeps
	Value     []byte
	ExpiresAt time.Time // zero: never; an expired claim counts as free
	Release   bool      // give it up instead of taking it; only its owner can
}

// Snapshot is a fold's state at a version: an optimisation that may be lost, late or of an old state version.
type Snapshot struct {
	Stream     string
	Fold       string
	Version    int64     // of the last event folded
	State      int       // version of the state's layout
	RecordedAt time.Time // of the last event folded
	Sealed     []byte
}

// Errors that stores answer with. Anything else is a failure of the store.
var (
	// ErrConflict: the stream is not at the version the commit was decided on.
	ErrConflict = errors.New("the stream has moved on")
	// ErrBusy: the store cannot answer now; nothing was appended.
	ErrBusy = errors.New("the store is busy")
)

// TakenError: another owner holds a claim; nothing was appended.
type TakenError struct{ Key string }

func (e *TakenError) Error() string { return fmt.Sprintf("claim %s is taken", e.Key) }

// Appender appends commits.
type Appender interface {
	// Append stores the commit and its claims, all or nothing. c.First is the version after a head that the caller has
	// read: if the stream has moved on since, it fails with ErrConflict. It fails with *TakenError if another owner holds
	// a claim. Appending a commit that is already stored, same ID, succeeds: a client library that retries must recognise
	// its own success.
	Append(ctx context.Context, c Commit, claims ...Claim) error
}

// Reader reads streams.
type Reader interface {
	// Read yields the stream's commits whose first version is in from … to (to = 0: to the end), in order, strongly
	// consistent.
	Read(ctx context.Context, stream string, from, to int64) iter.Seq2[Commit, error]
	// ReadBack yields the commits whose first version is at most from (0: the end), newest first, strongly consistent.
	ReadBack(ctx context.Context, stream string, from int64) iter.Seq2[Commit, error]
	// Scan yields every commit of one of n segments of the store. A stream is in one segment whole, its commits in
	// order and next to each other.
	Scan(ctx context.Context, segment, n int) iter.Seq2[Commit, error]
}

// Compactor replaces commits by fewer.
type Compactor interface {
	// Compact puts by in the place of the old commits, all or nothing: 1 … MaxCompact commits that follow each other in
	// one stream and cover the same versions as by. It fails with ErrConflict unless each of them is stored as given,
	// Compacted included. A caller who never heard of its success finds that out by reading.
	Compact(ctx context.Context, by Commit, old ...Commit) error
}

// Claims looks claims up.
type Claims interface {
	// Claimed returns who holds a key, strongly consistent; ok is false if nobody does.
	Claimed(ctx context.Context, key string) (c Claim, ok bool, err error)
	// Claim takes one claim without a commit; *TakenError if another owner holds it.
	Claim(ctx context.Context, c Claim) error
	// Unclaim gives up a claim if owner holds it; no error if it does not.
	Unclaim(ctx context.Context, key, owner string) error
}

// Snapshots keeps snapshots.
type Snapshots interface {
	// LoadSnapshots returns the snapshots that exist of the named folds, in any order.
	LoadSnapshots(ctx context.Context, stream string, folds ...string) ([]Snapshot, error)
	// SaveSnapshot stores a snapshot over an older one.
	SaveSnapshot(ctx context.Context, s Snapshot) error
	// DropSnapshots removes the named folds' snapshots of a stream.
	DropSnapshots(ctx context.Context, stream string, folds ...string) error
}

// Store is a whole event store. The contract is in storetest, which every backend passes.
type Store interface {
	Appender
	Reader
	Compactor
	Claims
	Snapshots
}

// Check refuses a commit or claims that no store may accept.
func Check(c Commit, claims []Claim) error {
	switch {
	case c.Stream == "" || len(c.Stream) > MaxStreamName:
		return fmt.Errorf("stream name of %d bytes, must be 1 to %d", len(c.Stream), MaxStreamName)
	case len(c.Events) == 0 || len(c.Events) > MaxCommitEvents:
		return fmt.Errorf("commit of %d events, must be 1 to %d", len(c.Events), MaxCommitEvents)
	case c.First < 1 || c.Last() > MaxVersion:
		return fmt.Errorf("versions %d to %d, must be 1 to %d", c.First, c.Last(), MaxVersion)
	case len(claims) > MaxClaims:
		return fmt.Errorf("%d claims, at most %d", len(claims), MaxClaims)
	case c.ID == "":
		return errors.New("commit without id")
	}
	if n := c.Size(); n > MaxCommitBytes {
		return fmt.Errorf("commit of %d bytes, at most %d", n, MaxCommitBytes)
	}
	return nil
}

// CheckCompaction refuses a replacement that no store may make.
func CheckCompaction(by Commit, old []Commit) error {
	if err := Check(by, nil); err != nil {
		return err
	}
	if len(old) == 0 || len(old) > MaxCompact {
		return fmt.Errorf("%d commits to replace, must be 1 to %d", len(old), MaxCompact)
	}
	next := by.First
	for _, c := range old {
		if c.Stream != by.Stream || c.First != next {
			return fmt.Errorf("a commit to replace begins at version %d of its stream, want %d of the replacement's", c.First, next)
		}
		if c.Compacted >= by.Compacted {
			return fmt.Errorf("a replacement is number %d, of a commit that is number %d", by.Compacted, c.Compacted)
		}
		next = c.Last() + 1
	}
	if by.Last() != next-1 {
		return fmt.Errorf("a replacement ends at version %d, what it replaces at %d", by.Last(), next-1)
	}
	return nil
}

// Size is about how many bytes the commit takes when stored.
func (c Commit) Size() int {
	n := 160 + len(c.Stream) + len(c.Sealed) + len(c.CorrelationID) + len(c.CausationID) + len(c.Actor) + len(c.Source)
	for _, e := range c.Events {
		n += 48 + len(e.Type) + len(e.Message) + len(e.Data)
		for _, note := range e.Notes {
			n += 8 + len(note)
		}
	}
	return n
}

// EventID is the id of the commit's i-th event: the commit's id counted up by the versions before it, so that an event
// keeps its id when others become fewer.
func (c Commit) EventID(i int) string {
	n := c.before(i)
	if n == 0 || len(c.ID) != 36 {
		return c.ID
	}
	const digits = "0123456789abcdef"
	id := []byte(c.ID)
	for at, rest := 35, n; at >= 33; at, rest = at-1, rest>>4 {
		id[at] = digits[rest&15]
	}
	return string(id)
}
