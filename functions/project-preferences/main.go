// Command project-preferences is a Lambda function: project preferences at once.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ProjectPreferences) }
