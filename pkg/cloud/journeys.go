package cloud

import (
	"context"
	"errors"

	"defter/pkg/app"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Journeys lets the function start runs of journeys.
func Journeys(a *app.App, c aws.Config, s Settings) {
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
