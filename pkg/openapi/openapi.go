// Package openapi serves the description of the API, which cmd/generate makes from the Go types, and says what runs here.
package openapi

import (
	_ "embed"

	"context"
	"runtime/debug"

	"defter/pkg/fault"
	"defter/pkg/lambdaio"
)

//go:embed openapi.json
var description []byte

// version is the changelog's latest.
const version = "0.1.0"

// commit is set by the linker where functions are built. It must not be written to.
var commit string

// Health is the answer to GET /healthz and GET /health.
type Health struct {
	Status string `json:"status" enum:"healthy"`
}

// Version is the answer to GET /version.
type Version struct {
	Version string `json:"version" description:"as in the changelog"`
	Commit  string `json:"commit,omitempty" description:"that it was built of, where that is known; +dirty with what was not committed"`
}

// Handler answers GET /healthz, /health, /version, /robots.txt and /openapi.json. healthy says whether the function reaches
// its tables.
func Handler(healthy func(context.Context) error) lambdaio.Handler {
	return lambdaio.HTTP(func(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
		switch r.Path {
		case "/openapi.json":
			return lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "application/json"}, Body: description}, nil
		case "/version":
			return lambdaio.Response{Status: 200, Body: Version{version, built()}}, nil
		case "/robots.txt":
			return lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "text/plain; charset=utf-8"}, Body: []byte("User-agent: *\nDisallow: /\n")}, nil
		}
		if err := healthy(ctx); err != nil {
			return lambdaio.Response{}, fault.Because(err, fault.Busy, "not-ready", "the store cannot be reached")
		}
		return lambdaio.Response{Status: 200, Body: Health{"healthy"}}, nil
	})
}

// built is the commit that this program was built of, "" where nobody noted it, as in tests.
func built() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}
