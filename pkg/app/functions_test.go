package app

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"defter/pkg/topology"
)

// A route that changes something honours an Idempotency-Key: its function says how the call is answered when it comes again.
func TestP17_WhateverChangesSomethingHonoursAKey(t *testing.T) {
	text, err := os.ReadFile("functions.go")
	if err != nil {
		t.Fatal(err)
	}
	unrepeated := map[string]bool{}
	made := regexp.MustCompile(`func (\w+)\(a \*App\) lambdaio\.Handler\s*\{\s*return a\.API\(a\.\w+, (nil|a\.\w+)\)`).FindAllStringSubmatch(string(text), -1)
	for _, m := range made {
		unrepeated[kebab(m[1])] = m[2] == "nil"
	}
	seen := 0
	for _, f := range topology.Functions {
		for _, r := range f.Routes {
			if r.Auth != topology.APIKey {
				continue
			}
			never, known := unrepeated[f.Name]
			if !known {
				t.Errorf("%s is made in a way that this test does not read", f.Name)
			}
			if seen++; r.Method != "GET" && never {
				t.Errorf("%s %s does not honour an Idempotency-Key", r.Method, r.Path)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d routes were looked at", seen)
	}
}

// kebab turns RegisterCustomer into register-customer.
func kebab(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "$1-$2"))
}
