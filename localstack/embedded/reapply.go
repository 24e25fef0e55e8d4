package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ReapplyErasures applies the journal of erasures to the data of a run that is stopped, after its keys were restored from a backup.
func ReapplyErasures(ctx context.Context, out io.Writer) (err error) {
	config, _, err := environment()
	if err != nil {
		return err
	}
	config.Port = 0
	system, err := assemble(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, system.Stop()) }()
	n, err := system.App.ReapplyErasures(ctx)
	if err == nil {
		fmt.Fprintf(out, "%d keys of erased streams were there again, and are destroyed.\n", n)
	}
	return err
}
