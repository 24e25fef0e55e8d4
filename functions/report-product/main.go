// Command report-product is a Lambda function: say how many pieces of a product there are, and what it costs.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ReportProduct) }
