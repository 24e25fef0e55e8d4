// Package events holds the JSON Schemas of every event type, generated from the Go types and frozen once released, and a
// sample of each. README.md lists them.
package events

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"sync"

	"defter/pkg/fault"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Files are the schemas and samples: <Type>/v<n>.schema.json and <Type>/v<n>.sample.json.
//
//go:embed */*.json
var Files embed.FS

var compiled sync.Map // of *jsonschema.Schema or error, by file name

// Validate checks an event's data against its schema. The error says where it does not fit and never repeats a value.
func Validate(name string, schema int, data []byte) error {
	s, err := schemaOf(fmt.Sprintf("%s/v%d.schema.json", name, schema))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fault.New(fault.Invalid, "invalid-event", "%s is not JSON", name)
	}
	if err := s.Validate(value); err != nil {
		where := ""
		if invalid, ok := err.(*jsonschema.ValidationError); ok {
			for len(invalid.Causes) > 0 {
				invalid = invalid.Causes[0]
			}
			where = " at /" + strings.Join(invalid.InstanceLocation, "/") + " (" + strings.Join(invalid.ErrorKind.KeywordPath(), "/") + ")"
		}
		return fault.New(fault.Invalid, "invalid-event", "%s does not fit its schema%s", name, where)
	}
	return nil
}

func schemaOf(file string) (*jsonschema.Schema, error) {
	if known, ok := compiled.Load(file); ok {
		if s, ok := known.(*jsonschema.Schema); ok {
			return s, nil
		}
		return nil, known.(error)
	}
	s, err := compile(file)
	if err != nil {
		compiled.Store(file, err)
		return nil, err
	}
	compiled.Store(file, s)
	return s, nil
}

func compile(file string) (*jsonschema.Schema, error) {
	raw, err := Files.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.Invalid, "unregistered-event", "there is no schema %s", file)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, document); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	s, err := c.Compile(file)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	return s, nil
}
