// Command list-consented is a Lambda function: list the customers who consent to a purpose on a channel.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ListConsented) }
