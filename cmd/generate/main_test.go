package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"defter/pkg/catalog"
)

// workplace is an empty project to generate in, which the test then runs in. It returns where the real one is.
func workplace(t *testing.T) (root string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, dir := range []string{"docs", "events", "pkg/openapi"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// generated lists the files below the working folder.
func generated(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsGeneratedIsUpToDate: schemas, samples, the list of events, the page of webhooks and the API's description are as the Go types
// say.
func TestWhatIsGeneratedIsUpToDate(t *testing.T) {
	root := workplace(t)
	if err := run(false); err != nil {
		t.Fatal(err)
	}
	files := generated(t)
	if want := 2*len(catalog.New().Names()) + 3; len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
	for _, file := range files {
		there, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || !bytes.Equal(there, read(t, file)) {
			t.Errorf("%s is not as generated (%v): run make generate", file, err)
		}
	}
}

// TestReleasedSchemasAreNotWrittenAgain, and a type that no longer has its schema is refused.
func TestReleasedSchemasAreNotWrittenAgain(t *testing.T) {
	root := workplace(t)
	released := string(read(t, filepath.Join(root, releasedFile)))
	write(t, releasedFile, []byte(released))
	if err := run(false); err != nil {
		t.Fatal(err)
	}
	for _, file := range generated(t) {
		if strings.Contains(released, "  "+filepath.ToSlash(file)) {
			t.Errorf("%s was written", file)
		}
	}

	hashes, err := readReleased()
	if err != nil {
		t.Fatal(err)
	}
	hash := hashes["events/EmailVerified/v1.schema.json"]
	write(t, releasedFile, []byte(strings.Replace(released, hash, strings.Repeat("0", 64), 1)))
	if err := run(false); err == nil || !strings.Contains(err.Error(), "EmailVerified/v1 is released and would change") {
		t.Errorf("a released type was changed: %v", err)
	}
}

// TestRelease freezes what there is, and nothing that was frozen otherwise before.
func TestRelease(t *testing.T) {
	workplace(t)
	if err := run(true); err != nil {
		t.Fatal(err)
	}
	released, err := readReleased()
	if err != nil || len(released) != len(catalog.New().Names()) {
		t.Fatalf("%d schemas are released, %v", len(released), err)
	}
	for file, hash := range released {
		if got := hashOf(read(t, file)); got != hash {
			t.Errorf("%s is released as %s, and is %s", file, hash, got)
		}
	}
	if err := run(true); err != nil {
		t.Errorf("released again: %v", err)
	}

	const file = "events/EmailVerified/v1.schema.json"
	was := read(t, file)
	write(t, file, []byte("{}\n"))
	if err := run(true); err == nil || !strings.Contains(err.Error(), file+" is released and was changed") {
		t.Errorf("a released schema was changed by hand: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := run(true); err == nil || !strings.Contains(err.Error(), file+" is released and is gone") {
		t.Errorf("a released schema is gone: %v", err)
	}
	write(t, file, was)
	if err := run(true); err != nil {
		t.Errorf("all is as it was: %v", err)
	}
}
