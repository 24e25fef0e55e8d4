package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdadestinations"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// lambdaRetries is the most that Lambda itself will repeat an asynchronous call that failed.
const lambdaRetries = 2

// newTarget makes a function that a rule calls. Such a call has two legs, and each can fail on its own: the rule hands
// the event to Lambda (tried again as often as the row says), and Lambda then runs the function (tried again as often as
// the row says and Lambda can, which is twice). Whichever gives up, the event ends in the function's dead letters.
func newTarget(stack awscdk.Stack, p *Platform, row topology.Function, settings map[string]*string) awsevents.IRuleTarget {
	deadLetters := newDeadLetters(stack, p, row.Name)
	function := newFunction(stack, p, row, []awsiam.PolicyStatement{
		allow([]string{"sqs:SendMessage"}, deadLetters.QueueArn()),
	}, settings)
	function.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
		RetryAttempts: jsii.Number(min(row.Retries, lambdaRetries)),
		MaxEventAge:   awscdk.Duration_Hours(jsii.Number(6)),
		OnFailure:     awslambdadestinations.NewSqsDestination(deadLetters),
	})
	return awseventstargets.NewLambdaFunction(function, &awseventstargets.LambdaFunctionProps{
		RetryAttempts:   jsii.Number(row.Retries),
		MaxEventAge:     awscdk.Duration_Hours(jsii.Number(24)),
		DeadLetterQueue: deadLetters,
	})
}
