// Command pay-order is a Lambda function: pay an order; the provider is asked, and asked again, in the background.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.PayOrder) }
