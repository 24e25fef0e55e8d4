// Command archive-behaviour is a Lambda function: archive behaviour that is older than 90 days, and put summaries in its place.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/archive"
)

func main() { cloud.Run(app.ArchiveBehaviour, archive.Part) }
