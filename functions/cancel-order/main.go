// Command cancel-order is a Lambda function: cancel an order that is not shipped; what was paid goes back.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.CancelOrder) }
