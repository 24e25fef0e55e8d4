// Command list-identities is a Lambda function: list a customer's visitors and other ids.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListIdentities) }
