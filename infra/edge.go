package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfront"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfrontorigins"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/lambdaio"
)

// viewerCode tells the API whose request it is, and to which name: all it sees by itself is CloudFront's address and its own name.
const viewerCode = `function handler(event) {
  event.request.headers['` + lambdaio.ViewerHeader + `'] = { value: event.viewer.ip };
  event.request.headers['` + lambdaio.HostHeader + `'] = { value: event.request.headers.host.value };
  return event.request;
}
`

// newEdge puts CloudFront before the API, and before CloudFront the web ACL that the deployment names, whose rate rules turn floods away at a
// price of their own. Nothing is kept there: each request is the API's to answer.
func newEdge(p *Platform, gateway *api) {
	if p.WebACL == "" {
		return
	}
	stack := p.newStack("edge", "Defter: CloudFront and the web ACL before the API")
	viewer := awscloudfront.NewFunction(stack, jsii.String("Viewer"), &awscloudfront.FunctionProps{
		FunctionName: jsii.String(p.Name("viewer")),
		Code:         awscloudfront.FunctionCode_FromInline(jsii.String(viewerCode)),
		Runtime:      awscloudfront.FunctionRuntime_JS_2_0(),
	})
	distribution := awscloudfront.NewDistribution(stack, jsii.String("Distribution"), &awscloudfront.DistributionProps{
		Comment:  jsii.String(p.Name("api")),
		WebAclId: jsii.String(p.WebACL),
		DefaultBehavior: &awscloudfront.BehaviorOptions{
			Origin: awscloudfrontorigins.NewHttpOrigin(awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), gateway.url, nil)), &awscloudfrontorigins.HttpOriginProps{
				ProtocolPolicy: awscloudfront.OriginProtocolPolicy_HTTPS_ONLY,
				CustomHeaders:  &map[string]*string{lambdaio.EdgeHeader: p.edgeKey},
			}),
			AllowedMethods:       awscloudfront.AllowedMethods_ALLOW_ALL(),
			ViewerProtocolPolicy: awscloudfront.ViewerProtocolPolicy_HTTPS_ONLY,
			CachePolicy:          awscloudfront.CachePolicy_CACHING_DISABLED(),
			OriginRequestPolicy:  awscloudfront.OriginRequestPolicy_ALL_VIEWER_EXCEPT_HOST_HEADER(),
			FunctionAssociations: &[]*awscloudfront.FunctionAssociation{{EventType: awscloudfront.FunctionEventType_VIEWER_REQUEST, Function: viewer}},
		},
		HttpVersion: awscloudfront.HttpVersion_HTTP2_AND_3,
	})
	accept(distribution, "AwsSolutions-CFR1", "Customers of a deployment may be anywhere; the web ACL that it names may say from where.")
	accept(distribution, "AwsSolutions-CFR3", "The API logs each request without what is personal, which CloudFront's logs would hold.")
	accept(distribution, "AwsSolutions-CFR4", "CloudFront's own domain takes TLS 1.2 or later from whoever offers it; a domain of one's own may demand it.")
	awscdk.NewCfnOutput(stack, jsii.String("EdgeUrl"), &awscdk.CfnOutputProps{Value: awscdk.Fn_Join(jsii.String(""), jsii.Strings("https://", *distribution.DistributionDomainName()))})
}
