package lambdaio

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// Who comes by the deployment's CDN is counted by their own address, and nobody else gets in.
func TestS4_OnlyTheEdgeSaysWhoCalls(t *testing.T) {
	const key = "k3y"
	for name, c := range map[string]struct {
		key, presented, viewer string
		from                   string // "" for refused
	}{
		"no CDN":                              {"", "", "", "203.0.113.200"},
		"no CDN, and who claims there is":     {"", "", "198.51.100.7", "203.0.113.200"},
		"by the CDN":                          {key, key, "198.51.100.7", "198.51.100.7"},
		"by the CDN, over IPv6":               {key, key, "2001:db8::7", "2001:db8::7"},
		"around it":                           {key, "", "", ""},
		"around it, with another's key":       {key, "other", "198.51.100.7", ""},
		"around it, with no key":              {key, "", "198.51.100.7", ""},
		"by the CDN without its function":     {key, key, "", ""},
		"by the CDN, an address that is none": {key, key, "198.51.100.7, 203.0.113.9", ""},
	} {
		seen := ""
		h := BehindEdge(HTTP(func(_ context.Context, r Request) (Response, error) {
			seen = r.SourceIP
			for _, header := range []string{EdgeHeader, ViewerHeader, HostHeader} {
				if c.key != "" && r.Header[header] != "" {
					t.Errorf("%s: %s goes on", name, header)
				}
			}
			return Response{Status: 200}, nil
		}), c.key)
		in := events.APIGatewayV2HTTPRequest{RouteKey: "GET /healthz", RawPath: "/healthz", Headers: map[string]string{"X-Defter-Edge": c.presented, "x-defter-viewer": c.viewer, "x-defter-host": "shop.example"}}
		in.RequestContext.HTTP.SourceIP = "203.0.113.200"
		payload, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out events.APIGatewayV2HTTPResponse
		answer, err := h.Invoke(t.Context(), payload)
		if err := errors.Join(err, json.Unmarshal(answer, &out)); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 401, false: 200}[c.from == ""]; seen != c.from || out.StatusCode != want {
			t.Errorf("%s: called by %q, %d %s", name, seen, out.StatusCode, out.Body)
		}
	}
}
