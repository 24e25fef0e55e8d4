// Package journeys lets a function start runs of journeys in Step Functions.
package journeys

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/stepfunctions"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Part lets the function start runs of journeys.
func Part(a *app.App, c aws.Config, s cloud.Settings) { a.Journeys = stepfunctions.New(c, s.Journeys) }
