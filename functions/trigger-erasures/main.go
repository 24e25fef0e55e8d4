// Command trigger-erasures is a Lambda function: start the erasures that were asked for.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/erasures"
)

func main() { cloud.Run(app.TriggerErasures, erasures.Part) }
