// Command send-email is a Lambda function: send queued emails, after asking for consent once more.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/ses"
)

func main() { cloud.Run(app.SendEmail, ses.Part) }
