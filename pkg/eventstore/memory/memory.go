// Package memory is an event store in the memory of one process. It passes the same contract as every other store and
// serves tests and simulations.
package memory

import (
	"context"
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"defter/pkg/eventstore"
)

// Store is an event store in memory. It is safe for concurrent use.
type Store struct {
	now       func() time.Time
	mu        sync.Mutex
	streams   map[string][]eventstore.Commit
	claims    map[string]eventstore.Claim
	snapshots map[[2]string]eventstore.Snapshot
}

// New makes an empty store.
func New(now func() time.Time) *Store {
	return &Store{
		now: now, streams: map[string][]eventstore.Commit{}, claims: map[string]eventstore.Claim{},
		snapshots: map[[2]string]eventstore.Snapshot{},
	}
}

func (s *Store) Append(ctx context.Context, c eventstore.Commit, claims ...eventstore.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := eventstore.Check(c, claims); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	commits := s.streams[c.Stream]
	at := sort.Search(len(commits), func(i int) bool { return commits[i].First >= c.First })
	if at < len(commits) && commits[at].First == c.First {
		if commits[at].ID == c.ID {
			return nil
		}
		return eventstore.ErrConflict
	}
	for _, claim := range claims {
		if held, ok := s.held(claim.Key); ok && held.Owner != claim.Owner {
			return &eventstore.TakenError{Key: claim.Key}
		}
	}
	for _, claim := range claims {
		if claim.Release {
			delete(s.claims, claim.Key)
		} else {
			s.claims[claim.Key] = claim
		}
	}
	s.streams[c.Stream] = slices.Insert(commits, at, c)
	return nil
}

func (s *Store) Compact(ctx context.Context, by eventstore.Commit, old ...eventstore.Commit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := eventstore.CheckCompaction(by, old); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	commits := s.streams[by.Stream]
	at := sort.Search(len(commits), func(i int) bool { return commits[i].First >= by.First })
	if at+len(old) > len(commits) {
		return eventstore.ErrConflict
	}
	for i, c := range old {
		if stored := commits[at+i]; stored.First != c.First || stored.ID != c.ID || stored.Compacted != c.Compacted {
			return eventstore.ErrConflict
		}
	}
	s.streams[by.Stream] = slices.Replace(slices.Clone(commits), at, at+len(old), by)
	return nil
}

func (s *Store) held(key string) (eventstore.Claim, bool) {
	c, ok := s.claims[key]
	if ok && !c.ExpiresAt.IsZero() && !s.now().Before(c.ExpiresAt) {
		return eventstore.Claim{}, false
	}
	return c, ok
}

func (s *Store) commits(stream string) []eventstore.Commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.streams[stream])
}

func (s *Store) Read(ctx context.Context, stream string, from, to int64) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) {
		for _, c := range s.commits(stream) {
			if err := ctx.Err(); err != nil {
				yield(eventstore.Commit{}, err)
				return
			}
			if c.First >= from && (to == 0 || c.First <= to) && !yield(c, nil) {
				return
			}
		}
	}
}

func (s *Store) ReadBack(ctx context.Context, stream string, from int64) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) {
		for _, c := range slices.Backward(s.commits(stream)) {
			if err := ctx.Err(); err != nil {
				yield(eventstore.Commit{}, err)
				return
			}
			if (from == 0 || c.First <= from) && !yield(c, nil) {
				return
			}
		}
	}
}

func (s *Store) Scan(ctx context.Context, segment, n int) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) {
		s.mu.Lock()
		streams := slices.Sorted(maps.Keys(s.streams))
		s.mu.Unlock()
		for _, stream := range streams {
			hash := fnv.New32a()
			_, _ = hash.Write([]byte(stream)) // never fails
			if int(hash.Sum32()%uint32(n)) != segment {
				continue
			}
			for c, err := range s.Read(ctx, stream, 1, 0) {
				if !yield(c, err) || err != nil {
					return
				}
			}
		}
	}
}

func (s *Store) Claimed(ctx context.Context, key string) (eventstore.Claim, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.held(key)
	return c, ok, ctx.Err()
}

func (s *Store) Claim(ctx context.Context, c eventstore.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, ok := s.held(c.Key); ok && held.Owner != c.Owner {
		return &eventstore.TakenError{Key: c.Key}
	}
	s.claims[c.Key] = c
	return nil
}

func (s *Store) Unclaim(ctx context.Context, key, owner string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, ok := s.held(key); ok && held.Owner == owner {
		delete(s.claims, key)
	}
	return nil
}

func (s *Store) LoadSnapshots(ctx context.Context, stream string, folds ...string) ([]eventstore.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []eventstore.Snapshot
	for _, fold := range folds {
		if snapshot, ok := s.snapshots[[2]string{stream, fold}]; ok {
			found = append(found, snapshot)
		}
	}
	return found, ctx.Err()
}

func (s *Store) SaveSnapshot(ctx context.Context, snapshot eventstore.Snapshot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshots[[2]string{snapshot.Stream, snapshot.Fold}] = snapshot
	return nil
}

func (s *Store) DropSnapshots(ctx context.Context, stream string, folds ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fold := range folds {
		delete(s.snapshots, [2]string{stream, fold})
	}
	return nil
}
