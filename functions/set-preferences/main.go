// Command set-preferences is a Lambda function: set a customer's preferences; the last write of each field wins.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.SetPreferences) }
