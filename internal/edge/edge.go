package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// Edge is the client-facing side of a node.
type Edge struct {
	polls    *pollListener
	conns    *connServer
	dialBack *DialBack
}

// Listen binds the public ports and serves nothing yet; close an edge that is never served by calling Serve with an
// ended context.
func Listen(cfg Config) (*Edge, error) {
	cfg = cfg.withDefaults()
	udp, err := listenUDP(cfg.UDP)
	if err != nil {
		return nil, listenError("polls", "udp", "--udp", cfg.UDP, err)
	}
	conns := newConnServer(cfg)
	if err := conns.listen(cfg); err != nil {
		udp.Close()
		conns.closeListeners()
		return nil, err
	}
	dialBack := newDialBack(udp.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), cfg.MaxPushes, cfg.Log)
	polls := &pollListener{conn: udp, handler: cfg.Handler, back: dialBack, rates: newAddrPolls(cfg.MaxAddrPolls),
		metrics: cfg.Metrics, log: cfg.Log}
	return &Edge{polls: polls, conns: conns, dialBack: dialBack}, nil
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

func listenError(what, network, flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen for %s: %s port %s is in use; end what uses it or choose another with %s",
			what, network, addr, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen for %s: this machine has no address %s; with %s name one of its own, or none for all of them",
			what, addr, flag)
	}
	return fmt.Errorf("listen for %s on %s %s: %w", what, flag, addr, err)
}

// UDPAddr is where polls are received.
func (e *Edge) UDPAddr() *net.UDPAddr { return e.polls.conn.LocalAddr().(*net.UDPAddr) }

// TCPAddr is where requests and streams are received.
func (e *Edge) TCPAddr() *net.TCPAddr { return e.conns.plain.Addr().(*net.TCPAddr) }

// TLSAddr is where they are received over TLS, or nil.
func (e *Edge) TLSAddr() *net.TCPAddr {
	if e.conns.secured == nil {
		return nil
	}
	return e.conns.secured.Addr().(*net.TCPAddr)
}

// DialBack is the way back to clients. A proxy gives it to its links; polls that this edge hands on carry it.
func (e *Edge) DialBack() *DialBack { return e.dialBack }

// Drain begins to leave, while everything behind the edge still works: streams are told bye, and go on until their
// clients close or Serve ends; no stream is opened, and no push begins, any more. It waits for the pushes under way, and
// ctx bounds that.
func (e *Edge) Drain(ctx context.Context) {
	e.conns.streams.leave()
	e.dialBack.Drain(ctx)
}

// Serve takes polls, requests and streams until ctx ends. Then it tells streams bye, lets them and the requests that are
// under way go on for Config.Grace, and returns when all its goroutines have ended. The error is nil unless a listener
// failed by itself.
func (e *Edge) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, 2)
	var group sync.WaitGroup
	group.Go(func() { defer cancel(); errs[0] = e.polls.serve(ctx) })
	group.Go(func() { defer cancel(); errs[1] = e.conns.serve(ctx) })
	group.Wait()
	return errors.Join(errs...)
}
