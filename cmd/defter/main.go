// Command defter runs the whole system on this machine. With "erasures reapply" it destroys the keys again that the journal of
// erasures says were destroyed, after the keys were restored from a backup: in DATA_DIR while nothing runs there, or in AWS, if
// DEFTER_EVENTS_TABLE, DEFTER_VIEWS_TABLE and DEFTER_KEYS_TABLE name a deployment's tables.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"defter/localstack/embedded"
	"defter/pkg/cloud"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "defter:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return embedded.Main(ctx, os.Stdout)
	case !slices.Equal(args, []string{"erasures", "reapply"}):
		return fmt.Errorf("usage: defter [erasures reapply]")
	case os.Getenv("DEFTER_KEYS_TABLE") == "":
		return embedded.ReapplyErasures(ctx, os.Stdout)
	}
	settings, err := cloud.Environment()
	if err != nil {
		return err
	}
	amazon, err := cloud.Amazon()
	if err != nil {
		return err
	}
	n, err := cloud.New(amazon, settings).ReapplyErasures(ctx)
	if err == nil {
		fmt.Printf("%d keys of erased streams were there again, and are destroyed.\n", n)
	}
	return err
}
