// Command deactivate-customer is a Lambda function: deactivate a customer and revoke marketing consents.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.DeactivateCustomer) }
