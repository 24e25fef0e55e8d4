// Command trigger-payments is a Lambda function: start the charges and refunds that were asked for.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/payments"
)

func main() { cloud.Run(app.TriggerPayments, payments.Part) }
