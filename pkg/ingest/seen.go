package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"defter/pkg/eventstore"
)

// The window in which a message that comes again is recognised: the last 7 days, and of those the last MaxSeen messages
// of one customer. The clients' retries end after 12 hours.
const (
	SeenFor = 7 * 24 * time.Hour
	MaxSeen = 4096

	fingerprintSize = 8 // bytes: two of 4,096 messages look the same once in 10^12 customers
)

// Of the window the newest part is kept in the folded state, for which nearly every message is recent enough: a window of thousands would
// make every message dear. The whole of it is computed for the few that need it.
var (
	newest = part{always: 2 * time.Minute, most: 256, block: 64, blocks: 16}
	whole  = part{always: SeenFor, most: MaxSeen, block: 256, blocks: 32}
)

// part is how much of the window a state keeps.
type part struct {
	always time.Duration // messages recorded within it, MaxSeen at most
	most   int           // of older ones
	block  int           // messages in a block
	blocks int
}

// lateness is how much later a message that comes again may seem to have happened than when it came first: its time is corrected by
// the time that a request took, and clients give a request up after half a minute.
const lateness = time.Minute

// Fingerprint stands for a message id of a source.
func Fingerprint(source, messageID string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + messageID))
	return base64.RawURLEncoding.EncodeToString(sum[:fingerprintSize])
}

// Seen is a part of the window: fingerprints in blocks, oldest first.
type Seen struct {
	Blocks []Block `json:"blocks,omitempty"`
	Count  int     `json:"count,omitempty"`
	From   int64   `json:"from,omitempty"` // all messages recorded from then on are here, Unix minutes; 0 for all of the last 7 days
}

// Block is fingerprints that were recorded one after the other.
type Block struct {
	Minute int64  `json:"m"` // in which the last one was recorded, Unix minutes
	IDs    []byte `json:"i"` // fingerprintSize bytes each
}

// SeenFold computes the newest part of a stream's window, AllSeenFold the whole of it.
var (
	SeenFold    = &eventstore.Fold[Seen]{Name: "seen", Version: 2, Evolve: newest.evolve}
	AllSeenFold = &eventstore.Fold[Seen]{Name: "all-seen", Version: 1, Evolve: whole.evolve}
)

// Has says whether the message is known to have been taken in already.
func (s Seen) Has(fingerprint string) bool {
	id, err := base64.RawURLEncoding.DecodeString(fingerprint)
	if err != nil || len(id) != fingerprintSize {
		return false
	}
	for _, b := range s.Blocks {
		for at := 0; at < len(b.IDs); at += fingerprintSize {
			if bytes.Equal(b.IDs[at:at+fingerprintSize], id) {
				return true
			}
		}
	}
	return false
}

// Tells says whether Has is right about a message also where it says no: else it may have been recorded before the state begins.
func (s Seen) Tells(m Message, now time.Time) bool {
	from := now.Add(-SeenFor)
	if m.Timed && m.Claimed == "" { // it was not recorded before it happened
		if at := m.OccurredAt.Add(-lateness); at.After(from) {
			from = at
		}
	}
	return s.From == 0 || from.Unix()/60 >= s.From
}

func (p part) evolve(s Seen, e eventstore.Event) Seen {
	id, err := base64.RawURLEncoding.DecodeString(e.Message)
	if e.Message == "" || err != nil || len(id) != fingerprintSize || s.Has(e.Message) {
		return s // a message may become several events
	}
	minute := e.RecordedAt.Unix() / 60
	s = p.without(s, minute)
	blocks := append([]Block(nil), s.Blocks...)
	if n := len(blocks); n > 0 && blocks[n-1].Minute == minute && len(blocks[n-1].IDs) < p.block*fingerprintSize {
		blocks[n-1].IDs = append(blocks[n-1].IDs[:len(blocks[n-1].IDs):len(blocks[n-1].IDs)], id...)
	} else {
		blocks = append(blocks, Block{Minute: minute, IDs: id})
	}
	return Seen{Blocks: p.joined(blocks), Count: s.Count + 1, From: s.From}
}

// without is a state without the blocks that it need not hold when another message is recorded in a minute.
func (p part) without(s Seen, minute int64) Seen {
	for len(s.Blocks) > 0 {
		oldest := s.Blocks[0]
		old := minute-oldest.Minute > int64(SeenFor/time.Minute)
		spare := s.Count >= p.most && minute-oldest.Minute > int64(p.always/time.Minute) || s.Count >= MaxSeen
		if !old && !spare {
			break
		}
		if !old {
			s.From = oldest.Minute + 1
		}
		s.Blocks, s.Count = s.Blocks[1:], s.Count-len(oldest.IDs)/fingerprintSize
	}
	if minute-s.From > int64(SeenFor/time.Minute) {
		s.From = 0 // what is not here is not in the window any more
	}
	return s
}

// joined are the blocks, the two oldest of which become one while there are many and both are small.
func (p part) joined(blocks []Block) []Block {
	for i := 0; len(blocks) > p.blocks && i+1 < len(blocks); {
		if len(blocks[i].IDs)+len(blocks[i+1].IDs) > p.block*fingerprintSize {
			i++
			continue
		}
		one := Block{blocks[i+1].Minute, append(append([]byte(nil), blocks[i].IDs...), blocks[i+1].IDs...)}
		blocks = append(append(append([]Block(nil), blocks[:i]...), one), blocks[i+2:]...)
	}
	return blocks
}
