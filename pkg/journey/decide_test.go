package journey_test

import (
	"reflect"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest"
	"defter/pkg/journey"
)

var (
	outside = storetest.Deciding(journey.Decider)
	entered = journey.Entered{Journey: "welcome", Version: 1, RunID: "e1"}
	inside  = outside.Given(entered)
)

func done(step string) journey.StepCompleted {
	return journey.StepCompleted{Journey: "welcome", RunID: "e1", Step: step}
}

// TestEnter: a journey is entered once, whatever triggers it again.
func TestEnter(t *testing.T) {
	outside.When(t, journey.Enter{Journey: "welcome", Version: 1, RunID: "e1"}).Then(entered).Again().Nothing()
	inside.When(t, journey.Enter{Journey: "welcome", Version: 2, RunID: "e2"}).Nothing()
	inside.Given(journey.Exited{Journey: "welcome", RunID: "e1", Reason: "completed"}).
		When(t, journey.Enter{Journey: "welcome", Version: 1, RunID: "e2"}).Nothing()
	inside.When(t, journey.Enter{Journey: "winback", Version: 1, RunID: "e2"}).
		Then(journey.Entered{Journey: "winback", Version: 1, RunID: "e2"})
}

func TestComplete(t *testing.T) {
	ask := journey.Complete{Journey: "welcome", RunID: "e1", Step: "welcome", Index: 0}
	inside.When(t, ask).Then(done("welcome")).Again().Nothing()
	next := journey.Complete{Journey: "welcome", RunID: "e1", Step: "tips", Index: 1}
	inside.Given(done("welcome")).When(t, next).Then(done("tips")).Again().Nothing()
	inside.Given(done("welcome"), done("tips")).When(t, ask).Nothing() // delivered late

	outside.When(t, ask).Nothing()
	inside.When(t, journey.Complete{Journey: "welcome", RunID: "e2", Step: "welcome"}).Nothing()
	inside.Given(journey.Exited{Journey: "welcome", RunID: "e1", Reason: "consent-revoked"}).When(t, ask).Nothing()
}

func TestExit(t *testing.T) {
	ask := journey.Exit{Journey: "welcome", RunID: "e1", Reason: "completed"}
	inside.When(t, ask).Then(journey.Exited{Journey: "welcome", RunID: "e1", Reason: "completed"}).Again().Nothing()
	outside.When(t, ask).Nothing()
	inside.When(t, journey.Exit{Journey: "welcome", RunID: "e2", Reason: "completed"}).Nothing()
	inside.Given(journey.Exited{Journey: "welcome", RunID: "e1", Reason: "consent-revoked"}).When(t, ask).Nothing()
}

func TestUnknownCommand(t *testing.T) {
	type Dance struct{}
	inside.When(t, Dance{}).Fails("unknown-command")
}

// TestB14_FoldIsComplete: every event type of the package has its effect on the run it names, and none else.
func TestB14_FoldIsComplete(t *testing.T) {
	before := func() journey.State {
		return journey.State{Runs: map[string]journey.Run{"welcome": {RunID: "e1", Steps: 1}, "winback": {RunID: "e2"}}}
	}
	catalog := eventstore.NewCatalog(journey.Events)
	folded := map[string]bool{}
	for _, c := range []struct {
		event any
		run   string
		want  journey.Run
	}{
		{journey.Entered{Journey: "birthday", Version: 3, RunID: "e3"}, "birthday", journey.Run{RunID: "e3"}},
		{done("tips"), "welcome", journey.Run{RunID: "e1", Steps: 2}},
		{journey.Exited{Journey: "welcome", RunID: "e1", Reason: "completed"}, "welcome", journey.Run{RunID: "e1", Steps: 1, Ended: "completed"}},
		{struct{ SomebodyElses string }{"event"}, "welcome", journey.Run{RunID: "e1", Steps: 1}},
	} {
		folded[catalog.NameOf(c.event)] = true
		given, want := before(), before()
		want.Runs[c.run] = c.want
		if got := journey.Evolve(given, c.event); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(given, before()) {
			t.Errorf("%T\n  got:  %+v\n  want: %+v\n  left: %+v", c.event, got, want, given)
		}
	}
	for _, name := range catalog.Names() {
		if !folded[name] {
			t.Errorf("%s has no case", name)
		}
	}
}
