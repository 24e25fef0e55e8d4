package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"defter/pkg/channel"
	"defter/pkg/consent"
	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/journey"
	"defter/pkg/record"
	"defter/pkg/template"
	"defter/pkg/view"
)

// journeys are the definitions. They are part of the program: a run keeps the version it began with.
func (a *App) journeys() []journey.Journey {
	return []journey.Journey{{
		Name: "welcome", Version: 1, Purpose: string(consent.Marketing), Channel: string(consent.Email),
		Trigger: func(event any) bool { // the event that allows the mail, so that it is allowed when it is to be sent
			switch e := event.(type) {
			case consent.Granted:
				return e.Purpose == consent.Marketing && e.Channel == consent.Email
			case consent.Renewed:
				return e.Purpose == consent.Marketing && e.Channel == consent.Email
			case customer.EmailVerified:
				return true
			}
			return false
		},
		Steps: []journey.Step{
			{Name: "welcome", Template: "welcome"},
			{Name: "tips", Template: "welcome-tips", After: a.Settings.WelcomeDelay},
		},
	}}
}

// Check refuses to start with journeys that could not run as they are defined.
func (a *App) Check() error { return checkJourneys(a.journeys()) }

func checkJourneys(journeys []journey.Journey) error {
	var errs []error
	names := map[string]bool{}
	for _, j := range journeys {
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("journey %q: "+format, append([]any{j.Name}, args...)...))
		}
		if j.Name == "" || names[j.Name] {
			wrong("its name must be its own")
		}
		names[j.Name] = true
		if j.Version < 1 {
			wrong("its version is %d", j.Version)
		}
		if j.Trigger == nil {
			wrong("it has no trigger")
		}
		if err := consent.Check(consent.Purpose(j.Purpose), consent.Channel(j.Channel)); err != nil {
			wrong("%w", err)
		} else if j.Channel != string(consent.Email) {
			wrong("steps send email, not %s", j.Channel)
		}
		if len(j.Steps) == 0 {
			wrong("it has no steps")
		}
		steps := map[string]bool{}
		for _, step := range j.Steps {
			if step.Name == "" || steps[step.Name] {
				wrong("step %q must have a name of its own", step.Name)
			}
			steps[step.Name] = true
			if _, err := template.Render(step.Template, template.Data{}); err != nil {
				wrong("step %s: %w", step.Name, err)
			}
		}
	}
	return errors.Join(errs...)
}

// TriggerJourneys starts the journeys that an event triggers. The run's id is the event's, so that an event delivered
// twice starts one run.
func (a *App) TriggerJourneys(ctx context.Context, e eventstore.Event) error {
	id, ok := view.CustomerID(e.Stream)
	if !ok {
		return nil
	}
	for _, j := range a.journeys() {
		if !j.Trigger(e.Data) {
			continue
		}
		if err := a.enterJourney(ctx, id, j, e); err != nil {
			return fmt.Errorf("journey %s: %w", j.Name, err)
		}
	}
	return nil
}

func (a *App) enterJourney(ctx context.Context, id string, j journey.Journey, e eventstore.Event) error {
	head, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: e.Stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true, Meta: reaction("trigger-journeys", e),
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h)
			if a.mayNot(s, j) != "" || a.unproven(s.Customer) {
				return eventstore.Decision{}, nil
			}
			events, err := journey.Decide(s.Journey, journey.Enter{Journey: j.Name, Version: j.Version, RunID: e.ID})
			return eventstore.Decision{Events: eventstore.Happened(events...)}, err
		},
	})
	if err != nil {
		return err
	}
	if record.Fold.Of(head).Journey.Runs[j.Name].RunID != e.ID {
		return nil // not entered, or by another event before
	}
	input, err := json.Marshal(journey.RunState{
		CustomerID: id, Journey: j.Name, Version: j.Version, RunID: e.ID, Correlation: e.CorrelationID, Until: a.Now().UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	return a.Journeys.Start(ctx, j.Name+"-"+e.ID, input)
}

// mayNot says why a run of the journey must not go on, "" if it may.
func (a *App) mayNot(s record.State, j journey.Journey) string {
	switch {
	case !s.Customer.Exists():
		return "customer-erased"
	case s.Customer.Status == customer.StatusDeactivated:
		return "customer-deactivated"
	case !s.Consent.Allows(consent.Purpose(j.Purpose), consent.Channel(j.Channel), a.Now()):
		return "consent-revoked"
	}
	return ""
}

// RunJourneyStep takes the run's next step, and says when to come back for the one after. Called again for the same step
// it sends nothing twice.
func (a *App) RunJourneyStep(ctx context.Context, run journey.RunState) (journey.RunState, error) {
	j, step, err := a.step(run)
	if err != nil {
		return run, err
	}
	stream := view.CustomerStream(run.CustomerID)
	head, err := a.Log.Load(ctx, stream, record.Fold)
	if err != nil {
		return run, err
	}
	job := EmailJob{
		CustomerID: run.CustomerID, Campaign: j.Name, Template: step.Template, Class: channel.Marketing,
		CausationID: run.RunID, CorrelationID: run.Correlation,
		IdempotencyKey: fmt.Sprintf("%s-v%d-%s-%s", j.Name, run.Version, run.RunID, step.Name),
	}
	if reason := a.mayNot(record.Fold.Of(head), j); reason != "" {
		if reason != "customer-erased" {
			if err := a.withhold(ctx, stream, job, reason); err != nil {
				return run, err
			}
			if err := a.journeyEvent(ctx, stream, run, journey.Exit{Journey: j.Name, RunID: run.RunID, Reason: reason}); err != nil {
				return run, err
			}
		}
		run.Done = true
		return run, nil
	}
	if err := a.queueEmail(ctx, job); err != nil {
		return run, err
	}
	if err := a.journeyEvent(ctx, stream, run, journey.Complete{Journey: j.Name, RunID: run.RunID, Step: step.Name, Index: run.Step}); err != nil {
		return run, err
	}
	run.Step++
	if run.Step == len(j.Steps) {
		run.Done = true
		return run, a.journeyEvent(ctx, stream, run, journey.Exit{Journey: j.Name, RunID: run.RunID, Reason: "completed"})
	}
	run.Until = a.Now().UTC().Add(j.Steps[run.Step].After).Format(time.RFC3339)
	return run, nil
}

func (a *App) step(run journey.RunState) (journey.Journey, journey.Step, error) {
	for _, j := range a.journeys() {
		if j.Name == run.Journey && run.Step >= 0 && run.Step < len(j.Steps) {
			return j, j.Steps[run.Step], nil
		}
	}
	return journey.Journey{}, journey.Step{}, fault.New(fault.Invalid, "unknown-step", "journey %s has no step %d", run.Journey, run.Step)
}

func (a *App) withhold(ctx context.Context, stream string, job EmailJob, reason string) error {
	now := a.Now().UTC()
	entry, _, err := a.enter(ctx, stream, MessageShown{
		MessageID: a.NewID(), Channel: "email", Campaign: job.Campaign, Template: job.Template, Status: withheld, Reason: reason,
		IdempotencyKey: job.IdempotencyKey, CreatedAt: now, UpdatedAt: now,
	})
	if err != nil {
		return err
	}
	return a.recordOutcome(ctx, stream, job, entry)
}

func (a *App) journeyEvent(ctx context.Context, stream string, run journey.RunState, command journey.Command) error {
	_, _, err := a.Log.Handle(ctx, eventstore.Command{
		Stream: stream, Folds: []eventstore.AnyFold{record.Fold}, Fact: true,
		Meta: eventstore.Meta{Actor: "system:run-journey-step", Source: "system", CorrelationID: run.Correlation, CausationID: run.RunID},
		Decide: func(h *eventstore.Head) (eventstore.Decision, error) {
			s := record.Fold.Of(h)
			if !s.Customer.Exists() {
				return eventstore.Decision{}, nil
			}
			events, err := journey.Decide(s.Journey, command)
			return eventstore.Decision{Events: eventstore.Happened(events...)}, err
		},
	})
	return err
}

// reaction is the envelope of what a function appends because of an event.
func reaction(function string, e eventstore.Event) eventstore.Meta {
	return eventstore.Meta{Actor: "system:" + function, Source: "system", CorrelationID: e.CorrelationID, CausationID: e.ID}
}
