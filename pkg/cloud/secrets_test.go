package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// manager answers as Secrets Manager does: a new value becomes the current one, and the current one the previous.
type manager struct {
	current, previous string
	changed           time.Time
	asked             int
	down              bool
}

func (m *manager) put(value string, at time.Time) {
	m.current, m.previous, m.changed = value, m.current, at
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked++
	var in struct{ VersionStage string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	value := map[string]string{"AWSCURRENT": m.current, "AWSPREVIOUS": m.previous}[in.VersionStage]
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if m.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"__type":"InternalServiceError"}`)
		return
	}
	if value == "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret value for staging label"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"SecretString": value, "CreatedDate": float64(m.changed.Unix()), "VersionStages": []string{in.VersionStage}})
}

// secrets reads from it, and asks once each time.
func (m *manager) secrets(url string, now func() time.Time) *secrets {
	return newSecrets(aws.Config{
		Region: "eu-central-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""), RetryMaxAttempts: 1,
	}, Settings{APIKeySecret: "api-key"}, now)
}

// The key before the current one is taken for a day, and none of a third generation.
func TestS13_AnAPIKeyRotatesWithAnOverlap(t *testing.T) {
	m := &manager{}
	server := httptest.NewServer(m)
	defer server.Close()
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	s := m.secrets(server.URL, func() time.Time { return now })
	m.put("first", now)
	takes := func(moment string, want map[string]bool) {
		t.Helper()
		for key, want := range want {
			if _, ok, err := s.APIKey(t.Context(), key); err != nil || ok != want {
				t.Errorf("%s: the key %q is taken: %t %v, want %t", moment, key, ok, err, want)
			}
		}
	}
	takes("before the change", map[string]bool{"first": true, "second": false, "": false})
	m.put("second", now)
	now = now.Add(secretsFor)
	takes("after it", map[string]bool{"first": true, "second": true, "": false})
	asked := m.asked
	takes("for strangers", map[string]bool{"wrong": false, "first ": false, "secon": false})
	if m.asked != asked {
		t.Errorf("strangers made it ask %d times", m.asked-asked)
	}
	now = m.changed.Add(keyOverlap)
	takes("a day later", map[string]bool{"first": false, "second": true})
	m.put("third", now)
	m.put("fourth", now)
	now = now.Add(secretsFor)
	takes("after two changes at once", map[string]bool{"second": false, "third": true, "fourth": true})
}

// TestD9_TheKeysOutliveAnOutage of Secrets Manager, for an hour.
func TestD9_TheKeysOutliveAnOutage(t *testing.T) {
	m := &manager{down: true}
	server := httptest.NewServer(m)
	defer server.Close()
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	s := m.secrets(server.URL, func() time.Time { return now })
	if _, ok, err := s.APIKey(t.Context(), ""); ok || err == nil {
		t.Errorf("nothing counts before a key was read: %t %v", ok, err)
	}
	m.down = false
	m.put("first", now)
	read := now
	expect := func(moment, key string, want bool) {
		t.Helper()
		if _, ok, err := s.APIKey(t.Context(), key); err != nil || ok != want {
			t.Errorf("%s: the key %q is taken: %t %v, want %t", moment, key, ok, err, want)
		}
	}
	expect("at first", "first", true)
	m.down = true
	for _, after := range []time.Duration{secretsFor, secretsFor + secretsAgain, secretsAtMost - time.Second} {
		now = read.Add(after)
		asked := m.asked
		expect("without an answer", "first", true)
		expect("without an answer", "wrong", false)
		now = now.Add(secretsAgain - 2*time.Second)
		if after < secretsAtMost-secretsAgain {
			expect("within the minute", "first", true)
		}
		if m.asked != asked+1 {
			t.Errorf("%s after they were read it is asked %d times in a minute", after, m.asked-asked)
		}
	}
	now = read.Add(secretsAtMost + secretsAgain)
	for range 2 {
		if _, ok, err := s.APIKey(t.Context(), "first"); ok || err == nil {
			t.Errorf("an hour later the key is taken: %t %v", ok, err)
		}
	}
	m.down = false
	m.put("second", now)
	expect("when it answers again", "second", true)
}
