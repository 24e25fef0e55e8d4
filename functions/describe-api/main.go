// Command describe-api is a Lambda function: answer health checks, and describe the API and its version.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.DescribeAPI) }
