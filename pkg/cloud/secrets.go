package cloud

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"defter/pkg/ingest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// secretsFor is how long a changed key may go unnoticed.
const secretsFor = 5 * time.Minute

// secrets knows the deployment's API key and write key, read from Secrets Manager when first asked for.
type secrets struct {
	client           *secretsmanager.Client
	apiKey, writeKey string // secret ids
	mu               sync.Mutex
	values           map[string]secret
}

type secret struct {
	value string
	until time.Time
}

func newSecrets(c aws.Config, s Settings) *secrets {
	return &secrets{client: secretsmanager.NewFromConfig(c), apiKey: s.APIKeySecret, writeKey: s.WriteKeySecret, values: map[string]secret{}}
}

func (s *secrets) APIKey(ctx context.Context, presented string) (string, bool, error) {
	ok, err := s.is(ctx, s.apiKey, presented)
	return "default", ok, err
}

func (s *secrets) WriteKey(ctx context.Context, presented string) (ingest.Source, bool, error) {
	ok, err := s.is(ctx, s.writeKey, presented)
	return ingest.Source{ID: "default", Trusted: true}, ok, err
}

func (s *secrets) is(ctx context.Context, id, presented string) (bool, error) {
	value, err := s.value(ctx, id)
	return err == nil && subtle.ConstantTimeCompare([]byte(value), []byte(presented)) == 1, err
}

func (s *secrets) value(ctx context.Context, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.values[id]; ok && time.Now().Before(known.until) {
		return known.value, nil
	}
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", fmt.Errorf("read access key: %w", err)
	}
	value := aws.ToString(out.SecretString)
	if value == "" {
		return "", fmt.Errorf("access key secret is empty")
	}
	s.values[id] = secret{value, time.Now().Add(secretsFor)}
	return value, nil
}
