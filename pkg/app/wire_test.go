package app

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"defter/pkg/ingest"
	"defter/pkg/lambdaio"

	"github.com/aws/aws-lambda-go/events"
)

// TestS4_SDKsAreToldTheNameThatTheyCalled, though the CDN calls the API by another, where nobody else is answered.
func TestS4_SDKsAreToldTheNameThatTheyCalled(t *testing.T) {
	a := &App{Fixed: map[string]ingest.Source{"k1": {ID: "browser"}}, Now: time.Now}
	for name, c := range map[string]struct {
		key, presented, host string // of the edge
		status               int
		want                 string
	}{
		"without a CDN":                       {"", "", "", 200, "api.example/v1"},
		"without a CDN, by who claims one":    {"", "", "evil.example", 200, "api.example/v1"},
		"by the CDN":                          {"k3y", "k3y", "shop.example", 200, "shop.example/v1"},
		"by the CDN before its function does": {"k3y", "k3y", "", 200, "api.example/v1"},
		"around the CDN":                      {"k3y", "wrong", "evil.example", 401, ""},
	} {
		payload, err := json.Marshal(events.APIGatewayV2HTTPRequest{
			RouteKey: "GET /v1/projects/{writeKey}/settings", RawPath: "/v1/projects/k1/settings", PathParameters: map[string]string{"writeKey": "k1"},
			Headers: map[string]string{"host": "api.example", "X-Forwarded-Proto": "https", "x-defter-viewer": "198.51.100.7", "x-defter-edge": c.presented, "X-Defter-Host": c.host},
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := lambdaio.BehindEdge(IngestEvents(a), c.key).Invoke(t.Context(), payload)
		var answer events.APIGatewayV2HTTPResponse
		if err := errors.Join(err, json.Unmarshal(out, &answer)); err != nil {
			t.Fatal(err)
		}
		var body struct {
			Integrations map[string]struct{ APIHost string }
		}
		if err := json.Unmarshal([]byte(answer.Body), &body); err != nil {
			t.Fatal(err)
		}
		if got := body.Integrations["Segment.io"].APIHost; answer.StatusCode != c.status || got != c.want {
			t.Errorf("%s: %d, send to %q, want %d, %q", name, answer.StatusCode, got, c.status, c.want)
		}
	}
}
