package edge_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen, and moment how long it looks for what must not.
const (
	patience = 10 * time.Second
	moment   = 30 * time.Millisecond
)

// poll and request are what the handler was called with.
type poll struct {
	client   netip.Addr
	user     string
	password string
	port     uint16
	back     edge.Pusher
}

type request struct {
	client  netip.Addr
	message wire.Wrmsg
}

// handler hands each call over to the test. A nil send stores everything at seq 7, a nil login opens every stream.
type handler struct {
	polls    chan poll
	requests chan request
	logins   chan *stream
	send     func(ctx context.Context) (chat.Seq, error)
	login    func(ctx context.Context, s *stream) error
}

func newHandler() *handler {
	return &handler{polls: make(chan poll, 64), requests: make(chan request, 64), logins: make(chan *stream, 2048)}
}

func (h *handler) Poll(from edge.Caller, p wire.Poll, back edge.Pusher) {
	h.polls <- poll{from.Addr, string(p.User), p.Password.Reveal(), p.Port, back}
}

func (h *handler) Send(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
	h.requests <- request{from.Addr, m}
	if h.send == nil {
		return 7, nil
	}
	return h.send(ctx)
}

func (h *handler) Login(
	ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient,
) (edge.Stream, error) {
	s := newStream(from, l, client)
	if h.login != nil {
		if err := h.login(ctx, s); err != nil {
			return nil, err
		}
	}
	h.logins <- s
	return s, nil
}

// node is an edge that serves on loopback until the test ends, or stops it.
type node struct {
	*edge.Edge
	*handler
	metrics *metrics.Metrics
	stop    func()     // tells Serve to end
	ended   chan error // what Serve returned
}

// serve starts an edge. Of cfg, the listeners default to free ports of 127.0.0.1, and the grace to a moment.
func serve(t testing.TB, h *handler, cfg edge.Config) *node {
	t.Helper()
	n := serveHandler(t, h, cfg)
	n.handler = h
	return n
}

func serveHandler(t testing.TB, h edge.Handler, cfg edge.Config) *node {
	t.Helper()
	if cfg.Grace == 0 {
		cfg.Grace = moment
	}
	cfg.Handler, cfg.Metrics = h, metrics.New()
	e := listen(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{Edge: e, metrics: cfg.Metrics, stop: cancel, ended: make(chan error, 1)}
	var serving sync.WaitGroup
	serving.Go(func() { n.ended <- e.Serve(ctx) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return n
}

func listen(t testing.TB, cfg edge.Config) *edge.Edge {
	t.Helper()
	if cfg.UDP == "" {
		cfg.UDP = "127.0.0.1:0"
	}
	if cfg.TCP == "" {
		cfg.TCP = "127.0.0.1:0"
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e, err := edge.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// discard closes an edge that was never served.
func discard(t *testing.T, e *edge.Edge) {
	t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Serve(ended); err != nil {
		t.Error(err)
	}
}

// wantEnded waits for the end of Serve.
func (n *node) wantEnded(t *testing.T) {
	t.Helper()
	if err := receive(t, "the end of Serve", n.ended); err != nil {
		t.Errorf("Serve ended with: %v", err)
	}
}

func (n *node) drops(reason string) float64 {
	return testutil.ToFloat64(n.metrics.Drops.WithLabelValues(reason))
}

// wantSends checks how often sends were answered with an outcome. It waits, since a client may read its answer before
// that is counted.
func (n *node) wantSends(t *testing.T, outcome string, want float64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v sends are counted under %s", want, outcome), func() bool {
		return testutil.ToFloat64(n.metrics.Sends.WithLabelValues(outcome)) == want
	})
}

// dial connects to where requests are received; a listener on any address is reached at 127.0.0.1.
func (n *node) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	host := n.TCPAddr().AddrPort().Addr()
	if host.IsUnspecified() {
		host = netip.MustParseAddr("127.0.0.1")
	}
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, n.TCPAddr().AddrPort().Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// ask sends one whole request and returns all that is answered.
func (n *node) ask(t *testing.T, request string) string {
	t.Helper()
	conn := n.dial(t)
	finish(t, conn, request)
	return answer(t, conn)
}

// finish sends the last part of a request.
func finish(t *testing.T, conn *net.TCPConn, request string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// answer reads to the end, which must be an orderly one.
func answer(t *testing.T, conn net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("after %q: %v", b, err)
	}
	return string(b)
}

func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come within %v", what, patience)
		panic("unreachable")
	}
}

func wantNone[T any](t testing.TB, what string, from <-chan T) {
	t.Helper()
	select {
	case v := <-from:
		t.Errorf("%s came: %+v", what, v)
	default:
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

var lastHost atomic.Uint32

// newHost is a loopback address that no other test uses, so that its free ports stay free.
func newHost() netip.Addr {
	n := lastHost.Add(1)
	return netip.AddrFrom4([4]byte{127, 7, byte(n >> 8), byte(n)})
}
