package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdaeventsources"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// newFanOut makes what spreads an event once it is in the store: the readers of the stream, the bus they publish on,
// and the functions the bus calls.
func newFanOut(p *Platform, d *data) {
	stack := p.newStack("fan-out", "Defter: from the event store to everyone downstream")
	bus := awsevents.NewEventBus(stack, jsii.String("Bus"), &awsevents.EventBusProps{
		EventBusName: jsii.String(p.Name(topology.Bus)),
		Description:  jsii.String("Defter: what happened to customers, without personal data"),
	})
	p.provide(topology.Bus, resource{
		arns:        []*string{bus.EventBusArn()},
		environment: map[string]*string{"DEFTER_BUS": bus.EventBusName()},
	})
	for _, row := range functions(func(f topology.Function) bool { return f.Stream != nil }) {
		newStreamReader(stack, p, row, d.tables[row.Stream.Table])
	}
	for _, row := range functions(func(f topology.Function) bool { return f.Bus != nil }) {
		newSubscriber(stack, p, row, bus)
	}
}

// newStreamReader makes a function that reads a table's commit items in order. A batch that fails is halved until the
// item at fault is alone; after the row's retries it becomes a dead letter and its shard goes on.
func newStreamReader(stack awscdk.Stack, p *Platform, row topology.Function, table awsdynamodb.Table) {
	deadLetters := newDeadLetters(stack, p, row.Name)
	function := newFunction(stack, p, row, []awsiam.PolicyStatement{
		allow([]string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}, table.TableStreamArn()),
		allow([]string{"dynamodb:ListStreams"}, jsii.String(*table.TableArn()+"/stream/*")),
		allow([]string{"sqs:SendMessage"}, deadLetters.QueueArn()),
	}, nil)
	accept(function.Node().Scope(), "AwsSolutions-IAM5", "ListStreams is an action on all streams of the table: AWS names no single stream for it.")
	type m = map[string]any
	// What a commit says is news once, when it is inserted. Those that are compacted later are changed or removed, and say
	// nothing new. Nothing else of the table passes, and what does not pass is not billed.
	commits := awslambda.FilterCriteria_Filter(&m{
		"eventName": []string{"INSERT"},
		"dynamodb":  m{"Keys": m{"sk": m{"S": []m{{"prefix": topology.CommitPrefix}}}}},
	})
	var retries *float64 // none said: as long as the stream has the record
	if row.Retries != topology.WithoutEnd {
		retries = jsii.Number(row.Retries)
	}
	awslambda.NewEventSourceMapping(stack, jsii.String(pascal(row.Name)+"Stream"), &awslambda.EventSourceMappingProps{
		Target:                  function,
		EventSourceArn:          table.TableStreamArn(),
		StartingPosition:        awslambda.StartingPosition_TRIM_HORIZON,
		Filters:                 &[]*map[string]any{commits},
		BatchSize:               jsii.Number(row.Stream.BatchSize),
		MaxBatchingWindow:       awscdk.Duration_Seconds(jsii.Number(row.Stream.WindowSeconds)),
		ParallelizationFactor:   jsii.Number(row.Stream.Parallel),
		RetryAttempts:           retries,
		BisectBatchOnError:      jsii.Bool(true),
		ReportBatchItemFailures: jsii.Bool(true),
		OnFailure:               awslambdaeventsources.NewSqsDlq(deadLetters),
	})
}

// newSubscriber makes a function that the bus calls with each event of the row's types.
func newSubscriber(stack awscdk.Stack, p *Platform, row topology.Function, bus awsevents.EventBus) {
	awsevents.NewRule(stack, jsii.String(pascal(row.Name)+"Rule"), &awsevents.RuleProps{
		RuleName:    jsii.String(p.Name(row.Name)),
		Description: jsii.String(row.Summary),
		EventBus:    bus,
		EventPattern: &awsevents.EventPattern{
			Source:     jsii.Strings(topology.BusSource),
			DetailType: jsii.Strings(row.Bus.Types...),
		},
		Targets: &[]awsevents.IRuleTarget{newTarget(stack, p, row, nil)},
	})
}
