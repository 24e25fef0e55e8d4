package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"defter/pkg/foreign"
	"defter/pkg/retention"
)

// Main runs the system until it is interrupted. It reads PORT, DATA_DIR, TLS, WELCOME_DELAY, MARKETING_TO, KEEP_BEHAVIOUR, OPAQUE_IDS and
// LOG_LEVEL from the environment.
func Main(ctx context.Context, out io.Writer) error {
	began := time.Now()
	debug.SetGCPercent(gcPercent)
	config, level, err := environment()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	logs := &logFile{path: filepath.Join(config.DataDir, "defter.log")}
	defer logs.close()
	slog.SetDefault(slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: level})))
	config.Log = slog.Default()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	system, err := Start(ctx, config)
	if err != nil {
		return err
	}
	system.greet(out, time.Since(began))
	select {
	case <-ctx.Done():
		stop() // a second ctrl-C ends at once
		fmt.Fprintln(out, "\nStopping …")
	case <-system.Died():
		err = errors.New("the DynamoDB engine ended by itself; see the log")
	}
	if err := errors.Join(err, system.Stop()); err != nil {
		return err
	}
	fmt.Fprintln(out, "Stopped. Everything is kept; run it again to go on.")
	return nil
}

// gcPercent trades memory, of which one machine has enough, for processor time, which server and engine share.
const gcPercent = 400

// greet says where the system is, and what to try.
func (s *System) greet(out io.Writer, after time.Duration) {
	trust, option := "", ""
	if s.config.TLS {
		trust, option = fmt.Sprintf(trusting, s.certificate.authorityFile), "--cacert "+s.certificate.authorityFile+" "
	}
	fmt.Fprintf(out, banner, s.URL, after.Seconds(), s.config.DataDir, trust, option)
}

// trusting is how clients come to trust the certificate.
const trusting = `
Its certificate was made on this machine and is good for this machine alone. Trust it:

  Node              export NODE_EXTRA_CA_CERTS=%[1]s
  Go, OpenSSL       export SSL_CERT_FILE=%[1]s
  Python (requests) export REQUESTS_CA_BUNDLE=%[1]s
  Others, browsers  see "https" in README.md
`

const banner = `
Defter runs on %[1]s (ready after %.1[2]f s, data in %[3]s)

  API description   %[1]s/openapi.json
  Mailbox           %[1]s/_local/mails
%[4]s
Try it:

  curl -s %[5]s%[1]s/v1/customers -H 'Authorization: Bearer dev-key' -d '{"email":"ada@example.com","firstName":"Ada","marketingConsent":true,"termsAccepted":true}'
  TOKEN=$(curl -s %[5]s%[1]s/_local/mailbox | jq -r '.messages[0].text' | sed -n 3p)   # of the email that asks her to verify her address
  CUSTOMER=$(curl -s %[5]s'%[1]s/v1/customers?email=ada@example.com' -H 'Authorization: Bearer dev-key' | jq -r .customerId)
  curl -s %[5]s%[1]s/v1/customers/$CUSTOMER/email-verification -H 'Authorization: Bearer dev-key' -d "{\"token\":\"$TOKEN\"}"
  curl -s %[5]s%[1]s/_local/clock -d '{"advance":"25h"}' && sleep 1 && curl -s %[5]s%[1]s/_local/mailbox

Ctrl-C stops it.
`

func environment() (Config, slog.Level, error) {
	c := Config{Port: 8080, DataDir: "data"}
	level := slog.LevelInfo
	var errs []error
	if raw := os.Getenv("PORT"); raw != "" {
		port, err := strconv.Atoi(raw)
		if err != nil || port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("PORT is %q, must be a number up to 65535", raw))
		}
		c.Port = port
	}
	if raw := os.Getenv("DATA_DIR"); raw != "" {
		c.DataDir = raw
	}
	switch raw := os.Getenv("TLS"); raw {
	case "", "0":
	case "1":
		c.TLS = true
	default:
		errs = append(errs, fmt.Errorf("TLS is %q, must be 1 for https or 0", raw))
	}
	if raw := os.Getenv("WELCOME_DELAY"); raw != "" {
		delay, err := time.ParseDuration(raw)
		if err != nil || delay <= 0 {
			errs = append(errs, fmt.Errorf("WELCOME_DELAY is %q, must be a positive duration such as 24h", raw))
		}
		c.WelcomeDelay = delay
	}
	switch to := os.Getenv("MARKETING_TO"); to {
	case "", "verified":
	case "any":
		c.MarketingUnverified = true
	default:
		errs = append(errs, fmt.Errorf("MARKETING_TO is %q, must be verified or any", to))
	}
	opaque, err := foreign.OpaquePattern(os.Getenv("OPAQUE_IDS"))
	if err != nil {
		errs = append(errs, fmt.Errorf("OPAQUE_IDS must be a regular expression: %w", err))
	}
	c.OpaqueIDs = opaque
	if raw := os.Getenv("KEEP_BEHAVIOUR"); raw != "" {
		keep, err := time.ParseDuration(raw)
		if err != nil || keep < retention.MinKeepFor {
			errs = append(errs, fmt.Errorf("KEEP_BEHAVIOUR is %q, must be a duration of at least %s such as 2160h", raw, retention.MinKeepFor))
		}
		c.KeepFor = keep
	}
	if raw := os.Getenv("LOG_LEVEL"); raw != "" {
		if err := level.UnmarshalText([]byte(raw)); err != nil {
			errs = append(errs, fmt.Errorf("LOG_LEVEL is %q, must be debug, info, warn or error", raw))
		}
	}
	return c, level, errors.Join(errs...)
}

// maxLog is how large the log may grow before it is put aside; one older file is kept.
const maxLog = 64 << 20

// logFile is a log that does not grow for ever.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
	size int64
}

func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && l.size > maxLog {
		if err := errors.Join(l.file.Close(), os.Rename(l.path, l.path+".1")); err != nil {
			return 0, err
		}
		l.file = nil
	}
	if l.file == nil {
		file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		info, err := file.Stat()
		if err != nil {
			return 0, errors.Join(err, file.Close())
		}
		l.file, l.size = file, info.Size()
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close() // every line is written already
	}
}
