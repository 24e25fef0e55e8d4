package cloud

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// listening is a server with a certificate, on an address of this machine, and how often it was called.
func listening(t *testing.T, address string, answer http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("this machine cannot listen on %s: %v", address, err)
	}
	called := new(atomic.Int64)
	s := httptest.NewUnstartedServer(nil)
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			called.Add(1)
		}
	}
	s.Config.Handler = answer
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, called
}

// trusting is the client, for which this machine is a public host, and the servers' certificate valid.
func trusting(t *testing.T, s *httptest.Server) *http.Client {
	t.Helper()
	c := outward(netip.Addr.IsLoopback)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	inner := c.Transport.(guarded).next.(*http.Transport)
	inner.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	inner.TLSClientConfig.RootCAs = pool
	return c
}

// TestS13_WhatIsConfiguredLeadsToNoPrivateHost: not even a connection is made, whatever the name.
func TestS13_WhatIsConfiguredLeadsToNoPrivateHost(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			s, called := listening(t, address, ok)
			_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
			host, _, _ := net.SplitHostPort(address)
			for _, host := range []string{host, "localhost", "0.0.0.0", "::", "::ffff:127.0.0.1", "127.1.2.3"} {
				answer, err := Outward().Get("https://" + net.JoinHostPort(host, port) + "/jwks")
				if err == nil {
					answer.Body.Close()
				}
				if err == nil || !strings.Contains(err.Error(), "public host") && host != "localhost" || called.Load() != 0 {
					t.Errorf("%s: %v, called %d times", host, err, called.Load())
				}
			}
			answer, err := trusting(t, s).Get(s.URL)
			if err != nil || answer.Body.Close() != nil || called.Load() != 1 {
				t.Errorf("the server cannot be called at all: %v", err)
			}
		})
	}
}

func TestS13_OnlyPublicHostsAreAsked(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "172.32.0.1": true, "100.128.0.1": true, "::ffff:93.184.216.34": true,
		"127.0.0.1": false, "127.255.255.254": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "fc00::1": false, "fd00:ec2::254": false, "::ffff:10.0.0.1": false,
		"169.254.169.254": false, "169.254.170.2": false, "fe80::1": false, "fe80::1%eth0": false, "100.64.0.1": false, "198.18.0.1": false,
		"224.0.0.1": false, "239.1.1.1": false, "ff02::1": false, "ff0e::1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::7f00:1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::a00:1": false, "2002:7f00:1::1": false, "2001::1": false, "fec0::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is a public host: %t, want %t", address, got, want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is one")
	}
}

// TestS13_WhatIsConfiguredLeadsNowhereElse: no redirect is followed, nothing is asked in the open, and no answer is without an end.
func TestS13_WhatIsConfiguredLeadsNowhereElse(t *testing.T) {
	other, called := listening(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) {})
	s, _ := listening(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 2*outwardAnswer))
			return
		}
		http.Redirect(w, r, other.URL, http.StatusFound)
	})
	c := trusting(t, s)
	answer, err := c.Get(s.URL + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusFound || called.Load() != 0 {
		t.Errorf("a redirect leads to %d, and the other host is called %d times", answer.StatusCode, called.Load())
	}
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked in the open") }))
	defer plain.Close()
	if open, err := c.Get(plain.URL); err == nil {
		open.Body.Close()
		t.Error("an http address is asked")
	}
	endless, err := c.Get(s.URL + "/endless")
	if err != nil {
		t.Fatal(err)
	}
	defer endless.Body.Close()
	read, err := io.ReadAll(endless.Body)
	if tooLarge := (*http.MaxBytesError)(nil); !errors.As(err, &tooLarge) || len(read) != outwardAnswer {
		t.Errorf("of an answer without end %d bytes are read: %v", len(read), err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
