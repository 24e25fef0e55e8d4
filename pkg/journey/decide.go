package journey

import (
	"maps"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
)

// Journey is a definition: what starts it, which consent it needs, and its steps in order.
type Journey struct {
	Name    string
	Version int
	Trigger func(event any) bool // which events start a run
	Purpose string
	Channel string
	Steps   []Step
}

// Step sends one message, a while after the step before it.
type Step struct {
	Name     string
	After    time.Duration
	Template string
}

// Run is a customer's run of a journey.
type Run struct {
	RunID string `json:"runId"`
	Steps int    `json:"steps,omitempty"` // taken
	Ended string `json:"ended,omitempty"` // why, "" while under way
}

// State is the latest run of every journey by its name.
type State struct {
	Runs map[string]Run `json:"runs,omitempty"`
}

// Command is one of this package's commands.
type Command any

// Enter starts a run; a journey is entered once. Entered again by the same trigger it does nothing.
type Enter struct {
	Journey string
	Version int
	RunID   string
}

// Complete records that a step was taken.
type Complete struct {
	Journey, RunID, Step string
	Index                int // from 0
}

// Exit ends a run.
type Exit struct{ Journey, RunID, Reason string }

// Decider holds the rules.
var Decider = eventstore.Decider[State, Command, any]{Evolve: Evolve, Decide: Decide}

// Evolve folds one event; events of other packages change nothing here.
func Evolve(s State, event any) State {
	switch e := event.(type) {
	case Entered:
		return s.with(e.Journey, Run{RunID: e.RunID})
	case StepCompleted:
		run := s.Runs[e.Journey]
		run.Steps++
		return s.with(e.Journey, run)
	case Exited:
		run := s.Runs[e.Journey]
		run.Ended = e.Reason
		return s.with(e.Journey, run)
	}
	return s
}

func (s State) with(name string, run Run) State {
	runs := maps.Clone(s.Runs)
	if runs == nil {
		runs = map[string]Run{}
	}
	runs[name] = run
	return State{Runs: runs}
}

// Decide decides on one command. Asked again, it returns no events.
func Decide(s State, command Command) ([]any, error) {
	switch c := command.(type) {
	case Enter:
		if _, entered := s.Runs[c.Journey]; entered {
			return nil, nil
		}
		return []any{Entered(c)}, nil
	case Complete:
		if run := s.Runs[c.Journey]; run.RunID != c.RunID || run.Ended != "" || run.Steps > c.Index {
			return nil, nil
		}
		return []any{StepCompleted{c.Journey, c.RunID, c.Step}}, nil
	case Exit:
		if run := s.Runs[c.Journey]; run.RunID != c.RunID || run.Ended != "" {
			return nil, nil
		}
		return []any{Exited(c)}, nil
	}
	return nil, fault.New(fault.Internal, "unknown-command", "journey does not know %T", command)
}
