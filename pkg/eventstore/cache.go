package eventstore

import (
	"container/list"
	"context"
	"sync"
)

// Cache keeps the heads of the streams last appended to, at most size, and lets one command at a time decide on a
// stream within this process. A nil cache keeps nothing and locks nothing.
type Cache struct {
	size  int
	mu    sync.Mutex
	heads map[string]*list.Element // of *Head
	used  *list.List               // most recently used first
	locks map[string]*waiters
}

type waiters struct {
	turn  chan struct{} // holds one token
	count int
}

// NewCache makes a cache of at most size heads.
func NewCache(size int) *Cache {
	return &Cache{size: size, heads: map[string]*list.Element{}, used: list.New(), locks: map[string]*waiters{}}
}

// Forget drops a stream's head, as when its owner was erased.
func (c *Cache) Forget(stream string) { c.drop(stream) }

func (c *Cache) lock(ctx context.Context, stream string) (unlock func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	c.mu.Lock()
	w := c.locks[stream]
	if w == nil {
		w = &waiters{turn: make(chan struct{}, 1)}
		c.locks[stream] = w
	}
	w.count++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if w.count--; w.count == 0 {
			delete(c.locks, stream)
		}
	}
	select {
	case w.turn <- struct{}{}:
		return func() { <-w.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// get returns a head that has all the folds.
func (c *Cache) get(stream string, folds []AnyFold) (*Head, bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.heads[stream]
	if at == nil {
		return nil, false
	}
	h := at.Value.(*Head)
	for _, f := range folds {
		if _, ok := h.states[f.name()]; !ok {
			return nil, false
		}
	}
	if len(h.states) > len(folds) { // an append must evolve every state it keeps
		reduced := h.clone()
		clear(reduced.states)
		for _, f := range folds {
			reduced.states[f.name()] = h.states[f.name()]
		}
		h = reduced
	}
	c.used.MoveToFront(at)
	return h, true
}

func (c *Cache) put(h *Head) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.heads[h.Stream]; at != nil {
		at.Value = h
		c.used.MoveToFront(at)
		return
	}
	c.heads[h.Stream] = c.used.PushFront(h)
	for c.used.Len() > c.size {
		oldest := c.used.Back()
		delete(c.heads, c.used.Remove(oldest).(*Head).Stream)
	}
}

func (c *Cache) drop(stream string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.heads[stream]; at != nil {
		c.used.Remove(at)
		delete(c.heads, stream)
	}
}
