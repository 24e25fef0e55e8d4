// Command defter runs the whole system on this machine.
package main

import (
	"context"
	"fmt"
	"os"

	"defter/localstack/embedded"
)

func main() {
	if err := embedded.Main(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "defter:", err)
		os.Exit(1)
	}
}
