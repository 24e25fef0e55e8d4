// Command verify-email is a Lambda function: verify an email address with its token, or ask for a new token.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.VerifyEmail) }
