package eventstore

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
)

// packFrom is the size from which private fields are compressed before they are sealed. The events of one batch say much
// the same of device and page, and every kilobyte written is billed.
const packFrom = 512

// deflated is the first byte of compressed private fields. JSON, as which they rest otherwise, never begins with it.
const deflated = 1

// writers are reused: each one takes hundreds of kilobytes.
var writers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return w
}}

// Pack makes JSON small, if it is worth it.
func Pack(data []byte) ([]byte, error) {
	if len(data) < packFrom {
		return data, nil
	}
	out := bytes.NewBuffer(make([]byte, 0, len(data)/2))
	out.WriteByte(deflated)
	w := writers.Get().(*flate.Writer)
	defer writers.Put(w)
	w.Reset(out)
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("compress private fields: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress private fields: %w", err)
	}
	return out.Bytes(), nil
}

// maxUnpacked bounds what a few stored bytes may become.
const maxUnpacked = 64 << 20

// Unpack undoes Pack. What is no JSON in the end is ErrCorrupt, or its reader's to find.
func Unpack(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] != deflated {
		return data, nil
	}
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return out, nil
}
