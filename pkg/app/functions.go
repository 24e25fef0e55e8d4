package app

import (
	"context"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/openapi"
	"defter/pkg/view"
)

// The functions, as the runtime and the embedded run call them, each named after its row of the topology.

func RegisterCustomer(a *App) lambdaio.Handler   { return a.API(registerCustomer, showCustomer) }
func FindCustomer(a *App) lambdaio.Handler       { return a.API(findCustomer, nil) }
func GetCustomer(a *App) lambdaio.Handler        { return a.API(getCustomer, nil) }
func UpdateProfile(a *App) lambdaio.Handler      { return a.API(updateProfile, showCustomer) }
func ChangeEmail(a *App) lambdaio.Handler        { return a.API(changeEmail, showCustomer) }
func VerifyEmail(a *App) lambdaio.Handler        { return a.API(verifyEmail, showCustomer) }
func DeactivateCustomer(a *App) lambdaio.Handler { return a.API(deactivateCustomer, showCustomer) }
func ReactivateCustomer(a *App) lambdaio.Handler { return a.API(reactivateCustomer, showCustomer) }
func GrantConsent(a *App) lambdaio.Handler       { return a.API(grantConsent, showConsents) }
func RevokeConsent(a *App) lambdaio.Handler      { return a.API(revokeConsent, showConsents) }
func ListConsents(a *App) lambdaio.Handler       { return a.API(listConsents, nil) }
func SetPreferences(a *App) lambdaio.Handler     { return a.API(setPreferences, nil) }
func ListEvents(a *App) lambdaio.Handler         { return a.API(listEvents, nil) }
func ListMessages(a *App) lambdaio.Handler       { return a.API(listMessages, nil) }
func ListTimeline(a *App) lambdaio.Handler       { return a.API(listTimeline, nil) }
func ListAudit(a *App) lambdaio.Handler          { return a.API(listAudit, nil) }
func ListConsented(a *App) lambdaio.Handler      { return a.API(listConsented, nil) }
func EraseCustomer(a *App) lambdaio.Handler      { return a.API(eraseCustomer, showCertificate) }

func PublishEvents(a *App) lambdaio.Handler { return lambdaio.Stream(a.PublishEvents) }

func ProjectActivity(a *App) lambdaio.Handler { return lambdaio.Stream(a.Views.ProjectActivity) }

func ProjectConsent(a *App) lambdaio.Handler {
	return a.onEvent(func(ctx context.Context, e eventstore.Event) error {
		return view.Consents.Apply(ctx, a.Views, e.Stream, []eventstore.Event{e})
	})
}

func ProjectPreferences(a *App) lambdaio.Handler {
	return a.onEvent(func(ctx context.Context, e eventstore.Event) error {
		return view.Preferences.Apply(ctx, a.Views, e.Stream, []eventstore.Event{e})
	})
}

func ProjectAudit(a *App) lambdaio.Handler { return a.onEvent(a.Views.RecordAudit) }

func TriggerJourneys(a *App) lambdaio.Handler { return a.onEvent(a.TriggerJourneys) }

func SendVerification(a *App) lambdaio.Handler { return a.onEvent(a.SendVerification) }

func RunJourneyStep(a *App) lambdaio.Handler { return lambdaio.Task(a.RunJourneyStep) }

func SendEmail(a *App) lambdaio.Handler { return lambdaio.Queue(a.SendEmail) }

func ExpireConsents(a *App) lambdaio.Handler { return lambdaio.Schedule(a.ExpireConsents) }

func IngestEvents(a *App) lambdaio.Handler { return lambdaio.HTTP(a.IngestEvents) }

// onEvent makes a function that reacts to single events from the bus.
func (a *App) onEvent(react func(context.Context, eventstore.Event) error) lambdaio.Handler {
	return lambdaio.Bus(func(ctx context.Context, p lambdaio.Published) error {
		e, err := a.Event(p)
		if err != nil { // it will never be understood
			return fault.Because(err, fault.Invalid, "unreadable-event", "the event cannot be read")
		}
		return react(ctx, e)
	})
}

func DescribeAPI(a *App) lambdaio.Handler { return openapi.Handler(a.Keyring.Reachable) }
