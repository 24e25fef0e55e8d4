package lambdaio

import (
	"testing"

	"defter/pkg/fault"
)

// Who comes by the deployment's CDN is counted by their own address, and nobody else gets in.
func TestS4_OnlyTheEdgeSaysWhoCalls(t *testing.T) {
	const key, gateway = "k3y", "203.0.113.200"
	for name, c := range map[string]struct {
		key      string
		header   map[string]string
		sourceIP string // "" for refused
	}{
		"no CDN":                           {"", map[string]string{}, gateway},
		"no CDN, and who claims there is":  {"", map[string]string{EdgeHeader: "", ViewerHeader: "198.51.100.7"}, gateway},
		"by the CDN":                       {key, map[string]string{EdgeHeader: key, ViewerHeader: "198.51.100.7"}, "198.51.100.7"},
		"by the CDN, over IPv6":            {key, map[string]string{EdgeHeader: key, ViewerHeader: "2001:db8::7"}, "2001:db8::7"},
		"around it":                        {key, map[string]string{}, ""},
		"around it, with another's key":    {key, map[string]string{EdgeHeader: "other", ViewerHeader: "198.51.100.7"}, ""},
		"around it, with no key":           {key, map[string]string{EdgeHeader: "", ViewerHeader: "198.51.100.7"}, ""},
		"by the CDN without its function":  {key, map[string]string{EdgeHeader: key}, ""},
		"by the CDN, an address that none": {key, map[string]string{EdgeHeader: key, ViewerHeader: "198.51.100.7, 203.0.113.9"}, ""},
	} {
		r := Request{Header: c.header, SourceIP: gateway}
		err := byEdge(&r, c.key)
		if refused := fault.KindOf(err) == fault.Unauthorized; (err != nil) != refused || refused != (c.sourceIP == "") || !refused && r.SourceIP != c.sourceIP {
			t.Errorf("%s: called by %s, %v", name, r.SourceIP, err)
		}
		if _, told := r.Header[EdgeHeader]; told {
			t.Errorf("%s: the key goes on", name)
		}
	}
}
