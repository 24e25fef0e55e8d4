package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/saga"
	"defter/pkg/topology"
)

// journeys are the state machines that everything waits in, and the channels that journeys send on.
type journeys struct {
	machines map[string]*string // their ARNs, by name
}

func newJourneys(p *Platform) *journeys {
	stack := p.newStack("journeys", "Defter: journeys that wait, and the channels they send on")
	// What is sent from here, and how long a journey waits.
	settings := map[string]*string{
		"DEFTER_PAYMENT_PROVIDER": jsii.String(p.PaymentProvider),
		"DEFTER_EMAIL_FROM":       jsii.String(p.EmailFrom),
		"DEFTER_WELCOME_DELAY":    jsii.String(p.WelcomeDelay),
	}

	for _, row := range topology.Queues {
		queue := newQueue(stack, p, row)
		p.provide(row.Name, resource{
			arns:        []*string{queue.QueueArn()},
			environment: map[string]*string{"DEFTER_" + envName(row.Name) + "_QUEUE": queue.QueueUrl()},
		})
	}
	for _, row := range functions(func(f topology.Function) bool { return f.Queue != nil }) {
		queue := p.resource(row.Queue.Queue).arns[0]
		function := newFunction(stack, p, row, []awsiam.PolicyStatement{
			allow([]string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}, queue),
		}, settings)
		awslambda.NewEventSourceMapping(stack, jsii.String(pascal(row.Name)+"Messages"), &awslambda.EventSourceMappingProps{
			Target:                  function,
			EventSourceArn:          queue,
			BatchSize:               jsii.Number(row.Queue.BatchSize),
			ReportBatchItemFailures: jsii.Bool(true),
		})
	}

	j := &journeys{machines: map[string]*string{}}
	for _, row := range topology.Machines {
		task := functions(func(f topology.Function) bool { return f.Task && f.Name == row.Task })[0]
		machine := newMachine(stack, p, row, newFunction(stack, p, task, nil, settings))
		arn := machine.StateMachineArn()
		j.machines[row.Name] = arn
		p.provide(row.Name, resource{arns: []*string{arn}, environment: map[string]*string{"DEFTER_" + envName(row.Name): arn}})
	}
	return j
}

// newMachine makes a state machine. It is a standard one, because a run may wait for months and must do each step once.
func newMachine(stack constructs.Construct, p *Platform, row topology.Machine, step awslambda.Function) awsstepfunctions.StateMachine {
	scope := constructs.NewConstruct(stack, jsii.String(pascal(row.Name)))
	role := awsiam.NewRole(scope, jsii.String("MachineRole"), &awsiam.RoleProps{
		Description: jsii.String(p.Name(row.Name)),
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), nil),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"access": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{
				Statements: &[]awsiam.PolicyStatement{allow([]string{"lambda:InvokeFunction"}, step.FunctionArn())},
			}),
		},
	})
	machine := awsstepfunctions.NewStateMachine(scope, jsii.String("Machine"), &awsstepfunctions.StateMachineProps{
		StateMachineName: jsii.String(p.Name(row.Name)),
		StateMachineType: awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:   awsstepfunctions.DefinitionBody_FromString(jsii.String(saga.Machine(*step.FunctionArn()))),
		Role:             role,
		TracingEnabled:   jsii.Bool(true),
		RemovalPolicy:    awscdk.RemovalPolicy_DESTROY,
		Logs: &awsstepfunctions.LogOptions{
			Destination:          newLogGroup(scope, "MachineLogs", "/aws/vendedlogs/states/"+p.Name(row.Name)),
			Level:                awsstepfunctions.LogLevel_ERROR,
			IncludeExecutionData: jsii.Bool(false),
		},
	})
	policy := role.Node().FindChild(jsii.String("DefaultPolicy")).Node().DefaultChild().(awsiam.CfnPolicy)
	machine.Node().DefaultChild().(awsstepfunctions.CfnStateMachine).AddOverride(jsii.String("DependsOn"), []*string{policy.LogicalId()}) // the role is referred to
	accept(role, "AwsSolutions-IAM5", "Delivering logs and traces are actions of the account: AWS lets no resource be named for them.")
	accept(machine, "AwsSolutions-SF1", "Every step a run takes is an event in the ledger; logging each transition as well would cost more than making it. Errors are logged.")
	return machine
}
