package cloud

import (
	"context"
	"log/slog"
	"os"
	"time"

	"defter/events"
	"defter/pkg/app"
	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/privacy"
	"defter/pkg/view"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/uuid"
)

// Part adds to an app what some functions need.
type Part func(a *app.App, c aws.Config, s Settings)

// Run starts a function. It returns only if the runtime does.
func Run(build func(*app.App) lambdaio.Handler, parts ...Part) {
	slog.SetDefault(lambdacontext.NewLogger())
	ctx := context.Background()
	settings, err := Environment()
	if err != nil {
		fatal("read the environment", err)
	}
	c, err := Amazon()
	if err != nil {
		fatal("read the environment", err)
	}
	lambda.StartWithOptions(lambdaio.BehindEdge(build(New(c, settings, parts...)), settings.EdgeKey), lambda.WithContext(ctx))
}

func fatal(doing string, err error) {
	slog.Error(doing, "error", err)
	os.Exit(1)
}

// New makes an app on AWS.
func New(c aws.Config, s Settings, parts ...Part) *app.App {
	client := meter.Client{API: dynamodb.NewFromConfig(c)}
	keyring := privacy.NewKeyring(client, s.KeysTable, privacy.KMS{Client: kms.NewFromConfig(c), KeyID: s.MasterKey}, now)
	log := &eventstore.Log{
		Store: dynamo.New(client, s.EventsTable, now), Catalog: catalog.New(), Vault: keyring, Now: now, NewID: NewID,
		// No heads are cached: another instance has mostly appended meanwhile, and a refused append is billed (ADR 3).
		Validate: events.Validate, Wait: app.Jitter, Lost: app.SnapshotLost,
	}
	a := &app.App{
		Log: log, Views: &view.Views{Table: view.Table{Client: client, Name: s.ViewsTable}, Log: log}, Keyring: keyring,
		Access: newSecrets(c, s, now), Email: nowhere{}, Now: now, NewID: NewID,
		Settings: app.Settings{
			EmailFrom: s.EmailFrom, WelcomeDelay: s.WelcomeDelay,
			DataController: s.DataController, MarketingUnverified: s.MarketingUnverified,
			PaymentProvider: s.PaymentProvider, ReturnWindow: s.ReturnWindow, CartIdle: s.CartIdle, Placeholders: s.Placeholders, OpaqueIDs: s.OpaqueIDs, KeepFor: s.KeepBehaviour,
		},
	}
	log.Catalog.Opaque = a.Settings.Opaque
	for _, part := range parts {
		part(a, c, s)
	}
	return a
}

// now is the time in the precision that events keep.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// NewID makes a UUIDv7.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }
