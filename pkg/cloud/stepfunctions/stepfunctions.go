// Package stepfunctions starts executions of a state machine.
package stepfunctions

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Machine is a state machine.
type Machine struct {
	client *sfn.Client
	arn    string
}

// New makes the machine of an ARN.
func New(c aws.Config, arn string) Machine { return Machine{sfn.NewFromConfig(c), arn} }

// Start starts an execution, unless one of that name was started before.
func (m Machine) Start(ctx context.Context, name string, input []byte) error {
	_, err := m.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &m.arn, Name: &name, Input: aws.String(string(input))})
	if _, started := errors.AsType[*types.ExecutionAlreadyExists](err); started {
		return nil
	}
	return err
}
