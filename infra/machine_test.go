package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"defter/pkg/saga"
)

func TestMachineIsValidAmazonStatesLanguage(t *testing.T) {
	validator, err := filepath.Abs("cli/node_modules/.bin/asl-validator")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(validator); err != nil {
		t.Skip("asl-validator is not installed: npm ci --prefix infra/cli")
	}
	validate := func(definition string) (string, error) {
		path := filepath.Join(t.TempDir(), "machine.asl.json")
		if err := os.WriteFile(path, []byte(definition), 0o644); err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command(validator, "--json-path", path).CombinedOutput()
		return string(output), err
	}
	definition := saga.Machine("arn:aws:lambda:us-east-1:123456789012:function:run-journey-step")
	if output, err := validate(definition); err != nil {
		t.Errorf("%v: %s", err, output)
	}
	if output, err := validate(strings.Replace(definition, `"Default":"Wait"`, `"Default":"Nowhere"`, 1)); err == nil {
		t.Errorf("a way to nowhere passes: %s", output)
	}
}
