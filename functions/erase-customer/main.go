// Command erase-customer is a Lambda function: erase a customer or a visitor: destroy the data keys, the lookups and the views, and certify it.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.EraseCustomer) }
