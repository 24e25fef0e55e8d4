package archive_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/cloud/archive"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/klauspost/compress/zstd"
)

func TestPut(t *testing.T) {
	var asked *http.Request
	var body []byte
	answer := 200
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(answer)
	}))
	defer server.Close()
	var a app.App
	archive.Part(&a, aws.Config{
		Region: "eu-central-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	}, cloud.Settings{ArchiveBucket: "shelf"})
	lines := []byte(strings.Repeat("{\"stream\":\"CUSTOMER#1\"}\n", 100))
	if err := a.Archive.Put(t.Context(), "behaviour/2026/11/22/a.ndjson.zst", lines); err != nil {
		t.Fatal(err)
	}
	if asked.Method != "PUT" || asked.URL.Path != "/shelf/behaviour/2026/11/22/a.ndjson.zst" || asked.Header.Get("Content-Type") != "application/zstd" {
		t.Errorf("asked for %s %s as %s", asked.Method, asked.URL, asked.Header.Get("Content-Type"))
	}
	r, err := zstd.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, lines) {
		t.Errorf("%d bytes arrive as %d, %v", len(lines), len(got), err)
	}
	answer = 403
	if err := a.Archive.Put(t.Context(), "behaviour/b.ndjson.zst", lines); err == nil {
		t.Error("a refusal goes unnoticed")
	}
}
