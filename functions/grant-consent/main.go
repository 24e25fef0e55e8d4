// Command grant-consent is a Lambda function: record a consent, with its proof.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.GrantConsent) }
