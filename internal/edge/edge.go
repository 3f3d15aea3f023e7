package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"multichat/internal/chat"
	"multichat/internal/metrics"
)

// Config says where an edge listens and what it bears. The zero value of a bound means its default.
type Config struct {
	UDP string // address of the poll listener, HOST:PORT; the protocol's port is 9001
	TCP string // address of the request listener; the protocol's port is 9002

	Handler Handler
	Metrics *metrics.Metrics
	Log     *slog.Logger

	MaxText   int           // bytes of one text; default chat.DefaultMaxText
	MaxConns  int           // connections served at once; default 16384
	MaxPushes int           // pushes to clients at once, of one or two connections each; default 1024
	Grace     time.Duration // how long requests may go on after Serve was told to end; default 5 s
}

func (c Config) withDefaults() Config {
	if c.MaxText == 0 {
		c.MaxText = chat.DefaultMaxText
	}
	if c.MaxConns == 0 {
		c.MaxConns = 16384
	}
	if c.MaxPushes == 0 {
		c.MaxPushes = 1024
	}
	if c.Grace == 0 {
		c.Grace = 5 * time.Second
	}
	return c
}

// Edge is the client-facing side of a node.
type Edge struct {
	polls    *pollListener
	requests *requestListener
	dialBack *DialBack
}

// Listen binds both public ports and serves nothing yet; close an edge that is never served by calling Serve with an
// ended context.
func Listen(cfg Config) (*Edge, error) {
	cfg = cfg.withDefaults()
	udp, err := listenUDP(cfg.UDP)
	if err != nil {
		return nil, listenError("polls", "udp", cfg.UDP, err)
	}
	tcp, err := net.Listen("tcp", cfg.TCP)
	if err != nil {
		udp.Close()
		return nil, listenError("requests", "tcp", cfg.TCP, err)
	}
	dialBack := newDialBack(udp.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), cfg.MaxPushes, cfg.Log)
	return &Edge{
		polls:    &pollListener{conn: udp, handler: cfg.Handler, back: dialBack, metrics: cfg.Metrics, log: cfg.Log},
		requests: newRequestListener(tcp, cfg),
		dialBack: dialBack,
	}, nil
}

func listenUDP(addr string) (*net.UDPConn, error) {
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	udp := conn.(*net.UDPConn)
	// A second's polls of some thousand clients may arrive while this process is not on a core; the kernel caps the
	// size by its own limit without an error.
	udp.SetReadBuffer(4 << 20)
	return udp, nil
}

func listenError(what, network, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen for %s: %s port %s is in use; end what uses it or choose another with --%s",
			what, network, addr, network)
	}
	return fmt.Errorf("listen for %s on --%s %s: %w", what, network, addr, err)
}

// UDPAddr is where polls are received.
func (e *Edge) UDPAddr() *net.UDPAddr { return e.polls.conn.LocalAddr().(*net.UDPAddr) }

// TCPAddr is where requests are received.
func (e *Edge) TCPAddr() *net.TCPAddr { return e.requests.listener.Addr().(*net.TCPAddr) }

// DialBack is the way back to clients. A proxy gives it to its links; polls that this edge hands on carry it.
func (e *Edge) DialBack() *DialBack { return e.dialBack }

// Serve takes polls and requests until ctx ends, lets requests that are under way finish within Config.Grace, and
// returns when all its goroutines have ended. The error is nil unless a listener failed by itself.
func (e *Edge) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, 2)
	var group sync.WaitGroup
	group.Go(func() { defer cancel(); errs[0] = e.polls.serve(ctx) })
	group.Go(func() { defer cancel(); errs[1] = e.requests.serve(ctx) })
	group.Wait()
	return errors.Join(errs...)
}
