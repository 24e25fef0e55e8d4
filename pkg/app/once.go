package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/record"
	"defter/pkg/view"
)

// answerFunc answers a call.
type answerFunc func(ctx context.Context, c *Call) (lambdaio.Response, error)

// repeatFunc gives the answer again that was given with the stream at a version.
type repeatFunc func(ctx context.Context, c *Call, stream string, version int64, status int) (lambdaio.Response, error)

// answerOf is what an idempotency claim keeps: enough to give the same answer again, and nothing personal.
type answerOf struct {
	Hash    string `json:"hash"`
	Stream  string `json:"stream,omitempty"`
	Version int64  `json:"version,omitempty"`
	Status  int    `json:"status"`
}

// once answers a call with an idempotency key: the same key and request get the same answer, another request a conflict.
func (a *App) once(ctx context.Context, c *Call, answer answerFunc, repeat repeatFunc) (lambdaio.Response, error) {
	if err := a.idempotent(ctx, c); err != nil {
		return lambdaio.Response{}, err
	}
	var overtaken error
	for {
		before, ok, err := a.answered(ctx, c)
		if err != nil {
			return lambdaio.Response{}, err
		}
		if ok {
			return repeat(ctx, c, before.Stream, before.Version, before.Status)
		}
		if overtaken != nil {
			return lambdaio.Response{}, overtaken
		}
		response, err := answer(ctx, c)
		taken, ok := errors.AsType[*eventstore.TakenError](err)
		switch {
		case ok && taken.Key == c.key:
			err = fault.Because(err, fault.Conflict, "idempotency-key-in-use", "a request with this Idempotency-Key is under way")
		case fault.KindOf(err) != fault.Conflict:
			return response, err
		}
		overtaken = err // perhaps by the same request, made twice at once: then answer as that one did
	}
}

// idempotent names a call's claim and what was asked. Both are keyed hashes: a guess at a short body must not be provable.
func (a *App) idempotent(ctx context.Context, c *Call) error {
	key := c.Header["idempotency-key"]
	if len(key) > maxIdempotencyKey {
		return fault.New(fault.Invalid, "invalid-idempotency-key", "Idempotency-Key has at most %d bytes", maxIdempotencyKey)
	}
	name, err := a.Keyring.Lookup(ctx, "idempotency-key", digest(c.Actor, key))
	if err != nil {
		return err
	}
	c.key = "KEY#" + name
	c.hash, err = a.Keyring.Lookup(ctx, "request", digest(c.Route, c.Path, c.Query.Encode(), string(c.Body)))
	return err
}

// answered is what a call's idempotency claim keeps, once it was answered. Another request with the same key is a conflict.
func (a *App) answered(ctx context.Context, c *Call) (before answerOf, ok bool, err error) {
	held, ok, err := a.Log.Store.Claimed(ctx, c.key)
	if err != nil || !ok {
		return before, false, err
	}
	if err := json.Unmarshal(held.Value, &before); err != nil {
		return before, false, fmt.Errorf("decode idempotency claim: %w", err)
	}
	if before.Hash != c.hash {
		return before, false, fault.New(fault.Conflict, "idempotency-key-reused", "this Idempotency-Key was used for another request")
	}
	return before, true, nil
}

// claim is the idempotency claim of a call that was answered with the stream at a version; nothing without a key.
func (a *App) claim(c *Call, stream string, version int64, status int) ([]eventstore.Claim, error) {
	if c.key == "" {
		return nil, nil
	}
	value, err := json.Marshal(answerOf{c.hash, stream, version, status})
	if err != nil {
		return nil, err
	}
	return []eventstore.Claim{{Key: c.key, Owner: a.NewID(), Value: value, ExpiresAt: a.Now().Add(idempotencyFor)}}, nil
}

// keep stores the idempotency claim of a call that appended nothing, which is an answer too.
func (a *App) keep(ctx context.Context, c *Call, about string, version int64, status int) error {
	claims, err := a.claim(c, about, version, status)
	for _, claim := range claims {
		err = errors.Join(err, a.Log.Store.Claim(ctx, claim))
	}
	return err
}

// commit is commitDecision on what happens now.
func (a *App) commit(ctx context.Context, c *Call, stream, about string, status int, fold eventstore.AnyFold, decide func(h *eventstore.Head) ([]any, []eventstore.Claim, error)) (*eventstore.Head, error) {
	return a.commitDecision(ctx, c, stream, about, status, fold, func(h *eventstore.Head) (eventstore.Decision, error) {
		data, claims, err := decide(h)
		return eventstore.Decision{Events: eventstore.Happened(data...), Claims: claims}, err
	})
}

// commitDecision loads a stream, decides and appends, with the call's idempotency claim, which remembers what the answer is about.
// It returns the head after.
func (a *App) commitDecision(ctx context.Context, c *Call, stream, about string, status int, fold eventstore.AnyFold, decide func(h *eventstore.Head) (eventstore.Decision, error)) (*eventstore.Head, error) {
	var known *eventstore.Head
	if c.fresh {
		known = a.Log.Fresh(stream, fold)
	}
	head, appended, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{fold}, Head: known,
		Meta: eventstore.Meta{Actor: c.Actor, Source: "api", CorrelationID: a.correlation(c)},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			d, err := decide(h)
			d.Answer = func(next *eventstore.Head) ([]eventstore.Claim, error) {
				return a.claim(c, about, next.Version, status)
			}
			return d, err
		},
	})
	if err == nil && appended == 0 {
		err = a.keep(ctx, c, about, head.Version, status)
	}
	return head, err
}

// command is commit on a customer's record. It returns the record after.
func (a *App) command(ctx context.Context, c *Call, stream string, status int, decide func(s record.State, at time.Time) ([]any, []eventstore.Claim, error)) (record.State, int64, error) {
	head, err := a.commit(ctx, c, stream, stream, status, record.Fold, func(h *eventstore.Head) ([]any, []eventstore.Claim, error) {
		return decide(record.Fold.Of(h), h.Now)
	})
	if err != nil {
		return record.State{}, 0, err
	}
	return record.Fold.Of(head), head.Version, nil
}

// recordAt is a customer's record as of a version, and when that was. Where the history is long, it is the record of now: it must not
// cost more with the customer's age.
func (a *App) recordAt(ctx context.Context, stream string, version int64) (s record.State, at time.Time, err error) {
	if version > view.MaxReread {
		head, err := a.Log.Load(ctx, stream, record.Fold)
		return record.Fold.Of(head), a.Now(), err
	}
	for e, err := range a.Log.Events(ctx, stream, 1, version) {
		if err != nil {
			return s, at, err
		}
		s, at = record.Evolve(s, e), e.RecordedAt
	}
	return s, at, nil
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
