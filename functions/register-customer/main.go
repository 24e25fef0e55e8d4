// Command register-customer is a Lambda function: register a customer, with consent where it was given.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.RegisterCustomer) }
