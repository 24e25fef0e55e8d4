package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"defter/events"
	"defter/localstack/embedded"
	"defter/localstack/engine"
	"defter/pkg/app"
	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/eventstore/dynamo"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/meter"
	"defter/pkg/privacy"
	"defter/pkg/topology"
	"defter/pkg/view"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
)

// bed is an engine of a measurement's own, empty at first, with the system's tables.
type bed struct {
	engine *engine.Engine
	folder string
	client *dynamodb.Client
	master privacy.Master
}

func (b *bench) newBed(ctx context.Context) (*bed, error) {
	folder, err := os.MkdirTemp(b.folder, "bed-")
	if err != nil {
		return nil, err
	}
	e, err := engine.Start(ctx, engine.Config{Dir: folder})
	if err != nil {
		return nil, err
	}
	bed := &bed{engine: e, folder: folder, client: newClient(e.Endpoint())}
	if bed.master, err = privacy.OpenKeyFile(filepath.Join(folder, "master.key")); err != nil {
		return nil, errors.Join(err, bed.close())
	}
	for _, table := range topology.Tables {
		if err := bed.createTable(ctx, table.Name, false); err != nil {
			return nil, errors.Join(err, bed.close())
		}
	}
	return bed, nil
}

func (b *bed) close() error {
	return errors.Join(b.engine.Stop(context.Background()), os.RemoveAll(b.folder))
}

// newClient keeps connections alive, as many as there are callers.
func newClient(endpoint string) *dynamodb.Client {
	return dynamodb.NewFromConfig(aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), BaseEndpoint: &endpoint,
		HTTPClient: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, DisableCompression: true}},
	})
}

func (b *bed) createTable(ctx context.Context, name string, stream bool) error {
	in := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
	}
	if stream {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
	}
	if _, err := b.client.CreateTable(ctx, in); err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	return nil
}

// instance makes an app as one warm instance of a function has it: with memory of its own, of so many heads.
func (b *bed) instance(client meter.API, master privacy.Master, now func() time.Time, heads int) *app.App {
	keyring := privacy.NewKeyring(client, topology.Keys, master, now)
	log := &eventstore.Log{
		Store: dynamo.New(client, topology.Events, now), Catalog: catalog.New(), Vault: keyring, Now: now, NewID: newID, Validate: events.Validate, Wait: app.Jitter, Lost: app.SnapshotLost,
	}
	if heads > 0 {
		log.Cache = eventstore.NewCache(heads)
	}
	return &app.App{
		Log: log, Views: &view.Views{Table: view.Table{Client: client, Name: topology.Views}, Log: log}, Keyring: keyring,
		Access: access{}, Fixed: map[string]ingest.Source{embedded.WriteKey: {ID: "bench", Kind: "server", Trusted: true}}, Now: now, NewID: newID,
		Settings: app.Settings{OpaqueIDs: words, EmailFrom: "Defter <hello@defter.example>", WelcomeDelay: 24 * time.Hour},
	}
}

// words are the ids of customers here, which say in words what they are.
var words = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func wallClock() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// access lets everybody in.
type access struct{}

func (access) APIKey(context.Context, string) (string, bool, error) { return "bench", true, nil }

// request is an API request as API Gateway hands it to a function. The route is written as the topology has it, and
// its parameters are given in order.
func request(method, route string, body []byte, params ...string) ([]byte, error) {
	authorization := writeKey
	if strings.Contains(route, "/customers") || strings.Contains(route, "/sources") || strings.Contains(route, "/orders") {
		authorization = "Bearer " + embedded.APIKey
	}
	return requestAs(authorization, method, route, body, params...)
}

func requestAs(authorization, method, route string, body []byte, params ...string) ([]byte, error) {
	return requestFrom("203.0.113.9", authorization, method, route, body, params...)
}

func requestFrom(address, authorization, method, route string, body []byte, params ...string) ([]byte, error) {
	path, query, _ := strings.Cut(route, "?")
	in := lambdaevents.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: method + " " + path, RawPath: path, RawQueryString: query, Body: string(body), PathParameters: map[string]string{},
		Headers: map[string]string{
			"authorization": authorization, "content-type": "application/json", "host": "api.example.com",
			"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15", "x-forwarded-for": address,
		},
	}
	for _, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			in.PathParameters[strings.TrimSuffix(name, "}")] = params[0]
			in.RawPath = strings.Replace(in.RawPath, part, url.PathEscape(params[0]), 1)
			params = params[1:]
		}
	}
	in.RequestContext.RequestID, in.RequestContext.RouteKey = newID(), in.RouteKey
	in.RequestContext.HTTP.Method, in.RequestContext.HTTP.Path, in.RequestContext.HTTP.SourceIP = method, in.RawPath, address
	return json.Marshal(in)
}

// ask calls a function with an API request. Any answer but a success is an error.
func ask(ctx context.Context, h lambdaio.Handler, method, route string, body []byte, params ...string) ([]byte, error) {
	return askOnce(ctx, h, "", method, route, body, params...)
}

// askOnce is ask with an Idempotency-Key, unless that is empty.
func askOnce(ctx context.Context, h lambdaio.Handler, key, method, route string, body []byte, params ...string) ([]byte, error) {
	payload, err := request(method, route, body, params...)
	if err != nil {
		return nil, err
	}
	if key != "" {
		var in lambdaevents.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, err
		}
		in.Headers["idempotency-key"] = key
		if payload, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	raw, err := h.Invoke(ctx, payload)
	if err != nil {
		return nil, err
	}
	var out lambdaevents.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	if out.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s answered %d: %s", method, route, out.StatusCode, out.Body)
	}
	return []byte(out.Body), nil
}

// costOf is what was counted on m while f ran. Nothing else may run on m meanwhile.
func costOf(m *meter.Meter, f func() error) (meter.Cost, error) {
	before := m.Cost()
	err := f()
	after := m.Cost()
	return meter.Cost{
		Requests: after.Requests - before.Requests, WriteUnits: after.WriteUnits - before.WriteUnits, ReadUnits: after.ReadUnits - before.ReadUnits,
	}, err
}
