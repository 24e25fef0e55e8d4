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

	secretsAtMost  = time.Hour       // that keys count, since they were read, while Secrets Manager does not answer
	secretsAgain   = time.Minute     // before it is asked again then
	secretsRefresh = 3 * time.Second // that a call waits for it where there are keys to go on with
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
	read              time.Time
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

// keys reads both keys once in a while, whatever is presented: a stranger makes it ask no oftener. While they cannot be read, those that are
// known count for a while: an outage of Secrets Manager must not be one of everything.
func (s *secrets) keys(ctx context.Context) (apiKeys, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Before(s.known.until) {
		return s.known, nil
	}
	now := s.now()
	goOn := s.known.current != "" && now.Before(s.known.read.Add(secretsAtMost))
	if goOn {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, secretsRefresh)
		defer cancel()
	}
	keys, err := s.read(ctx)
	switch {
	case err == nil:
		keys.read, keys.until = now, now.Add(secretsFor)
		s.known = keys
	case goOn:
		slog.ErrorContext(ctx, "the API keys cannot be read again: those that are known count on", "until", s.known.read.Add(secretsAtMost), "error", err)
		s.known.until = now.Add(secretsAgain)
	default:
		return apiKeys{}, err
	}
	return s.known, nil
}

// read asks Secrets Manager for both keys.
func (s *secrets) read(ctx context.Context) (apiKeys, error) {
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
	return apiKeys{current: current, previous: previous, changed: changed}, nil
}

// version returns the value that has a stage of the secret, and when it was put.
func (s *secrets) version(ctx context.Context, stage string) (value string, put time.Time, err error) {
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.apiKey, VersionStage: &stage})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read the API key: %w", err)
	}
	return aws.ToString(out.SecretString), aws.ToTime(out.CreatedDate), nil
}
