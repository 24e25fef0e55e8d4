package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	stopLimit = 5 * time.Second // from SIGTERM to SIGKILL
	reapLimit = 2 * time.Second // from SIGKILL to the end
	lastLines = 5               // of the engine's own words, kept for an error
	lineLimit = 2048            // bytes; the rest of a longer line is dropped
)

// process is the engine as a child of this one.
type process struct {
	cmd       *exec.Cmd
	output    output
	listening <-chan struct{} // closed when it says that it listens
	ended     chan struct{}   // closed when it has ended
	asked     atomic.Bool     // to end
	how       error           // it ended, when nobody had asked; read after ended
}

// launch starts the engine. It inherits the lock on its data folder, and nothing else but its arguments.
func launch(log *slog.Logger, lock *os.File, binary string, args ...string) (*process, error) {
	listening := make(chan struct{})
	p := &process{
		cmd:       exec.Command(binary, args...),
		output:    output{log: log, listening: listening},
		listening: listening,
		ended:     make(chan struct{}),
	}
	p.cmd.Env = []string{} // not nil, which would pass on this process's environment, credentials included
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = childAttributes()
	p.cmd.WaitDelay = time.Second
	if lock != nil {
		p.cmd.ExtraFiles = []*os.File{lock}
	}
	started := make(chan error, 1)
	go func() {
		// On Linux the child gets its death signal when the *thread* that started it ends, and the runtime ends threads
		// as it likes. This one is held for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		_ = p.cmd.Wait() // its error only repeats the state
		if !p.asked.Load() {
			p.how = fmt.Errorf("the engine ended by itself (%s): %s", p.cmd.ProcessState, p.output.tail())
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// died says how the process ended without having been asked to; nil while it runs.
func (p *process) died() error {
	select {
	case <-p.ended:
		return p.how
	default:
		return nil
	}
}

// stop ends the process, in peace if it can, and returns when it has ended.
func (p *process) stop(ctx context.Context) error {
	p.asked.Store(true)
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	patience := time.NewTimer(stopLimit)
	defer patience.Stop()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
	case <-patience.C:
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(reapLimit):
		return fmt.Errorf("process %d was killed and has not ended after %s", p.cmd.Process.Pid, reapLimit)
	}
}

// signal reaches the child alone, never another process that got its id since.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %d: %w", s, p.cmd.Process.Pid, err)
	}
	return nil
}

// output takes what the engine prints, line by line.
type output struct {
	log *slog.Logger

	mu        sync.Mutex
	listening chan<- struct{} // nil once closed
	partial   []byte
	last      []string
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := b; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		o.partial = append(o.partial, part[:min(len(part), lineLimit-len(o.partial))]...)
		if whole {
			o.line(strings.TrimSpace(string(o.partial)))
			o.partial = o.partial[:0]
		}
		rest = after
	}
	return len(b), nil
}

func (o *output) line(s string) {
	if s == "" {
		return
	}
	o.log.Debug("engine", "line", s)
	o.last = append(o.last, s)
	o.last = o.last[max(0, len(o.last)-lastLines):]
	if o.listening != nil && strings.HasPrefix(s, "Dynoxide listening on ") {
		close(o.listening)
		o.listening = nil
	}
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.last) == 0 {
		return "it said nothing"
	}
	return strings.Join(o.last, "; ")
}

// lockFolder makes sure that one engine works on a folder: two would hand out the same sequence numbers. The lock is
// the engine's as much as ours, so it lasts until both have ended.
func lockFolder(ctx context.Context, dir string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	retry := time.NewTicker(pollInterval)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			f.Close()
			return nil, errors.New("another engine is running on this folder")
		}
	}
}

// platform is what npm calls this machine.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return runtime.GOOS + "-" + arch
}
