// Package dynamotest gives tests a real DynamoDB: the one DYNAMODB_ENDPOINT names, else an engine of their own that
// stops with the last test using it.
package dynamotest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"defter/localstack/engine"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Client returns a client of a DynamoDB that is there until the test has ended. It skips the test if there is none.
func Client(t testing.TB) *dynamodb.Client {
	t.Helper()
	endpoint := os.Getenv("DYNAMODB_ENDPOINT")
	if endpoint == "" {
		var err error
		endpoint, err = shared.acquire(t.Context())
		if errors.Is(err, engine.ErrNotInstalled) {
			t.Skip("needs a DynamoDB: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := shared.release(); err != nil {
				t.Error(err)
			}
		})
	}
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: &endpoint,
		Region:       cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"),
		Credentials:  aws.CredentialsProviderFunc(credentials),
	})
}

// Keep runs a package's tests on one engine, which saves starting it for each of them:
//
//	func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }
func Keep(m *testing.M) int {
	shared.keep = true
	defer func() { _ = shared.stop() }() // nobody is left to tell
	return m.Run()
}

// Table makes an empty table with string keys pk and sk, which goes when the test has ended.
func Table(t testing.TB, client *dynamodb.Client) string {
	t.Helper()
	name := "test-" + rand.Text()
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
	})
	if err != nil {
		t.Fatalf("create table: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Errorf("delete table: %v", err)
		}
	})
	ready := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 2*time.Second
	})
	if err := ready.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		t.Fatalf("wait for table: %v", err)
	}
	return name
}

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{
		AccessKeyID:     cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), "local"),
		SecretAccessKey: cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), "local"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}, nil
}

var shared sharedEngine

// sharedEngine is the one engine of a test binary.
type sharedEngine struct {
	mu     sync.Mutex
	users  int
	keep   bool
	engine *engine.Engine
	dir    string
}

func (s *sharedEngine) acquire(ctx context.Context) (endpoint string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		if s.dir, err = os.MkdirTemp("", "dynamotest-"); err != nil {
			return "", err
		}
		if s.engine, err = engine.Start(ctx, engine.Config{Dir: s.dir}); err != nil {
			return "", errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	s.users++
	return s.engine.Endpoint(), nil
}

func (s *sharedEngine) release() error {
	s.mu.Lock()
	s.users--
	idle := s.users == 0 && !s.keep
	s.mu.Unlock()
	if !idle {
		return nil
	}
	return s.stop()
}

func (s *sharedEngine) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil || s.users > 0 {
		return nil
	}
	err := errors.Join(s.engine.Stop(context.Background()), os.RemoveAll(s.dir))
	s.engine = nil
	return err
}
