package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/webhook"

	"golang.org/x/time/rate"
)

// gif is one transparent pixel.
var gif, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

// allowedHeaders are the headers that browsers may send: those of the SDKs. A star would not cover Authorization.
const allowedHeaders = "Authorization, Content-Type, Content-Encoding, AnonymousId, X-Retry-Count, X-Write-Key, X-IP-Policy, X-Strict-Mode, Idempotency-Key, SentAt"

// IngestEvents answers the SDKs' endpoints, from any web page: a write key may only add.
func (a *App) IngestEvents(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	response, err := a.receive(ctx, r)
	if err != nil {
		if response = lambdaio.ProblemOf(ctx, err, r.ID); response.Status < 500 && response.Status != 429 && r.Header["x-strict-mode"] == "0" {
			response = accepted()
		}
	}
	header := map[string]string{"vary": "Origin"} // always: settings may be kept by caches, for pages of any origin
	if origin := r.Header["origin"]; origin != "" {
		header["access-control-allow-origin"], header["access-control-allow-credentials"] = origin, "true"
		header["access-control-expose-headers"] = "Retry-After"
		if strings.HasPrefix(r.Route, "OPTIONS ") {
			header["access-control-allow-methods"], header["access-control-allow-headers"], header["access-control-max-age"] = "GET, POST, OPTIONS", mayAsk(r), "900"
		}
	}
	maps.Copy(header, response.Header)
	response.Header = header
	return response, nil
}

// mayAsk is the headers that a browser may send: those known, and those that it asks for. New releases of the SDKs bring
// headers of their own, and none is a danger here: the write key alone decides.
func mayAsk(r lambdaio.Request) string {
	asked := r.Header["access-control-request-headers"]
	if asked == "" || len(asked) > 1000 || strings.ContainsFunc(asked, func(c rune) bool {
		return !(c == '-' || c == '_' || c == ',' || c == ' ' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}) {
		return allowedHeaders
	}
	return allowedHeaders + ", " + asked
}

func (a *App) receive(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	switch {
	case strings.HasPrefix(r.Route, "OPTIONS "):
		return lambdaio.Response{Status: 204}, nil
	case strings.HasPrefix(r.Path, "/pixel/"):
		return a.pixel(ctx, r), nil
	case strings.HasPrefix(r.Path, "/v1/projects/"):
		return a.segmentSettings(ctx, r)
	case strings.HasPrefix(r.Path, "/sourceConfig"):
		return a.rudderConfig(ctx, r)
	case r.Path == "/v1/webhook":
		return a.takeWebhook(ctx, r)
	case r.Path == "/v1/m": // what analytics.js measures about itself
		return accepted(), nil
	}
	return a.accept(ctx, r, ingest.Kind(r.Path))
}

// accept takes in one request. It answers 200 only when every event is stored or quarantined.
func (a *App) accept(ctx context.Context, r lambdaio.Request, kind string) (lambdaio.Response, error) {
	now := a.Now().UTC()
	var parsed ingest.Request
	var err error
	if r.Body, err = unzipped(r); err == nil {
		parsed, err = ingest.Parse(r.Body, kind, now)
	}
	key := writeKey(r, parsed.WriteKey)
	if key == "" && fault.SlugOf(err) == "too-large" { // and so the key in it was not read
		return lambdaio.Response{}, err
	}
	source, authErr := a.source(ctx, key)
	switch { // who asks comes before what is wrong with the body: strangers learn nothing
	case authErr != nil:
		return lambdaio.Response{}, authErr
	case strings.HasSuffix(r.Path, "/import") && !source.Trusted:
		return lambdaio.Response{}, fault.New(fault.Unauthorized, "not-a-server-source", "only a server's write key may import")
	case strings.HasSuffix(r.Path, "/replay") && (!source.Trusted || r.Header["x-rudder-source-id"] != source.ID):
		return lambdaio.Response{}, fault.New(fault.Unauthorized, "not-the-source", "a replay needs a server's write key, and its source in X-Rudder-Source-Id")
	case source.Kind == "webhook":
		return lambdaio.Response{}, fault.New(fault.Unauthorized, "not-an-sdk-source", "a webhook's write key is for webhooks")
	case !originAllowed(source, r.Header["origin"]):
		return lambdaio.Response{}, fault.New(fault.Unauthorized, "origin-not-allowed", "this web page may not use this write key")
	case err != nil:
		return lambdaio.Response{}, err
	case !a.rates.allow(source, a.Now()):
		return lambdaio.Response{}, fault.New(fault.Busy, "rate-limited", "this source sends more than %d requests a second", source.Rate)
	}
	c := &Call{Request: r, Actor: "source:" + source.ID}
	if r.Header["idempotency-key"] != "" {
		if err := a.idempotent(ctx, c); err != nil {
			return lambdaio.Response{}, err
		}
		held, ok, err := a.Log.Store.Claimed(ctx, c.key)
		if err != nil {
			return lambdaio.Response{}, err
		}
		var before answerOf
		if ok && (json.Unmarshal(held.Value, &before) != nil || before.Hash != c.hash) {
			return lambdaio.Response{}, fault.New(fault.Conflict, "idempotency-key-reused", "this Idempotency-Key was used for another request")
		}
		if ok {
			return accepted(), nil
		}
	}
	if err := a.ingest(ctx, c, source, parsed, now); err != nil {
		return lambdaio.Response{}, err
	}
	err = a.keep(ctx, c, "", 0, 200)
	if _, twice := errors.AsType[*eventstore.TakenError](err); twice { // the same request, made twice at once
		err = nil
	}
	return accepted(), err
}

// takeWebhook takes in what another service posts. A delivery that comes again changes nothing.
func (a *App) takeWebhook(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	key := writeKey(r, "")
	if key == "" {
		return lambdaio.Response{}, fault.New(fault.Unauthorized, "no-write-key", "failed to read writekey from header")
	}
	now := a.Now().UTC()
	stored, err := a.storedSource(ctx, key)
	if err != nil {
		return lambdaio.Response{}, err
	}
	sender, hook := senderOf(stored.source), stored.source.Settings.Webhook
	rules, err := stored.rules()
	if err != nil { // of another kind
		return lambdaio.Response{}, err
	}
	if r.Body, err = unzipped(r); err != nil {
		return lambdaio.Response{}, err
	}
	switch {
	case len(r.Body) > ingest.MaxBatchBytes:
		return lambdaio.Response{}, fault.New(fault.Invalid, "too-large", "a delivery has at most %d bytes", ingest.MaxBatchBytes)
	case !a.rates.allow(sender, now):
		return lambdaio.Response{}, fault.New(fault.Busy, "rate-limited", "this source sends more than %d requests a second", sender.Rate)
	}
	if err := webhook.Verify(*hook, r.Header, r.Body, now); err != nil {
		return lambdaio.Response{}, err
	}
	made, err := rules.Messages(r.Header, r.Body)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if n := len(made.Unmatched); n > 0 && sender.RefuseUnknown {
		from := posted{keptHeader(r.Header), made.Elements}
		for _, raw := range made.Unmatched {
			if err := a.quarantineElement(ctx, sender, raw, from, now); err != nil {
				return lambdaio.Response{}, err
			}
		}
	} else if n > 0 {
		slog.InfoContext(ctx, "webhook delivery fits no rule", "source", sender.ID, "elements", n)
	}
	if len(made.Messages) == 0 {
		return accepted(), nil
	}
	body, err := json.Marshal(map[string]any{"batch": made.Messages})
	if err != nil {
		return lambdaio.Response{}, err
	}
	parsed, err := ingest.Parse(body, "batch", now)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return accepted(), a.ingest(ctx, &Call{Request: r, Actor: "source:" + sender.ID}, sender, parsed, now)
}

func accepted() lambdaio.Response {
	return lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "application/json"}, Body: []byte(`{"success":true}`)}
}

// unzipped returns the request's body, which clients may compress.
func unzipped(r lambdaio.Request) ([]byte, error) {
	if !strings.EqualFold(strings.TrimSpace(r.Header["content-encoding"]), "gzip") {
		return r.Body, nil
	}
	invalid := fault.New(fault.Invalid, "invalid-encoding", "the body is not valid gzip")
	reader, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		return nil, invalid
	}
	body, err := io.ReadAll(io.LimitReader(reader, ingest.MaxBatchBytes+1))
	if err != nil {
		return nil, invalid
	}
	return body, nil
}

// writeKey finds the key where the SDKs put it: Basic authentication with an empty password or Jitsu's header, then the
// body, then the query, which beacons and pixels alone can use.
func writeKey(r lambdaio.Request, body string) string {
	scheme, token, _ := strings.Cut(r.Header["authorization"], " ")
	if strings.EqualFold(scheme, "Basic") {
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token)); err == nil {
			if user, _, _ := strings.Cut(string(raw), ":"); user != "" {
				return user
			}
		}
	}
	if key, _, _ := strings.Cut(r.Header["x-write-key"], ":"); key != "" { // a server's may have a secret behind the colon
		return key
	}
	if body == "" && (strings.HasPrefix(r.Path, "/beacon/") || strings.HasPrefix(r.Path, "/pixel/") || strings.HasPrefix(r.Path, "/sourceConfig") || r.Path == "/v1/webhook") {
		return r.Query.Get("writeKey")
	}
	return body
}

func originAllowed(s ingest.Source, origin string) bool {
	return origin == "" || len(s.AllowedOrigins) == 0 || slices.Contains(s.AllowedOrigins, origin)
}

// pixel takes in what an image's address says. It is always answered with the image: nobody could react to an error.
func (a *App) pixel(ctx context.Context, r lambdaio.Request) lambdaio.Response {
	body, err := ingest.Pixel(r.Query)
	if err == nil {
		r.Body = body
		_, err = a.accept(ctx, r, ingest.Kind(r.Path))
	}
	if err != nil {
		slog.WarnContext(ctx, "pixel not taken in", "error", err, "requestId", r.ID)
	}
	return lambdaio.Response{Status: 200, Header: map[string]string{"content-type": "image/gif", "cache-control": "no-store"}, Body: gif}
}

// segmentSettings is what analytics.js asks for when it starts: where to send.
func (a *App) segmentSettings(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	key := r.Params["writeKey"]
	if _, err := a.source(ctx, key); err != nil {
		return lambdaio.Response{}, err
	}
	scheme, host := front(r)
	return lambdaio.Response{Status: 200, Header: map[string]string{"cache-control": "public, max-age=60"}, Body: map[string]any{
		"integrations": map[string]any{"Segment.io": map[string]any{"apiKey": key, "apiHost": host + "/v1", "protocol": scheme}},
		"plan":         map[string]any{"track": map[string]any{"__default": map[string]any{"enabled": true, "integrations": map[string]any{}}}},
	}}, nil
}

// rudderConfig is what RudderStack's SDKs ask for when they start.
func (a *App) rudderConfig(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	key := writeKey(r, "")
	source, err := a.source(ctx, key)
	if err != nil {
		return lambdaio.Response{}, err
	}
	off := map[string]any{"enabled": false}
	return lambdaio.Response{Status: 200, Body: map[string]any{
		"source": map[string]any{
			"id": source.ID, "name": source.ID, "writeKey": key, "enabled": true, "workspaceId": "defter", "updatedAt": a.Now().UTC().Format(time.RFC3339),
			"destinations": []any{}, "connections": []any{}, "sourceDefinition": map[string]any{"name": "Javascript", "category": nil},
			"config":           map[string]any{"statsCollection": map[string]any{"errors": off, "metrics": off}},
			"liveEventsConfig": map[string]any{"eventUpload": false}, "dataplanes": map[string]any{},
		},
		"updatedAt": a.Now().UTC().Format(time.RFC3339),
	}}, nil
}

// front is how clients reach this API.
func front(r lambdaio.Request) (scheme, host string) {
	scheme, host = r.Header["x-forwarded-proto"], r.Header["host"]
	if scheme != "http" {
		scheme = "https"
	}
	return scheme, host
}

// rates keeps each source to its rate, within this process: a second's worth may come at once.
type rates struct {
	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

func (r *rates) allow(s ingest.Source, now time.Time) bool {
	if s.Rate == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := rate.Limit(s.Rate)
	limiter := r.limiters[s.ID]
	if limiter == nil || limiter.Limit() != limit {
		if r.limiters == nil {
			r.limiters = map[string]*rate.Limiter{}
		}
		limiter = rate.NewLimiter(limit, int(s.Rate))
		r.limiters[s.ID] = limiter
	}
	return limiter.AllowN(now, 1)
}
