// Command change-email is a Lambda function: change a customer's email address; it must be verified again.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ChangeEmail) }
