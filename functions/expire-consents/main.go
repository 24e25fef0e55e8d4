// Command expire-consents is a Lambda function: expire consents whose term has ended and announce those that end within 30 days.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ExpireConsents) }
