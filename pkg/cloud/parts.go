package cloud

import (
	"context"
	"fmt"

	"defter/pkg/app"
	"defter/pkg/topology"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Bus lets the function publish on EventBridge.
func Bus(a *app.App, c aws.Config, s Settings) {
	a.Bus = bus{eventbridge.NewFromConfig(c), s.Bus}
}

type bus struct {
	client *eventbridge.Client
	name   string
}

func (b bus) Publish(ctx context.Context, entries []app.Entry) (failed []int, err error) {
	in := &eventbridge.PutEventsInput{}
	for _, e := range entries {
		in.Entries = append(in.Entries, ebtypes.PutEventsRequestEntry{
			EventBusName: &b.name, Source: aws.String(topology.BusSource), DetailType: &e.Type, Detail: aws.String(string(e.Detail)), Time: &e.At,
		})
	}
	out, err := b.client.PutEvents(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("put events: %w", err)
	}
	for i, entry := range out.Entries {
		if entry.ErrorCode != nil {
			failed = append(failed, i)
		}
	}
	return failed, nil
}

// Emails lets the function queue emails.
func Emails(a *app.App, c aws.Config, s Settings) {
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
