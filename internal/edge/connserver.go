package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"multichat/internal/metrics"
	"multichat/internal/wire"
)

// maxRefusals is how many connections beyond a bound are told so at once.
const maxRefusals = 256

// connServer serves clients' connections, whichever listener they came to.
type connServer struct {
	plain   net.Listener
	secured net.Listener // speaks TLS; nil: there is none

	handler Handler
	metrics *metrics.Metrics
	log     *slog.Logger
	limits  wire.Limits
	grace   time.Duration
	tls     *tls.Config

	slots    chan struct{} // one for each connection that is served
	addrs    *addrConns    // the same by client address
	refusals chan struct{} // one for each connection that is only told that there are too many
	streams  *streamTable
	workers  *workers
}

func newConnServer(cfg Config) *connServer {
	return &connServer{
		handler:  cfg.Handler,
		metrics:  cfg.Metrics,
		log:      cfg.Log,
		limits:   wire.Limits{MaxText: cfg.MaxText},
		grace:    cfg.Grace,
		slots:    make(chan struct{}, cfg.MaxConns),
		addrs:    newAddrConns(cfg.MaxAddrConns),
		refusals: make(chan struct{}, maxRefusals),
		streams:  newStreamTable(),
		workers:  newWorkers(),
	}
}

// listen binds the listeners of cfg. After an error some may be bound.
func (s *connServer) listen(cfg Config) error {
	var err error
	if s.plain, err = listenTCP(cfg.TCP); err != nil {
		return listenError("requests", "tcp", "--tcp", cfg.TCP, err)
	}
	if cfg.TLS == "" {
		return nil
	}
	pair, err := loadCertificate(cfg.TLSCert, cfg.TLSKey, cfg.Log)
	if err != nil {
		return err
	}
	s.tls = &tls.Config{GetCertificate: pair.get, MinVersion: tls.VersionTLS12}
	if s.secured, err = listenTCP(cfg.TLS); err != nil {
		return listenError("requests over TLS", "tcp", "--tls", cfg.TLS, err)
	}
	return nil
}

func (s *connServer) listeners() (all []net.Listener) {
	for _, l := range []net.Listener{s.plain, s.secured} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

func (s *connServer) closeListeners() {
	for _, l := range s.listeners() {
		l.Close()
	}
}

func (s *connServer) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	listeners := s.listeners()
	errs := make([]error, len(listeners))
	var accepting, group sync.WaitGroup
	for i, l := range listeners {
		accepting.Go(func() {
			defer cancel() // one listener's failure ends all
			errs[i] = s.accept(ctx, l, func(conn net.Conn) { s.admit(work, &group, conn, l == s.secured) })
		})
	}
	<-ctx.Done()
	s.streams.leave()
	accepting.Wait()
	s.workers.end()
	force := time.AfterFunc(s.grace, func() { cut(); s.streams.end() })
	defer force.Stop()
	group.Wait()
	return errors.Join(errs...)
}

// accept calls handle for each connection until ctx ends, and for those that were made by then. It closes the listener.
func (s *connServer) accept(ctx context.Context, l net.Listener, handle func(net.Conn)) error {
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { endBacklog(l) })
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			handle(conn)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept requests: %w", err)
		}
		// Out of file descriptors, or the client gave up already: others must go on being served.
		s.log.Warn("a connection could not be accepted; going on", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// admit serves a connection if there is room, and else says that there is none. Where even that is more than is borne,
// it closes the connection. It never waits: other clients are behind this one.
func (s *connServer) admit(ctx context.Context, group *sync.WaitGroup, conn net.Conn, secured bool) {
	from := clientAddr(conn)
	switch {
	case s.enter(from):
		s.workers.run(group, func() {
			defer s.leave(from)
			s.serveConn(ctx, conn, from, secured)
		})
	case take(s.refusals):
		group.Go(func() {
			defer release(s.refusals)
			s.refuseConn(ctx, conn, secured)
		})
	default:
		s.metrics.Drops.WithLabelValues("conn_busy").Inc()
		conn.Close()
	}
}

// enter takes a place for a connection from this address, if both it and the edge have one. leave gives it back.
func (s *connServer) enter(from netip.Addr) bool {
	if !take(s.slots) {
		return false
	}
	if !s.addrs.enter(from) {
		release(s.slots)
		return false
	}
	return true
}

func (s *connServer) leave(from netip.Addr) {
	s.addrs.leave(from)
	release(s.slots)
}

func take(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

func release(places chan struct{}) { <-places }

func clientAddr(conn net.Conn) netip.Addr {
	return conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
}
