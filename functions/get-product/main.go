// Command get-product is a Lambda function: show what was said of a product.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.GetProduct) }
