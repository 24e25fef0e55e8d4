// Package lambdaio turns the JSON that Lambda functions get (API Gateway, streams, EventBridge, SQS, Step Functions) into
// Go and back, so that handlers never see it. The embedded run speaks the same JSON, but for HTTP requests and stream
// records, of which there are too many.
package lambdaio

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"defter/pkg/fault"
	"defter/pkg/meter"

	"github.com/aws/aws-lambda-go/events"
)

// maxAnswer is how many bytes an answer may have: Lambda's 6 MB, less what base64 adds to one that is no text.
const maxAnswer = 4_500_000

// Handler is a Lambda function: JSON in, JSON out.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, payload []byte) ([]byte, error)

func (f HandlerFunc) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f(ctx, payload)
}

// Request is an HTTP request.
type Request struct {
	ID       string            // API Gateway's
	Route    string            // "POST /v1/customers/{id}/consents"
	Path     string            // without a slash at its end
	Slash    bool              // whether there was one
	Params   map[string]string // from the path
	Query    url.Values
	Header   map[string]string // lower-case names
	Body     []byte            // once it was asked for: see Load
	SourceIP string

	// Open returns the body, or an Invalid "too-large" if it has more bytes than the limit. It is not called before it is
	// known who asks: a stranger's body is not worth reading. Nil where Body is all there is.
	Open func(limit int) ([]byte, error)
}

// Load reads the body, of at most limit bytes, into Body. Whoever answers calls it once they know who asks.
func (r *Request) Load(limit int) error {
	if open := r.Open; open != nil {
		r.Open = nil
		var err error
		r.Body, err = open(limit)
		return err
	}
	if len(r.Body) > limit {
		return TooLarge(limit)
	}
	return nil
}

// TooLarge is the error of a body beyond its limit.
func TooLarge(limit int) error {
	return fault.New(fault.Invalid, "too-large", "the body has more than %d bytes", limit)
}

// Response is the answer to a Request. A Body of []byte is sent as it is, anything else as JSON.
type Response struct {
	Status int
	Header map[string]string
	Body   any
}

// Problem is an error as RFC 9457 shows it.
type Problem struct {
	Type      string `json:"type" description:"stable, for programs: urn:defter:problem:<slug>"`
	Title     string `json:"title" description:"the kind of the error"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty" description:"for people"`
	RequestID string `json:"requestId,omitempty"`
	// What some SDKs read of an error before they decide whether to send again.
	Code    string `json:"code,omitempty" description:"the slug again, on the SDKs' routes"`
	Message string `json:"message,omitempty" description:"the detail again, on the SDKs' routes"`
}

// ForSDKs repeats a problem in the members that RudderStack's Python SDK cannot do without: it would send for ever.
func (p *Problem) ForSDKs() {
	p.Code, p.Message = strings.TrimPrefix(p.Type, "urn:defter:problem:"), p.Detail
}

// Endpoint answers HTTP requests. As a Handler it answers API Gateway's HTTP API, payload format 2.0; a server in this
// process calls Serve.
type Endpoint func(context.Context, Request) (Response, error)

// HTTP makes a function of an Endpoint.
func HTTP(answer Endpoint) Handler { return answer }

func (e Endpoint) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return e.invoke(ctx, payload, func(*Request) error { return nil })
}

// invoke answers an event of API Gateway, if its request is let in.
func (e Endpoint) invoke(ctx context.Context, payload []byte, let func(*Request) error) ([]byte, error) {
	head, body := withoutBody(payload)
	var in events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(head, &in); err != nil {
		return nil, fmt.Errorf("read API Gateway's event: %w", err)
	}
	request, err := requestOf(in, body)
	if err == nil {
		err = let(&request)
	}
	if err != nil {
		return encode(ProblemOf(ctx, err, request.ID))
	}
	return encode(e.Serve(ctx, request))
}

// Serve answers a request. What goes wrong is a problem in the answer; the Body is bytes or nil.
func (e Endpoint) Serve(ctx context.Context, r Request) Response {
	cost := new(meter.Meter)
	began := time.Now()
	response, err := recovered(meter.With(ctx, cost), r, e)
	if err == nil {
		response, err = encoded(response)
	}
	if body, _ := response.Body.([]byte); err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("the answer has %d bytes, more than Lambda can give", len(body))
	}
	if err != nil {
		response = ProblemOf(ctx, err, r.ID)
	}
	slog.InfoContext(ctx, "request", "route", r.Route, "status", response.Status, "writeUnits", cost.Cost().WriteUnits,
		"readUnits", cost.Cost().ReadUnits, "ms", time.Since(began).Milliseconds(), "requestId", r.ID)
	return response
}

// recovered turns a panic, which would end the process, into an answer.
func recovered(ctx context.Context, r Request, answer Endpoint) (response Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return answer(ctx, r)
}

func requestOf(in events.APIGatewayV2HTTPRequest, body []byte) (Request, error) {
	r := Request{
		ID: in.RequestContext.RequestID, Route: Plain(in.RouteKey), Path: Plain(in.RawPath), Slash: len(in.RawPath) > 1 && strings.HasSuffix(in.RawPath, "/"), Params: in.PathParameters,
		Header: make(map[string]string, len(in.Headers)), SourceIP: in.RequestContext.HTTP.SourceIP,
		Open: func(limit int) ([]byte, error) { return bodyOf(body, in.IsBase64Encoded, limit) },
	}
	for name, value := range in.Headers {
		r.Header[strings.ToLower(name)] = value
	}
	var err error
	r.Query, err = Query(r.Path, in.RawQueryString)
	return r, err
}

// Plain is a path, or a route, without the slash that some clients put at its end.
func Plain(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}

// Query reads a query string. A pixel's is read as far as it goes: it is always answered with an image.
func Query(path, raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil && !strings.HasPrefix(path, "/pixel/") {
		return nil, fault.New(fault.Invalid, "invalid-query", "the query string is malformed")
	}
	return values, nil
}

var statuses = map[fault.Kind]int{
	fault.Invalid: 400, fault.Unauthorized: 401, fault.NotFound: 404, fault.Conflict: 409, fault.Rejected: 422, fault.Busy: 503, fault.Internal: 500,
}

// ProblemOf is the answer that tells an error, and logs what is our fault.
func ProblemOf(ctx context.Context, err error, requestID string, extend ...func(*Problem)) Response {
	p := Problem{Type: "urn:defter:problem:internal", Title: string(fault.Internal), Status: 500, Detail: "something went wrong here; try again", RequestID: requestID}
	header := map[string]string{"content-type": "application/problem+json"}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		p.Type, p.Title, p.Status, p.Detail = "urn:defter:problem:"+e.Slug, string(e.Kind), statuses[e.Kind], e.Detail
		switch e.Slug {
		case "too-large":
			p.Status = 413
		case "unsupported-encoding":
			p.Status = 415
		case "rate-limited", "over-budget":
			p.Status = 429
		}
	} else if IsBusy(err) {
		p.Type, p.Title, p.Status = "urn:defter:problem:busy", string(fault.Busy), 503
	}
	if p.Status == 503 || p.Status == 429 {
		header["retry-after"] = "1"
	}
	if p.Status == 401 {
		header["www-authenticate"] = "Bearer"
	}
	if p.Status >= 500 {
		slog.ErrorContext(ctx, "request failed", "error", err, "requestId", requestID)
	}
	for _, more := range extend {
		more(&p)
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number
	}
	return Response{Status: p.Status, Header: header, Body: body}
}

// encoded makes the body bytes.
func encoded(r Response) (Response, error) {
	switch r.Body.(type) {
	case nil, []byte:
		return r, nil
	}
	data, err := json.Marshal(r.Body)
	if err != nil {
		return r, fmt.Errorf("encode answer: %w", err)
	}
	header := map[string]string{"content-type": "application/json"}
	maps.Copy(header, r.Header)
	return Response{Status: r.Status, Header: header, Body: data}, nil
}

func encode(r Response) ([]byte, error) {
	body, _ := r.Body.([]byte)
	out := events.APIGatewayV2HTTPResponse{StatusCode: r.Status, Headers: r.Header, Body: string(body)}
	if !utf8.Valid(body) {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return json.Marshal(out)
}
