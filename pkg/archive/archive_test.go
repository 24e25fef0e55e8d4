package archive_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"defter/pkg/archive"
)

func TestFolder(t *testing.T) {
	f := archive.Folder(filepath.Join(t.TempDir(), "archive"))
	if lines, err := f.Read(); err != nil || len(lines) > 0 {
		t.Errorf("an archive of nothing: %q %v", lines, err)
	}
	first, second := []byte(strings.Repeat("{\"stream\":\"CUSTOMER#1\"}\n", 1000)), []byte("{}\n")
	for range 2 { // again, it is the same
		for name, lines := range map[string][]byte{"behaviour/2026/11/22/a.ndjson.zst": first, "behaviour/2026/11/23/b.ndjson.zst": second} {
			if err := f.Put(context.Background(), name, lines); err != nil {
				t.Fatal(err)
			}
		}
	}
	if lines, err := f.Read(); err != nil || !bytes.Equal(lines, append(first, second...)) {
		t.Errorf("%d bytes come back, %v", len(lines), err)
	}
	info, err := os.Stat(filepath.Join(string(f), "behaviour/2026/11/22/a.ndjson.zst"))
	if err != nil || info.Size() > 1000 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for _, name := range []string{"../outside", "/outside", ""} {
		if f.Put(context.Background(), name, second) == nil {
			t.Errorf("%q is a name", name)
		}
	}
}
