package cloud_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"defter/pkg/cloud"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

func TestAmazonReadsTheEnvironment(t *testing.T) {
	var authorization, token string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization, token = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(`{"TableNames":["events"]}`))
	}))
	defer server.Close()
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session",
		"AWS_ENDPOINT_URL": server.URL, "AWS_CA_BUNDLE": bundle,
	} {
		t.Setenv(name, value)
	}
	c, err := cloud.Amazon()
	if err != nil {
		t.Fatal(err)
	}
	out, err := dynamodb.NewFromConfig(c).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil || len(out.TableNames) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	if !strings.Contains(authorization, "Credential=AKID/") || !strings.Contains(authorization, "/eu-central-1/dynamodb/") || token != "session" {
		t.Errorf("signed %q with token %q", authorization, token)
	}
}

func TestAmazonSaysWhatIsWrong(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, set := range map[string][2]string{
		"AWS_REGION is not set": {"AWS_REGION", ""}, "holds no certificate": {"AWS_CA_BUNDLE", empty}, "AWS_CA_BUNDLE: open": {"AWS_CA_BUNDLE", empty + "x"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Setenv("AWS_REGION", "eu-central-1")
			t.Setenv(set[0], set[1])
			if _, err := cloud.Amazon(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestKeepBehaviour(t *testing.T) {
	for raw, want := range map[string]time.Duration{"": 90 * 24 * time.Hour, "720h": 720 * time.Hour, "192h": 192 * time.Hour, "191h": 0, "90 days": 0} {
		t.Setenv("DEFTER_KEEP_BEHAVIOUR", raw)
		s, err := cloud.Environment()
		if (err == nil) != (want > 0) || err == nil && s.KeepBehaviour != want {
			t.Errorf("%q: %s, %v", raw, s.KeepBehaviour, err)
		}
	}
}

// TestD9_AServerThatNeverAnswers holds nobody for ever.
func TestD9_AServerThatNeverAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() // it accepts connections, and says nothing
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "http://" + silent.Addr().String(), "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	c, err := cloud.Amazon()
	if err != nil {
		t.Fatal(err)
	}
	c.RetryMaxAttempts = 1
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := dynamodb.NewFromConfig(c).ListTables(ctx, &dynamodb.ListTablesInput{}); err == nil || ctx.Err() != nil {
		t.Errorf("answered %v, and the patience of the test is %v", err, ctx.Err())
	}
}
