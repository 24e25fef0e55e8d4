// Command list-consents is a Lambda function: list a customer's consents, strongly consistent.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListConsents) }
