// Package e2e tells one story to a deployed system, from outside, over HTTP: on an emulator or on AWS. See
// localstack/ministack for what deploys it and runs this.
package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	patience = 90 * time.Second // for what follows a command; emulators start a process for each call
	pause    = 500 * time.Millisecond
)

// caller is an app that calls the API.
type caller struct {
	url, bearer, writeKey string
	client                *http.Client
}

// deployed is the system the environment names. Without one the test is skipped.
func deployed(t *testing.T) caller {
	t.Helper()
	c := caller{
		url:    strings.TrimSuffix(os.Getenv("DEFTER_API_URL"), "/"),
		bearer: os.Getenv("DEFTER_API_KEY"),
	}
	if c.url == "" {
		t.Skip("no deployed system: DEFTER_API_URL is not set (make test-localstack deploys one and sets it)")
	}
	if c.bearer == "" {
		t.Fatal("DEFTER_API_KEY must be set with DEFTER_API_URL")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = dialLocalhost
	if path := os.Getenv("DEFTER_API_CERTIFICATE"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			t.Fatalf("%s holds no certificate", path)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	c.client = &http.Client{Transport: transport, Timeout: time.Minute}
	return c
}

// dialLocalhost connects every name below localhost to this machine, as RFC 6761 says; not every resolver does.
func dialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// as is the same caller with another API key; "" sends none.
func (c caller) as(bearer string) caller {
	c.bearer = bearer
	return c
}

func (c caller) get(t *testing.T, path string) answer {
	t.Helper()
	return c.send(t, http.MethodGet, path, nil)
}

// send calls the API with a JSON body and more headers, given in pairs.
func (c caller) send(t *testing.T, method, path string, body any, headers ...string) answer {
	t.Helper()
	r := c.request(t, method, path, body)
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return c.do(t, r)
}

// batch sends events as SDKs do: the write key is the user name, without a password.
func (c caller) batch(t *testing.T, body any) answer {
	t.Helper()
	r := c.request(t, http.MethodPost, "/v1/batch", body)
	r.SetBasicAuth(c.writeKey, "")
	return c.do(t, r)
}

func (c caller) request(t *testing.T, method, path string, body any) *http.Request {
	t.Helper()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.url+path, content)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (c caller) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	response, err := c.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	a := answer{call: r.Method + " " + r.URL.Path, status: response.StatusCode, header: response.Header, body: string(text)}
	_ = json.Unmarshal(text, &a.fields) // not every answer is an object
	return a
}

// answer is what the API said.
type answer struct {
	call   string
	status int
	header http.Header
	body   string
	fields map[string]any
}

func (a answer) is(t *testing.T, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("%s answers %d, want %d: %s", a.call, a.status, status, a.body)
	}
}

// text is a field that should be a string; "" when it is not there.
func (a answer) text(field string) string {
	s, _ := a.fields[field].(string)
	return s
}

// list is a field that should be a list of objects.
func (a answer) list(field string) []map[string]any {
	var objects []map[string]any
	items, _ := a.fields[field].([]any)
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}

// eventually asks again until the answer is as hoped for.
func eventually(t *testing.T, what string, ask func() (answer, bool)) answer {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		a, ok := ask()
		if ok {
			return a
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s; last answer %d: %s", patience, what, a.status, a.body)
		}
	}
}

// chapter is a part of the story. The ones after it make no sense if it fails.
func chapter(t *testing.T, title string, tell func(t *testing.T)) {
	t.Helper()
	if !t.Run(title, tell) {
		t.FailNow()
	}
}

// welcomeDelay is how long the deployed system waits between the two welcome emails.
func welcomeDelay(t *testing.T) time.Duration {
	t.Helper()
	delay, err := time.ParseDuration(os.Getenv("DEFTER_WELCOME_DELAY"))
	if err != nil {
		t.Fatalf("DEFTER_WELCOME_DELAY must say how long the deployed system waits between emails: %v", err)
	}
	return delay
}

// unique is a name nothing else has, so that the story can be told to the same system again.
func unique(prefix string) string {
	return fmt.Sprintf("%s-%d", prefix, time.Now().UnixNano())
}
