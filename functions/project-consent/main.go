// Command project-consent is a Lambda function: project consents, and the lookup by purpose and channel, at once.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ProjectConsent) }
