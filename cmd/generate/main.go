// Command generate writes what is derived from the Go types: the events' JSON Schemas and samples with their README, and
// the API's OpenAPI description, and the page of what is made of webhooks. Schemas that are released, which events/released.txt lists with their hashes, are never
// written again: a change to a released event type needs a new version and an upcaster. -release freezes what there is.
//
// Run it from the project's root: go run ./cmd/generate
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"defter/pkg/catalog"
	"defter/pkg/eventstore"
	"defter/pkg/openapi/describe"
	"defter/pkg/timeline"

	"github.com/invopop/jsonschema"
)

func main() {
	release := flag.Bool("release", false, "freeze the schemas there are")
	flag.Parse()
	if err := run(*release); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(release bool) error {
	released, err := readReleased()
	if err != nil {
		return err
	}
	c := catalog.New()
	for _, name := range c.Names() {
		if err := writeEvent(c, name, released); err != nil {
			return err
		}
	}
	if release {
		if err := writeReleased(released); err != nil {
			return err
		}
	}
	if err := writeReadme(c); err != nil {
		return err
	}
	if err := os.WriteFile(webhooksFile, webhooks(), 0o644); err != nil {
		return err
	}
	description, err := describe.JSON()
	if err != nil {
		return err
	}
	return os.WriteFile("pkg/openapi/openapi.json", description, 0o644)
}

func writeEvent(c *eventstore.Catalog, name string, released map[string]string) error {
	data := c.Type(name)
	reflector := jsonschema.Reflector{DoNotReference: true, ExpandedStruct: true, Anonymous: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		if t == reflect.TypeFor[json.RawMessage]() {
			return &jsonschema.Schema{Type: "object"}
		}
		return nil
	}}
	schema := reflector.ReflectFromType(data)
	schema.Title = name
	if err := markPersonal(schema, data); err != nil {
		return err
	}
	document, err := indent(schema)
	if err != nil {
		return err
	}
	sample, err := indent(sampleOf(data, "").Interface())
	if err != nil {
		return err
	}
	base := filepath.Join("events", name, fmt.Sprintf("v%d", c.Schema(name)))
	if hash, frozen := released[base+".schema.json"]; frozen {
		if hash != hashOf(document) {
			return fmt.Errorf("%s is released and would change: declare a new version with an upcaster", base)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(base+".schema.json", document, 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".sample.json", sample, 0o644)
}

// markPersonal notes on each property what kind of personal data it holds.
func markPersonal(schema *jsonschema.Schema, data reflect.Type) error {
	for i := range data.NumField() {
		f := data.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		property, ok := schema.Properties.Get(name)
		if !ok {
			return fmt.Errorf("%s has no property %s", data, name)
		}
		if pii := f.Tag.Get("pii"); pii != "-" && pii != eventstore.UnlessOpaque { // which no schema can tell
			property.Extras = map[string]any{"x-pii": pii}
		}
	}
	return nil
}

// sampleOf makes a value of a type with every field set, always the same.
func sampleOf(t reflect.Type, tag reflect.StructTag) reflect.Value {
	v := reflect.New(t).Elem()
	switch {
	case t == reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	case t == reflect.TypeFor[json.RawMessage]():
		return reflect.ValueOf(json.RawMessage(`{"size":"M"}`))
	}
	switch t.Kind() {
	case reflect.String:
		v.SetString(sampleText(tag))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1250)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(sampleOf(t.Elem(), tag))
	case reflect.Slice:
		v.Set(reflect.Append(v, sampleOf(t.Elem(), "")))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(reflect.ValueOf("plan"), reflect.ValueOf("gold"))
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(sampleOf(t.Field(i).Type, t.Field(i).Tag))
		}
	}
	return v
}

func sampleText(tag reflect.StructTag) string {
	schema := tag.Get("jsonschema")
	for _, part := range strings.Split(schema, ",") {
		if value, ok := strings.CutPrefix(part, "enum="); ok {
			return value
		}
	}
	if strings.Contains(schema, "pattern=^[A-Z]{3}$") {
		return "TRY"
	}
	samples := map[string]string{
		"email": "ada@example.com", "name": "Ada", "phone": "+905550000000", "ip": "203.0.113.7", "device": "Mozilla/5.0",
		"url": "https://shop.example/p/1", "birthdate": "1990-05-17",
	}
	if s, ok := samples[tag.Get("pii")]; ok {
		return s
	}
	return "sample"
}

func indent(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

const releasedFile = "events/released.txt"

func readReleased() (map[string]string, error) {
	released := map[string]string{}
	raw, err := os.ReadFile(releasedFile)
	if os.IsNotExist(err) {
		return released, nil
	}
	for line := range strings.Lines(string(raw)) {
		if hash, file, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			released[file] = hash
		}
	}
	return released, err
}

// writeReleased freezes the schemas there are. Those that are frozen already must still be there, as they were.
func writeReleased(released map[string]string) error {
	files, err := filepath.Glob("events/*/*.schema.json")
	if err != nil {
		return err
	}
	for file := range released {
		if !slices.Contains(files, file) {
			return fmt.Errorf("%s is released and is gone", file)
		}
	}
	slices.Sort(files)
	var b strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if hash, frozen := released[file]; frozen && hash != hashOf(raw) {
			return fmt.Errorf("%s is released and was changed", file)
		}
		fmt.Fprintf(&b, "%s  %s\n", hashOf(raw), file)
	}
	return os.WriteFile(releasedFile, []byte(b.String()), 0o644)
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func writeReadme(c *eventstore.Catalog) error {
	var b strings.Builder
	b.WriteString("# Events\n\nGenerated by `go run ./cmd/generate`. Each folder holds the JSON Schema of every version and a sample;\n" +
		"`released.txt` lists the schemas that are frozen. Personal fields are sealed wherever events rest and are not on the bus.\n" +
		"The text is what a timeline calls it in English; `pkg/timeline` has it in Turkish too.\n\n" +
		"| event | version | text | public fields | fields that are personal unless opaque | personal fields |\n|---|---|---|---|---|---|\n")
	for _, name := range c.Names() {
		var public, either, personal []string
		t := c.Type(name)
		for i := range t.NumField() {
			field, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			switch t.Field(i).Tag.Get("pii") {
			case "-":
				public = append(public, field)
			case eventstore.UnlessOpaque:
				either = append(either, field)
			default:
				personal = append(personal, field)
			}
		}
		fmt.Fprintf(&b, "| [%s](%s/) | %d | %s | %s | %s | %s |\n", name, name, c.Schema(name), timeline.Text(name, timeline.English), strings.Join(public, ", "), strings.Join(either, ", "), strings.Join(personal, ", "))
	}
	return os.WriteFile("events/README.md", []byte(b.String()), 0o644)
}
