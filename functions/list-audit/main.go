// Command list-audit is a Lambda function: show who changed what about a customer.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListAudit) }
