package embedded

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	certificateFor = 825 * 24 * time.Hour // more is refused by some systems, even of authorities that somebody added
	renewBefore    = 30 * 24 * time.Hour
)

// certificate is what the embedded run shows on https, and the authority that vouches for it. The authority's key is thrown away when
// it has signed, and it may sign for this machine alone: whoever trusts it gives nobody power over other connections.
type certificate struct {
	tls.Certificate
	authority     *x509.CertPool
	authorityFile string // absolute, for the configuration of clients
}

// openCertificate reads the certificate in a folder. Where there is none, or it ends within 30 days, it makes one, and an authority with it.
func openCertificate(dir string, now time.Time) (certificate, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return certificate{}, err
	}
	c, err := readCertificate(dir, now)
	expired, _ := errors.AsType[x509.CertificateInvalidError](err)
	if !errors.Is(err, fs.ErrNotExist) && (err == nil || expired.Reason != x509.Expired) {
		return c, err
	}
	if err := makeCertificate(dir, now); err != nil {
		return certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return readCertificate(dir, now)
}

func readCertificate(dir string, now time.Time) (certificate, error) {
	c := certificate{authority: x509.NewCertPool(), authorityFile: filepath.Join(dir, "ca.pem")}
	trusted, err := os.ReadFile(c.authorityFile)
	if err != nil {
		return c, fmt.Errorf("certificate: %w", err)
	}
	c.authority.AppendCertsFromPEM(trusted) // if it holds none, the check below says so
	if c.Certificate, err = tls.LoadX509KeyPair(filepath.Join(dir, "localhost.pem"), filepath.Join(dir, "localhost-key.pem")); err != nil {
		return c, fmt.Errorf("certificate: %w", err)
	}
	if _, err = c.Leaf.Verify(x509.VerifyOptions{Roots: c.authority, DNSName: "localhost", CurrentTime: now.Add(renewBefore)}); err != nil {
		return c, fmt.Errorf("certificate in %s: %w; remove the folder for another one", dir, err)
	}
	return c, nil
}

// makeCertificate writes an authority, and a certificate of it for this machine with its key, readable by their owner only.
func makeCertificate(dir string, now time.Time) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	loopback := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	begins, ends := now.Add(-time.Hour), now.Add(certificateFor-time.Hour)
	ca := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Defter on this machine, made " + now.UTC().Format(time.DateOnly)}, NotBefore: begins, NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"},
		PermittedIPRanges: []*net.IPNet{{IP: loopback[0].To4(), Mask: net.CIDRMask(32, 32)}, {IP: loopback[1], Mask: net.CIDRMask(128, 128)}},
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, NotBefore: begins, NotAfter: ends, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: loopback,
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	caSigned, err := sign(ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	signed, err := sign(leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// What is read first is written last: a folder that was left half written is one without a certificate.
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(
		writePEM(filepath.Join(dir, "localhost-key.pem"), "PRIVATE KEY", secret),
		writePEM(filepath.Join(dir, "localhost.pem"), "CERTIFICATE", signed),
		writePEM(filepath.Join(dir, "ca.pem"), "CERTIFICATE", caSigned),
	)
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, parent, public, by)
}

// writePEM writes a file anew, so that it never has the rights of one that was there.
func writePEM(path, kind string, content []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}
