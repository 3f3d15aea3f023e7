package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"multichat/internal/crew"
	"multichat/internal/edge"
)

// How long a shutdown may take after Grace.
const (
	cancelWait = 500 * time.Millisecond // for the answers of handlers whose context was cancelled
	drainFlush = time.Second            // for the proxies to have read their last replies
)

var errShutdown = errors.New("this server is shutting down")

// ListenConfig is what a server must and may say about its links. A zero limit or time is the default.
type ListenConfig struct {
	Identity *Identity
	Name     string       // this server's
	Handler  edge.Handler // its back is the link that a poll came by: comparable, and good for as long as the link is

	MaxHandshakes    int           // connections that have not proven the cluster key; 64. More wait to be accepted
	MaxSends         int           // sends in hand, over all links; 8192
	MaxPushes        int           // pushes that wait for their receipt, per link; 4096
	MaxLogins        int           // logins of streams in hand, over all links; 16384
	MaxStreams       int           // streams, those whose login is in hand too, per link; 65536
	QueueBytes       int           // what may wait to be written, per link; 4 MiB
	HandshakeTimeout time.Duration // 3 s
	Idle             time.Duration // silence after which a link is closed; 3 s. Proxies ping every 100 ms
	Grace            time.Duration // how long sends and logins may go on after Serve's ctx has ended; 5 s

	Ended    func()       // is called when a link has ended; it must not block; nil if nobody wants to know
	Logger   *slog.Logger // nil logs nothing
	Counters *Counters    // nil if nobody wants to know
}

func (c ListenConfig) withDefaults() ListenConfig {
	setDefault(&c.MaxHandshakes, 64)
	setDefault(&c.MaxSends, 8192)
	setDefault(&c.MaxPushes, 4096)
	setDefault(&c.MaxLogins, 16384)
	setDefault(&c.MaxStreams, 65536)
	setDefault(&c.QueueBytes, 4<<20)
	setDefault(&c.HandshakeTimeout, 3*time.Second)
	setDefault(&c.Idle, 3*time.Second)
	setDefault(&c.Grace, 5*time.Second)
	if c.Ended == nil {
		c.Ended = func() {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Counters == nil {
		c.Counters = new(Counters)
	}
	return c
}

// Listener is a server's side of all its links.
type Listener struct {
	cfg    ListenConfig
	tcp    net.Listener
	tls    *tls.Config
	sends  *crew.Crew
	logins *crew.Crew

	mu       sync.Mutex
	draining bool
	ends     map[*serverEnd]struct{}

	refusals refusalLog
}

// Listen opens the port. The caller must then call [Listener.Serve], or [Listener.Close].
func Listen(addr string, cfg ListenConfig) (*Listener, error) {
	if err := checkNode(cfg.Name); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for proxies at %s: %w", addr, err)
	}
	return &Listener{
		cfg:      cfg,
		tcp:      tcp,
		tls:      cfg.Identity.serverTLS(),
		sends:    crew.New(cfg.MaxSends),
		logins:   crew.New(cfg.MaxLogins),
		ends:     make(map[*serverEnd]struct{}),
		refusals: refusalLog{log: cfg.Logger},
	}, nil
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Close closes the port. It is for a listener that is not served; ending Serve's ctx is the way to end one that is.
func (l *Listener) Close() error { return l.tcp.Close() }

// Serve accepts links and works them until ctx ends or the port fails. Then it takes no more, lets the sends and logins
// in hand finish for as long as Grace, closes each link behind its last reply, and returns when everything that it
// started has. Those that are still running after Grace have their context cancelled; what they answer within half a
// second of that is still delivered. Streams that are open then are closed with their links. It returns nil when ctx
// ended. It must be called once at most.
func (l *Listener) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.tcp.Close() })
	defer stop()
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	var links sync.WaitGroup
	err := l.accept(ctx, func(raw net.Conn, proven func()) {
		links.Go(func() { l.serveLink(ctx, handling, raw, proven) })
	})
	l.drain(cancel)
	links.Wait()
	<-l.sends.Close()
	<-l.logins.Close()
	return err
}

// accept starts each connection once there is room for one more that has proven nothing yet; proven gives the room
// back.
func (l *Listener) accept(ctx context.Context, start func(raw net.Conn, proven func())) error {
	defer l.tcp.Close()
	room := make(chan struct{}, l.cfg.MaxHandshakes)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		raw, err := l.tcp.Accept()
		switch {
		case err == nil:
			start(raw, func() { <-room })
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting links at %s: %w", l.Addr(), err)
		}
		<-room
		l.cfg.Logger.Warn("cannot accept a link; out of file descriptors, perhaps", "err", err)
		if within(time.Second, ctx.Done()) {
			return nil
		}
	}
}

// serveLink takes one connection from the handshake to its end.
func (l *Listener) serveLink(ctx, handling context.Context, raw net.Conn, proven func()) {
	e, err := l.join(ctx, raw)
	proven()
	if err != nil {
		raw.Close()
		if ctx.Err() == nil {
			l.cfg.Counters.Refused.Add(1)
			l.refusals.add(time.Now(), raw.RemoteAddr(), err)
		}
		return
	}
	defer l.leave(e)
	log := l.cfg.Logger.With("proxy", e.s.peer, "addr", raw.RemoteAddr().String())
	log.Info("link joined")
	why := e.serve(handling)
	l.cfg.Ended()
	log.Info("link ended", "why", why)
}

// join makes a connection a link.
func (l *Listener) join(ctx context.Context, raw net.Conn) (*serverEnd, error) {
	limitSendBuffer(raw)
	ctx, cancel := withHandshakeLimit(ctx, l.cfg.HandshakeTimeout)
	defer cancel()
	conn := secureAccepted(raw, l.tls)
	ours := newHello(roleServer, l.cfg.Name)
	in, theirs, err := greet(ctx, conn, ours, roleProxy)
	if err != nil {
		return nil, err
	}
	e := l.newEnd(conn, in, ours, theirs)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return nil, errShutdown
	}
	l.ends[e] = struct{}{}
	return e, nil
}

// newEnd is the server's end once the hellos are exchanged.
func (l *Listener) newEnd(conn net.Conn, in *frameReader, ours, theirs hello) *serverEnd {
	return &serverEnd{
		s:       newSession(conn, in, ours, theirs, l.cfg.QueueBytes, l.cfg.MaxPushes, l.cfg.Counters),
		handler: l.cfg.Handler,
		sends:   l.sends,
		logins:  l.logins,
		streams: newServerStreams(l.cfg.MaxStreams),
		idle:    l.cfg.Idle,
	}
}

func (l *Listener) leave(e *serverEnd) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ends, e)
}

// drain ends all links. New sends and logins are refused first, so that the last reply is known to be the last; then
// each link's queue is closed, and the proxy hangs up when it has read to the end.
func (l *Listener) drain(cancelHandlers func()) {
	logins, sends := l.logins.Close(), l.sends.Close()
	if !within(l.cfg.Grace, logins, sends) {
		cancelHandlers()
		within(cancelWait, logins, sends) // a send that is told to give up still knows best what became of its message
	}
	flush, cancel := context.WithTimeout(context.Background(), drainFlush)
	defer cancel()
	ends := l.lastEnds()
	for _, e := range ends {
		e.s.out.close()
	}
	for _, e := range ends {
		select {
		case <-e.s.done:
		case <-flush.Done():
			e.s.stop(errShutdown)
		}
	}
}

// within waits for all of done, and is false if that took longer than d.
func within(d time.Duration, done ...<-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, done := range done {
		select {
		case <-done:
		case <-timer.C:
			return false
		}
	}
	return true
}

// lastEnds are the links there are; there will be no more.
func (l *Listener) lastEnds() []*serverEnd {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	ends := make([]*serverEnd, 0, len(l.ends))
	for e := range l.ends {
		ends = append(ends, e)
	}
	return ends
}

// refusalLog tells of connections that did not become links, at most once a second: anybody can connect, and nobody
// should be able to fill a disk by it.
type refusalLog struct {
	log *slog.Logger

	mu     sync.Mutex
	last   time.Time
	untold int
}

func (r *refusalLog) add(now time.Time, from net.Addr, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last) < time.Second {
		r.untold++
		return
	}
	r.log.Warn("link refused", "addr", from.String(), "err", err, "untold", r.untold)
	r.last, r.untold = now, 0
}
