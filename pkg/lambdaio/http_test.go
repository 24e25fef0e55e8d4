package lambdaio_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"

	"github.com/aws/aws-lambda-go/events"
)

// logged collects what is logged while the test runs.
func logged(t *testing.T) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &out
}

func invoke(t *testing.T, h lambdaio.Handler, in any) []byte {
	t.Helper()
	payload, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func answer(t *testing.T, in events.APIGatewayV2HTTPRequest, answer func(context.Context, lambdaio.Request) (lambdaio.Response, error)) events.APIGatewayV2HTTPResponse {
	t.Helper()
	var out events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(invoke(t, lambdaio.HTTP(answer), in), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func failing(err error) func(context.Context, lambdaio.Request) (lambdaio.Response, error) {
	return func(context.Context, lambdaio.Request) (lambdaio.Response, error) {
		return lambdaio.Response{Status: 200, Body: "answered"}, err
	}
}

func TestRequest(t *testing.T) {
	in := events.APIGatewayV2HTTPRequest{
		RouteKey: "POST /v1/customers/{id}/consents", RawPath: "/v1/customers/c1/consents", RawQueryString: "a=1&a=2&b=%20x",
		Headers: map[string]string{"Content-Type": "application/json", "IDEMPOTENCY-KEY": "k1"}, PathParameters: map[string]string{"id": "c1"},
		Body: `{"x":"ş"}`, RequestContext: events.APIGatewayV2HTTPRequestContext{
			RequestID: "r1", HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{SourceIP: "203.0.113.7"},
		},
	}
	for _, encoded := range []bool{false, true} {
		if encoded {
			in.Body, in.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(in.Body)), true
		}
		var got lambdaio.Request
		out := answer(t, in, func(_ context.Context, r lambdaio.Request) (lambdaio.Response, error) {
			err := r.Load(100)
			got = r
			return lambdaio.Response{Status: 204}, err
		})
		want := lambdaio.Request{
			ID: "r1", Route: in.RouteKey, Path: in.RawPath, Params: in.PathParameters, Query: map[string][]string{"a": {"1", "2"}, "b": {" x"}},
			Header: map[string]string{"content-type": "application/json", "idempotency-key": "k1"}, Body: []byte(`{"x":"ş"}`), SourceIP: "203.0.113.7",
		}
		if !reflect.DeepEqual(got, want) || out.StatusCode != 204 || out.Body != "" {
			t.Errorf("encoded %v\n  got:  %+v\n  want: %+v\n  answered %d %q", encoded, got, want, out.StatusCode, out.Body)
		}
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	for slug, in := range map[string]events.APIGatewayV2HTTPRequest{
		"invalid-body":  {Body: "{}", IsBase64Encoded: true},
		"invalid-query": {RawQueryString: "a=%zz"},
	} {
		out := answer(t, in, func(_ context.Context, r lambdaio.Request) (lambdaio.Response, error) {
			if err := r.Load(100); err != nil {
				return lambdaio.Response{}, err
			}
			t.Errorf("%s: the handler reads %q", slug, r.Body)
			return lambdaio.Response{}, nil
		})
		if p := problem(t, out); out.StatusCode != 400 || p.Type != "urn:defter:problem:"+slug {
			t.Errorf("%s: %d %+v", slug, out.StatusCode, p)
		}
	}
	if _, err := lambdaio.HTTP(failing(nil)).Invoke(t.Context(), []byte("{")); err == nil {
		t.Error("an event that is no JSON is answered")
	}
}

// TestS2_BodiesAreReadForThoseWhoAreKnown: what a body says is not looked at before somebody asks for it, and then bounded.
func TestS2_BodiesAreReadForThoseWhoAreKnown(t *testing.T) {
	text := strings.Repeat(`"\u00fc`, 50) // 350 bytes
	for _, c := range []struct {
		name, body string
		inBase64   bool
		limit      int
		want       string // "" for too large
	}{
		{"text", text, false, 350, text},
		{"text beyond", text, false, 349, ""},
		{"base64", base64.StdEncoding.EncodeToString([]byte(text)), true, 350, text},
		{"base64 beyond", base64.StdEncoding.EncodeToString([]byte(text)), true, 349, ""},
		{"none", "", false, 0, ""},
	} {
		in := events.APIGatewayV2HTTPRequest{
			RawPath: "/x", Body: c.body, IsBase64Encoded: c.inBase64,
			Headers: map[string]string{"body": "of a header"}, QueryStringParameters: map[string]string{"body": `"body":"of the query"`},
		}
		out := answer(t, in, func(_ context.Context, r lambdaio.Request) (lambdaio.Response, error) {
			if r.Body != nil || r.Header["body"] != "of a header" {
				t.Errorf("%s: read before it was asked for: %q %v", c.name, r.Body, r.Header)
			}
			err := r.Load(c.limit)
			if err == nil && string(r.Body) != c.want {
				t.Errorf("%s is read as %q", c.name, r.Body)
			}
			return lambdaio.Response{Status: 200}, err
		})
		if tooLarge := out.StatusCode == 413; tooLarge != (c.want == "" && c.body != "") {
			t.Errorf("%s is answered %d", c.name, out.StatusCode)
		}
	}
	given := lambdaio.Request{Body: []byte("abc")}
	if given.Load(3) != nil || given.Load(2) == nil {
		t.Error("a body that is there already is not bounded")
	}
}

// TestPixelsQuery is read as far as it goes.
func TestPixelsQuery(t *testing.T) {
	for raw, want := range map[string]string{"a=%zz&b=1": "1", "a;b&b=1": "1", "%%%": "", "b=1": "1"} {
		var got *lambdaio.Request
		answer(t, events.APIGatewayV2HTTPRequest{RawPath: "/pixel/v1/track", RawQueryString: raw}, func(_ context.Context, r lambdaio.Request) (lambdaio.Response, error) {
			got = &r
			return lambdaio.Response{Status: 200}, nil
		})
		if got == nil || got.Query.Get("b") != want {
			t.Errorf("%s is read as %+v", raw, got)
		}
	}
}

func TestResponse(t *testing.T) {
	for _, c := range []struct {
		response lambdaio.Response
		body     string
		kind     string
	}{
		{lambdaio.Response{Status: 201, Header: map[string]string{"location": "/x"}, Body: map[string]string{"a": "ş"}}, `{"a":"ş"}`, "application/json"},
		{lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "text/html"}, Body: []byte("<p>")}, "<p>", "text/html"},
		{lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "application/scim+json"}, Body: []int{1}}, "[1]", "application/scim+json"},
		{lambdaio.Response{Status: 204}, "", ""},
		{lambdaio.Response{Status: 200, Body: []byte{0xff}}, "/w==", ""},
	} {
		out := answer(t, events.APIGatewayV2HTTPRequest{}, func(context.Context, lambdaio.Request) (lambdaio.Response, error) { return c.response, nil })
		if out.StatusCode != c.response.Status || out.Body != c.body || out.Headers["content-type"] != c.kind || out.Headers["location"] != c.response.Header["location"] {
			t.Errorf("%+v is answered as %+v", c.response, out)
		}
	}
	logged(t)
	out := answer(t, events.APIGatewayV2HTTPRequest{}, func(context.Context, lambdaio.Request) (lambdaio.Response, error) {
		return lambdaio.Response{Status: 200, Body: func() {}}, nil
	})
	if p := problem(t, out); out.StatusCode != 500 || p.Type != "urn:defter:problem:internal" {
		t.Errorf("an answer that cannot be encoded: %+v", out)
	}
}

func problem(t *testing.T, out events.APIGatewayV2HTTPResponse) lambdaio.Problem {
	t.Helper()
	if got := out.Headers["content-type"]; got != "application/problem+json" {
		t.Errorf("a problem of type %q", got)
	}
	var p lambdaio.Problem
	if err := json.Unmarshal([]byte(out.Body), &p); err != nil {
		t.Fatalf("%v: %s", err, out.Body)
	}
	return p
}

// TestProblems: each of the seven kinds has its status, an error of the store too, and none tells its cause.
func TestProblems(t *testing.T) {
	log := logged(t)
	secret := errors.New("secret of ada@example.com")
	for _, c := range []struct {
		err    error
		status int
		slug   string
		title  fault.Kind
	}{
		{fault.New(fault.Invalid, "invalid-email", "what is this"), 400, "invalid-email", fault.Invalid},
		{fault.New(fault.Unauthorized, "unauthorized", "what is this"), 401, "unauthorized", fault.Unauthorized},
		{fault.New(fault.NotFound, "customer-not-found", "what is this"), 404, "customer-not-found", fault.NotFound},
		{fault.New(fault.Conflict, "email-taken", "what is this"), 409, "email-taken", fault.Conflict},
		{fault.New(fault.Invalid, "too-large", "what is this"), 413, "too-large", fault.Invalid},
		{fault.New(fault.Rejected, "terms-not-accepted", "what is this"), 422, "terms-not-accepted", fault.Rejected},
		{fault.New(fault.Internal, "unknown-command", "what is this"), 500, "unknown-command", fault.Internal},
		{fault.New(fault.Busy, "not-ready", "what is this"), 503, "not-ready", fault.Busy},
		{fault.New(fault.Busy, "rate-limited", "what is this"), 429, "rate-limited", fault.Busy},
		{fmt.Errorf("append: %w", fault.Because(secret, fault.Conflict, "email-taken", "what is this")), 409, "email-taken", fault.Conflict},
		{secret, 500, "internal", fault.Internal},
		{fmt.Errorf("append: %w: %w", eventstore.ErrBusy, secret), 503, "busy", fault.Busy},
		{fmt.Errorf("append: %w", context.DeadlineExceeded), 503, "busy", fault.Busy},
	} {
		log.Reset()
		out := answer(t, events.APIGatewayV2HTTPRequest{RequestContext: events.APIGatewayV2HTTPRequestContext{RequestID: "r1"}}, failing(c.err))
		p := problem(t, out)
		if out.StatusCode != c.status || p.Status != c.status || p.Type != "urn:defter:problem:"+c.slug || p.Title != string(c.title) || p.RequestID != "r1" || p.Detail == "" {
			t.Errorf("%v\n  got:  %d %+v\n  want: %d %s", c.err, out.StatusCode, p, c.status, c.slug)
		}
		if strings.Contains(out.Body, "secret") || strings.Contains(out.Body, "answered") {
			t.Errorf("%v is answered with %s", c.err, out.Body)
		}
		if _, later := out.Headers["retry-after"]; later != (c.status == 503 || c.status == 429) {
			t.Errorf("%d: %v", c.status, out.Headers)
		}
		if _, how := out.Headers["www-authenticate"]; how != (c.status == 401) {
			t.Errorf("%d: %v", c.status, out.Headers)
		}
		if told := strings.Contains(log.String(), `"level":"ERROR"`); told != (c.status >= 500) {
			t.Errorf("%d is logged as %s", c.status, log)
		}
	}
}

// TestPanicIsAnAnswer: of status 500, which says nothing of it; the log does.
func TestPanicIsAnAnswer(t *testing.T) {
	log := logged(t)
	for _, value := range []any{"secret", errors.New("secret"), fault.New(fault.NotFound, "secret", "secret")} {
		log.Reset()
		out := answer(t, events.APIGatewayV2HTTPRequest{}, func(context.Context, lambdaio.Request) (lambdaio.Response, error) { panic(value) })
		if p := problem(t, out); out.StatusCode != 500 || strings.Contains(out.Body, "secret") || p.Type != "urn:defter:problem:internal" {
			t.Errorf("%d %s", out.StatusCode, out.Body)
		}
		if !strings.Contains(log.String(), "panic: ") || !strings.Contains(log.String(), "secret") {
			t.Errorf("logged as %s", log)
		}
	}
}

// TestOneLineForEachRequest says what it was and what it cost, and nothing of what was in it.
func TestOneLineForEachRequest(t *testing.T) {
	log := logged(t)
	answer(t, events.APIGatewayV2HTTPRequest{
		RouteKey: "GET /v1/customers", RawPath: "/v1/customers", RawQueryString: "email=ada@example.com", Body: "ada@example.com",
		Headers: map[string]string{"authorization": "Bearer k1"}, RequestContext: events.APIGatewayV2HTTPRequestContext{RequestID: "r1"},
	}, failing(nil))
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	for key, want := range map[string]any{"msg": "request", "route": "GET /v1/customers", "status": 200.0, "requestId": "r1", "writeUnits": 0.0, "readUnits": 0.0} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if strings.Contains(log.String(), "ada") || strings.Contains(log.String(), "k1") {
		t.Errorf("logged %s", log)
	}
}
