// Command list-events is a Lambda function: list a customer's events.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListEvents) }
