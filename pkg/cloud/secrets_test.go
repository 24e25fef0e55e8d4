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
	if value == "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret value for staging label"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"SecretString": value, "CreatedDate": float64(m.changed.Unix()), "VersionStages": []string{in.VersionStage}})
}

// The key before the current one is taken for a day, and none of a third generation.
func TestS13_AnAPIKeyRotatesWithAnOverlap(t *testing.T) {
	m := &manager{}
	server := httptest.NewServer(m)
	defer server.Close()
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	s := newSecrets(aws.Config{
		Region: "eu-central-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	}, Settings{APIKeySecret: "api-key"}, func() time.Time { return now })
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
