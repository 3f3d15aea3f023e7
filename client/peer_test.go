package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen, and moment how long it looks for what must not.
const (
	patience = 10 * time.Second
	moment   = 30 * time.Millisecond
)

// clientAddr is where the clients of the tests are, apart from the proxies on 127.0.0.1.
var clientAddr = netip.MustParseAddr("127.0.0.11")

// peer is the wire's other end: the two public ports of a proxy, played by the test.
type peer struct {
	t   *testing.T
	udp *net.UDPConn
	tcp *net.TCPListener
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{t: t}
	p.openUDP(0)
	var err error
	if p.tcp, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.udp.Close(); p.tcp.Close() })
	return p
}

func (p *peer) openUDP(port uint16) {
	p.t.Helper()
	var err error
	if p.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) address() Address {
	return Address{
		Host: "127.0.0.1",
		UDP:  p.udp.LocalAddr().(*net.UDPAddr).AddrPort().Port(),
		TCP:  p.tcp.Addr().(*net.TCPAddr).AddrPort().Port(),
	}
}

// poll waits for a poll and says where its client listens.
func (p *peer) poll() netip.AddrPort {
	p.t.Helper()
	b := make([]byte, wire.MaxPoll+1)
	p.udp.SetReadDeadline(time.Now().Add(patience))
	n, from, err := p.udp.ReadFromUDPAddrPort(b)
	if err != nil {
		p.t.Fatalf("no poll came: %v", err)
	}
	poll, err := wire.DecodePoll(b[:n])
	if err != nil {
		p.t.Fatal(err)
	}
	if string(poll.User) != "alice" || poll.Password.Reveal() != "secret" {
		p.t.Fatalf("the poll is %q", b[:n])
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), poll.Port)
}

// dial connects to a client as the system does to bring a message.
func (p *peer) dial(to netip.AddrPort) *net.TCPConn {
	p.t.Helper()
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// bring begins a delivery: it writes and half-closes.
func (p *peer) bring(to netip.AddrPort, data string) *net.TCPConn {
	p.t.Helper()
	conn := p.dial(to)
	if _, err := io.WriteString(conn, data); err != nil {
		p.t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// wantReceipt waits for the client's orderly close.
func wantReceipt(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("instead of an orderly close: %d bytes, %v", n, err)
	}
}

// wantReset waits for the end of a connection that must not look like a receipt.
func wantReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("instead of a reset: %v", err)
	}
}

// wantOpen looks for a moment whether the client closes.
func wantOpen(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(moment))
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("the client ended the connection: %v", err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
}

// serve answers connections of senders, one at a time, until the listener is closed.
func (p *peer) serve(handle func(conn *net.TCPConn, m wire.Wrmsg, err error)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := p.tcp.AcceptTCP()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(patience))
			m, err := wire.ReadRequest(bufio.NewReader(conn), wire.Limits{})
			handle(conn, m, err)
			conn.Close()
		}
	}()
	p.t.Cleanup(func() { p.tcp.Close(); <-done })
}

// answer serves every sender with the same bytes and counts the requests.
func (p *peer) answer(line string) (requests chan wire.Wrmsg) {
	requests = make(chan wire.Wrmsg, 16)
	p.serve(func(conn *net.TCPConn, m wire.Wrmsg, err error) {
		if err != nil {
			p.t.Errorf("the request: %v", err)
		}
		requests <- m
		io.WriteString(conn, line)
	})
	return requests
}

func newV1(t *testing.T, proxies ...Address) *V1 {
	t.Helper()
	c, err := NewV1(V1Config{
		Proxies:      proxies,
		User:         "alice",
		Password:     chat.NewSecret("secret"),
		LocalAddr:    clientAddr,
		PollInterval: 5 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testContext ends a test's calls even if the test fails.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t *testing.T, err error, code chat.Code) {
	t.Helper()
	if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != code {
		t.Errorf("got error %v, want code %s", err, code)
	}
}

// logTo makes a logger that signals what it is told, as long as there is room.
func logTo(signals chan<- struct{}) *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		select {
		case signals <- struct{}{}:
		default:
		}
		return len(b), nil
	}), nil))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
