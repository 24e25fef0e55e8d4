package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// deadLettersOf names the queue where a function's or a queue's failures end.
func (p *Platform) deadLettersOf(name string) string { return p.Name(name + "-dead-letters") }

// newDeadLetters makes the queue that keeps, for 14 days, what could not be handled. An alarm watches each.
func newDeadLetters(scope constructs.Construct, p *Platform, name string) awssqs.Queue {
	queue := awssqs.NewQueue(scope, jsii.String(pascal(name)+"DeadLetters"), &awssqs.QueueProps{
		QueueName:       jsii.String(p.deadLettersOf(name)),
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
	})
	accept(queue, "AwsSolutions-SQS3", "This is a dead-letter queue: nothing takes from it but an operator.")
	return queue
}

// newQueue makes a work queue whose messages are tried MaxReceives times before they are dead letters.
func newQueue(scope constructs.Construct, p *Platform, row topology.Queue) awssqs.Queue {
	return awssqs.NewQueue(scope, jsii.String(pascal(row.Name)+"Queue"), &awssqs.QueueProps{
		QueueName:         jsii.String(p.Name(row.Name)),
		VisibilityTimeout: awscdk.Duration_Seconds(jsii.Number(row.VisibilitySeconds)),
		RetentionPeriod:   awscdk.Duration_Days(jsii.Number(4)),
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		DeadLetterQueue: &awssqs.DeadLetterQueue{
			Queue: newDeadLetters(scope, p, row.Name), MaxReceiveCount: jsii.Number(row.MaxReceives),
		},
	})
}
