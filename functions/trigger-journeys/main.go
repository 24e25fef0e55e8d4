// Command trigger-journeys is a Lambda function: start the journeys an event triggers.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.TriggerJourneys, cloud.Journeys) }
