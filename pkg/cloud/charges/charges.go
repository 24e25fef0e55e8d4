// Package charges lets a function move money, through the provider that the deployment has.
package charges

import (
	"context"
	"fmt"
	"sync"
	"time"

	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/payment"
	"defter/pkg/payment/local"
	"defter/pkg/payment/stripe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// secretFor is how long a changed key may go unnoticed.
const secretFor = 5 * time.Minute

// Part lets the function ask the provider.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	switch s.PaymentProvider {
	case "stripe":
		a.Payments = &keyed{client: secretsmanager.NewFromConfig(c), secret: s.PaymentKeySecret}
	case "local":
		a.Payments = local.Provider{Table: a.Views.Table}
	}
}

// keyed is Stripe, with the key that is in Secrets Manager.
type keyed struct {
	client   *secretsmanager.Client
	secret   string
	mu       sync.Mutex
	provider payment.Provider
	until    time.Time
}

func (k *keyed) stripe(ctx context.Context) (payment.Provider, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.provider != nil && time.Now().Before(k.until) {
		return k.provider, nil
	}
	out, err := k.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &k.secret})
	if err != nil {
		return nil, fmt.Errorf("read payment key: %w", err)
	}
	k.provider, k.until = stripe.New(aws.ToString(out.SecretString), ""), time.Now().Add(secretFor)
	return k.provider, nil
}

func (k *keyed) Charge(ctx context.Context, c payment.Charge) (string, error) {
	p, err := k.stripe(ctx)
	if err != nil {
		return "", err
	}
	return p.Charge(ctx, c)
}

func (k *keyed) Refund(ctx context.Context, r payment.Refund) (string, error) {
	p, err := k.stripe(ctx)
	if err != nil {
		return "", err
	}
	return p.Refund(ctx, r)
}
