package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/proctest"
)

func TestKeyMustBeWhole(t *testing.T) {
	for _, k := range []string{"", "short", strings.Repeat("x", chat.ClusterKeyBytes+1)} {
		_, err := NewIdentity(chat.NewSecret(k))
		if err == nil || (k != "" && strings.Contains(err.Error(), k)) {
			t.Errorf("a key of %d bytes: got %v, want an error that does not quote it", len(k), err)
		}
	}
}

func TestOtherKeyIsToldAtBothEnds(t *testing.T) {
	logged := new(proctest.Output)
	counters := new(Counters)
	addr, _ := listen(t, ListenConfig{Logger: slog.New(slog.NewTextHandler(logged, nil)), Counters: counters})
	_, err := Dial(t.Context(), addr, withDialDefaults(t, DialConfig{Identity: identity(t, key("other"))}))
	if !errors.Is(err, ErrOtherKey) {
		t.Errorf("the proxy got %v, want %v", err, ErrOtherKey)
	}
	eventually(t, "the server logs it", func() bool { return strings.Contains(logged.String(), ErrOtherKey.Error()) })
	eventually(t, "the server counts it", func() bool { return counters.Refused.Load() == 1 })
}

// A proxy that takes any server's word, to see that the server does not take any proxy's.
func TestServerRefusesStrangers(t *testing.T) {
	addr, _ := listen(t, ListenConfig{})
	for name, certificates := range map[string][]tls.Certificate{
		"without a certificate":      nil,
		"with another key's":         {identity(t, key("other")).leaf},
		"with one that signs itself": {selfSigned(t)},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
			if err == nil {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				_, _, err = exchange(conn, newHello(roleProxy, "stranger"), roleServer)
			}
			if err == nil {
				t.Fatal("the server took it")
			}
			if !errors.Is(keyError(err), ErrOtherKey) {
				t.Errorf("got %v, want %v", keyError(err), ErrOtherKey)
			}
		})
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	private, err := authorityKey(key("self"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := sign(leaf(time.Now()), nil, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: private}
}

func TestIdentitiesOfOneKeyKnowEachOther(t *testing.T) {
	addr, _ := listen(t, ListenConfig{Identity: identity(t, key("same"))})
	conn, _ := dial(t, addr, DialConfig{Identity: identity(t, key("same"))})
	if seq, err := conn.Send(t.Context(), aCaller, aMessage); seq != 1 || err != nil {
		t.Errorf("got %v, %v", seq, err)
	}
	if state := conn.s.conn.(*tls.Conn).ConnectionState(); state.Version != tls.VersionTLS13 {
		t.Errorf("the link speaks %s, want TLS 1.3", tls.VersionName(state.Version))
	}
}

func TestAnotherServerThanTheOneDialled(t *testing.T) {
	addr, _ := listen(t, ListenConfig{})
	_, err := Dial(t.Context(), addr, withDialDefaults(t, DialConfig{Peer: "server-2"}))
	if !errors.Is(err, ErrOtherPeer) || !strings.Contains(err.Error(), `"server-1"`) {
		t.Errorf("got %v, want %v and who it is", err, ErrOtherPeer)
	}
}

func TestAnotherVersionIsToldAtBothEnds(t *testing.T) {
	logged := new(proctest.Output)
	addr, _ := listen(t, ListenConfig{Logger: slog.New(slog.NewTextHandler(logged, nil))})
	ours := hello{version: version + 2, oldest: version + 1, role: roleProxy, name: "proxy-9"}
	_, _, err := exchange(tlsDial(t, addr), ours, roleServer)
	told := fmt.Sprintf("speaks version %d", version)
	if err == nil || !strings.Contains(err.Error(), told) {
		t.Errorf("the proxy got %v, want %q", err, told)
	}
	told = fmt.Sprintf("speaks version %d", version+2)
	eventually(t, "the server logs it", func() bool { return strings.Contains(logged.String(), told) })
}

func TestTwoProxiesDoNotLink(t *testing.T) {
	addr, _ := listen(t, ListenConfig{})
	conn := tlsDial(t, addr)
	if _, _, err := exchange(conn, newHello(roleServer, "server-2"), roleServer); err != nil {
		t.Fatal(err)
	}
	if !hungUp(conn) {
		t.Error("a server took another server's link")
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	addr, _ := listen(t, ListenConfig{MaxHandshakes: 2, HandshakeTimeout: 300 * time.Millisecond})
	var silent []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		silent = append(silent, conn)
	}
	conn, _ := dial(t, addr, DialConfig{})
	if _, err := conn.Send(t.Context(), aCaller, aMessage); err != nil {
		t.Error(err)
	}
	for _, c := range silent {
		if !hungUp(c) {
			t.Error("a connection that says nothing was left open")
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts for it, and nobody says anything
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Run("cancelled", func(t *testing.T) {
		gone := errors.New("the member left")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := l.Accept(); err == nil {
				defer conn.Close()
				cancel(gone)
				hungUp(conn)
			}
		}()
		if _, err := Dial(ctx, l.Addr().String(), withDialDefaults(t, DialConfig{})); !errors.Is(err, gone) {
			t.Errorf("got %v, want %v", err, gone)
		}
		receive(t, done, "the connection to be closed")
	})
	t.Run("too slow", func(t *testing.T) {
		cfg := withDialDefaults(t, DialConfig{HandshakeTimeout: 20 * time.Millisecond})
		_, err := Dial(t.Context(), l.Addr().String(), cfg)
		if err == nil || !strings.Contains(err.Error(), "longer than 20ms") {
			t.Errorf("got %v, want one that says what took too long", err)
		}
	})
}
