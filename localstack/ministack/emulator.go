package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	venv         = "build/ministack-venv"
	requirements = "localstack/ministack/requirements.txt"
)

// miniStack is the emulator that this program started.
type miniStack struct {
	endpoint    string
	certificate string // file, PEM
	process     *exec.Cmd
	files       string // its temporary files, the functions' code among them
	ended       chan error
}

// startMiniStack installs MiniStack where nobody has yet, starts it for this machine alone and waits until it is ready.
func startMiniStack(ctx context.Context, work string) (*miniStack, error) {
	if err := step("Installing MiniStack", func() error { return install(ctx, work) }); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	files, err := os.MkdirTemp("", "ministack-")
	if err != nil {
		return nil, err
	}
	m := &miniStack{endpoint: fmt.Sprintf("https://127.0.0.1:%d", port), files: files, ended: make(chan error, 1)}
	err = step("Starting MiniStack on "+m.endpoint, func() error {
		if err := m.start(work, port); err != nil {
			return err
		}
		return m.ready(ctx, time.Minute)
	})
	if err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

func (m *miniStack) start(work string, port int) error {
	certificate, key, err := writeCertificate(m.files)
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	log, err := os.Create(filepath.Join(work, "ministack.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own handle
	m.certificate = certificate
	m.process = command(context.Background(), filepath.Join(venv, "bin", "ministack"))
	m.process.Stdout, m.process.Stderr = log, log
	// AUTH lets each function do what its role allows and no more, as AWS would; the resource policies among those
	// rules ask for TLS, as on AWS. The functions inherit this environment.
	m.process.Env = append(os.Environ(),
		"AUTH=true", "USE_SSL=1", "MINISTACK_SSL_CERT="+certificate, "MINISTACK_SSL_KEY="+key, "AWS_CA_BUNDLE="+certificate,
		"BIND_HOST=127.0.0.1", fmt.Sprintf("GATEWAY_PORT=%d", port), "TMPDIR="+m.files, "AWS_ENDPOINT_URL="+m.endpoint)
	m.process.Env = append(m.process.Env, testCredentials...)
	if err := m.process.Start(); err != nil {
		return err
	}
	go func() { m.ended <- m.process.Wait() }()
	return nil
}

func install(ctx context.Context, work string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	python := filepath.Join(venv, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		if err := logged(command(ctx, "python3", "-m", "venv", venv), filepath.Join(work, "venv.log")); err != nil {
			return err
		}
	}
	return logged(command(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:", "-r", requirements),
		filepath.Join(work, "pip.log"))
}

// ready waits until MiniStack answers.
func (m *miniStack) ready(ctx context.Context, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	client, err := trusting(m.certificate)
	if err != nil {
		return err
	}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.endpoint+"/_ministack/ready", nil)
		if err != nil {
			return err
		}
		if answer, err := client.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-m.ended:
			m.ended <- err
			return fmt.Errorf("it ended by itself: %v", err)
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", atMost, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop ends the process this program started, and the functions it runs, and removes their files.
func (m *miniStack) stop() {
	fmt.Println("── Stopping MiniStack")
	if m.process != nil && m.process.Process != nil {
		group := -m.process.Process.Pid
		_ = syscall.Kill(group, syscall.SIGTERM) // it may have ended
		select {
		case <-m.ended:
		case <-time.After(10 * time.Second):
		}
		_ = syscall.Kill(group, syscall.SIGKILL) // and whatever of it is left
	}
	if err := os.RemoveAll(m.files); err != nil {
		fmt.Fprintln(os.Stderr, "ministack:", err)
	}
}

// freePort is the emulators' usual port, or any other when that is taken.
func freePort() (int, error) {
	for _, address := range []string{"127.0.0.1:4566", "127.0.0.1:0"} {
		if listener, err := net.Listen("tcp", address); err == nil {
			defer listener.Close()
			return listener.Addr().(*net.TCPAddr).Port, nil
		}
	}
	return 0, fmt.Errorf("no port is free on 127.0.0.1")
}
