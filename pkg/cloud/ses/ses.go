// Package ses lets a function send email through SES.
package ses

import (
	"context"
	"errors"

	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/fault"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
)

// Part lets the function send email. The client does not retry by itself: SES knows no idempotency keys, so a second try
// after a lost answer could be a second mail.
func Part(a *app.App, c aws.Config, _ cloud.Settings) {
	a.Email = provider{sesv2.NewFromConfig(c, func(o *sesv2.Options) { o.RetryMaxAttempts = 1 })}
}

type provider struct{ client *sesv2.Client }

func (s provider) Send(ctx context.Context, m app.Mail) (string, error) {
	utf8 := aws.String("UTF-8")
	out, err := s.client.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: &m.From, Destination: &types.Destination{ToAddresses: []string{m.To}},
		Content: &types.EmailContent{Simple: &types.Message{
			Subject: &types.Content{Data: &m.Subject, Charset: utf8},
			Body:    &types.Body{Text: &types.Content{Data: &m.Text, Charset: utf8}, Html: &types.Content{Data: &m.HTML, Charset: utf8}},
		}},
	})
	if err == nil {
		return aws.ToString(out.MessageId), nil
	}
	answered, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return "", err // no answer: it may have been sent
	}
	switch answered.ErrorCode() {
	case "TooManyRequestsException", "LimitExceededException", "ThrottlingException", "SendingPausedException":
		return "", fault.Because(err, fault.Busy, "provider-busy", "SES takes no more now")
	case "MessageRejected", "BadRequestException", "MailFromDomainNotVerifiedException", "NotFoundException", "AccountSuspendedException":
		return "", fault.Because(err, fault.Rejected, "provider-refused", "SES refused the message")
	}
	return "", err
}

func (provider) Idempotent() bool { return false }

func (provider) Forget(context.Context, string) error { return nil }
