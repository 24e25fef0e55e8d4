// Command refund-order is a Lambda function: give money back, in full or in part.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.RefundOrder) }
