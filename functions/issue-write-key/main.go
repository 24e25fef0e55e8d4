// Command issue-write-key is a Lambda function: issue a new write key to a source.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.IssueWriteKey) }
