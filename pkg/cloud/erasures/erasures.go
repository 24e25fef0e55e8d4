// Package erasures lets a function start erasures, in Step Functions.
package erasures

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/stepfunctions"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Part lets the function start erasures.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	a.Erasures = stepfunctions.New(c, s.Erasures)
}
