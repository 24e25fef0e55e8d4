// Command run-payment-step is a Lambda function: ask the payment provider for a charge or a refund, and say when to ask again.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/charges"
)

func main() { cloud.Run(app.RunPaymentStep, charges.Part) }
