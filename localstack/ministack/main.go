// Command ministack deploys the whole synthesised system, tells it the story of localstack/e2e, and takes it down again.
// It does so on MiniStack, an AWS emulator without Docker, which it installs and starts; or, when AWS_ENDPOINT_URL is
// set, on the emulator that listens there, such as LocalStack; or, with -aws, on the account and region of the caller's
// credentials. Run it from the root of the repository, after the functions have been built.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	o := options{work: filepath.Join("build", "e2e")}
	flag.StringVar(&o.functions, "functions", "build/functions-"+runtime.GOARCH, "folder of the built functions, <name>/bootstrap")
	flag.StringVar(&o.arch, "arch", lambdaArch[runtime.GOARCH], "processor the functions were built for: arm64 or x86_64")
	flag.StringVar(&o.stage, "stage", "e2e", "stage to deploy and destroy")
	flag.StringVar(&o.emailFrom, "email-from", "hello@example.com", "sender of the emails; with -aws its domain must be verified in SES")
	flag.BoolVar(&o.aws, "aws", false, "use the account of the caller's credentials, which must be bootstrapped for the CDK")
	flag.BoolVar(&o.keep, "keep", false, "wait for ctrl-C before taking the system down, to look at it")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "ministack:", err)
		os.Exit(1)
	}
}

var lambdaArch = map[string]string{"amd64": "x86_64", "arm64": "arm64"}

type options struct {
	functions, arch, stage, emailFrom string
	aws, keep                         bool
	work                              string // logs, outputs and the emulator's files
}

func run(ctx context.Context, o options) (err error) {
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return err
	}
	d := deployment{options: o}
	if !o.aws {
		d.endpoint = os.Getenv("AWS_ENDPOINT_URL")
	}
	if d.endpoint == "" && !o.aws {
		emulator, startErr := startMiniStack(ctx, o.work)
		if startErr != nil {
			return startErr
		}
		defer emulator.stop()
		d.endpoint, d.certificate = emulator.endpoint, emulator.certificate
	}

	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer func() {
		// Whatever happened, and after ctrl-C too, nothing is left behind.
		if destroyErr := d.destroy(context.WithoutCancel(ctx)); err == nil {
			err = destroyErr
		}
	}()
	system, err := d.deploy(ctx)
	if err != nil {
		return err
	}
	err = tell(ctx, system)
	if o.keep && ctx.Err() == nil {
		fmt.Printf("The API is at %s until ctrl-C\n  API key    %s\n", system.url, system.apiKey)
		<-ctx.Done()
	}
	return err
}

// tell runs the end-to-end tests against a deployed system.
func tell(ctx context.Context, system system) error {
	return step("Telling the story", func() error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		test := command(ctx, "go", "test", "./localstack/e2e", "-count=1", "-v", "-timeout", "9m")
		test.Env = append(os.Environ(),
			"DEFTER_API_URL="+system.url, "DEFTER_API_CERTIFICATE="+system.certificate,
			"DEFTER_API_KEY="+system.apiKey, "DEFTER_WELCOME_DELAY="+welcomeDelay)
		test.Stdout, test.Stderr = os.Stdout, os.Stderr
		return test.Run()
	})
}

// step says what is done and how long it took.
func step(what string, do func() error) error {
	fmt.Printf("── %s\n", what)
	start := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf("   done in %s\n", time.Since(start).Round(100*time.Millisecond))
	return nil
}

// command prepares a command that is asked to end when ctx does, and ended 10 seconds later. It runs in a process
// group of its own: ctrl-C reaches this program alone, which ends what it started in the right order.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	return c
}

// logged runs a command with its output in a file, and shows the end of it when the command fails.
func logged(c *exec.Cmd, path string) error {
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", tail(path, 4000))
		return fmt.Errorf("%w (all of its output is in %s)", err, path)
	}
	return nil
}

func tail(path string, bytes int) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-bytes):]
}
