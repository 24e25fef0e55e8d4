// Command trigger-journeys is a Lambda function: start the journeys an event triggers.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/journeys"
)

func main() { cloud.Run(app.TriggerJourneys, journeys.Part) }
