// Command get-customer is a Lambda function: show a customer, now or as of a version or an instant.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.GetCustomer) }
