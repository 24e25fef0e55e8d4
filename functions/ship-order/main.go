// Command ship-order is a Lambda function: record that an order is on its way.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ShipOrder) }
