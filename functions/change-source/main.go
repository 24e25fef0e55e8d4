// Command change-source is a Lambda function: change a source's settings.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ChangeSource) }
