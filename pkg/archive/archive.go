// Package archive keeps what leaves the event store: objects of JSON lines, compressed with zstd, that are written once.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// Compressed makes the bytes of an object.
func Compressed(lines []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return w.EncodeAll(lines, nil), w.Close()
}

// Folder is an archive in a folder.
type Folder string

// Put writes an object, whole or not at all. An object's name is its path in the folder.
func (f Folder) Put(_ context.Context, name string, lines []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("archive: %q is not a name", name)
	}
	data, err := Compressed(lines)
	if err != nil {
		return err
	}
	path := filepath.Join(string(f), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err := os.WriteFile(path+".part", data, 0o600); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// Read returns the lines of every object in the folder, in the order of their names.
func (f Folder) Read() ([]byte, error) {
	var all []byte
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	defer r.Close()
	err = filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // nothing was archived yet
			return nil
		case err != nil:
			return err
		case filepath.Ext(path) != ".zst":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all, err = r.DecodeAll(data, all)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return all, nil
}
