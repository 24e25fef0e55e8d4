// Package usertokens lets a function check the tokens by which customers prove who they are.
package usertokens

import (
	"time"

	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/token"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Part lets the function ask the issuer, if the deployment has one. The issuer's configuration names the address of its keys.
func Part(a *app.App, _ aws.Config, s cloud.Settings) {
	if s.UserTokenIssuer != "" {
		a.Tokens = token.New(s.UserTokenIssuer, s.UserTokenAudience, time.Now, cloud.Outward())
	}
}
