package main

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// What all callers together may send, and of it what each kind of route: so that a flood of messages leaves room for the back office,
// and one busy command for the others. Past it the answer is 429, which SDKs keep and send again.
const (
	requestsPerSecond = 1000
	requestsAtOnce    = 2000
)

// throttles are by who calls a route, of each route.
var throttles = map[topology.Auth]*awsapigatewayv2.CfnStage_RouteSettingsProperty{
	topology.WriteKey: {ThrottlingRateLimit: jsii.Number(800), ThrottlingBurstLimit: jsii.Number(1500)},
	topology.APIKey:   {ThrottlingRateLimit: jsii.Number(200), ThrottlingBurstLimit: jsii.Number(400)},
	topology.Public:   {ThrottlingRateLimit: jsii.Number(100), ThrottlingBurstLimit: jsii.Number(200)},
}

// routeSettings are the throttles of all routes, by route key.
func routeSettings() map[string]any {
	settings := map[string]any{}
	for _, row := range topology.Functions {
		for _, route := range row.Routes {
			t := throttles[route.Auth]
			settings[route.Method+" "+route.Path] = map[string]any{"ThrottlingRateLimit": t.ThrottlingRateLimit, "ThrottlingBurstLimit": t.ThrottlingBurstLimit}
		}
	}
	return settings
}

// api is the HTTP API in front of every function that has routes.
type api struct {
	id  *string
	url *string // without a slash at its end
}

func newAPI(p *Platform) *api {
	stack := p.newStack("api", "Defter: the HTTP API and the functions behind its routes")
	gateway := newGateway(stack, p)
	settings := map[string]*string{"DEFTER_PAYMENT_PROVIDER": jsii.String(p.PaymentProvider), "DEFTER_RETURN_WINDOW": jsii.String(p.ReturnWindow)}
	if p.UserTokenIssuer != "" {
		settings["DEFTER_USER_TOKEN_ISSUER"], settings["DEFTER_USER_TOKEN_AUDIENCE"] = jsii.String(p.UserTokenIssuer), jsii.String(p.UserTokenFor)
	}
	if p.edgeKey != nil {
		settings["DEFTER_EDGE_KEY"] = p.edgeKey
	}
	if p.PlaceholderIDs != "" {
		settings["DEFTER_PLACEHOLDER_IDS"] = jsii.String(p.PlaceholderIDs)
	}
	for _, row := range functions(func(f topology.Function) bool { return len(f.Routes) > 0 }) {
		integration := awsapigatewayv2integrations.NewHttpLambdaIntegration(
			jsii.String(pascal(row.Name)), newFunction(stack, p, row, nil, settings),
			// One permission of a function for all its routes: one of each would be as many resources again.
			&awsapigatewayv2integrations.HttpLambdaIntegrationProps{ScopePermissionToRoute: jsii.Bool(false)})
		for _, route := range row.Routes {
			added := gateway.AddRoutes(&awsapigatewayv2.AddRoutesOptions{
				Path:        jsii.String(route.Path),
				Methods:     &[]awsapigatewayv2.HttpMethod{awsapigatewayv2.HttpMethod(route.Method)},
				Integration: integration,
			})
			for _, r := range *added {
				accept(r, "AwsSolutions-APIG4", whyNoAuthorizer[route.Auth])
			}
		}
	}
	awscdk.NewCfnOutput(stack, jsii.String("ApiId"), &awscdk.CfnOutputProps{Value: gateway.ApiId()})
	awscdk.NewCfnOutput(stack, jsii.String("ApiUrl"), &awscdk.CfnOutputProps{Value: gateway.ApiEndpoint()})
	return &api{id: gateway.ApiId(), url: gateway.ApiEndpoint()}
}

// whyNoAuthorizer is why API Gateway lets a route's callers through.
var whyNoAuthorizer = map[topology.Auth]string{
	topology.Public:   "Health checks, the API's description and what browsers ask before they send are for everybody and touch no customer.",
	topology.APIKey:   "The function checks the API key before anything else; an authorizer would add a call to each request and check the same.",
	topology.WriteKey: "SDKs send the write key in a header or in the body, and an authorizer does not see the body: the function checks it.",
}

// newGateway makes the HTTP API and the one stage of it, which deploys itself.
func newGateway(scope constructs.Construct, p *Platform) awsapigatewayv2.HttpApi {
	gateway := awsapigatewayv2.NewHttpApi(scope, jsii.String("Api"), &awsapigatewayv2.HttpApiProps{
		ApiName:            jsii.String(p.Name("api")),
		Description:        jsii.String("Defter"),
		CreateDefaultStage: jsii.Bool(false),
		// No CORS configuration: a gateway's answers for every route alike. The function that SDKs send to answers browsers.
	})
	stage := awsapigatewayv2.NewHttpStage(scope, jsii.String("Stage"), &awsapigatewayv2.HttpStageProps{
		HttpApi:    gateway,
		AutoDeploy: jsii.Bool(true),
		Throttle: &awsapigatewayv2.ThrottleSettings{
			RateLimit: jsii.Number(requestsPerSecond), BurstLimit: jsii.Number(requestsAtOnce),
		},
	})
	stage.Node().DefaultChild().(awsapigatewayv2.CfnStage).SetRouteSettings(routeSettings())
	logs := newLogGroup(scope, "AccessLogs", "/aws/vendedlogs/"+p.Name("api"))
	stage.Node().DefaultChild().(awsapigatewayv2.CfnStage).SetAccessLogSettings(&awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: logs.LogGroupArn(), Format: jsii.String(accessLogFormat()),
	})
	return gateway
}

// accessLogFormat is one line per request, with nothing personal in it: the route as the table has it instead of the
// path, which names the customer, and neither the query string, the caller's address nor what a failing function said.
func accessLogFormat() string {
	format, err := json.Marshal(map[string]string{
		"time":              "$context.requestTime",
		"requestId":         "$context.requestId",
		"route":             "$context.routeKey",
		"status":            "$context.status",
		"sizeBytes":         "$context.responseLength",
		"latencyMs":         "$context.responseLatency",
		"functionLatencyMs": "$context.integrationLatency",
		"functionStatus":    "$context.integrationStatus",
	})
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return string(format)
}
