// Package events holds the JSON Schemas of every event type, generated from the Go types and frozen once released, and a
// sample of each. README.md lists them.
package events

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"

	"defter/pkg/fault"

	"github.com/google/jsonschema-go/jsonschema"
)

// Files are the schemas and samples: <Type>/v<n>.schema.json and <Type>/v<n>.sample.json.
//
//go:embed */*.json
var Files embed.FS

var compiled sync.Map // of *jsonschema.Resolved or error, by file name

// unfit finds in the library's errors where in the data something does not fit, and which rule.
var unfit = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`validating (/[^ :]*): (\w+):`) })

// Validate checks an event's data against its schema. The error says where it does not fit and never repeats a value.
func Validate(name string, schema int, data []byte) error {
	s, err := schemaOf(fmt.Sprintf("%s/v%d.schema.json", name, schema))
	if err != nil {
		return err
	}
	value, err := decode(data)
	if err != nil {
		return fault.New(fault.Invalid, "invalid-event", "%s is not JSON", name)
	}
	if err := s.Validate(value); err != nil {
		where := ""
		if found := unfit().FindAllStringSubmatch(err.Error(), -1); found != nil {
			last := found[len(found)-1]
			where = " at " + strings.ReplaceAll(last[1], "/properties/", "/") + " (" + last[2] + ")"
		}
		return fault.New(fault.Invalid, "invalid-event", "%s does not fit its schema%s", name, where)
	}
	return nil
}

// decode reads JSON as the library takes it. A number too large for a float, which JSON allows, stands for a large one.
func decode(data []byte) (value any, err error) {
	if err = json.Unmarshal(data, &value); err == nil {
		return value, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err = d.Decode(&value); err != nil {
		return nil, err
	}
	return bounded(value), nil
}

func bounded(value any) any {
	switch v := value.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return math.MaxFloat64
		}
		return f
	case map[string]any:
		for name := range v {
			v[name] = bounded(v[name])
		}
	case []any:
		for i := range v {
			v[i] = bounded(v[i])
		}
	}
	return value
}

func schemaOf(file string) (*jsonschema.Resolved, error) {
	if known, ok := compiled.Load(file); ok {
		if s, ok := known.(*jsonschema.Resolved); ok {
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

func compile(file string) (*jsonschema.Resolved, error) {
	raw, err := Files.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.Invalid, "unregistered-event", "there is no schema %s", file)
	}
	var document jsonschema.Schema
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	s, err := document.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", file, err)
	}
	return s, nil
}
