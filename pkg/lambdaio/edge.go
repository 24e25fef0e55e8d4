package lambdaio

import (
	"context"
	"crypto/subtle"
	"net/netip"

	"defter/pkg/fault"
)

// What a deployment's own CDN sets on each request, whatever the client sent.
const (
	EdgeHeader   = "x-defter-edge"   // the key that proves that it came by the CDN
	ViewerHeader = "x-defter-viewer" // the client's address
	HostHeader   = "x-defter-host"   // the name that the client called, where the API sees its own
)

// BehindEdge makes an endpoint answer only what comes by the deployment's CDN, which has the key: rules that the CDN has must not be one address away
// from having no effect. Without a key, and for what is no endpoint, it is the handler itself.
func BehindEdge(h Handler, key string) Handler {
	endpoint, ok := h.(Endpoint)
	if !ok || key == "" {
		return h
	}
	return endpointBehind{endpoint, key}
}

type endpointBehind struct {
	Endpoint
	key string
}

func (e endpointBehind) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return e.invoke(ctx, payload, func(r *Request) error { return byEdge(r, e.key) })
}

// byEdge makes a request what it was before the CDN: it came from the client's address, to the name that the client called.
func byEdge(r *Request, key string) error {
	presented, viewer, host := r.Header[EdgeHeader], r.Header[ViewerHeader], r.Header[HostHeader]
	for _, name := range []string{EdgeHeader, ViewerHeader, HostHeader} {
		delete(r.Header, name)
	}
	address, err := netip.ParseAddr(viewer)
	if err != nil || subtle.ConstantTimeCompare([]byte(presented), []byte(key)) != 1 {
		return fault.New(fault.Unauthorized, "not-by-the-edge", "this deployment is called by another address")
	}
	r.SourceIP = address.String()
	if host != "" { // none of a distribution that is older than this function
		r.Header["host"] = host
	}
	return nil
}
