package edge_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/proctest"
)

// certificates are PEM files that may be replaced.
type certificates struct {
	certFile, keyFile string
}

func newCertificates(t testing.TB) *certificates {
	t.Helper()
	dir := t.TempDir()
	c := &certificates{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	cert, key := edge.NewPair(t, "first")
	c.write(t, c.certFile, cert)
	c.write(t, c.keyFile, key)
	return c
}

func (c *certificates) write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func serveTLS(t *testing.T, h *handler, cfg edge.Config) (*node, *certificates) {
	t.Helper()
	files := newCertificates(t)
	cfg.TLS, cfg.TLSCert, cfg.TLSKey = "127.0.0.1:0", files.certFile, files.keyFile
	return serve(t, h, cfg), files
}

// dialTLS connects with this version, or any if it is 0, and accepts whatever certificate there is.
func (n *node) dialTLS(t testing.TB, version uint16) *tls.Conn {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}}
	conn, err := dialer.Dial("tcp", n.TLSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*tls.Conn)
}

func TestTLSTakesWhatTCPTakes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		version uint16
	}{{"TLS 1.2", tls.VersionTLS12}, {"TLS 1.3", tls.VersionTLS13}} {
		t.Run(tc.name, func(t *testing.T) {
			n, _ := serveTLS(t, newHandler(), edge.Config{})
			request := n.dialTLS(t, tc.version)
			io.WriteString(request, hello)
			request.CloseWrite()
			if answered := answer(t, request); !okLine.MatchString(answered) {
				t.Errorf("a request of version 1 is answered %q", answered)
			}

			single := newStreamClient(n.dialTLS(t, tc.version))
			single.say(t, "wrmsg;id=m1;len=2:alice:secret:bob:hi\n")
			single.want(t, "ok;id=m1;seq=7\n")
			single.wantEnd(t)

			c := newStreamClient(n.dialTLS(t, tc.version))
			c.say(t, "poll;v=2;id=in:alice:secret:0\n", wrmsg("m1", "bob", "hi"))
			c.want(t, "ok;id=in\n")
			s := receive(t, "the login", n.logins)
			long := strings.Repeat("x", 200_000)
			s.client.Deliver([]chat.Message{message("alice", 5, long)})
			c.want(t, newmsg("alice", 5, long))
			c.halfClose(t)
			s.client.Answer(receive(t, "the send", s.sends).ref, 6, nil)
			c.want(t, "ok;id=m1;seq=6\n")
			c.wantEnd(t) // and not by a connection that was cut
			s.wantClosed(t)
		})
	}
}

func TestTLSStreamEndsInOrder(t *testing.T) {
	n, _ := serveTLS(t, newHandler(), edge.Config{})
	c := newStreamClient(n.dialTLS(t, 0))
	c.say(t, "poll;v=2;id=in:alice:secret:0\n")
	c.want(t, "ok;id=in\n")
	s := receive(t, "the login", n.logins)
	s.client.End(chat.Errorf(chat.CodeReplaced, "a newer one took over"))
	c.wantErr(t, "in", chat.CodeReplaced)
	c.wantEnd(t)
	s.wantClosed(t)
}

// Whoever can cut a connection must not be able to make a client say less than it did.
func TestTLSConnectionThatIsCutIsNoEnd(t *testing.T) {
	n, _ := serveTLS(t, newHandler(), edge.Config{})
	request := n.dialTLS(t, 0)
	io.WriteString(request, hello)
	request.NetConn().(*net.TCPConn).CloseWrite()
	io.ReadAll(request)
	n.wantSends(t, "badreq", 1)
	wantNone(t, "a message", n.requests)

	n.dialTLS(t, 0).NetConn().Close() // says nothing, as health checks do

	c := newStreamClient(n.dialTLS(t, 0))
	c.say(t, "poll;v=2;id=in:alice:secret:0\n")
	c.want(t, "ok;id=in\n")
	c.Conn.(*tls.Conn).NetConn().Close()
	receive(t, "the login", n.logins).wantClosed(t)
	n.wantEnds(t, "lost", 1)
	n.wantSends(t, "badreq", 1)
}

func TestTLSBefore12IsRefused(t *testing.T) {
	n, _ := serveTLS(t, newHandler(), edge.Config{})
	conn, err := tls.Dial("tcp", n.TLSAddr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err == nil {
		conn.Close()
		t.Fatal("TLS 1.1 is served")
	}
	eventually(t, "the handshake is counted", func() bool { return n.drops("tls_handshake") == 1 })
}

// What a client that speaks no TLS sends there is no request, and a probe is nothing at all.
func TestTLSPortWithoutTLS(t *testing.T) {
	n, _ := serveTLS(t, newHandler(), edge.Config{})
	probe, err := net.Dial("tcp", n.TLSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	probe.Close()
	plain, err := net.Dial("tcp", n.TLSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	plain.SetDeadline(time.Now().Add(patience))
	io.WriteString(plain, hello)
	if answered, _ := io.ReadAll(plain); bytes.Contains(answered, []byte("ok;")) {
		t.Errorf("answered %q", answered)
	}
	eventually(t, "the handshake is counted", func() bool { return n.drops("tls_handshake") == 1 })
	wantNone(t, "a message", n.requests)
}

func TestTLSHandshakeHas5s(t *testing.T) {
	t.Parallel()
	n, _ := serveTLS(t, newHandler(), edge.Config{})
	start := time.Now()
	conn, err := net.Dial("tcp", n.TLSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "\x16\x03\x01") // a record begins
	io.ReadAll(conn)
	if after := time.Since(start); after < 5*time.Second || after > 8*time.Second {
		t.Errorf("the connection is closed after %v", after)
	}
}

func TestTLSConnectionsAreWithinTheBoundsOfAll(t *testing.T) {
	n, _ := serveTLS(t, newHandler(), edge.Config{MaxAddrConns: 1})
	c := n.stream(t)
	c.say(t, "poll;v=2;id=in:alice:secret:0\n")
	c.want(t, "ok;id=in\n")
	beyond := n.dialTLS(t, 0)
	wantErr(t, answer(t, beyond), chat.CodeBusy)
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	logged := new(proctest.Output)
	n, files := serveTLS(t, newHandler(), edge.Config{Log: slog.New(slog.NewTextHandler(logged, nil))})
	served := func() string {
		conn := n.dialTLS(t, 0)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	const warning = "cannot be loaded"
	if name := served(); name != "first" {
		t.Fatalf("the certificate is %q", name)
	}
	cert, key := edge.NewPair(t, "second")
	files.write(t, files.certFile, cert) // which the key does not fit yet
	eventually(t, "half of a pair is warned of", func() bool { return served() != "first" || len(logged.Lines(warning)) == 1 })
	if name := served(); name != "first" {
		t.Errorf("with half of a pair the certificate is %q", name)
	}
	files.write(t, files.keyFile, key)
	eventually(t, "the second certificate is served", func() bool { return served() == "second" })

	if err := os.Remove(files.certFile); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing file is warned of", func() bool { return served() != "second" || len(logged.Lines(warning)) == 2 })
	if name := served(); name != "second" {
		t.Errorf("without a file the certificate is %q", name)
	}
	cert, key = edge.NewPair(t, "third")
	files.write(t, files.certFile+".new", cert)
	files.write(t, files.keyFile, key)
	if err := os.Rename(files.certFile+".new", files.certFile); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third certificate is served", func() bool { return served() == "third" })
	if warnings := len(logged.Lines(warning)); warnings != 2 {
		t.Errorf("there are %d warnings; each trouble is to be told once", warnings)
	}
}

func TestTLSThatCannotBeServedIsToldWithTheRemedy(t *testing.T) {
	files := newCertificates(t)
	for _, tc := range []struct {
		name string
		cfg  edge.Config
		want string
	}{
		{"no certificate", edge.Config{TLS: "127.0.0.1:0"}, "--tls-cert"},
		{"no key", edge.Config{TLS: "127.0.0.1:0", TLSCert: files.certFile}, "--tls-key"},
		{"no such file", edge.Config{TLS: "127.0.0.1:0", TLSCert: "/no/such/file", TLSKey: files.keyFile}, "/no/such/file"},
		{"a certificate for a key", edge.Config{TLS: "127.0.0.1:0", TLSCert: files.certFile, TLSKey: files.certFile}, "--tls-key"},
		{"no address", edge.Config{TLS: "127.0.0.1", TLSCert: files.certFile, TLSKey: files.keyFile}, "--tls 127.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.UDP, tc.cfg.TCP = "127.0.0.1:0", "127.0.0.1:0"
			_, err := edge.Listen(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEdgeWithoutTLSHasNoAddressForIt(t *testing.T) {
	e := listen(t, edge.Config{})
	defer discard(t, e)
	if addr := e.TLSAddr(); addr != nil {
		t.Errorf("it is %v", addr)
	}
}
