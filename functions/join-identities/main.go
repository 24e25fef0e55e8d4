// Command join-identities is a Lambda function: tell the history of a visitor or another id whose it is.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.JoinIdentities) }
