// Command list-messages is a Lambda function: list what was sent to a customer or withheld, and why.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListMessages) }
