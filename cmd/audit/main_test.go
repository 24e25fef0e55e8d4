package main

import "testing"

func TestPermittedLicences(t *testing.T) {
	for expression, want := range map[string]bool{
		"MIT": true, "Apache-2.0": true, "GPL-3.0": false, "": false,
		"MIT OR GPL-3.0": true, "(MIT OR GPL-3.0)": true, "MIT AND GPL-3.0": false, "MIT AND Apache-2.0": true,
		"(MIT OR GPL-3.0) AND GPL-3.0": false, "GPL-3.0 AND (MIT OR GPL-3.0)": false, "(MIT) AND (GPL-3.0)": false,
	} {
		if got := permitted(expression); got != want {
			t.Errorf("%q is permitted: %v", expression, got)
		}
	}
}
