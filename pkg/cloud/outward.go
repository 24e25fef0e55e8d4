package cloud

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

const (
	outwardWithin = 3 * time.Second // of a request and its answer
	outwardAnswer = 1 << 20         // bytes of an answer's body
	outwardHeader = 64 << 10        // bytes of an answer's header
)

// special are the prefixes whose addresses are not a public host's, beside those that netip has a name for.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),     // this network
	netip.MustParsePrefix("100.64.0.0/10"), // a provider's own
	netip.MustParsePrefix("192.0.0.0/24"),  // of protocols
	netip.MustParsePrefix("198.18.0.0/15"), // of benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),   // reserved, and broadcast
	netip.MustParsePrefix("::/96"),         // IPv4 within IPv6, in four ways: each of them leads to any IPv4 address
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("64:ff9b:1::/48"), // of a local translator
	netip.MustParsePrefix("fec0::/10"),      // of a site
}

// Outward is the client for addresses that somebody configured, or that an answer from there named. It reaches public hosts alone, by https,
// and goes where it was told to, not where it is redirected. The address is looked at when it is dialled: a name may lead anywhere, and
// elsewhere a moment later.
func Outward() *http.Client { return outward(public) }

func outward(allowed func(netip.Addr) bool) *http.Client {
	dialer := &net.Dialer{Timeout: outwardWithin, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dial %s: %w", address, err)
		}
		if !allowed(to.Addr()) {
			return fmt.Errorf("dial %s: not the address of a public host", to)
		}
		return nil
	}}
	return &http.Client{
		Timeout:       outwardWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: guarded{&http.Transport{ // no proxy: the address that is dialled must be the host's
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: outwardWithin, ResponseHeaderTimeout: outwardWithin,
			MaxResponseHeaderBytes: outwardHeader, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
		}},
	}
}

func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// guarded asks by https alone, and reads no more of an answer than it may have.
type guarded struct{ next http.RoundTripper }

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("ask %s: only https addresses are asked", r.URL.Redacted())
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, outwardAnswer)
	return answer, nil
}
