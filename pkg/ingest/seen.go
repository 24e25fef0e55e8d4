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

// Fingerprint stands for a message id of a source.
func Fingerprint(source, messageID string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + messageID))
	return base64.RawURLEncoding.EncodeToString(sum[:fingerprintSize])
}

// Seen is the window: fingerprints by the minute they were recorded in, oldest first.
type Seen struct {
	Blocks []Block `json:"blocks,omitempty"`
	Count  int     `json:"count,omitempty"`
}

// Block is the fingerprints recorded in one minute.
type Block struct {
	Minute int64  `json:"m"`
	IDs    []byte `json:"i"` // fingerprintSize bytes each
}

// SeenFold computes the window of a stream.
var SeenFold = &eventstore.Fold[Seen]{Name: "seen", Version: 1, Evolve: evolveSeen}

// Has says whether the message was taken in already.
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

func evolveSeen(s Seen, e eventstore.Event) Seen {
	id, err := base64.RawURLEncoding.DecodeString(e.Message)
	if e.Message == "" || err != nil || len(id) != fingerprintSize || s.Has(e.Message) {
		return s // a message may become several events
	}
	minute := e.RecordedAt.Unix() / 60
	oldest := minute - int64(SeenFor/time.Minute)
	first := 0
	for first < len(s.Blocks) {
		rest := s.Count - len(s.Blocks[first].IDs)/fingerprintSize
		if s.Blocks[first].Minute >= oldest && rest+1 < MaxSeen {
			break
		}
		s.Count = rest
		first++
	}
	blocks := append([]Block(nil), s.Blocks[first:]...)
	if n := len(blocks); n > 0 && blocks[n-1].Minute == minute && len(blocks[n-1].IDs) < 256*fingerprintSize {
		blocks[n-1].IDs = append(blocks[n-1].IDs[:len(blocks[n-1].IDs):len(blocks[n-1].IDs)], id...)
	} else {
		blocks = append(blocks, Block{Minute: minute, IDs: id})
	}
	return Seen{Blocks: blocks, Count: s.Count + 1}
}
