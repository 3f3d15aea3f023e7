package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	clientAddr = netip.MustParseAddr("127.0.0.11")
	aHolder    = edge.Holder{1, 2, 3, 15: 16}
	aCaller    = edge.Caller{Addr: clientAddr}
	aProxy     = newHello(roleProxy, "proxy-1")
	aServer    = newHello(roleServer, "server-1")
	aPoll      = wire.Poll{User: []byte("alice"), Password: chat.NewSecret("secret"), Port: 4391}
	aMessage   = wire.Wrmsg{ID: "m1", User: "alice", Password: aPoll.Password, To: "bob", Text: []byte("hello")}
)

// handler is a server whose answers a test writes. A nil func drops the poll, stores at seq 1, or refuses the login.
type handler struct {
	poll  func(from edge.Caller, p wire.Poll, back edge.Pusher)
	send  func(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error)
	login func(ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error)
}

func (h handler) Poll(from edge.Caller, p wire.Poll, back edge.Pusher) {
	if h.poll != nil {
		h.poll(from, p, back)
	}
}

func (h handler) Send(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
	if h.send == nil {
		return 1, nil
	}
	return h.send(ctx, from, m)
}

func (h handler) Login(ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
	if h.login == nil {
		return nil, chat.Errorf(chat.CodeAuth, "there is no such user")
	}
	return h.login(ctx, from, l, client)
}

// pusher is a proxy's way out to its clients.
type pusher func(ctx context.Context, p edge.Push) (edge.Receipt, error)

func (f pusher) Push(ctx context.Context, p edge.Push) (edge.Receipt, error) { return f(ctx, p) }

func takeAll(_ context.Context, p edge.Push) (edge.Receipt, error) {
	return edge.Receipt{Taken: len(p.Messages), Port: 10001, Outcome: edge.PushTaken}, nil
}

func key(text string) chat.Secret {
	return chat.NewSecret(strings.Repeat(text, chat.ClusterKeyBytes)[:chat.ClusterKeyBytes])
}

func identity(t testing.TB, k chat.Secret) *Identity {
	t.Helper()
	id, err := NewIdentity(k)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// service is something with a Serve that runs until the test, or end, ends it.
type service struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // what Serve returned; to be read once done is closed
}

func start(t testing.TB, serve func(context.Context) error) *service {
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = serve(ctx)
	}()
	t.Cleanup(func() { s.end(t) })
	return s
}

// end stops the service and returns what Serve returned.
func (s *service) end(t testing.TB) error {
	s.cancel()
	return s.wait(t)
}

// wait returns what Serve returns by itself.
func (s *service) wait(t testing.TB) error {
	t.Helper()
	receive(t, s.done, "Serve to return")
	return s.err
}

// listen serves h at a free port of loopback, as server-1.
func listen(t testing.TB, cfg ListenConfig) (addr string, l *service) {
	t.Helper()
	if cfg.Identity == nil {
		cfg.Identity = identity(t, key("k"))
	}
	if cfg.Handler == nil {
		cfg.Handler = handler{}
	}
	cfg.Name = "server-1"
	listener, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String(), start(t, listener.Serve)
}

func withDialDefaults(t testing.TB, cfg DialConfig) DialConfig {
	if cfg.Identity == nil {
		cfg.Identity = identity(t, key("k"))
	}
	if cfg.Peer == "" {
		cfg.Peer = "server-1"
	}
	if cfg.Pusher == nil {
		cfg.Pusher = pusher(takeAll)
	}
	cfg.Name = "proxy-1"
	return cfg
}

// dial links with server-1 at addr, and serves the link.
func dial(t testing.TB, addr string, cfg DialConfig) (*Conn, *service) {
	t.Helper()
	conn, err := Dial(t.Context(), addr, withDialDefaults(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return conn, start(t, conn.Serve)
}

// pair is a server and a proxy that are linked.
func pair(t testing.TB, server ListenConfig, proxy DialConfig) *Conn {
	t.Helper()
	addr, _ := listen(t, server)
	conn, _ := dial(t, addr, proxy)
	return conn
}

// pairFor is a pair whose server answers sends with send.
func pairFor(t testing.TB, send func(context.Context, edge.Caller, wire.Wrmsg) (chat.Seq, error)) *Conn {
	t.Helper()
	return pair(t, ListenConfig{Handler: handler{send: send}}, DialConfig{})
}

// stranger is a connection that has proven the key and said hello as a proxy, and then says what a test wants.
func stranger(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	return newStrangeProxy(t, addr, newHello(roleProxy, "stranger")).conn.(*tls.Conn)
}

// strange is the end of a link that says what a test wants, frame by frame.
type strange struct {
	conn net.Conn
	in   *frameReader
}

func (s *strange) write(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := s.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
}

func (s *strange) read(t *testing.T) frame {
	t.Helper()
	f, err := s.in.next(maxFrame)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// readPast is the next frame that is not of kind k.
func (s *strange) readPast(t *testing.T, k kind) frame {
	t.Helper()
	for {
		if f := s.read(t); f.kind != k {
			return f
		}
	}
}

// strangeProxy links with the server at addr as h.
type strangeProxy struct{ strange }

func newStrangeProxy(t *testing.T, addr string, h hello) *strangeProxy {
	t.Helper()
	conn := tlsDial(t, addr)
	in, _, err := exchange(conn, h, roleServer)
	if err != nil {
		t.Fatal(err)
	}
	return &strangeProxy{strange{conn, in}}
}

// piped is a proxy's end of a link without a network: nothing is on its way that the strange server has not read.
func piped(t *testing.T, cfg DialConfig) (*Conn, *strange) {
	t.Helper()
	near, far := net.Pipe()
	conn := newConn(near, newFrameReader(near), aProxy, aServer, withDialDefaults(t, cfg).withDefaults())
	start(t, conn.Serve)
	far.SetDeadline(time.Now().Add(patience))
	return conn, &strange{far, newFrameReader(far)}
}

// strangeServer listens, and links as h with the first proxy that dials.
type strangeServer struct {
	strange
	linked chan error
}

func newStrangeServer(t *testing.T, h hello) (s *strangeServer, addr string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", identity(t, key("k")).serverTLS())
	if err != nil {
		t.Fatal(err)
	}
	s = &strangeServer{linked: make(chan error, 1)}
	go func() {
		conn, err := l.Accept()
		if err == nil {
			conn.SetDeadline(time.Now().Add(patience))
			s.conn = conn
			s.in, _, err = exchange(conn, h, roleProxy)
		}
		s.linked <- err
	}()
	t.Cleanup(func() {
		l.Close()
		if s.conn != nil {
			hangUp(s.conn)
		}
	})
	return s, l.Addr().String()
}

// accept waits for the link.
func (s *strangeServer) accept(t *testing.T) {
	t.Helper()
	if err := receive(t, s.linked, "a proxy to link"); err != nil {
		t.Fatal(err)
	}
}

func tlsDial(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, identity(t, key("k")).clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.NetConn().Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func rawFrame(k kind, id uint64, body string) []byte {
	b := append(beginFrame(nil, k, id), body...)
	if err := endFrame(b, 0); err != nil {
		panic(err)
	}
	return b
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

// relay stands between a proxy and a server as a network does. It can be stopped, as when a cable is pulled, and cut.
type relay struct {
	to    string
	chunk int // bytes per write; 0 as they come

	mu      sync.Mutex
	changed sync.Cond
	stopped bool
	cut     bool
	conns   []net.Conn
}

// newRelay listens at a free port and forwards every connection to addr.
func newRelay(t testing.TB, addr string, chunk int) (*relay, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{to: addr, chunk: chunk}
	r.changed.L = &r.mu
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.forward(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.breakAll()
		wg.Wait()
	})
	return r, l.Addr().String()
}

func (r *relay) forward(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	r.conns = append(r.conns, in, out)
	r.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { r.copy(out, in) })
	r.copy(in, out)
	wg.Wait()
}

func (r *relay) copy(to, from net.Conn) {
	defer to.(*net.TCPConn).CloseWrite()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !r.wait() {
			return
		}
		for b := buf[:n]; len(b) > 0; {
			piece := b
			if r.chunk > 0 {
				piece = b[:min(r.chunk, len(b))]
			}
			if _, err := to.Write(piece); err != nil {
				return
			}
			b = b[len(piece):]
		}
		if err != nil {
			return
		}
	}
}

// wait returns when the relay forwards, and is false when it never will again.
func (r *relay) wait() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.stopped && !r.cut {
		r.changed.Wait()
	}
	return !r.cut
}

// stop holds back all bytes, or lets them go on.
func (r *relay) stop(stopped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = stopped
	r.changed.Broadcast()
}

// breakAll closes all connections.
func (r *relay) breakAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for _, c := range r.conns {
		c.Close()
	}
	r.changed.Broadcast()
}

// hungUp reads until the other end hangs up, and says whether it did before conn's deadline.
func hungUp(conn net.Conn) bool {
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// waiting is how many bytes an end has to write.
func waiting(s *session) int {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return len(s.out.bulk) + len(s.out.rest)
}
