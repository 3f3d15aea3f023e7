package proxy

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/ring"
)

// peer is one server that the gossip names: it keeps a link to it for as long as the gossip does.
type peer struct {
	name   string
	config link.DialConfig
	log    *slog.Logger
	early  bool          // it was there when the proxy began: it need not prove itself before it was lost once
	notify func()        // the link has come up or has ended
	moved  chan struct{} // one slot: what the gossip says of the server is new

	mu      sync.Mutex // guards what follows; notify and Conn.Close, which do not block, are called with it held
	addr    netip.AddrPort
	leaving bool       // it drains, or is retired: that its link ends is no news
	conn    *link.Conn // nil while there is none
	since   time.Time  // when the newest link came up
	lost    bool       // a link to this server has ended before
	retired time.Time  // since when the gossip has not named it: the link may finish, but is not made again
}

const (
	dialTimeout = 2 * time.Second
	minRedial   = 50 * time.Millisecond
	maxRedial   = 2 * time.Second

	// dialLogPause is the least time between two log lines that say a server cannot be reached.
	dialLogPause = time.Minute
)

var (
	errSilent  = errors.New("it does not answer")
	errMoved   = errors.New("it has another address now")
	errRetired = errors.New("the gossip no longer names it")
)

// serve dials, works the link, and dials again, until ctx ends or the peer is retired and its link has ended. After a
// link that lasted it dials at once; else it pauses, each time longer, since who hangs up at once would do so again.
func (p *peer) serve(ctx context.Context) {
	pause := minRedial
	var logged time.Time
	for ctx.Err() == nil && !p.isRetired() {
		conn, err := p.dial(ctx)
		switch {
		case err == nil:
			logged = time.Time{}
			if p.work(ctx, conn) >= probation {
				pause = minRedial
				continue
			}
		case ctx.Err() == nil && !p.isLeaving() && time.Since(logged) >= dialLogPause:
			logged = time.Now()
			p.log.Warn("a server cannot be reached; trying on", "error", err)
		}
		p.pause(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, maxRedial)
	}
}

// dial makes a link, and makes it the peer's, unless it is no longer wanted when it is there.
func (p *peer) dial(ctx context.Context) (*link.Conn, error) {
	p.mu.Lock()
	addr := p.addr
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := link.Dial(ctx, addr.String(), p.config)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.retired.IsZero():
		err = errRetired
	case p.addr != addr:
		err = errMoved
	default:
		p.conn, p.since = conn, time.Now()
		p.notify()
		return conn, nil
	}
	conn.Close(err)
	return nil, err
}

// work serves the link until it ends, and says how long it has lasted.
func (p *peer) work(ctx context.Context, conn *link.Conn) time.Duration {
	err := conn.Serve(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(err)
	switch {
	case ctx.Err() != nil:
	case p.leaving:
		p.log.Info("the link to a server that leaves has ended", "reason", err)
	default:
		p.log.Warn("the link to a server has ended", "reason", err)
	}
	return time.Since(p.since)
}

// dropLocked ends the link, if there is one. It is out of use at once, and not only when all that belongs to it has
// ended.
func (p *peer) dropLocked(reason error) {
	if p.conn == nil {
		return
	}
	p.conn.Close(reason)
	p.conn, p.lost = nil, true
	p.notify()
}

// pause waits before the next dial, but not when the gossip has something new to say of the server.
func (p *peer) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-p.moved:
	case <-time.After(d):
	}
}

func (p *peer) nudge() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// update takes what the gossip says of the server. A link to another address than it has now is to a process that is
// no more.
func (p *peer) update(m cluster.Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = m.Draining
	if p.addr == m.Link {
		return
	}
	p.addr = m.Link
	p.dropLocked(errMoved)
	p.nudge()
}

// retire ends the peer once its link ends; at once, if there is none. From then on finish is to be called.
func (p *peer) retire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired, p.leaving = now, true
	p.nudge()
}

// finish is true when a retired peer has no link anymore. It ends the link when nobody can be waiting for an answer on
// it any longer, or waits in vain: that the gossip has lost the server and that it is silent need no further witness.
func (p *peer) finish(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && (p.conn.Silence() >= giveUpAfter || now.Sub(p.retired) >= sendTimeout) {
		p.dropLocked(errRetired)
	}
	return p.conn == nil
}

// revive undoes retire, unless the link has ended: then the peer has, too.
func (p *peer) revive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return false
	}
	p.retired = time.Time{}
	return true
}

func (p *peer) isRetired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.retired.IsZero()
}

func (p *peer) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// link is the peer's link, if it has one, and whether it has proven itself by lasting for a while.
func (p *peer) link(now time.Time) (conn *link.Conn, proven bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn, p.early && !p.lost || now.Sub(p.since) >= probation
}

// giveUp ends the link of a server that does not answer.
func (p *peer) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(errSilent)
}

// serverPusher is what a server pushes through. It counts what leaves, and hands it to the edge.
type serverPusher struct {
	edge.Pusher
	p      *Proxy
	server string
}

// Push refuses a server whose client is another's by now: that one begins where the store says, and what both push comes
// twice. So a push that is under way when the route changes ends there, too.
func (s serverPusher) Push(ctx context.Context, push edge.Push) (edge.Receipt, error) {
	route := s.p.route.Load()
	owner, ok := route.ring.Owner(ring.ClientKey(push.Client, s.p.seed))
	if ok && owner != s.server {
		s.p.countPush(edge.Receipt{Outcome: edge.PushBusy})
		return edge.Receipt{Outcome: edge.PushBusy}, nil
	}
	push.Stop = route.replaced
	receipt, err := s.Pusher.Push(ctx, push)
	if err == nil {
		s.p.countPush(receipt)
	}
	return receipt, err
}
