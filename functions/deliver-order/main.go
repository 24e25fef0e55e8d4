// Command deliver-order is a Lambda function: record that an order has arrived.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.DeliverOrder) }
