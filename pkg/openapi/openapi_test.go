package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"defter/pkg/openapi"
	"defter/pkg/openapi/describe"
	"defter/pkg/topology"

	"github.com/aws/aws-lambda-go/events"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func get(t *testing.T, path string, healthy error) events.APIGatewayV2HTTPResponse {
	t.Helper()
	in, err := json.Marshal(events.APIGatewayV2HTTPRequest{RouteKey: "GET " + path, RawPath: path})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := openapi.Handler(func(context.Context) error { return healthy }).Invoke(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var out events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHealth(t *testing.T) {
	if out := get(t, "/healthz", nil); out.StatusCode != 200 || out.Body != `{"status":"healthy"}` {
		t.Errorf("%d %s", out.StatusCode, out.Body)
	}
	out := get(t, "/healthz", errors.New("no route to 10.0.0.7"))
	if out.StatusCode != 503 || out.Headers["retry-after"] == "" || strings.Contains(out.Body, "10.0.0.7") {
		t.Errorf("%d %v %s", out.StatusCode, out.Headers, out.Body)
	}
}

func TestHealthByItsOtherName(t *testing.T) {
	if out := get(t, "/health", nil); out.StatusCode != 200 || out.Body != `{"status":"healthy"}` {
		t.Errorf("%d %s", out.StatusCode, out.Body)
	}
	if out := get(t, "/health", errors.New("away")); out.StatusCode != 503 {
		t.Errorf("%d %s", out.StatusCode, out.Body)
	}
}

// TestVersion is that of the changelog, whatever the store does.
func TestVersion(t *testing.T) {
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	latest := regexp.MustCompile(`(?m)^## \[([^]]+)\]`).FindStringSubmatch(string(changelog))
	out := get(t, "/version", errors.New("away"))
	var v openapi.Version
	if err := json.Unmarshal([]byte(out.Body), &v); err != nil || out.StatusCode != 200 || latest == nil || v.Version != latest[1] {
		t.Errorf("%d %s, the changelog has %v", out.StatusCode, out.Body, latest)
	}
}

func TestRobotsStayAway(t *testing.T) {
	out := get(t, "/robots.txt", errors.New("away"))
	if out.StatusCode != 200 || out.Body != "User-agent: *\nDisallow: /\n" || !strings.HasPrefix(out.Headers["content-type"], "text/plain") {
		t.Errorf("%d %v %q", out.StatusCode, out.Headers, out.Body)
	}
}

type operation struct {
	Parameters []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct{ Content map[string]any }
	Responses   map[string]struct {
		Content map[string]any
	}
	Security []map[string][]string
}

type document struct {
	Paths      map[string]map[string]operation
	Components struct {
		Schemas         map[string]any
		SecuritySchemes map[string]any
	}
}

// served is the description as the API answers it.
func served(t *testing.T) ([]byte, document) {
	t.Helper()
	out := get(t, "/openapi.json", nil)
	if out.StatusCode != 200 || out.Headers["content-type"] != "application/json" {
		t.Fatalf("%d %v", out.StatusCode, out.Headers)
	}
	var d document
	if err := json.Unmarshal([]byte(out.Body), &d); err != nil {
		t.Fatal(err)
	}
	return []byte(out.Body), d
}

func TestDescriptionIsUpToDate(t *testing.T) {
	want, err := describe.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := served(t); !bytes.Equal(got, want) {
		t.Error("the description is not what the Go types say: run make generate")
	}
}

// TestDescriptionHasExactlyTheRoutes of the topology, each asking for the key that it needs.
func TestDescriptionHasExactlyTheRoutes(t *testing.T) {
	_, d := served(t)
	described := map[string]operation{}
	for path, operations := range d.Paths {
		for method, o := range operations {
			described[strings.ToUpper(method)+" "+path] = o
		}
	}
	scheme := map[topology.Auth]string{topology.Public: "", topology.APIKey: "apiKey", topology.WriteKey: "writeKey"}
	for _, f := range topology.Functions {
		for _, r := range f.Routes {
			if r.Path == topology.Anywhere {
				continue
			}
			name := r.Method + " " + strings.Replace(r.Path, "+}", "}", 1)
			o, ok := described[name]
			if !ok {
				t.Errorf("%s of %s is not described", name, f.Name)
				continue
			}
			delete(described, name)
			var asks []string
			for _, s := range o.Security {
				asks = append(asks, slices.Sorted(maps.Keys(s))...)
			}
			if got := strings.Join(asks, " and "); got != scheme[r.Auth] {
				t.Errorf("%s asks for %q, want %q", name, got, scheme[r.Auth])
			}
		}
	}
	for name := range described {
		t.Errorf("%s is described, and there is no such route", name)
	}
}

var inPath = regexp.MustCompile(`\{([^}]+)\}`)

// TestDescriptionIsComplete: the parameters in a path are those it has, bodies are where they may be, and every operation
// says what it answers and how errors look.
func TestDescriptionIsComplete(t *testing.T) {
	_, d := served(t)
	for path, operations := range d.Paths {
		for method, o := range operations {
			where := method + " " + path
			var want, got []string
			for _, name := range inPath.FindAllStringSubmatch(path, -1) {
				want = append(want, name[1])
			}
			for _, p := range o.Parameters {
				if p.In == "path" {
					got = append(got, p.Name)
					if !p.Required {
						t.Errorf("%s: %s may be left out", where, p.Name)
					}
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s has the path parameters %v, want %v", where, got, want)
			}
			if (method == "get" || method == "delete") && o.RequestBody != nil {
				t.Errorf("%s has a body", where)
			}
			good := 0
			for status, r := range o.Responses {
				_, problem := r.Content["application/problem+json"]
				_, answer := r.Content["application/json"]
				_, image := r.Content["image/gif"]
				_, text := r.Content["text/plain"]
				switch {
				case status == "204" && len(r.Content) == 0, status == "200" && (image || text) && len(r.Content) == 1:
					good++
				case status[0] == '2' && answer && !problem:
					good++
				case status[0] == '2' || !problem || answer:
					t.Errorf("%s %s: answers %v", where, status, slices.Sorted(maps.Keys(r.Content)))
				}
			}
			if _, fails := o.Responses["500"]; good != 1 || !fails {
				t.Errorf("%s: %d good answers, describes its failure: %v", where, good, fails)
			}
			for _, s := range o.Security {
				for name := range s {
					if d.Components.SecuritySchemes[name] == nil {
						t.Errorf("%s: no security scheme %s", where, name)
					}
				}
			}
		}
	}
}

// TestDescriptionIsOpenAPI checks it against the schema that the OpenAPI Initiative publishes for version 3.1 (testdata,
// Apache licence 2.0), and every schema in it against JSON Schema, references included.
func TestDescriptionIsOpenAPI(t *testing.T) {
	raw, d := served(t)
	parse := func(data []byte) any {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	official, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for name, data := range map[string][]byte{"openapi.schema.json": official, "described.json": raw} {
		if err := c.AddResource(name, parse(data)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("openapi.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(parse(raw)); err != nil {
		t.Errorf("%v", err)
	}
	if err := schema.Validate(parse(bytes.Replace(raw, []byte(`"in": "path"`), []byte(`"in": "air"`), 1))); err == nil {
		t.Error("a parameter in the air passes: the check checks nothing")
	}
	for name := range d.Components.Schemas {
		if _, err := c.Compile("described.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "#([^"]+)"`).FindAllStringSubmatch(string(raw), -1) {
		if _, err := c.Compile("described.json#" + ref[1]); err != nil {
			t.Errorf("reference %s: %v", ref[1], err)
		}
	}
}
