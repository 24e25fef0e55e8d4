package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"defter/pkg/fault"
	"defter/pkg/foreign"
)

// batch is what a request's body holds, its messages not looked at yet.
type batch struct {
	messages []json.RawMessage
	sentAt   string
	context  json.RawMessage
}

var (
	errNoObject = fault.New(fault.Invalid, "invalid-json", "the body must be a JSON object with a batch")
	errStop     = errors.New("enough is known")
)

// readBatch reads a batch member by member, and no further than it may: a few bytes can stand for a million messages.
func readBatch(body []byte, most int) (batch, error) {
	var b batch
	err := members(body, func(d *json.Decoder, name string) (err error) {
		switch strings.ToLower(name) {
		case "batch":
			b.messages, err = elements(d, most)
		case "sentat":
			var at json.RawMessage
			if err = d.Decode(&at); err == nil {
				b.sentAt = foreign.Scalar(at)
			}
		case "context":
			err = d.Decode(&b.context)
		default:
			err = d.Decode(&json.RawMessage{})
		}
		return err
	})
	if tooLarge := (*fault.Error)(nil); err != nil && !errors.As(err, &tooLarge) {
		err = errNoObject
	}
	return b, err
}

// WriteKey is the key in a body's root, "" for none.
func WriteKey(body []byte) (key string) {
	_ = members(foreign.JSON(body), func(d *json.Decoder, name string) error { // what is wrong with the rest is for those who are known
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if strings.EqualFold(name, "writeKey") && json.Unmarshal(value, &key) == nil && key != "" {
			return errStop
		}
		return nil
	})
	return key
}

// members calls read for each member of the one object that is the body, to decode its value.
func members(body []byte, read func(d *json.Decoder, name string) error) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return errNoObject
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if err := read(d, name.(string)); err != nil { // of an object, the decoder yields no other
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errNoObject
	}
	return nil
}

// elements reads a list, of at most so many.
func elements(d *json.Decoder, most int) ([]json.RawMessage, error) {
	switch start, err := d.Token(); {
	case err != nil:
		return nil, err
	case start == nil: // null: none
		return nil, nil
	case start != json.Delim('['):
		return nil, errNoObject
	}
	var list []json.RawMessage
	for d.More() {
		if len(list) == most {
			return nil, fault.New(fault.Invalid, "too-large", "a request of this source has at most %d messages", most)
		}
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return nil, err
		}
		list = append(list, element)
	}
	_, err := d.Token()
	return list, err
}
