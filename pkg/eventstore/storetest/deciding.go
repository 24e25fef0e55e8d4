package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// Spec tells stories about a decider:
//
//	storetest.Deciding(decider).Given(Opened{}).When(t, Close{}).Then(Closed{}).Again().Nothing()
//
// Given is a method because type inference fails callers of a function that takes the decider and its events at once.
type Spec[S, C, E any] struct {
	decider eventstore.Decider[S, C, E]
	events  []E
}

// Deciding starts stories about a decider.
func Deciding[S, C, E any](d eventstore.Decider[S, C, E]) Spec[S, C, E] {
	return Spec[S, C, E]{decider: d}
}

// Given adds events that have happened.
func (s Spec[S, C, E]) Given(events ...E) Spec[S, C, E] {
	s.events = append(s.events[:len(s.events):len(s.events)], events...)
	return s
}

// When decides a command on what has happened. It also fails the test if deciding or folding changed a state in place:
// states are cached and shared.
func (s Spec[S, C, E]) When(t testing.TB, command C) Outcome[S, C, E] {
	t.Helper()
	state := s.decider.Fold(s.events...)
	events, err := s.decider.Decide(state, command)
	if untouched := s.decider.Fold(s.events...); !reflect.DeepEqual(state, untouched) {
		t.Errorf("a state was changed in place\n  is:  %+v\n  was: %+v", state, untouched)
	}
	return Outcome[S, C, E]{t: t, spec: s, command: command, events: events, err: err}
}

// Outcome is what a command came to.
type Outcome[S, C, E any] struct {
	t       testing.TB
	spec    Spec[S, C, E]
	command C
	events  []E
	err     error
}

// Then expects exactly these events, in this order.
func (o Outcome[S, C, E]) Then(want ...E) Outcome[S, C, E] {
	o.t.Helper()
	switch {
	case o.err != nil:
		o.t.Errorf("when %T%+v\n  failed: %v\n  want:%s", o.command, o.command, o.err, list(want))
	case len(o.events) != len(want) || len(want) > 0 && !reflect.DeepEqual(o.events, want):
		o.t.Errorf("when %T%+v\n  got:%s\n  want:%s", o.command, o.command, list(o.events), list(want))
	}
	return o
}

// Nothing expects that there is nothing to do.
func (o Outcome[S, C, E]) Nothing() Outcome[S, C, E] {
	o.t.Helper()
	return o.Then()
}

// Fails expects a refusal with this slug.
func (o Outcome[S, C, E]) Fails(slug string) {
	o.t.Helper()
	switch {
	case o.err == nil:
		o.t.Errorf("when %T%+v\n  got:%s\n  want: refused as %s", o.command, o.command, list(o.events), slug)
	case fault.SlugOf(o.err) != slug || len(o.events) > 0:
		o.t.Errorf("when %T%+v\n  refused: %v, with events%s\n  want: refused as %s, without events", o.command, o.command, o.err, list(o.events), slug)
	}
}

// Again decides the same command once more, now that its events have happened.
func (o Outcome[S, C, E]) Again() Outcome[S, C, E] {
	o.t.Helper()
	return o.spec.Given(o.events...).When(o.t, o.command)
}

func list[E any](events []E) string {
	if len(events) == 0 {
		return " no events"
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n    %T%+v", e, e)
	}
	return b.String()
}
