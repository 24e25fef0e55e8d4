// Command run-erasure-step is a Lambda function: go on with an erasure for a while, and say when to go on.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.RunErasureStep) }
