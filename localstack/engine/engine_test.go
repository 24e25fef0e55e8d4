package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// patience bounds every wait of these tests for something that takes milliseconds.
const patience = 20 * time.Second

var discard = slog.New(slog.DiscardHandler)

// start runs an engine for the length of the test.
func start(t *testing.T, dir string) *Engine {
	t.Helper()
	e, err := Start(t.Context(), Config{Dir: dir})
	if errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

func stop(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// waitEnded waits for the end of an engine that is expected to end.
func waitEnded(t *testing.T, e *Engine) {
	t.Helper()
	select {
	case <-e.Done():
	case <-time.After(patience):
		t.Fatal("the end of the engine was not reported")
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// script is a program that stands in for an engine gone wrong.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRestartKeepsItemsAndStream(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	createTable(t, e, "events")
	putItems(t, e, "events", 1, 3)
	next := readStream(t, e, horizon(t, e, "events"), 1, 2, 3)
	stop(t, e)

	e = start(t, dir)
	if got := countItems(t, e, "events"); got != 3 {
		t.Errorf("%d items after the restart, want 3", got)
	}
	readStream(t, e, horizon(t, e, "events"), 1, 2, 3)
	putItems(t, e, "events", 4, 4)
	readStream(t, e, next, 4) // an iterator outlives the engine, and the numbers go on
}

func TestKilledEngineIsReportedAndKeepsItsData(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	createTable(t, e, "events")
	putItems(t, e, "events", 1, 3)
	select {
	case <-e.Done():
		t.Fatal("a running engine is reported as ended")
	default:
	}
	if err := e.Err(); err != nil {
		t.Fatalf("a running engine has the error %v", err)
	}
	if err := e.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	waitEnded(t, e)
	wantError(t, e.Err(), "ended by itself", "killed", "Dynoxide listening on")
	stop(t, e)
	wantError(t, e.Err(), "ended by itself") // stopping afterwards does not hide it

	e = start(t, dir)
	readStream(t, e, horizon(t, e, "events"), 1, 2, 3)
}

func TestStopTwice(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir)
	stop(t, e)
	stop(t, e)
	waitEnded(t, e)
	if err := e.Err(); err != nil {
		t.Errorf("a stopped engine has the error %v", err)
	}
	if _, err := http.Get(e.Endpoint()); err == nil {
		t.Error("a stopped engine answers")
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile+"-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stopping left the write-ahead log behind (%v)", err)
	}
}

func TestStopKillsAnEngineThatIgnoresIt(t *testing.T) {
	p, err := launch(discard, nil, script(t, "trap '' TERM; echo Dynoxide listening on nothing; exec sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.listening:
	case <-time.After(patience):
		t.Fatal("the line of a listening engine was not seen")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.stop(ctx); err != nil {
		t.Fatal(err)
	}
	if got := p.cmd.ProcessState.String(); got != "signal: killed" {
		t.Errorf("the engine ended with %q", got)
	}
}

func TestEngineHasAProcessGroupOfItsOwn(t *testing.T) {
	e := start(t, t.TempDir())
	pid := e.process.cmd.Process.Pid
	group, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	if group != pid {
		t.Errorf("the engine is in group %d, not its own: Ctrl-C would reach it", group)
	}
}

func TestOneEngineAFolder(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Config{Dir: dir})
	wantError(t, err, dir, "another engine is running on this folder")
}

// An engine that outlives a killed run (macOS has no death signal) must keep the next one off its folder.
func TestEngineHoldsTheFolderAfterTheRun(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := launch(discard, lock, script(t, "exec sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	lock.Close() // all that the end of the run would do
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = lockFolder(ctx, dir)
	wantError(t, err, "another engine")
	if err := p.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock, err = lockFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

func TestEngineGetsNoEnvironment(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	_, err := Start(t.Context(), Config{Dir: t.TempDir(), Binary: script(t, `echo "key: ${AWS_SECRET_ACCESS_KEY-none}"; exit 1`)})
	wantError(t, err, "key: none")
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), Config{Dir: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port})
	if errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	wantError(t, err, "already in use")
}

func TestStartThatCannotSucceed(t *testing.T) {
	t.Run("no folder", func(t *testing.T) {
		_, err := Start(t.Context(), Config{})
		wantError(t, err, "no data folder")
	})
	t.Run("no binary", func(t *testing.T) {
		_, err := Start(t.Context(), Config{Dir: t.TempDir(), Binary: filepath.Join(t.TempDir(), "nothing")})
		if !errors.Is(err, ErrNotInstalled) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("it ends at once", func(t *testing.T) {
		_, err := Start(t.Context(), Config{Dir: t.TempDir(), Binary: script(t, "echo the disk is full >&2; exit 3")})
		wantError(t, err, "exit status 3", "the disk is full")
	})
	t.Run("it never listens", func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := Start(ctx, Config{Dir: dir, Binary: script(t, "exec sleep 60")})
		wantError(t, err, "wait until it listens", "deadline")
		lock, err := lockFolder(t.Context(), dir) // it would hold the lock if it lived
		if err != nil {
			t.Fatal(err)
		}
		lock.Close()
	})
}

func TestStartRefusesAnotherVersion(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Dynoxide-Version", "1.3.0")
	}))
	defer server.Close()
	wantError(t, checkVersion(t.Context(), server.URL), "1.3.0", Version)
}

func TestStartRefusesAnotherStreamSchema(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE _stream_records (id INTEGER PRIMARY KEY, table_name TEXT, number INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Config{Dir: dir})
	if errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	wantError(t, err, dir, "number INTEGER", "sequence_number TEXT", Version)
	lock, err := lockFolder(t.Context(), dir) // the refused engine was stopped
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

func TestBinaryIsFoundFromWithinTheCheckout(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(root, "functions", "place-order")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(deep)
	_, err = Config{}.binary()
	if !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("error is %v", err)
	}
	wantError(t, err, "npm ci --prefix localstack/engine", platform())

	want := filepath.Join(root, "localstack", "engine", "node_modules", "@dynoxide", platform(), "dynoxide")
	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := (Config{}).binary(); got != want || err != nil {
		t.Errorf("found %q, %v; want %q", got, err, want)
	}
}

func TestAttachedEndpointIsLeftAlone(t *testing.T) {
	e := start(t, t.TempDir())
	a := Attach(e.Endpoint())
	createTable(t, a, "events")
	putItems(t, a, "events", 1, 2)
	if err := a.IndexStreams(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := a.TrimStream(t.Context(), "events", 2); n != 0 || err != nil {
		t.Errorf("trimmed %d, %v", n, err)
	}
	stop(t, a)
	if err := a.Err(); err != nil {
		t.Error(err)
	}
	if _, err := client(a).ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
		t.Errorf("stopping the handle reached the engine: %v", err)
	}
}

func TestPackagesArePinnedToTheKnownVersion(t *testing.T) {
	var manifest struct {
		OptionalDependencies map[string]string
	}
	readJSON(t, "package.json", &manifest)
	var lock struct {
		Packages map[string]struct{ Version, Resolved string }
	}
	readJSON(t, "package-lock.json", &lock)
	if len(manifest.OptionalDependencies) == 0 {
		t.Fatal("package.json names no engine")
	}
	for name, version := range manifest.OptionalDependencies {
		if version != Version {
			t.Errorf("package.json asks for %s %s; this package knows %s", name, version, Version)
		}
		if locked := lock.Packages["node_modules/"+name]; locked.Version != Version {
			t.Errorf("package-lock.json has %s %q", name, locked.Version)
		}
	}
	for name, p := range lock.Packages {
		if p.Resolved != "" {
			t.Errorf("package-lock.json ties %q to one download address", name)
		}
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
