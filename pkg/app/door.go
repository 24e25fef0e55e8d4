package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/lambdaio"

	"golang.org/x/time/rate"
)

// maxPublic is how many bytes a body may have, as sent and as read, of whoever presents a public write key, or a key in the body:
// as many as the SDKs of pages and apps send at most. It bounds what a stranger's body can cost.
const maxPublic = 512 << 10

// sender says who sends a request, before anything else of it is looked at: strangers learn nothing, and cost little.
func (a *App) sender(ctx context.Context, r *lambdaio.Request) (ingest.Source, error) {
	key := presented(*r)
	if key == "" { // then it is in the body, if anywhere
		body, err := unzipped(r, maxPublic)
		if err != nil {
			return ingest.Source{}, err
		}
		if key = ingest.WriteKey(body); key == "" {
			return ingest.Source{}, noWriteKey()
		}
	}
	source, err := a.source(ctx, key)
	if err != nil {
		return ingest.Source{}, err
	}
	if err := a.admit(source, *r); err != nil {
		return ingest.Source{}, err
	}
	return source, a.afford(ctx, source, r.SourceIP, 0)
}

// most is how many bytes a source's body may have.
func most(source ingest.Source) int {
	if source.Trusted {
		return ingest.MaxBatchBytes
	}
	return maxPublic
}

// admit refuses what a source may not send whatever the body says.
func (a *App) admit(source ingest.Source, r lambdaio.Request) error {
	origin := originOf(r)
	switch {
	case strings.HasSuffix(r.Path, "/import") && !source.Trusted:
		return fault.New(fault.Unauthorized, "not-a-server-source", "only a server's write key may import")
	case strings.HasSuffix(r.Path, "/replay") && (!source.Trusted || r.Header["x-rudder-source-id"] != source.ID):
		return fault.New(fault.Unauthorized, "not-the-source", "a replay needs a server's write key, and its source in X-Rudder-Source-Id")
	case source.Kind == "webhook":
		return fault.New(fault.Unauthorized, "not-an-sdk-source", "a webhook's write key is for webhooks")
	case source.Trusted && origin != "":
		return fault.New(fault.Unauthorized, "secret-key-in-a-page", "this is a server's write key, and it came from a web page: rotate it, and give the page one of a browser source")
	case origin != "" && len(source.AllowedOrigins) > 0 && !slices.Contains(source.AllowedOrigins, origin):
		return fault.New(fault.Unauthorized, "origin-not-allowed", "this web page may not use this write key")
	case !a.rates.allow(source, a.Now()):
		return tooOften(source)
	}
	return nil
}

// originOf is the origin of the page that a request comes from, "" for none. An image says it in its referrer alone, if at all.
func originOf(r lambdaio.Request) string {
	origin := r.Header["origin"]
	if origin != "" || !strings.HasPrefix(r.Path, "/pixel/") {
		return origin
	}
	if u, err := url.Parse(r.Header["referer"]); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	if site := r.Header["sec-fetch-site"]; site != "" && site != "none" { // "none": somebody typed it
		return "null"
	}
	return ""
}

func noWriteKey() error {
	return fault.New(fault.Unauthorized, "no-write-key", "failed to read writekey from header")
}

func tooOften(source ingest.Source) error {
	return fault.New(fault.Busy, "rate-limited", "this source sends more than %d requests a second", source.Rate)
}

// presented is the write key outside of the body: Basic authentication with an empty password, Jitsu's header, or the query,
// which beacons, pixels and webhooks alone can use; "" for none.
func presented(r lambdaio.Request) string {
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
	if strings.HasPrefix(r.Path, "/beacon/") || strings.HasPrefix(r.Path, "/pixel/") || strings.HasPrefix(r.Path, "/sourceConfig") || strings.HasPrefix(r.Path, "/v1/webhook") {
		return r.Query.Get("writeKey")
	}
	return ""
}

// unzipped returns the request's body, which clients may compress, of at most limit bytes as sent and as read.
func unzipped(r *lambdaio.Request, limit int) ([]byte, error) {
	encoding := strings.ToLower(strings.TrimSpace(r.Header["content-encoding"]))
	if encoding != "" && encoding != "identity" && encoding != "gzip" && encoding != "x-gzip" {
		return nil, fault.New(fault.Invalid, "unsupported-encoding", "the body may be compressed with gzip alone")
	}
	if err := r.Load(limit); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(encoding, "gzip") {
		return r.Body, nil
	}
	invalid := fault.New(fault.Invalid, "invalid-encoding", "the body is not valid gzip")
	reader, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		return nil, invalid
	}
	var body bytes.Buffer
	switch _, err := io.Copy(&body, io.LimitReader(reader, int64(limit)+1)); {
	case err != nil:
		return nil, invalid
	case body.Len() > limit:
		return nil, lambdaio.TooLarge(limit)
	}
	return body.Bytes(), nil
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
