// Command get-order is a Lambda function: show an order: its state, its money and its timeline.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.GetOrder) }
