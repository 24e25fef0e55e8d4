// Command release-reports is a Lambda function: try again what was reported of an order and did not agree with it, when more is known of the order.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ReleaseReports) }
