package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"multichat/internal/wire"
)

// authority vouches for names.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// trust is a client's configuration that believes this authority alone.
func (a *authority) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots}
}

// vouch is a server's configuration with a certificate for a name, or an address.
func (a *authority) vouch(t *testing.T, name string) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}}
}

func (p *peer) tlsAddress() Address {
	return Address{Host: "127.0.0.1", TCP: p.address().TCP, TLS: true}
}

// acceptTLS waits for the next connection, and shakes hands.
func (p *peer) acceptTLS(config *tls.Config) (*far, error) {
	p.t.Helper()
	f := p.accept()
	conn := tls.Server(f.conn, config)
	if err := conn.HandshakeContext(testContext(p.t)); err != nil {
		f.conn.Close()
		return nil, err
	}
	return newFar(p.t, conn), nil
}

func TestAStreamSpeaksTLS(t *testing.T) {
	proxy, ca := newPeer(t), newAuthority(t)
	s := serve(t, func(s *Stream) { s.cfg.TLS = ca.trust() }, proxy.tlsAddress())
	f, err := proxy.acceptTLS(ca.vouch(t, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	f.login()
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	f.ok(f.wantText("hello"), 7)
	if o := <-outcomes; o.err != nil {
		t.Error(o.err)
	}
	f.write(message(1, "a"))
	s.wantTaken(1)
	f.wantAck("alice", 1)
}

func TestAProxyHasToProveItsName(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	for name, config := range map[string]*tls.Config{
		"vouched for by somebody else": other.vouch(t, "127.0.0.1"),
		"with another's name":          ca.vouch(t, "chat.example.org"),
		"with another's address":       ca.vouch(t, "127.0.0.2"),
	} {
		t.Run(name, func(t *testing.T) {
			proxy := newPeer(t)
			s := serve(t, func(s *Stream) { s.cfg.TLS = ca.trust() }, proxy.tlsAddress())
			if _, err := proxy.acceptTLS(config); err == nil {
				t.Error("the client shook hands")
			}
			err := s.wantEnd()
			if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") ||
				!strings.Contains(err.Error(), proxy.tlsAddress().String()) {
				t.Errorf("Serve returned %v", err)
			}
			if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
				t.Errorf("what is wrong with the certificate is not to be found in %v", err)
			}
		})
	}
}

func TestNobodyVouchesForAProxyUnlessTheSystemDoes(t *testing.T) {
	proxy, ca := newPeer(t), newAuthority(t)
	s := serve(t, nil, proxy.tlsAddress())
	if _, err := proxy.acceptTLS(ca.vouch(t, "127.0.0.1")); err == nil {
		t.Error("the client shook hands")
	}
	if err := s.wantEnd(); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Serve returned %v", err)
	}
}

// A name may be given for proxies that are reached another way, as through a tunnel.
func TestTheNameToBeProvedMayBeGiven(t *testing.T) {
	proxy, ca := newPeer(t), newAuthority(t)
	serve(t, func(s *Stream) {
		s.cfg.TLS = ca.trust()
		s.cfg.TLS.ServerName = "chat.example.org"
	}, proxy.tlsAddress())
	f, err := proxy.acceptTLS(ca.vouch(t, "chat.example.org"))
	if err != nil {
		t.Fatal(err)
	}
	f.login()
}

func TestAProxyThatDoesNotShakeHandsIsLeft(t *testing.T) {
	silent, plain := newPeer(t), newPeer(t)
	serve(t, impatient, silent.tlsAddress(), plain.address())
	f := silent.accept()
	plain.accept().login()
	f.conn.Close()
}

// No password goes to the port without TLS by mistake, nor to anybody before it has proved its name.
func TestNothingIsSaidInClearToAProxyWithTLS(t *testing.T) {
	proxy := newPeer(t)
	serve(t, impatient, proxy.tlsAddress())
	f := proxy.accept()
	if got, err := wire.ReadFrame(f.r, wire.Limits{}); err == nil {
		t.Errorf("the client sent %#v", got)
	}
}

func TestTheNameOfAnAddressWithAZone(t *testing.T) {
	a, err := ParseAddress("tls://[fe80::1%eth0]")
	if err != nil {
		t.Fatal(err)
	}
	if name := a.serverName(); name != "fe80::1" {
		t.Errorf("the name to be proved is %q", name)
	}
}
