package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"defter/pkg/intake"
)

// gateFor bounds a write that several requests share, whose own deadlines differ.
const gateFor = 20 * time.Second

var errInterrupted = errors.New("the shared write was interrupted")

// gate lets one request at a time write to a stream, and makes those that arrive meanwhile share the next write: the
// messages of a busy customer cost one commit and not one each. A function on Lambda serves one request at a time and
// passes through.
type gate struct {
	mu      sync.Mutex
	streams map[string][]*turn // the turns that wait for whoever is inside
}

// turn is a write to come. Whoever began it carries it out for all who joined.
type turn struct {
	with     string // what the messages of one turn must have in common
	messages []intake.Message
	start    chan struct{} // closed when the turn has come
	done     chan struct{} // closed when it is over
	err      error
}

// pass calls write with the messages, or with those of everybody who shares the turn.
func (g *gate) pass(ctx context.Context, stream, with string, messages []intake.Message, write func(context.Context, []intake.Message) error) error {
	g.mu.Lock()
	waiting, busy := g.streams[stream]
	if !busy {
		if g.streams == nil {
			g.streams = map[string][]*turn{}
		}
		g.streams[stream] = nil
		g.mu.Unlock()
		defer g.leave(stream)
		return write(ctx, messages)
	}
	if n := len(waiting); n > 0 {
		if last := waiting[n-1]; last.with == with && len(last.messages)+len(messages) <= commitMessages {
			last.messages = append(last.messages, messages...)
			g.mu.Unlock()
			<-last.done
			return last.err
		}
	}
	own := &turn{with: with, messages: append([]intake.Message(nil), messages...), start: make(chan struct{}), done: make(chan struct{})}
	g.streams[stream] = append(waiting, own)
	g.mu.Unlock()
	<-own.start
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), gateFor) // those who joined must not lose by our leaving
	defer cancel()
	defer g.leave(stream)
	defer close(own.done)
	own.err = errInterrupted // unless write returns
	own.err = write(shared, own.messages)
	return own.err
}

// leave lets the next turn in. Nobody can join it any more.
func (g *gate) leave(stream string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting := g.streams[stream]
	if len(waiting) == 0 {
		delete(g.streams, stream)
		return
	}
	g.streams[stream] = waiting[1:]
	close(waiting[0].start)
}
