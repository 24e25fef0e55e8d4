package eventstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"defter/pkg/fault"
)

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
	if plaintext, err = Unpack(plaintext); err != nil {
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
	if plaintext, err = Pack(plaintext); err != nil {
		return err
	}
	c.Sealed, err = l.Vault.Seal(ctx, c.Stream, commitPlace(*c), plaintext)
	return err
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

func sealingError(err error) error {
	if errors.Is(err, ErrErased) {
		return fault.Because(err, fault.NotFound, "customer-erased", "this customer was erased")
	}
	return fmt.Errorf("seal private fields: %w", err)
}
