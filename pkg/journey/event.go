// Package journey decides how a customer travels through a sequence of messages. Three words: a journey is a definition
// with a trigger and steps; a run is one customer's way through it; a wait lies between two steps and is kept by the
// state machine, not by a process.
package journey

import "defter/pkg/eventstore"

// Entered: a run began.
type Entered struct {
	Journey string `json:"journey" pii:"-" jsonschema:"maxLength=100"`
	Version int    `json:"version" pii:"-"`
	RunID   string `json:"runId" pii:"-" jsonschema:"maxLength=64,description=the id of the event that triggered the run"`
}

// StepCompleted: a step of a run was taken.
type StepCompleted struct {
	Journey string `json:"journey" pii:"-" jsonschema:"maxLength=100"`
	RunID   string `json:"runId" pii:"-" jsonschema:"maxLength=64"`
	Step    string `json:"step" pii:"-" jsonschema:"maxLength=100"`
}

// Exited: a run ended.
type Exited struct {
	Journey string `json:"journey" pii:"-" jsonschema:"maxLength=100"`
	RunID   string `json:"runId" pii:"-" jsonschema:"maxLength=64"`
	Reason  string `json:"reason" pii:"-" jsonschema:"enum=completed,enum=consent-revoked,enum=customer-deactivated,enum=customer-erased"`
}

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Entered]("JourneyEntered"),
	eventstore.Declare[StepCompleted]("JourneyStepCompleted"),
	eventstore.Declare[Exited]("JourneyExited"),
}
