// Command project-audit is a Lambda function: project the audit trail.
package main

import (
	"defter/pkg/app"
	"defter/pkg/cloud"
)

func main() { cloud.Run(app.ProjectAudit) }
