package lambdaio

import (
	"crypto/subtle"
	"net/netip"
	"os"

	"defter/pkg/fault"
)

// What a deployment's own CDN sets on each request, whatever the client sent.
const (
	EdgeHeader   = "x-defter-edge"   // the key that proves that it came by the CDN
	ViewerHeader = "x-defter-viewer" // the client's address
)

// edgeKey is the key of the deployment's CDN, "" where there is none and clients call API Gateway itself.
var edgeKey = os.Getenv("DEFTER_EDGE_KEY")

// byEdge makes a request that came by the CDN what it was before, and refuses one that went around it: rules that the CDN has must not
// be one address away from having no effect.
func byEdge(r *Request, key string) error {
	presented, viewer := r.Header[EdgeHeader], r.Header[ViewerHeader]
	delete(r.Header, EdgeHeader)
	delete(r.Header, ViewerHeader)
	if key == "" {
		return nil
	}
	address, err := netip.ParseAddr(viewer)
	if err != nil || subtle.ConstantTimeCompare([]byte(presented), []byte(key)) != 1 {
		return fault.New(fault.Unauthorized, "not-by-the-edge", "this deployment is called by another address")
	}
	r.SourceIP = address.String()
	return nil
}
