// Command link-identity is a Lambda function: say that a visitor, or another id, is this customer.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.LinkIdentity) }
