package embedded

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/topology"
)

// maxRequest is what API Gateway lets through.
const maxRequest = 10 << 20

// routes is the API: every route of the topology, and what only the embedded run has.
func (s *System) routes() http.Handler {
	mux := http.NewServeMux()
	for _, f := range topology.Functions {
		for _, route := range f.Routes {
			handler := s.gateway(route, s.handlers[f.Name].(lambdaio.Endpoint))
			if route.Path == topology.Anywhere && route.Method != http.MethodOptions {
				continue // what fits no route is told apart below, and a slash at the end is one of the ways to write a path
			}
			mux.Handle(route.Method+" "+pattern(route.Path), handler)
			if !strings.HasSuffix(route.Path, "+}") {
				mux.Handle(route.Method+" "+pattern(route.Path+"/"), handler)
			}
		}
	}
	mux.HandleFunc("POST /_local/clock", s.open(s.advanceClock))
	mux.HandleFunc("GET /_local/clock", s.open(s.showClock))
	mux.HandleFunc("GET /_local/mailbox", s.open(s.showMailbox))
	mux.HandleFunc("GET /_local/stats", s.open(s.showStats))
	mux.HandleFunc("POST /_local/rebuild", s.open(s.rebuild))
	mux.HandleFunc("POST "+issuerPath+"/token", s.open(s.issuer.issue))
	mux.HandleFunc("GET "+issuerPath+"/jwks", s.open(s.issuer.keys))
	mux.HandleFunc("GET "+issuerPath+"/.well-known/openid-configuration", s.open(s.issuer.configuration))
	mux.HandleFunc("GET /_local/mails", guarded(s.mailPage))
	mux.HandleFunc("GET /{$}", guarded(s.homePage))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		status, detail := http.StatusNotFound, "there is no such route"
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "/" && method != r.Method {
				status, detail = http.StatusMethodNotAllowed, "this route does not answer "+r.Method
				w.Header().Add("Allow", method)
			}
		}
		writeJSON(w, status, "application/problem+json", lambdaio.Problem{
			Type: "urn:defter:problem:no-route", Title: http.StatusText(status), Status: status, Detail: detail,
		})
	})
	return mux
}

// pattern is a route's path as the standard library writes it: {rest+}, the rest of a path, is {rest...}, and a slash at the end
// is no more than that.
func pattern(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "{$}"
	}
	return strings.Replace(path, "+}", "...}", 1)
}

// gateway is API Gateway's HTTP API: it hands a request to the function and writes its answer.
func (s *System) gateway(route topology.Route, endpoint lambdaio.Endpoint) http.Handler {
	var params []string
	for _, part := range strings.Split(route.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, strings.TrimRight(name, "+}"))
		}
	}
	guard := guarded
	if route.Auth == topology.WriteKey || forClients[route.Path] { // web pages use these
		guard = anyOrigin
	}
	return guard(func(w http.ResponseWriter, r *http.Request) {
		in := lambdaio.Request{
			ID: newID(), Route: route.Method + " " + route.Path, Path: lambdaio.Plain(r.URL.Path),
			Params: make(map[string]string, len(params)), Header: make(map[string]string, len(r.Header)),
			Open: func(limit int) ([]byte, error) {
				body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(min(limit, maxRequest))))
				if err != nil {
					return nil, lambdaio.TooLarge(limit)
				}
				return body, nil
			},
		}
		var err error
		if in.Query, err = lambdaio.Query(in.Path, r.URL.RawQuery); err != nil {
			problem(w, r.Context(), err)
			return
		}
		in.Header["host"] = r.Host
		in.Header["x-forwarded-proto"], _, _ = strings.Cut(s.URL, ":")
		in.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
		for name, values := range r.Header {
			in.Header[strings.ToLower(name)] = strings.Join(values, ",")
		}
		for _, name := range params {
			in.Params[name] = r.PathValue(name)
		}
		s.crowd.enter()
		out := endpoint.Serve(r.Context(), in)
		s.crowd.leave()
		for name, value := range out.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(out.Status)
		answer, _ := out.Body.([]byte)
		_, _ = w.Write(answer) // the client is gone: nobody is left to tell
	})
}

func problem(w http.ResponseWriter, ctx context.Context, err error) {
	p := lambdaio.Problem{Type: "urn:defter:problem:internal", Title: string(fault.Internal), Status: 500}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		p = lambdaio.Problem{Type: "urn:defter:problem:" + e.Slug, Title: string(e.Kind), Status: 400, Detail: e.Detail}
		switch {
		case e.Slug == "too-large":
			p.Status = 413
		case e.Kind == fault.Unauthorized:
			p.Status = 401
		}
	} else {
		slog.ErrorContext(ctx, "request failed", "error", err)
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		slog.Error("encode answer", "error", err)
		status = 500
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client is gone: nobody is left to tell
}

type answer func(ctx context.Context, r *http.Request) (any, error)

// open answers a route of the embedded run. It asks nobody who they are: the server listens on this machine only.
func (s *System) open(answer answer) http.HandlerFunc {
	return guarded(func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r.Context(), r)
		if err != nil {
			problem(w, r.Context(), err)
			return
		}
		writeJSON(w, 200, "application/json", body)
	})
}

// forClients are the public routes that web pages of any origin use: what their SDKs ask for when they start, and preflights.
var forClients = map[string]bool{"/v1/m": true, "/v1/projects/{writeKey}/settings": true, "/{path+}": true}

// guarded answers only what was meant for this machine: the keys of this run are no secrets, so that any web page that is open
// in a browser here could use them.
func guarded(answer http.HandlerFunc) http.HandlerFunc {
	return anyOrigin(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
			problem(w, r.Context(), notFromHere())
			return
		}
		answer(w, r)
	})
}

// anyOrigin answers pages of any origin, and nobody who sent a request here by a name of their own.
func anyOrigin(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if host != "localhost" && host != "127.0.0.1" && host != "::1" {
			problem(w, r.Context(), notFromHere())
			return
		}
		answer(w, r)
	}
}

func notFromHere() error {
	return fault.New(fault.Unauthorized, "not-from-here", "this is for programs on this machine, and for pages of this address")
}

func (s *System) showClock(context.Context, *http.Request) (any, error) {
	return map[string]any{"now": s.clock.Now().UTC().Format(time.RFC3339)}, nil
}

// advanceClock moves the clock forward, {"advance": "25h"}, and runs what has become due.
func (s *System) advanceClock(ctx context.Context, r *http.Request) (any, error) {
	var in struct {
		Advance string `json:"advance"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, 1024))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fault.New(fault.Invalid, "invalid-json", `send {"advance": "25h"}`)
	}
	by, err := time.ParseDuration(in.Advance)
	if err != nil || by <= 0 || by > maxAdvance {
		return nil, fault.New(fault.Invalid, "invalid-duration", "advance must be a positive duration of at most ten years, such as 25h")
	}
	if err := s.clock.Advance(ctx, by); err != nil {
		return nil, err
	}
	return s.showClock(ctx, r)
}

func (s *System) showMailbox(context.Context, *http.Request) (any, error) {
	mails, err := s.mailbox.list()
	return map[string]any{"messages": mails}, err
}

//go:embed pages.html
var pagesSource string

var pages = template.Must(template.New("pages").Parse(pagesSource))

func (s *System) mailPage(w http.ResponseWriter, r *http.Request) {
	mails, err := s.mailbox.list()
	if err != nil {
		problem(w, r.Context(), err)
		return
	}
	s.page(w, r, "mails", mails)
}

func (s *System) homePage(w http.ResponseWriter, r *http.Request) {
	s.page(w, r, "home", topology.Functions)
}

func (s *System) page(w http.ResponseWriter, r *http.Request, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; img-src data:")
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		slog.ErrorContext(r.Context(), "show page", "error", err)
	}
}

// schedules calls the functions that run by the clock: when it starts, when the clock is moved, and each as often as it says.
func (s *System) schedules(ctx context.Context) {
	for next := (schedule{}); ctx.Err() == nil; {
		moved := s.clock.Moved() // asked before they run: a move meanwhile calls them again
		for _, f := range next.due(time.Now()) {
			if _, err := s.handlers[f.Name].Invoke(ctx, []byte("{}")); err != nil && ctx.Err() == nil {
				slog.WarnContext(ctx, "scheduled function failed", "function", f.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-moved:
			clear(next)
		case <-time.After(next.wait(time.Now())):
		}
	}
}

// schedule is when each function is to be called next, at once if it does not say.
type schedule map[string]time.Time

// due are the functions to be called now, in the order of the topology. Each is due again after its own interval.
func (s schedule) due(now time.Time) (due []topology.Function) {
	for _, f := range topology.Functions {
		if f.Schedule == nil || now.Before(s[f.Name]) {
			continue
		}
		due = append(due, f)
		s[f.Name] = now.Add(time.Duration(f.Schedule.EveryMinutes) * time.Minute)
	}
	return due
}

// wait is how long it is until one is due.
func (s schedule) wait(now time.Time) time.Duration {
	shortest := time.Hour
	for _, at := range s {
		shortest = min(shortest, at.Sub(now))
	}
	return max(shortest, 0)
}
