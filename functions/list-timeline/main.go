// Command list-timeline is a Lambda function: show a customer's timeline, newest first.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListTimeline) }
