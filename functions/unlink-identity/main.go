// Command unlink-identity is a Lambda function: undo a merge: a visitor or another id is somebody else after all.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.UnlinkIdentity) }
