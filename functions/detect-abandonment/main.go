// Command detect-abandonment is a Lambda function: say which carts and checkouts were left, an hour after the last activity.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.DetectAbandonment) }
