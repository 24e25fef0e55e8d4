package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// jsii is one process for all tests, and not safe for concurrent use: no test here runs in parallel.
func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// app returns an app with the context of cdk.json and what a test puts over it, and with a stub of every function.
func app(t *testing.T, over map[string]any) awscdk.App {
	t.Helper()
	t.Setenv("CDK_VALIDATION", "false") // slow, and `make synth` has it on
	text, err := os.ReadFile("../cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	var settings struct{ Context map[string]any }
	if err := json.Unmarshal(text, &settings); err != nil {
		t.Fatal(err)
	}
	context := settings.Context
	context["functionsDir"], context["dataController"] = stubs(t), "Example Ltd."
	for name, value := range over {
		context[name] = value
	}
	return awscdk.NewApp(&awscdk.AppProps{Context: &context, Outdir: jsii.String(t.TempDir()), AnalyticsReporting: jsii.Bool(false)})
}

// stubs is a folder with a bootstrap for every function that is not a program.
func stubs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, row := range topology.Functions {
		if err := os.Mkdir(filepath.Join(dir, row.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, row.Name, "bootstrap"), []byte("stub\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func platform(t *testing.T, over map[string]any) *Platform {
	t.Helper()
	a := app(t, over)
	settings, err := LoadSettings(a.Node())
	if err != nil {
		t.Fatal(err)
	}
	return NewPlatform(a, settings)
}

// template is a synthesised stack, as far as the tests look into it.
type template struct {
	Resources map[string]*node
	Outputs   map[string]struct {
		Value  any
		Export struct{ Name string }
	}
}

type node struct {
	Type           string
	Properties     map[string]any
	DeletionPolicy string
}

// synthesised is every stack's template, by the stack's name without its prefix.
type synthesised map[string]template

func synth(t *testing.T, p *Platform) synthesised {
	t.Helper()
	out := *p.app.Synth(nil).Directory()
	all := synthesised{}
	for _, stack := range p.stacks {
		text, err := os.ReadFile(filepath.Join(out, *stack.TemplateFile()))
		if err != nil {
			t.Fatal(err)
		}
		var parsed template
		if err := json.Unmarshal(text, &parsed); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(*stack.StackName(), p.Name(""))] = parsed
	}
	return all
}

// resolve follows a reference from one stack, into another if need be, to what it names.
func (all synthesised) resolve(stack string, value any) *node {
	reference, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	if id, ok := reference["Ref"].(string); ok {
		return all[stack].Resources[id]
	}
	if attribute, ok := reference["Fn::GetAtt"].([]any); ok {
		return all[stack].Resources[attribute[0].(string)]
	}
	if export, ok := reference["Fn::ImportValue"].(string); ok {
		for name, other := range all {
			for _, output := range other.Outputs {
				if output.Export.Name == export {
					return all.resolve(name, output.Value)
				}
			}
		}
	}
	return nil
}

// of lists the resources of one type, and the stack each is in.
func (all synthesised) of(kind string, visit func(stack string, n *node)) {
	for stack, parsed := range all {
		for _, n := range parsed.Resources {
			if n.Type == kind {
				visit(stack, n)
			}
		}
	}
}
