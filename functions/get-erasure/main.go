// Command get-erasure is a Lambda function: show how far an erasure has come, or its certificate.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.GetErasure) }
