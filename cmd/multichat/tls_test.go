package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// A proxy serves streams and version 1 over TLS, and takes up a new certificate without a restart.
func TestTLS(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onSQLite, 1)
	c.startServer(0)
	dir := t.TempDir()
	authority, other := newAuthority(t, dir, "authority"), newAuthority(t, dir, "other")
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority.issue(t, cert, key)
	port := freePort(t, 0)
	_, g := c.startProxyWith(0, 1, "--tls", loopback(port), "--tls-cert", cert, "--tls-key", key)

	proxy := fmt.Sprintf("tls://127.0.0.1:%d", port)
	send := func(ca string, text string) (string, int) {
		return runAs(t, "demo", "", "send", "--proxy", proxy, "--tls-ca", ca, "--user", "alice", "--to", "bob", text)
	}
	if out, code := send(authority.file, "over TLS"); code != 0 {
		t.Fatalf("send: exit code %d: %s", code, out)
	}
	if out, code := send(other.file, "x"); code != 4 || !strings.Contains(out, "certificate") {
		t.Errorf("send to a proxy that another authority vouches for: exit code %d: %s; want 4, and why", code, out)
	}
	if out, code := runAs(t, "demo", "", "send", "--proxy", proxy, "--user", "alice", "--to", "bob", "x"); code != 4 {
		t.Errorf("send to a proxy that no authority of the system vouches for: exit code %d: %s; want 4", code, out)
	}
	if out, code := runAs(t, "demo", "", "send", "--v1", "--proxy", proxy, "--user", "alice", "--to", "bob", "x"); code != 2 {
		t.Errorf("send --v1 to tls://: exit code %d: %s; want 2", code, out)
	}
	if out, code := runAs(t, "demo", "", "send", "--proxy", proxy, "--tls-ca", key, "--user", "alice", "--to", "bob", "x"); code != 2 {
		t.Errorf("--tls-ca without a certificate in it: exit code %d: %s; want 2", code, out)
	}

	// A stream is open while the certificate is changed, and goes on.
	conn, err := dialStream("127.0.3.11", loopback(port), &tls.Config{RootCAs: authority.pool, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	bob := startStreamOn(t, conn, "bob", "b", "demo", false)
	other.issue(t, cert, key)
	proctest.Eventually(t, 20*time.Second, func() error {
		if out, code := send(other.file, "by the new certificate"); code != 0 {
			return fmt.Errorf("send: exit code %d: %s", code, out)
		}
		return nil
	})
	bob.waitTexts(t, "over TLS", "by the new certificate")
	startStream(t, "carol", "c", "127.0.3.12", g.tcp).mustSend(t, "1", "bob", "in clear")
	bob.waitTexts(t, "over TLS", "by the new certificate", "in clear")
}

// authority issues certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	file string
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool(), file: filepath.Join(dir, name+".pem")}
	a.key = newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue writes a certificate and its key.
func (a *authority) issue(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a proxy"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
