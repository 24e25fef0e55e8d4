// Command run-journey-step is a Lambda function: run the next step of a journey and say how long to wait for the one after.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/emails"
)

func main() { cloud.Run(app.RunJourneyStep, emails.Part) }
