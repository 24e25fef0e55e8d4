// Command list-quarantine is a Lambda function: list the messages that could not be taken in.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListQuarantine) }
