package app

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"
	"defter/pkg/source"
	"defter/pkg/webhook"
)

// gif is one transparent pixel.
var gif, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

// allowedHeaders are the headers that browsers may send: those of the SDKs. A star would not cover Authorization.
const allowedHeaders = "Authorization, Content-Type, Content-Encoding, AnonymousId, X-Retry-Count, X-Write-Key, X-IP-Policy, X-Strict-Mode, Idempotency-Key, SentAt, X-User-Token"

// IngestEvents answers the SDKs' endpoints, from any web page: a write key may only add.
func (a *App) IngestEvents(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	response, err := a.receive(ctx, r)
	if err != nil {
		if response = lambdaio.ProblemOf(ctx, err, r.ID, (*lambdaio.Problem).ForSDKs); response.Status < 500 && response.Status != 429 && r.Header["x-strict-mode"] == "0" {
			response = accepted()
		}
	}
	header := map[string]string{"vary": "Origin"} // always: a cache must not give one origin's answer to another
	if origin := r.Header["origin"]; origin != "" && forPages(r.Path) {
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

// pageRoutes are the addresses that web pages send to or ask. A preflight is granted for no other: what needs an API key is not
// for pages.
var pageRoutes = []string{"/v1/projects/", "/sourceConfig", "/beacon/", "/pixel/", "/api/s/", "/v1/m", "/v1/batch", "/v1/b", "/v1/merge"}

func forPages(path string) bool {
	for _, route := range pageRoutes {
		if path == route || strings.HasSuffix(route, "/") && strings.HasPrefix(path, route) || route == "/sourceConfig" && strings.HasPrefix(path, route+"/") {
			return true
		}
	}
	kind, ok := strings.CutPrefix(path, "/v1/")
	return ok && ingest.IsMessage(ingest.Kind(kind))
}

// forClients says whether an SDK or another service sends to this address.
func forClients(r lambdaio.Request) bool {
	return forPages(r.Path) || strings.HasPrefix(r.Route, "POST ") && slices.Contains([]string{"/v1/import", "/v1/webhook", "/internal/v1/replay"}, r.Path)
}

// noRoute answers a request that fits no route. Where only a slash at its end is in the way, the client is told where to go.
func noRoute(r lambdaio.Request) (lambdaio.Response, error) {
	if r.Slash {
		here := "/" + strings.TrimLeft(r.Path, `/\`) // two slashes would name another host
		return lambdaio.Response{Status: 308, Header: map[string]string{"location": here + query(r)}}, nil
	}
	return lambdaio.Response{}, fault.New(fault.NotFound, "no-route", "there is no such route")
}

func query(r lambdaio.Request) string {
	if len(r.Query) == 0 {
		return ""
	}
	return "?" + r.Query.Encode()
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
	case strings.HasSuffix(r.Route, " /{path+}") && !forClients(r): // API Gateway found no route
		return noRoute(r)
	case r.Path == "/v1/m": // what analytics.js measures about itself
		return accepted(), nil
	}
	return a.accept(ctx, r, ingest.Kind(r.Path))
}

// accept takes in one request. It answers 200 only when every event is stored or quarantined.
func (a *App) accept(ctx context.Context, r lambdaio.Request, kind string) (lambdaio.Response, error) {
	now := a.Now().UTC()
	source, err := a.sender(ctx, &r)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if r.Body, err = unzipped(&r, most(source)); err != nil {
		return lambdaio.Response{}, err
	}
	parsed, err := ingest.ParseAtMost(r.Body, kind, cmp.Or(source.MessagesPerRequest, ingest.MaxBatchEvents), now)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if err := a.afford(ctx, source, r.SourceIP, int64(len(parsed.Messages)+len(parsed.Rejected))); err != nil {
		return lambdaio.Response{}, err
	}
	c := &Call{Request: r, Actor: "source:" + source.ID}
	if r.Header["idempotency-key"] != "" {
		if err := a.idempotent(ctx, c); err != nil {
			return lambdaio.Response{}, err
		}
		if _, ok, err := a.answered(ctx, c); err != nil || ok {
			return accepted(), err
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
	now := a.Now().UTC()
	stored, err := a.storedSource(ctx, presented(r))
	if err != nil {
		return lambdaio.Response{}, err
	}
	sender, hook := senderOf(stored.source), stored.source.Settings.Webhook
	rules, err := stored.rules()
	if err != nil { // of another kind
		return lambdaio.Response{}, err
	}
	if !a.rates.allow(sender, now) {
		return lambdaio.Response{}, tooOften(sender)
	}
	largest := ingest.MaxBatchBytes
	if hook.Signature == source.Unsigned { // whoever knows the address may have sent it
		largest = maxPublic
	}
	if r.Body, err = unzipped(&r, largest); err != nil {
		return lambdaio.Response{}, err
	}
	if err := webhook.Verify(*hook, r.Header, r.Body, now); err != nil {
		return lambdaio.Response{}, err
	}
	made, err := rules.Messages(r.Header, r.Body)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if n := len(made.Unmatched); n > 0 && (sender.RefuseUnknown || made.Foreign != "") {
		from := posted{keptHeader(rules.Signed(r.Header)), made.Elements}
		for _, raw := range made.Unmatched {
			if err := a.quarantineElement(ctx, sender, raw, cmp.Or(made.Foreign, noRule), from, now); err != nil {
				return lambdaio.Response{}, err
			}
		}
	} else if n > 0 {
		slog.InfoContext(ctx, "webhook delivery fits no rule", "source", sender.ID, "elements", n)
	}
	for _, reason := range made.Ignored {
		slog.DebugContext(ctx, "webhook delivery ignored", "source", sender.ID, "reason", reason)
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

// pixel takes in what an image's address says. It is always answered with the image: nobody could react to an error.
func (a *App) pixel(ctx context.Context, r lambdaio.Request) lambdaio.Response {
	body, err := ingest.Pixel(r.Query)
	if err == nil {
		r.Body, r.Open = body, nil
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
	return lambdaio.Response{Status: 200, Header: map[string]string{"cache-control": "no-store"}, Body: map[string]any{
		"integrations": map[string]any{"Segment.io": map[string]any{"apiKey": key, "apiHost": host + "/v1", "protocol": scheme}},
		"plan":         map[string]any{"track": map[string]any{"__default": map[string]any{"enabled": true, "integrations": map[string]any{}}}},
	}}, nil
}

// rudderConfig is what RudderStack's SDKs ask for when they start.
func (a *App) rudderConfig(ctx context.Context, r lambdaio.Request) (lambdaio.Response, error) {
	key := presented(r)
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
