// Command release-quarantined is a Lambda function: try again to take in a quarantined message.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ReleaseQuarantined) }
