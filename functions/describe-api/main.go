// Command describe-api is a Lambda function: answer health checks and describe the API.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.DescribeAPI) }
