package cloud

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// secretsFor is how long a changed key may go unnoticed.
const secretsFor = 5 * time.Minute

// secrets knows the deployment's API key, read from Secrets Manager when first asked for.
type secrets struct {
	client *secretsmanager.Client
	apiKey string // the secret's id
	mu     sync.Mutex
	known  secret
}

type secret struct {
	value string
	until time.Time
}

func newSecrets(c aws.Config, s Settings) *secrets {
	return &secrets{client: secretsmanager.NewFromConfig(c), apiKey: s.APIKeySecret}
}

func (s *secrets) APIKey(ctx context.Context, presented string) (string, bool, error) {
	value, err := s.value(ctx)
	return "default", err == nil && subtle.ConstantTimeCompare([]byte(value), []byte(presented)) == 1, err
}

func (s *secrets) value(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.known.until) {
		return s.known.value, nil
	}
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.apiKey})
	if err != nil {
		return "", fmt.Errorf("read access key: %w", err)
	}
	value := aws.ToString(out.SecretString)
	if value == "" {
		return "", fmt.Errorf("access key secret is empty")
	}
	s.known = secret{value, time.Now().Add(secretsFor)}
	return value, nil
}
