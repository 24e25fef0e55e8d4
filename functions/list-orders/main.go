// Command list-orders is a Lambda function: list a customer's orders, the latest first.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListOrders) }
