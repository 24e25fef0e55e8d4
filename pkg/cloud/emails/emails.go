// Package emails lets a function queue emails on SQS.
package emails

import (
	"context"

	"defter/pkg/app"
	"defter/pkg/cloud"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Part lets the function queue emails.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	a.Emails = queue{sqs.NewFromConfig(c), s.EmailQueue}
}

type queue struct {
	client *sqs.Client
	url    string
}

func (q queue) Send(ctx context.Context, body []byte) error {
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: aws.String(string(body))})
	return err
}
