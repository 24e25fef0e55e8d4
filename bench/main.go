// Command bench measures what the system costs and how fast it is, against the budgets it was designed to, and writes
// what it found to bench/latest.json. Three words: a count (requests, units, dollars) is exact and the same on every
// machine; a ratio compares two sides that took turns on this one; a rate or a time is this machine's own.
//
// Run it from the project's root: `make bench`, or `go run ./bench load age` for some measurements only. BENCH=quick
// takes smaller samples. A missed budget is said loudly and is no error; failing to measure is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	workFolder = "build/bench" // for binaries and data; not kept in the repository
	latest     = "bench/latest.json"
)

// bench is one run.
type bench struct {
	*report
	quick  bool
	folder string // for data, removed at the end
}

type measurement struct {
	name, title string
	run         func(*bench, context.Context) error
}

var measurements = []measurement{
	{"commands", "Requests and units of a command, the customer not in memory", (*bench).commands},
	{"dollars", "Dollars for a million events, and for a month without any", (*bench).dollars},
	{"castore", "Appends, taking turns with Castore's DynamoDB adapter on one engine", (*bench).castore},
	{"age", "A command on customers of different age, nothing in memory", (*bench).age},
	{"erasure", "Erasure of a customer with a long history", (*bench).erasure},
	{"strangers", "What strangers cost, with a public key and without, and commands in a flood", (*bench).strangers},
	{"start", "Start and size of the functions", (*bench).start},
	{"rebuild", "Views made again from the store", (*bench).rebuild},
	{"load", "Load over HTTP on the embedded run in a process of its own", (*bench).load},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, only []string) (err error) {
	began := time.Now()
	if _, err := os.Stat("bench/prices.json"); err != nil {
		return errors.New("run it from the project's root")
	}
	for _, name := range only {
		if !slices.ContainsFunc(measurements, func(m measurement) bool { return m.name == name }) {
			return fmt.Errorf("there is no measurement %q", name)
		}
	}
	if err := os.MkdirAll(workFolder, 0o755); err != nil {
		return err
	}
	b := &bench{report: &report{out: out}, quick: os.Getenv("BENCH") == "quick"}
	if b.folder, err = os.MkdirTemp(workFolder, "data-"); err != nil {
		return err
	}
	if b.folder, err = filepath.Abs(b.folder); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	// What the program under test has to say is measured with the rest of it, and not shown.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	for _, m := range measurements {
		if len(only) > 0 && !slices.Contains(only, m.name) {
			continue
		}
		b.section(m.title)
		if err := m.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	b.verdict()
	fmt.Fprintf(out, "Took %.0f s. All figures are in %s.\n", time.Since(began).Seconds(), latest)
	return b.save(latest, b.quick, time.Since(began))
}

// size picks a sample's size.
func (b *bench) size(quick, full int) int {
	if b.quick {
		return quick
	}
	return full
}

// command runs a program to its end. What it said is in the error.
func command(ctx context.Context, env []string, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, said)
	}
	return nil
}
