// Command ingest-events is a Lambda function: accept events from SDKs, as the Segment and RudderStack clients send them.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/usertokens"
)

func main() { cloud.Run(app.IngestEvents, usertokens.Part) }
