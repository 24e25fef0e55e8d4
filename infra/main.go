// Command infra describes Defter's AWS resources as a CDK app: it turns each row of pkg/topology into constructs. The CDK
// command line runs it from the root of the repository, as cdk.json says. Three words: a stage is one deployment of the
// whole system (prod, staging …), a stack is what is created and updated together, a construct is one idea within it.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	settings, err := LoadSettings(app.Node())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		jsii.Close()
		os.Exit(1)
	}
	NewPlatform(app, settings)
	app.Synth(nil)
}
