// Package payments lets a function start what moves money, in Step Functions.
package payments

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/stepfunctions"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Part lets the function start charges and refunds.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	a.PaymentRuns = stepfunctions.New(c, s.Payments)
}
