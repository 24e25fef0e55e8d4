// Command revoke-consent is a Lambda function: revoke a consent.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.RevokeConsent) }
