// Package bus lets a function publish on EventBridge. Each client has a package of its own, so that a function starts
// with those it uses and no other.
package bus

import (
	"context"
	"fmt"

	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/topology"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// Part lets the function publish on EventBridge.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	a.Bus = bus{eventbridge.NewFromConfig(c), s.Bus}
}

type bus struct {
	client *eventbridge.Client
	name   string
}

func (b bus) Publish(ctx context.Context, entries []app.Entry) (failed []int, err error) {
	in := &eventbridge.PutEventsInput{}
	for _, e := range entries {
		in.Entries = append(in.Entries, types.PutEventsRequestEntry{
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
