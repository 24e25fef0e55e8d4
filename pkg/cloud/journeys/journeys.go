// Package journeys lets a function start runs of journeys in Step Functions.
package journeys

import (
	"context"
	"errors"

	"defter/pkg/app"
	"defter/pkg/cloud"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Part lets the function start runs of journeys.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	a.Journeys = machine{sfn.NewFromConfig(c), s.Journeys}
}

type machine struct {
	client *sfn.Client
	arn    string
}

func (m machine) Start(ctx context.Context, name string, input []byte) error {
	_, err := m.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &m.arn, Name: &name, Input: aws.String(string(input))})
	if _, started := errors.AsType[*types.ExecutionAlreadyExists](err); started {
		return nil
	}
	return err
}
