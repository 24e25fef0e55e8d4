package main

import (
	"maps"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// newFunction turns a row into a Lambda with a role and a log group of its own. The role may do what the row's access
// says on exactly those resources, write its own log, and what the trigger needs. Nothing that is wired to the
// function later can add to it: the whole of what a function may do is written here.
func newFunction(stack awscdk.Stack, p *Platform, row topology.Function, trigger []awsiam.PolicyStatement, settings map[string]*string) awslambda.Function {
	scope := constructs.NewConstruct(stack, jsii.String(pascal(row.Name)))
	name := p.Name(row.Name)
	logs := newLogGroup(scope, "Logs", "/aws/lambda/"+name)

	statements := []awsiam.PolicyStatement{allow([]string{"logs:CreateLogStream", "logs:PutLogEvents"}, logs.LogGroupArn())}
	environment := maps.Clone(settings)
	if environment == nil {
		environment = map[string]*string{}
	}
	environment["DEFTER_DATA_CONTROLLER"], environment["DEFTER_MARKETING_TO"] = jsii.String(p.DataController), jsii.String(p.MarketingTo)
	if p.OpaqueIDs != "" {
		environment["DEFTER_OPAQUE_IDS"] = jsii.String(p.OpaqueIDs)
	}
	for _, access := range row.Access {
		r := p.resource(access.Resource)
		statement := allow(access.Actions, r.arns...)
		if len(access.Keys) > 0 {
			statement.AddCondition(jsii.String("ForAllValues:StringLike"), map[string]any{"dynamodb:LeadingKeys": access.Keys})
		}
		statements = append(statements, statement)
		maps.Copy(environment, r.environment)
	}
	statements = append(statements, trigger...)

	role := awsiam.NewRole(scope, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String(name),
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"access": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements}),
		},
	})

	for _, access := range row.Access {
		if why := p.resource(access.Resource).whyAll; why != "" {
			accept(role, "AwsSolutions-IAM5", why)
		}
	}

	props := &awslambda.FunctionProps{
		FunctionName: jsii.String(name),
		Description:  jsii.String(row.Summary),
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture: p.architecture(),
		Handler:      jsii.String("bootstrap"),
		Code:         awslambda.Code_FromAsset(jsii.String(filepath.Join(p.FunctionsDir, row.Name)), nil),
		Role:         role.WithoutPolicyUpdates(nil),
		Timeout:      awscdk.Duration_Seconds(jsii.Number(row.TimeoutSeconds)),
		MemorySize:   jsii.Number(row.MemoryMB),
		Environment:  &environment,
		LogGroup:     logs,
		// Lambda's own lines (START, END, REPORT) would be most of the log, and its metrics say the same.
		LoggingFormat:         awslambda.LoggingFormat_JSON,
		SystemLogLevelV2:      awslambda.SystemLogLevel_WARN,
		ApplicationLogLevelV2: awslambda.ApplicationLogLevel_INFO,
	}
	if row.Concurrency > 0 && p.Reserve == "true" {
		props.ReservedConcurrentExecutions = jsii.Number(row.Concurrency)
	}
	function := awslambda.NewFunction(scope, jsii.String("Function"), props)
	// The role is referred to, which makes CloudFormation wait for it: to say so again is what its linter warns of.
	function.Node().DefaultChild().(awslambda.CfnFunction).AddDeletionOverride(jsii.String("DependsOn"))
	return function
}

func allow(actions []string, resources ...*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings(actions...), Resources: &resources,
	})
}
