// Command find-customer is a Lambda function: find a customer by email address.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.FindCustomer) }
