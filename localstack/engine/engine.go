// Package engine runs the DynamoDB of the embedded run: dynoxide, a DynamoDB on SQLite, as a child process on a
// loopback port, with its data in one file.
//
// Three words: the engine is that process and the handle on it; the endpoint is what an AWS client is pointed at, and
// all most callers ever see of it; a stream record is the engine's copy of one write, which it keeps for ever unless
// TrimStream removes it. Attach puts any other endpoint (DynamoDB Local, an emulator, an account) behind the same
// handle.
//
// It runs on Linux and macOS.
package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Version is the engine this package knows. package.json pins the same number and Start refuses any other: the trimming
// of streams works on tables the engine considers its own.
const Version = "1.2.1"

const (
	databaseFile = "dynamodb.sqlite"
	lockFile     = "dynamodb.lock"

	startLimit   = 15 * time.Second // it takes milliseconds; a large log left by a crash is replayed first
	lockLimit    = 2 * time.Second  // a killed engine lets go of its folder at once
	pollInterval = 10 * time.Millisecond
	portAttempts = 5 // a port found free can be taken before the engine binds it
)

// ErrNotInstalled means that there is no engine to run; the error that wraps it says where it was looked for.
var ErrNotInstalled = errors.New("the DynamoDB engine is not installed")

// Config says which engine to run on which data.
type Config struct {
	Dir    string       // the data folder, made when missing; one engine at a time
	Port   int          // on 127.0.0.1; 0 picks a free one
	Binary string       // path of the engine; "" finds what `npm ci --prefix localstack/engine` installed
	Log    *slog.Logger // the engine's own lines, at debug level; nil drops them
}

// Engine is a running engine. Its methods may be called from any goroutine.
type Engine struct {
	endpoint string
	process  *process // nil when attached, as are the two below
	db       *sql.DB
	lock     *os.File

	stopping sync.Mutex
}

// Start runs an engine on the data in c.Dir and returns once it answers. The context bounds the start alone: the engine
// runs until Stop, or until this process ends (on Linux even when it is killed).
func Start(ctx context.Context, c Config) (*Engine, error) {
	if c.Dir == "" {
		return nil, errors.New("start the engine: no data folder given")
	}
	if c.Port < 0 || c.Port > 65535 {
		return nil, fmt.Errorf("start the engine: port %d is not between 0 and 65535", c.Port)
	}
	e := &Engine{}
	if err := e.start(ctx, c); err != nil {
		err = fmt.Errorf("start the engine on %s: %w", c.Dir, err)
		return nil, errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// Attach returns a handle on an endpoint somebody else runs. It has nothing to index, trim or stop, and its Done never
// closes.
func Attach(endpoint string) *Engine {
	return &Engine{endpoint: endpoint}
}

// Endpoint is the URL an AWS client is pointed at.
func (e *Engine) Endpoint() string { return e.endpoint }

// Done is closed when the engine has ended, for whatever reason; Err tells which.
func (e *Engine) Done() <-chan struct{} {
	if e.process == nil {
		return nil
	}
	return e.process.ended
}

// Err is nil while the engine runs and after Stop has ended it. Otherwise it says how the engine died and what it said
// last. Everything it had acknowledged is in its data folder: Stop, then Start, carries on.
func (e *Engine) Err() error {
	if e.process == nil {
		return nil
	}
	return e.process.died()
}

// Stop asks the engine to finish and returns when it has ended. It kills the engine once the context has ended or five
// seconds have passed; that loses no acknowledged write. Stopping what has ended already does nothing.
func (e *Engine) Stop(ctx context.Context) error {
	e.stopping.Lock()
	defer e.stopping.Unlock()
	var errs []error
	if e.db != nil {
		// Before the engine, so that the engine is the last to close the file and folds its write-ahead log into it.
		errs = append(errs, e.db.Close())
	}
	if e.process != nil {
		errs = append(errs, e.process.stop(ctx))
	}
	if e.lock != nil {
		if err := e.lock.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the engine: %w", err)
	}
	return nil
}

func (e *Engine) start(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	binary, err := c.binary()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // customers' data: nobody else's to read
		return err
	}
	if e.lock, err = lockFolder(ctx, dir); err != nil {
		return err
	}
	file := filepath.Join(dir, databaseFile)
	if err := ownFile(file); err != nil {
		return err
	}
	if err := e.listen(ctx, c, binary, file); err != nil {
		return err
	}
	if err := checkVersion(ctx, e.endpoint); err != nil {
		return err
	}
	if e.db, err = openDatabase(file); err != nil {
		return err
	}
	return checkStreamSchema(ctx, e.db)
}

// ownFile makes the database a file that its owner alone reads; those that the engine puts beside it get the same rights.
func ownFile(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o600), file.Close()) // an older one may be open to others
}

// listen starts the process and waits until it listens, with another port if the free one it was given is taken by then.
func (e *Engine) listen(ctx context.Context, c Config, binary, file string) error {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	for attempt := 1; ; attempt++ {
		port := c.Port
		if port == 0 {
			free, err := freePort()
			if err != nil {
				return fmt.Errorf("find a free port: %w", err)
			}
			port = free
		}
		host := ownAddress()
		p, err := launch(log, e.lock, binary, "serve", "--host", host, "--port", strconv.Itoa(port), "--db-path", file)
		if err != nil {
			return err
		}
		e.process, e.endpoint = p, "http://"+net.JoinHostPort(host, strconv.Itoa(port))
		select {
		case <-p.listening:
			return nil
		case <-p.ended:
			err := p.died()
			if c.Port != 0 || attempt == portAttempts || !strings.Contains(err.Error(), "already in use") {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait until it listens: %w", context.Cause(ctx))
		}
	}
}

// checkVersion asks the engine itself, since a binary can have been put in place by hand.
func checkVersion(ctx context.Context, endpoint string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for its version: %w", err)
	}
	defer response.Body.Close()
	if v := response.Header.Get("X-Dynoxide-Version"); v != Version {
		return fmt.Errorf("it is version %s; this build knows the streams of %s alone", cmp.Or(v, "unknown"), Version)
	}
	return nil
}

// binary is the path of the engine for this machine: the one configured, or the installed one in the checkout that the
// working directory or the running program lies in.
func (c Config) binary() (string, error) {
	if c.Binary != "" {
		if _, err := os.Stat(c.Binary); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNotInstalled, err)
		}
		return c.Binary, nil
	}
	below := filepath.Join("localstack", "engine", "node_modules", "@dynoxide", platform(), "dynoxide")
	var from []string
	if dir, err := os.Getwd(); err == nil {
		from = append(from, dir)
	}
	if program, err := os.Executable(); err == nil {
		from = append(from, filepath.Dir(program))
	}
	for _, dir := range from {
		for ; ; dir = filepath.Dir(dir) {
			if path := filepath.Join(dir, below); isFile(path) {
				return path, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("%w: no %s in or above %s (run: npm ci --prefix localstack/engine)",
		ErrNotInstalled, below, strings.Join(from, " and "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// ownAddress is a loopback address that nobody can guess. The engine answers pages of every origin, whatever the signature: on
// 127.0.0.1 any web page that is open in a browser of this machine could look for its port and use it. Linux has 16 million
// addresses to choose from; elsewhere there is one.
func ownAddress() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	var own [3]byte
	_, _ = rand.Read(own[:]) // never fails
	return netip.AddrFrom4([4]byte{127, own[0], own[1], max(2, min(own[2], 254))}).String()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
