package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Compact makes fewer events of commits that follow each other in a stream, and returns the commit that took their place.
// Neighbours that belongs says to belong together become one event, which stand makes of them: it stands for their
// versions and has nothing private. Everything else stays as it was, ids, versions and private fields included. Several
// commits become one only if all of their events belong together.
//
// The stream's last commit is refused: whoever has read it appends after its last version, and must not find that free.
// It fails with ErrConflict if another has compacted meanwhile, and with ErrErased if what is private cannot be sealed again.
func (l *Log) Compact(ctx context.Context, old []Commit, belongs func(Record) bool, stand func([]Event) New) (Commit, error) {
	if len(old) == 0 {
		return Commit{}, errors.New("compact: no commits")
	}
	by, last := old[0], old[len(old)-1]
	by.Events, by.RecordedAt = nil, last.RecordedAt
	var private []json.RawMessage
	var run []Event
	changed := len(old) > 1
	end := func() error {
		if len(run) == 0 {
			return nil
		}
		r, err := l.summary(run, stand)
		changed = changed || len(run) > 1 || run[0].Type != r.Type
		by.Events, private, run = append(by.Events, r), append(private, nil), nil
		return err
	}
	for _, c := range old {
		secrets, err := l.unseal(ctx, c)
		if err != nil {
			return Commit{}, err
		}
		events, err := l.Open(ctx, c)
		if err != nil {
			return Commit{}, err
		}
		for i, r := range c.Events {
			if belongs(r) {
				run = append(run, events[i])
				continue
			}
			if len(old) > 1 {
				return Commit{}, fmt.Errorf("compact %s: version %d is to stay as it is, and its commit is not alone", kindOf(c.Stream), c.Version(i))
			}
			if err := end(); err != nil {
				return Commit{}, err
			}
			by.Events, private = append(by.Events, r), append(private, secrets[i])
		}
		by.Compacted = max(by.Compacted, c.Compacted)
		by.CorrelationID, by.CausationID = same(by.CorrelationID, c.CorrelationID), same(by.CausationID, c.CausationID)
		by.Actor, by.Source = same(by.Actor, c.Actor), same(by.Source, c.Source)
	}
	if err := end(); err != nil {
		return Commit{}, err
	}
	if !changed {
		return old[0], nil
	}
	head, err := l.last(ctx, by.Stream)
	if err != nil {
		return Commit{}, err
	}
	if head.Version <= last.Last() {
		return Commit{}, fmt.Errorf("compact %s: version %d is the last one", kindOf(by.Stream), last.Last())
	}
	by.Compacted++
	if err := l.seal(ctx, &by, private); err != nil {
		return Commit{}, err
	}
	if err := l.Store.Compact(ctx, by, old...); err != nil {
		return Commit{}, fmt.Errorf("compact %s: %w", kindOf(by.Stream), err)
	}
	return by, nil
}

// summary is the record that stands for events next to each other.
func (l *Log) summary(events []Event, stand func([]Event) New) (Record, error) {
	n := stand(events)
	name, schema, public, secret, err := l.Catalog.Encode(n.Data)
	if err != nil {
		return Record{}, err
	}
	if secret != nil {
		return Record{}, fmt.Errorf("%s has private fields, and can stand for nothing", name)
	}
	if l.Validate != nil {
		if err := l.Validate(name, schema, public); err != nil {
			return Record{}, err
		}
	}
	return Record{
		Type: name, Schema: schema, OccurredAt: n.OccurredAt, Data: public,
		Span: int(events[len(events)-1].Version - events[0].First() + 1),
	}, nil
}

// same is what two commits have in common.
func same(a, b string) string {
	if a == b {
		return a
	}
	return ""
}
