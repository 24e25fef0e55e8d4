package app

import (
	"context"
	"errors"
	"fmt"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/openapi"
	"defter/pkg/view"
)

// The functions, as the runtime and the embedded run call them, each named after its row of the topology.

func RegisterCustomer(a *App) lambdaio.Handler { return a.API(a.registerCustomer, a.repeatCustomer) }
func FindCustomer(a *App) lambdaio.Handler     { return a.API(a.findCustomer, nil) }
func GetCustomer(a *App) lambdaio.Handler      { return a.API(a.getCustomer, nil) }
func UpdateProfile(a *App) lambdaio.Handler    { return a.API(a.updateProfile, a.repeatCustomer) }
func ChangeEmail(a *App) lambdaio.Handler      { return a.API(a.changeEmail, a.repeatCustomer) }
func VerifyEmail(a *App) lambdaio.Handler      { return a.API(a.verifyEmail, a.repeatCustomer) }
func DeactivateCustomer(a *App) lambdaio.Handler {
	return a.API(a.deactivateCustomer, a.repeatCustomer)
}
func ReactivateCustomer(a *App) lambdaio.Handler {
	return a.API(a.reactivateCustomer, a.repeatCustomer)
}
func GrantConsent(a *App) lambdaio.Handler   { return a.API(a.grantConsent, a.repeatConsents) }
func RevokeConsent(a *App) lambdaio.Handler  { return a.API(a.revokeConsent, a.repeatConsents) }
func ListConsents(a *App) lambdaio.Handler   { return a.API(a.listConsents, nil) }
func SetPreferences(a *App) lambdaio.Handler { return a.API(a.setPreferences, a.repeatPreferences) }
func ListEvents(a *App) lambdaio.Handler     { return a.API(a.listEvents, nil) }
func ListMessages(a *App) lambdaio.Handler   { return a.API(a.listMessages, nil) }
func ListTimeline(a *App) lambdaio.Handler   { return a.API(a.listTimeline, nil) }
func ListAudit(a *App) lambdaio.Handler      { return a.API(a.listAudit, nil) }
func ListConsented(a *App) lambdaio.Handler  { return a.API(a.listConsented, nil) }
func EraseCustomer(a *App) lambdaio.Handler  { return a.API(a.eraseSubject, a.repeatErasure) }
func GetErasure(a *App) lambdaio.Handler     { return a.API(a.getErasure, nil) }

func TriggerErasures(a *App) lambdaio.Handler { return a.onEvent(a.TriggerErasures) }

func RunErasureStep(a *App) lambdaio.Handler { return lambdaio.Task(a.RunErasureStep) }

func LinkIdentity(a *App) lambdaio.Handler   { return a.API(a.linkIdentity, a.repeatIdentities) }
func UnlinkIdentity(a *App) lambdaio.Handler { return a.API(a.unlinkIdentity, a.repeatIdentities) }
func ListIdentities(a *App) lambdaio.Handler { return a.API(a.listIdentities, nil) }
func JoinIdentities(a *App) lambdaio.Handler { return a.onEvent(a.JoinIdentities) }

func ReportProduct(a *App) lambdaio.Handler { return a.API(a.reportProduct, a.repeatProduct) }
func GetProduct(a *App) lambdaio.Handler    { return a.API(a.getProduct, nil) }

func PlaceOrder(a *App) lambdaio.Handler   { return a.API(a.placeOrder, a.repeatOrder) }
func GetOrder(a *App) lambdaio.Handler     { return a.API(a.getOrder, nil) }
func ListOrders(a *App) lambdaio.Handler   { return a.API(a.listOrders, nil) }
func PayOrder(a *App) lambdaio.Handler     { return a.API(a.payOrder, a.repeatOrder) }
func CancelOrder(a *App) lambdaio.Handler  { return a.API(a.cancelOrder, a.repeatOrder) }
func ShipOrder(a *App) lambdaio.Handler    { return a.API(a.shipOrder, a.repeatOrder) }
func DeliverOrder(a *App) lambdaio.Handler { return a.API(a.deliverOrder, a.repeatOrder) }
func RefundOrder(a *App) lambdaio.Handler  { return a.API(a.refundOrder, a.repeatOrder) }

func CreateSource(a *App) lambdaio.Handler   { return a.API(a.createSource, a.repeatSource) }
func ListSources(a *App) lambdaio.Handler    { return a.API(a.listSources, nil) }
func ChangeSource(a *App) lambdaio.Handler   { return a.API(a.changeSource, a.repeatSource) }
func IssueWriteKey(a *App) lambdaio.Handler  { return a.API(a.issueWriteKey, a.repeatSource) }
func ListQuarantine(a *App) lambdaio.Handler { return a.API(a.listQuarantine, nil) }
func ReleaseQuarantined(a *App) lambdaio.Handler {
	return a.API(a.releaseQuarantined, a.repeatRelease)
}

func PublishEvents(a *App) lambdaio.Handler { return lambdaio.Stream(a.PublishEvents) }

func ProjectActivity(a *App) lambdaio.Handler { return lambdaio.Stream(a.Views.ProjectActivity) }

func ProjectConsent(a *App) lambdaio.Handler {
	return a.projecting(func(ctx context.Context, e eventstore.Event) error {
		return view.Consents.Apply(ctx, a.Views, e.Stream, []eventstore.Event{e})
	})
}

func ProjectPreferences(a *App) lambdaio.Handler {
	return a.projecting(func(ctx context.Context, e eventstore.Event) error {
		return view.Preferences.Apply(ctx, a.Views, e.Stream, []eventstore.Event{e})
	})
}

func ProjectAudit(a *App) lambdaio.Handler { return a.projecting(a.Views.RecordAudit) }

func TriggerJourneys(a *App) lambdaio.Handler { return a.onEvent(a.TriggerJourneys) }

func SendVerification(a *App) lambdaio.Handler { return a.onEvent(a.SendVerification) }

func RunJourneyStep(a *App) lambdaio.Handler { return lambdaio.Task(a.RunJourneyStep) }

func DetectAbandonment(a *App) lambdaio.Handler { return lambdaio.Schedule(a.DetectAbandonment) }

func TriggerPayments(a *App) lambdaio.Handler { return a.onEvent(a.TriggerPayments) }

func RunPaymentStep(a *App) lambdaio.Handler { return lambdaio.Task(a.RunPaymentStep) }

func ReleaseReports(a *App) lambdaio.Handler { return a.projecting(a.ReleaseReports) } // the bus does not say every order's id

func SendEmail(a *App) lambdaio.Handler { return lambdaio.Queue(a.SendEmail) }

func ExpireConsents(a *App) lambdaio.Handler { return lambdaio.Schedule(a.ExpireConsents) }

func ArchiveBehaviour(a *App) lambdaio.Handler { return lambdaio.Schedule(a.ArchiveBehaviour) }

func IngestEvents(a *App) lambdaio.Handler { return lambdaio.HTTP(a.IngestEvents) }

// onEvent makes a function that reacts to single events from the bus.
func (a *App) onEvent(react func(context.Context, eventstore.Event) error) lambdaio.Handler {
	return with(a.Event, react)
}

// projecting makes a function that projects single events, of which the bus tells.
func (a *App) projecting(project func(context.Context, eventstore.Event) error) lambdaio.Handler {
	return with(a.Stored, project)
}

func with(read func(context.Context, lambdaio.Published) (eventstore.Event, error), do func(context.Context, eventstore.Event) error) lambdaio.Handler {
	return lambdaio.Bus(func(ctx context.Context, p lambdaio.Published) error {
		e, err := read(ctx, p)
		if errors.Is(err, eventstore.ErrCorrupt) { // now or later: its stream needs an operator, and the bus is not held up
			return fault.Because(err, fault.Invalid, "unreadable-event", "the event cannot be read")
		}
		if err != nil { // what this program cannot read, a newer one may: it is tried again, and then kept for that
			return fmt.Errorf("read %s: %w", p.Type, err)
		}
		return do(ctx, e)
	})
}

func DescribeAPI(a *App) lambdaio.Handler { return openapi.Handler(a.Keyring.Reachable) }
