// Package intake decides what messages of clients mean to the stream they belong to: which events they become there, beside
// what is known already. Three words: a message is one call of an SDK, routed to a stream; its meaning is the events that it
// stands for; a consequence is an event that follows from one, such as the end of a consent from a complaint.
//
// It reads the states of several domains, and is the place where they meet when something is reported from outside. It knows
// no keys, no stores and no clock: who else has an address or an order is told to it.
package intake

import (
	"strings"
	"time"

	"defter/pkg/identity"
	"defter/pkg/ingest"
	"defter/pkg/order"
)

// Message is a message with the streams that it names.
type Message struct {
	ingest.Message
	Fingerprint string // by which the message is recognised when it comes again
	ExternalID  string // the user id as given, where the stream's id hides it
	Visitor     string // the stream id of the anonymous visitor, "" for none
	Previous    string // likewise of an alias's previous id
	Own         bool   // the customer's own token came with it: what it says of them counts
	OwnEmail    string // the address that the token's issuer has verified, "" for none
	Part        Part
	Another     bool // of a part that is of an order: its sender is known to be another customer than the order's
}

// Part is what of a message is taken into a stream. Who sends the report of an order need not be whose order it is.
type Part int

// The parts of a message.
const (
	Whole   Part = iota
	OfOrder      // what it reports of an order: for the stream that the order is in
	Rest         // all but that: for the stream of who sent it
)

// Report is what a message reports of an order, nil for nothing.
func Report(m ingest.Message, source ingest.Source) order.Report {
	if m.Type != "track" || !strings.HasPrefix(m.Means(), "Order ") {
		return nil
	}
	facts, _ := ingest.Facts(m, source)
	for _, fact := range facts {
		if report, ok := fact.(order.Report); ok {
			return report
		}
	}
	return nil
}

// Take takes messages into one stream, in their order. It is a fact: what cannot be taken over is left out, never refused.
type Take struct {
	Customer    bool // the stream is a customer's, else an anonymous visitor's
	Source      ingest.Source
	Messages    []Message
	EmailsTaken map[string]bool          // addresses, in their normal form, that other customers have
	Placed      map[string]*order.Placed // orders that are stored already: as they were placed in this stream, nil for those of another
	Past        map[string]order.History // of orders of this stream, as far as an *order.PastError asked for them
	Known       map[string]bool          // fingerprints of messages that are in the stream, as far as Seen does not tell
	Controller  string                   // who answers for the data
	Now         time.Time
}

// Named is the message without ids that stand for nobody, blocked if nobody is left who it is about.
func Named(m ingest.Message, nobody identity.Placeholders) (named ingest.Message, blocked bool) {
	if m.UserID != "" && nobody.Blocks(m.UserID) {
		m.UserID = ""
	}
	if m.AnonymousID != "" && nobody.Blocks(m.AnonymousID) {
		m.AnonymousID = ""
	}
	return m, m.UserID == "" && m.AnonymousID == "" || m.Type == "alias" && (m.UserID == "" || nobody.Blocks(m.PreviousID))
}
