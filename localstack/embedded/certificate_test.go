package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// safely begins a story on https, told by a client that trusts the authority in the data folder, and no other.
func safely(t *testing.T) *story {
	t.Helper()
	s := begin(t, func(c *Config) { c.TLS = true })
	s.client = trustingClient(t, s.system.certificate.authorityFile)
	return s
}

func trustingClient(t testing.TB, file string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
}

// TestC6_HTTPSAlone: everything answers on https, says https of itself, and nothing but a refusal is answered on http.
func TestC6_HTTPSAlone(t *testing.T) {
	s := safely(t)
	if !strings.HasPrefix(s.url, "https://localhost:") {
		t.Fatalf("it runs on %s", s.url)
	}
	if a := s.try("GET", "/health", nil); a.err != nil || a.status != 200 {
		t.Fatalf("%d %v", a.status, a.err)
	}
	stranger := *s
	stranger.client = nil
	if a := stranger.try("GET", "/health", nil); a.err == nil {
		t.Error("a client that was told nothing trusts it")
	}
	plain := *s
	plain.client, plain.url = nil, "http"+strings.TrimPrefix(s.url, "https")
	if a := plain.try("GET", "/health", nil); a.err == nil && a.status < 400 {
		t.Errorf("http answers %d", a.status)
	}
	numbered := *s
	numbered.url = strings.Replace(s.url, "localhost", "127.0.0.1", 1)
	numbered.get("/health").expect(200)

	key := s.source("browser").key
	if settings := string(s.get("/v1/projects/" + key + "/settings").expect(200).body); strings.Contains(settings, "http://") || !strings.Contains(settings, strings.TrimPrefix(s.url, "https://")) {
		t.Errorf("SDKs are told %s", settings)
	}
	s.get("/_local/issuer/.well-known/openid-configuration").expect(200).has("issuer", s.url+"/_local/issuer", "jwks_uri", s.url+"/_local/issuer/jwks")
	c := s.registers()
	mail := s.mailed(c.email, 1)[0]
	if text := mail.Text; strings.Contains(text, "http://localhost") {
		t.Errorf("the mail has links to http: %s", text)
	}
}

// TestC6_TokensOfTheLocalIssuer: the keys of the issuer are fetched from https.
func TestC6_TokensOfTheLocalIssuer(t *testing.T) {
	s := safely(t)
	s.sdk().post("/v1/identify", message("identify", "ada", "traits", m{"firstName": "Ada"})).expect(200)
	page := s.source("browser")
	page.says("/v1/identify", message("identify", "ada", "traits", m{"lastName": "King"}, "context", m{"userToken": s.tokenOf("ada")})).expect(200)
	s.settled()
	s.known("ada").shown().has("lastName", "King")
}

// TestC6_ClientsOnHTTPS: published clients connect when they are told of the authority as the README says.
func TestC6_ClientsOnHTTPS(t *testing.T) {
	s := safely(t)
	ca := s.system.certificate.authorityFile
	for variable, names := range map[string][]string{
		"NODE_EXTRA_CA_CERTS": {"segment-node", "rudder-node", "jitsu-node"},
		"SSL_CERT_FILE":       {"segment-go", "rudder-go"},
		"REQUESTS_CA_BUNDLE":  {"segment-python", "rudder-python"},
	} {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				c := sdkNamed(t, name)
				if out, err := c.run(t, []string{variable + "=" + ca}, s.url, s.source("server").key, name); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if n := s.known(name).happened("OrderPlaced"); n != 1 {
					t.Errorf("%d orders", n)
				}
			})
		}
	}
}

func TestCertificateIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Now()
	first, err := openCertificate(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	if d := first.Leaf.NotAfter.Sub(first.Leaf.NotBefore); d > 825*24*time.Hour {
		t.Errorf("it is good for %s", d)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Errorf("%v %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	same := func(at time.Time) bool {
		again, err := openCertificate(dir, at)
		if err != nil {
			t.Fatal(err)
		}
		return again.Leaf.Equal(first.Leaf)
	}
	if !same(now.Add(700 * 24 * time.Hour)) {
		t.Error("a good certificate is replaced")
	}
	if same(now.Add(800 * 24 * time.Hour)) {
		t.Error("a certificate that ends within 30 days is not replaced")
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openCertificate(dir, now.Add(800*24*time.Hour)); err == nil || !strings.Contains(err.Error(), "remove the folder") {
		t.Errorf("an authority that vouches for nothing: %v", err)
	}
}

// TestCertificateVouchesForThisMachineAlone: an authority that people trust must be of no use to whoever finds it.
func TestCertificateVouchesForThisMachineAlone(t *testing.T) {
	c, err := openCertificate(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := c.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := c.Leaf.VerifyHostname("shop.example.com"); err == nil {
		t.Error("it is good for another machine")
	}
	text, err := os.ReadFile(c.authorityFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "KEY") {
		t.Error("the authority's key is kept")
	}
}
