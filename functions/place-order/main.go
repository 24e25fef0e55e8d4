// Command place-order is a Lambda function: place an order, and pay it at once if wanted.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.PlaceOrder) }
