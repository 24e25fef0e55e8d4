package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"defter/pkg/topology"
)

// Platform is the whole system. Each stack uses only what the ones before it have made, so references between stacks
// never form a circle:
//
//	data ─▶ api ─▶ journeys ─▶ fan-out ─▶ operations
//	         └▶ edge, where the deployment names a web ACL
type Platform struct {
	Settings
	app       awscdk.App
	resources map[string]resource // by their topology name
	edgeKey   *string             // what requests carry that come by CloudFront; nil without it
	stacks    []awscdk.Stack
}

// resource is what a function needs to be given access to something.
type resource struct {
	arns        []*string
	environment map[string]*string // how the function finds it
	whyAll      string             // why its ARNs name more than one thing, "" if they do not
}

// logRetention is how long logs are kept: long enough to look into a month's complaint, and no personal data is in them.
const logRetention = awslogs.RetentionDays_ONE_MONTH

// NewPlatform adds every stack to the app, and the AwsSolutions checks over them.
func NewPlatform(app awscdk.App, settings Settings) *Platform {
	p := &Platform{Settings: settings, app: app, resources: map[string]resource{}}
	data := newData(p)
	api := newAPI(p)
	newEdge(p, api)
	journeys := newJourneys(p)
	newFanOut(p, data)
	newOperations(p, api, journeys)
	awscdk.Aspects_Of(app).Add(cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Verbose: jsii.Bool(true)}), nil)
	return p
}

func (p *Platform) newStack(name, description string) awscdk.Stack {
	stack := awscdk.NewStack(p.app, jsii.String(p.Name(name)), &awscdk.StackProps{
		Description: jsii.String(description),
		Tags:        &map[string]*string{"application": jsii.String("defter"), "stage": jsii.String(p.Stage)},
	})
	p.stacks = append(p.stacks, stack)
	return stack
}

// removalPolicy is what happens to data when its stack is deleted.
func (p *Platform) removalPolicy() awscdk.RemovalPolicy {
	if p.Ephemeral {
		return awscdk.RemovalPolicy_DESTROY
	}
	return awscdk.RemovalPolicy_RETAIN
}

// provide makes a resource known to the functions of this and later stacks.
func (p *Platform) provide(name string, r resource) { p.resources[name] = r }

// resource returns what provide was given. A row that names something a later stack makes is a mistake in the order of
// the stacks.
func (p *Platform) resource(name string) resource {
	r, known := p.resources[name]
	if !known {
		panic(fmt.Sprintf("no stack up to here makes %q", name))
	}
	return r
}

// functions returns the rows that match, in the table's order.
func functions(match func(topology.Function) bool) []topology.Function {
	var found []topology.Function
	for _, f := range topology.Functions {
		if match(f) {
			found = append(found, f)
		}
	}
	return found
}

// newLogGroup makes a log group that forgets after logRetention and goes with its stack.
func newLogGroup(scope constructs.Construct, id, name string) awslogs.LogGroup {
	return awslogs.NewLogGroup(scope, jsii.String(id), &awslogs.LogGroupProps{
		LogGroupName:  jsii.String(name),
		Retention:     logRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// accept records why a finding of the AwsSolutions checks is right as it is.
func accept(construct constructs.IConstruct, finding, reason string) {
	cdknag.NagSuppressions_AddResourceSuppressions(construct, &[]*cdknag.NagPackSuppression{
		{Id: jsii.String(finding), Reason: jsii.String(reason)},
	}, jsii.Bool(true))
}

// architecture is the functions' processor.
func (p *Platform) architecture() awslambda.Architecture {
	if p.Arch == "x86_64" {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}
