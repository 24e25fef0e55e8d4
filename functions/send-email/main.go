// Command send-email is a Lambda function: send queued emails, after asking for consent once more.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.SendEmail, cloud.SES) }
