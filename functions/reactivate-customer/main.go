// Command reactivate-customer is a Lambda function: reactivate a deactivated customer.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ReactivateCustomer) }
