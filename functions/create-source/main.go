// Command create-source is a Lambda function: create a source of events, with its write key.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.CreateSource) }
