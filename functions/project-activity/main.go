// Command project-activity is a Lambda function: project profiles and timelines from the events table's stream, in batches and in order.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ProjectActivity) }
