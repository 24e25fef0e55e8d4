package cloud

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	secretsFor = 5 * time.Minute // how long a changed key may go unnoticed
	// keyOverlap is how long the key before the current one is taken after the change, so that its holders can go over one by one. Who
	// wants it gone at once changes the key twice.
	keyOverlap = 24 * time.Hour
)

// secrets knows the deployment's API key and the one before, read from Secrets Manager when first asked for.
type secrets struct {
	client *secretsmanager.Client
	apiKey string // the secret's id
	now    func() time.Time
	mu     sync.Mutex
	known  apiKeys
}

// apiKeys are the current key and the one that it followed, "" if there is none.
type apiKeys struct {
	current, previous string
	changed           time.Time // when the current one became current
	until             time.Time // when they are read again
}

func newSecrets(c aws.Config, s Settings, now func() time.Time) *secrets {
	return &secrets{client: secretsmanager.NewFromConfig(c), apiKey: s.APIKeySecret, now: now}
}

// APIKey implements app.Access.
func (s *secrets) APIKey(ctx context.Context, presented string) (string, bool, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return "", false, err
	}
	if same(keys.current, presented) {
		return "default", true, nil
	}
	if same(keys.previous, presented) && s.now().Before(keys.changed.Add(keyOverlap)) {
		slog.WarnContext(ctx, "the previous API key is still used", "until", keys.changed.Add(keyOverlap))
		return "default", true, nil
	}
	return "", false, nil
}

// same compares in a time that tells nothing about the key.
func same(key, presented string) bool {
	return key != "" && subtle.ConstantTimeCompare([]byte(key), []byte(presented)) == 1
}

// keys reads both keys once in a while, whatever is presented: a stranger makes it ask no oftener.
func (s *secrets) keys(ctx context.Context) (apiKeys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Before(s.known.until) {
		return s.known, nil
	}
	current, changed, err := s.version(ctx, "AWSCURRENT")
	if err != nil {
		return apiKeys{}, err
	}
	if current == "" {
		return apiKeys{}, fmt.Errorf("the API key's secret is empty")
	}
	previous, _, err := s.version(ctx, "AWSPREVIOUS")
	if missing := (*types.ResourceNotFoundException)(nil); err != nil && !errors.As(err, &missing) {
		return apiKeys{}, err
	}
	s.known = apiKeys{current: current, previous: previous, changed: changed, until: s.now().Add(secretsFor)}
	return s.known, nil
}

// version returns the value that has a stage of the secret, and when it was put.
func (s *secrets) version(ctx context.Context, stage string) (value string, put time.Time, err error) {
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.apiKey, VersionStage: &stage})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read the API key: %w", err)
	}
	return aws.ToString(out.SecretString), aws.ToTime(out.CreatedDate), nil
}
