package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"defter/localstack/embedded"
)

const (
	serverStarts = 20 * time.Second
	serverStops  = 15 * time.Second
	settles      = 2 * time.Minute // the views must have caught up
)

// server is the embedded run in a process of its own.
type server struct {
	url     string
	client  *http.Client
	process *exec.Cmd
	said    bytes.Buffer
	ended   chan error
}

// startServer builds and starts it on an empty data folder, with its settings as they are by default.
func (b *bench) startServer(ctx context.Context) (*server, error) {
	program := filepath.Join(workFolder, "defter")
	if err := command(ctx, nil, "go", "build", "-o", program, "./cmd/defter"); err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(b.folder, "server-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{
		url: fmt.Sprintf("http://127.0.0.1:%d", port), ended: make(chan error, 1), process: exec.Command(program),
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, DisableCompression: true}},
	}
	s.process.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port), "DATA_DIR="+data)
	s.process.Stdout, s.process.Stderr = &s.said, &s.said
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.process.Wait() }()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err = s.get(ctx, "/healthz", nil); err == nil {
			return s, nil
		}
		if ctx.Err() != nil || time.Since(began) > serverStarts {
			return nil, errors.Join(fmt.Errorf("the server does not answer: %w", err), s.stop())
		}
	}
}

// stop ends the server and says why, if it had not waited to be asked.
func (s *server) stop() error {
	select {
	case err := <-s.ended:
		return fmt.Errorf("the server ended by itself: %w\n%s", err, s.said.String())
	default:
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.ended:
		return err
	case <-time.After(serverStops):
		return errors.Join(errors.New("the server does not stop"), s.process.Process.Kill())
	}
}

// post sends events and returns how long it took until they were accepted.
func (s *server) post(ctx context.Context, path string, body []byte) (time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", writeKey)
	began := time.Now()
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	took := time.Since(began)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s answered %d: %s", path, answer.StatusCode, said)
	}
	return took, err
}

// get asks for JSON.
func (s *server) get(ctx context.Context, path string, into any) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+embedded.APIKey)
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil || into == nil || answer.StatusCode != http.StatusOK {
		return answer.StatusCode, err
	}
	return answer.StatusCode, json.Unmarshal(said, into)
}

// newest is the version of the newest event of a customer's timeline, 0 for none.
func (s *server) newest(ctx context.Context, customer string) (int64, error) {
	var page struct{ Timeline []struct{ Version int64 } }
	status, err := s.get(ctx, "/v1/customers/"+customer+"/timeline?limit=1", &page)
	if err != nil || status != http.StatusOK || len(page.Timeline) == 0 {
		return 0, err
	}
	return page.Timeline[0].Version, nil
}

// audited says whether the audit trail of a customer has begun.
func (s *server) audited(ctx context.Context, customer string) (bool, error) {
	var page struct{ Audit []struct{ Version int64 } }
	status, err := s.get(ctx, "/v1/customers/"+customer+"/audit?limit=1", &page)
	return err == nil && status == http.StatusOK && len(page.Audit) > 0, err
}

// settle returns once the views show everything that was accepted before. A new customer is the last that either of the
// stream's readers comes to: one shows it in the timeline, the other puts it on the bus, whence it is audited.
func (s *server) settle(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, settles)
	defer cancel()
	customer := fmt.Sprintf("sentinel-%d", number)
	if _, err := s.post(ctx, "/v1/track", appendMessage(nil, customer, 8, time.Now(), false)); err != nil {
		return err
	}
	for {
		version, err := s.newest(ctx, customer)
		if err != nil {
			return fmt.Errorf("wait for the views: %w", err)
		}
		audited, err := s.audited(ctx, customer)
		if err != nil {
			return fmt.Errorf("wait for the views: %w", err)
		}
		if version > 0 && audited {
			return nil
		}
		time.Sleep(probePause)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
