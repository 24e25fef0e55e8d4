package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startLimit is how long a function may take until it asks for its first event.
const startLimit = 10 * time.Second

// start measures how long a function takes from its start to asking for its first event, beside one that does nothing,
// and how large the functions are. Both are built as the deployment builds them, for this machine's processor.
func (b *bench) start(ctx context.Context) (err error) {
	folder := filepath.Join(workFolder, "functions")
	packages := "./functions/..."
	if b.quick { // linking all of them takes longer than everything else here
		packages = "./functions/register-customer"
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for output, source := range map[string]string{folder + "/": packages, filepath.Join(workFolder, "hello"): "./bench/hello"} {
		err := command(ctx, []string{"CGO_ENABLED=0", "GOWORK=off"}, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc",
			"-ldflags", "-s -w -buildid=", "-o", output, source)
		if err != nil {
			return err
		}
	}
	runtime, err := listenAsRuntime()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runtime.close()) }()
	programs := []string{filepath.Join(folder, "register-customer"), filepath.Join(workFolder, "hello")}
	rounds, warmUp := b.size(20, 60), 3
	var times [2][]float64
	for round := range rounds + warmUp {
		for i := range programs {
			side := (i + round) % 2
			took, err := runtime.start(ctx, programs[side])
			if err != nil {
				return err
			}
			if round >= warmUp {
				times[side] = append(times[side], milliseconds(took))
			}
		}
	}
	b.info("start/register-customer", median(times[0]), "ms")
	b.info("start/hello-world", median(times[1]), "ms")
	b.atMost("start/ratio", median(times[0])/median(times[1]), "times hello world's", 1.5)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var sizes []float64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		sizes = append(sizes, float64(info.Size()))
		b.info("size/"+entry.Name(), float64(info.Size())/1e6, "MB")
	}
	b.info("size/median", median(sizes)/1e6, "MB")
	b.info("size/max", percentile(sizes, 100)/1e6, "MB")
	b.note("Medians of %d starts each, taking turns, from exec to the first GET …/invocation/next. Sizes are before compression.", rounds)
	return nil
}

// runtimeAPI is Lambda's Runtime API, as far as a function's start needs it.
type runtimeAPI struct {
	server *http.Server
	asked  chan struct{}
}

func listenAsRuntime() (*runtimeAPI, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &runtimeAPI{asked: make(chan struct{}, 1)}
	r.server = &http.Server{Addr: listener.Addr().String(), ReadHeaderTimeout: startLimit, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/invocation/next") {
			select {
			case r.asked <- struct{}{}:
			default:
			}
			<-q.Context().Done() // there is no event; the function is ended while it waits
		}
	})}
	go func() { _ = r.server.Serve(listener) }() // ends with close
	return r, nil
}

func (r *runtimeAPI) close() error { return r.server.Close() }

// start runs a function until it asks for an event, and ends it.
func (r *runtimeAPI) start(ctx context.Context, program string) (took time.Duration, err error) {
	c := exec.CommandContext(ctx, program)
	c.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + r.server.Addr, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_FUNCTION_VERSION=1",
		"DEFTER_EVENTS_TABLE=events", "DEFTER_VIEWS_TABLE=views", "DEFTER_KEYS_TABLE=keys", "DEFTER_MASTER_KEY=key",
		"DEFTER_API_KEY_SECRET=api-key",
	}
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	began := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = c.Process.Kill() // it is ours, and has nothing more to do
		_ = c.Wait()         // says that it was killed
		if err != nil {
			err = fmt.Errorf("start %s: %w: %s", filepath.Base(program), err, said.String())
		}
	}()
	select {
	case <-r.asked:
		return time.Since(began), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(startLimit):
		return 0, errors.New("it never asked for an event")
	}
}
