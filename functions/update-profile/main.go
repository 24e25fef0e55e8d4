// Command update-profile is a Lambda function: change a customer's profile by JSON merge patch.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.UpdateProfile) }
