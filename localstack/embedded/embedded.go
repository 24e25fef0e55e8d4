// Package embedded is the whole system in one process: every function of the topology behind the JSON that Lambda would
// give it, on a real DynamoDB engine whose data is a file. The bus, the queues, the state machine and the schedules are
// small durable stand-ins: what they have taken survives a restart, waits included. Three words: the clock can be moved
// forward to see what a wait leads to; the mailbox is where emails land; the local table keeps what the stand-ins hold.
package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"defter/events"
	"defter/localstack/engine"
	"defter/pkg/app"
	"defter/pkg/archive"
	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/payment/local"
	"defter/pkg/privacy"
	"defter/pkg/token"
	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/google/uuid"
)

// The keys of the embedded run.
const (
	APIKey   = "dev-key"
	WriteKey = "dev-write-key"
)

const (
	localTable  = "local"
	cachedHeads = 20_000
	stopWithin  = 10 * time.Second

	// The engine writes one item at a time. Projections that asked for more than a few at once would only make those
	// wait who are to be answered.
	projectWorkers = 4
)

// Config says how to run.
type Config struct {
	Port         int    // of the API on 127.0.0.1; 0 picks a free one
	DataDir      string // everything that is kept
	WelcomeDelay time.Duration
	KeepFor      time.Duration // of behaviour in the event store; 0 for 90 days
	TLS          bool          // serves https instead of http, with a certificate of its own
	// MarketingUnverified lets marketing go to addresses that nobody has verified.
	MarketingUnverified bool
	OpaqueIDs           *regexp.Regexp // of ids that tell nothing about a person, beside those that do nowhere
	Log                 *slog.Logger   // of the engine; nil drops
}

// System is a running system.
type System struct {
	App   *app.App
	Meter *meter.Meter // of everything asked of DynamoDB
	URL   string

	certificate certificate // of https; the zero value otherwise

	config   Config
	engine   *engine.Engine
	client   meter.Client
	streams  *dynamodbstreams.Client
	local    view.Table
	clock    *clock
	issuer   *issuer
	handlers map[string]lambdaio.Handler
	readers  []*reader
	crowd    crowd
	queues   []*queue
	machines []*machine // as topology.Machines
	bus      *bus
	mailbox  mailbox
	listener net.Listener
	server   *http.Server
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

// Start starts the system and returns when it answers. Stop must be called afterwards.
func Start(ctx context.Context, c Config) (*System, error) {
	s, err := assemble(ctx, c)
	if err == nil {
		s.run(ctx)
	}
	return s, err
}

// assemble makes a system with its engine running, in which nothing happens yet.
func assemble(ctx context.Context, c Config) (s *System, err error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	s = &System{config: c, Meter: new(meter.Meter), mailbox: mailbox{filepath.Join(c.DataDir, "mailbox")}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if s.listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.Port)); err != nil {
		return s, fmt.Errorf("port %d: %w", c.Port, err)
	}
	if err := s.address(); err != nil {
		return s, err
	}
	if s.engine, err = engine.Start(ctx, engine.Config{Dir: c.DataDir, Log: c.Log}); err != nil {
		return s, err
	}
	s.connect()
	if err := s.createTables(ctx); err != nil {
		return s, err
	}
	if err := s.engine.IndexStreams(ctx); err != nil {
		return s, err
	}
	return s, s.build(ctx)
}

// address says where the system is, and has the certificate for it.
func (s *System) address() (err error) {
	scheme := "http"
	if s.config.TLS {
		scheme = "https"
		if s.certificate, err = openCertificate(filepath.Join(s.config.DataDir, "tls"), time.Now()); err != nil {
			return err
		}
	}
	s.URL = fmt.Sprintf("%s://localhost:%d", scheme, s.listener.Addr().(*net.TCPAddr).Port)
	return nil
}

func (s *System) run(ctx context.Context) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.server = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	serve := s.server.Serve
	if s.config.TLS {
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{s.certificate.Certificate}, MinVersion: tls.VersionTLS12}
		serve = func(l net.Listener) error { return s.server.ServeTLS(l, "", "") }
	}
	s.tasks.Go(func() { _ = serve(s.listener) }) // ends with the server's Shutdown
	for _, r := range s.readers {
		s.tasks.Go(func() { r.run(running) })
	}
	for _, q := range s.queues {
		s.tasks.Go(func() { q.run(running) })
	}
	for _, m := range s.machines {
		s.tasks.Go(func() { m.run(running) })
	}
	s.tasks.Go(func() { s.schedules(running) })
	s.tasks.Go(func() { s.trim(running) })
}

// Died is closed when the engine ended by itself.
func (s *System) Died() <-chan struct{} { return s.engine.Done() }

// Stop ends the system: first the API, then what works in the background, then the engine. Nothing taken is lost.
func (s *System) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	var errs []error
	switch {
	case s.server != nil:
		errs = append(errs, s.server.Shutdown(ctx))
	case s.listener != nil:
		errs = append(errs, s.listener.Close())
	}
	if s.stop != nil {
		s.stop()
	}
	s.tasks.Wait()
	if s.engine != nil {
		errs = append(errs, s.engine.Stop(ctx))
	}
	return errors.Join(errs...)
}

func (s *System) connect() {
	endpoint := s.engine.Endpoint()
	transport := &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true}
	config := aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second}, BaseEndpoint: &endpoint,
	}
	s.client = meter.Client{API: dynamodb.NewFromConfig(config, func(o *dynamodb.Options) {
		o.DisableValidateResponseChecksum, o.EnableAcceptEncodingGzip = true, false
	}), Total: s.Meter}
	s.streams = dynamodbstreams.NewFromConfig(config)
	s.local = view.Table{Client: dynamodb.NewFromConfig(config), Name: localTable}
}

func (s *System) createTables(ctx context.Context) error {
	client := s.client.API.(*dynamodb.Client)
	for _, table := range append([]topology.Table{{Name: localTable}}, topology.Tables...) {
		in := &dynamodb.CreateTableInput{
			TableName: &table.Name, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
			},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
		}
		if table.Stream {
			in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
		}
		_, err := client.CreateTable(ctx, in)
		if _, exists := errors.AsType[*types.ResourceInUseException](err); err != nil && !exists {
			return fmt.Errorf("create table %s: %w", table.Name, err)
		}
	}
	return nil
}

// build makes the app, its handlers and what calls them.
func (s *System) build(ctx context.Context) error {
	master, err := privacy.OpenKeyFile(filepath.Join(s.config.DataDir, "master.key"))
	if err != nil {
		return err
	}
	if s.clock, err = openClock(ctx, s.local); err != nil {
		return err
	}
	if s.issuer, err = newIssuer(s.URL+issuerPath, s.clock.Now); err != nil {
		return err
	}
	keyring := privacy.NewKeyring(s.client, topology.Keys, master, s.clock.Now)
	log := &eventstore.Log{
		Store: dynamo.New(s.client, topology.Events, s.clock.Now), Catalog: catalog.New(), Vault: keyring,
		Now: s.clock.Now, NewID: newID, Validate: events.Validate, Wait: app.Jitter, Lost: app.SnapshotLost, Cache: eventstore.NewCache(cachedHeads),
	}
	s.App = &app.App{
		Log: log, Views: &view.Views{Table: view.Table{Client: s.client, Name: topology.Views}, Log: log, Workers: projectWorkers}, Keyring: keyring,
		Access: access{}, Email: s.mailbox.provider(s.clock.Now), Now: s.clock.Now, NewID: newID,
		Archive: archive.Folder(filepath.Join(s.config.DataDir, "archive")),
		Fixed:   map[string]ingest.Source{WriteKey: {ID: "dev", Kind: "server", Trusted: true}},
		Settings: app.Settings{EmailFrom: "Defter <hello@defter.example>", WelcomeDelay: s.config.WelcomeDelay, PaymentProvider: "local", ReturnWindow: app.DefaultReturnWindow, KeepFor: s.config.KeepFor,
			DataController: "Defter's local run", MarketingUnverified: s.config.MarketingUnverified, OpaqueIDs: s.config.OpaqueIDs,
		},
		Tokens:   token.New(s.issuer.url, tokenAudience, s.clock.Now, s.toItself()),
		Payments: local.Provider{Table: view.Table{Client: s.client, Name: topology.Views}},
	}
	log.Catalog.Opaque = s.App.Settings.Opaque
	if s.App.Settings.WelcomeDelay == 0 {
		s.App.Settings.WelcomeDelay = 24 * time.Hour
	}
	if err := s.App.Check(); err != nil {
		return err
	}
	s.handlers = map[string]lambdaio.Handler{}
	for name, build := range functions {
		s.handlers[name] = build(s.App)
	}
	s.bus = &bus{system: s}
	s.App.Bus = s.bus
	for _, q := range topology.Queues {
		s.queues = append(s.queues, newQueue(s, q))
	}
	s.App.Emails = s.queues[0]
	for _, row := range topology.Machines {
		m, err := newMachine(s, row)
		if err != nil {
			return err
		}
		s.machines = append(s.machines, m)
		switch row.Name {
		case topology.Journeys:
			s.App.Journeys = m
		case topology.Payments:
			s.App.PaymentRuns = m
		case topology.Erasures:
			s.App.Erasures = m
		}
	}
	for _, f := range topology.Functions {
		if f.Stream == nil {
			continue
		}
		r, err := newReader(ctx, s, f)
		if err != nil {
			return err
		}
		s.readers = append(s.readers, r)
	}
	return nil
}

// toItself is how the system reaches its own address, where its issuer is: by its own certificate, if it has one.
func (s *System) toItself() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.certificate.authority}, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}}
}

// newID makes a UUIDv7.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// access knows the API key of the embedded run.
type access struct{}

func (access) APIKey(_ context.Context, presented string) (string, bool, error) {
	return "dev", presented == APIKey, nil
}
