// Command list-sources is a Lambda function: list the sources of events.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListSources) }
