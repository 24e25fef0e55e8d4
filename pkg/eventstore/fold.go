package eventstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Fold computes a state from a stream's events, with snapshots. Evolve must be pure: it returns a new state and leaves
// the old one, maps and slices included, as it was.
type Fold[S any] struct {
	Name    string // names the snapshot item
	Version int    // of S's layout; a snapshot of another one is ignored
	Initial S
	Evolve  func(S, Event) S
}

// AnyFold is a Fold of any state type.
type AnyFold interface {
	name() string
	layout() int
	initial() any
	evolve(state any, e Event) any
	encode(state any) ([]byte, error)
	decode(data []byte) (any, error)
}

func (f *Fold[S]) name() string { return f.Name }
func (f *Fold[S]) layout() int  { return f.Version }
func (f *Fold[S]) initial() any { return f.Initial }

func (f *Fold[S]) evolve(state any, e Event) any { return f.Evolve(state.(S), e) }

func (f *Fold[S]) encode(state any) ([]byte, error) { return json.Marshal(state) }

func (f *Fold[S]) decode(data []byte) (any, error) {
	var state S
	if err := Exact(data, &state); err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", f.Name, err)
	}
	return state, nil
}

// Exact reads JSON as json.Unmarshal does, but for numbers whose Go type is left open: they stay as they were written (json.Number),
// since a float64 has 15 digits, and ids have more.
func Exact(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more than one value")
	}
	return nil
}

// Of returns the fold's state in a loaded head. It panics if the head was loaded without this fold, which is a defect of
// the caller.
func (f *Fold[S]) Of(h *Head) S { return h.states[f.Name].(S) }
