// Command publish-events is a Lambda function: publish the events table's stream on the bus, without personal data.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/bus"
)

func main() { cloud.Run(app.PublishEvents, bus.Part) }
