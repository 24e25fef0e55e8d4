// Command send-verification is a Lambda function: queue the verification email of an address that must be verified.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/emails"
)

func main() { cloud.Run(app.SendVerification, emails.Part) }
