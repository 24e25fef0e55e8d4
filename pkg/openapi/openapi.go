// Package openapi serves the description of the API, which cmd/generate makes from the Go types.
package openapi

import (
	_ "embed"

	"context"

	"defter/pkg/fault"
	"defter/pkg/lambdaio"
)

//go:embed openapi.json
var description []byte

// Health is the answer to GET /healthz.
type Health struct {
	Status string `json:"status" enum:"healthy"`
}

// Handler answers GET /healthz and GET /openapi.json. healthy says whether the function reaches its tables.
func Handler(healthy func(context.Context) error) lambdaio.Handler {
	return lambdaio.HTTP(func(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
		if r.Path == "/openapi.json" {
			return lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "application/json"}, Body: description}, nil
		}
		if err := healthy(ctx); err != nil {
			return lambdaio.Response{}, fault.Because(err, fault.Busy, "not-ready", "the store cannot be reached")
		}
		return lambdaio.Response{Status: 200, Body: Health{"healthy"}}, nil
	})
}
