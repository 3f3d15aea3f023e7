package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/crew"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// DialConfig is what a proxy must and may say about a link. A zero limit or time is the default.
type DialConfig struct {
	Identity *Identity
	Name     string      // this proxy's
	Peer     string      // the server's; if another node answers, the link is refused
	Pusher   edge.Pusher // takes what the server pushes; its context ends with the link

	Tickets edge.TicketKeeper // takes the tickets that the server gives; nil: they are passed over

	MaxSends         int           // sends that wait for their reply; 4096
	MaxPushes        int           // pushes at work; 4096
	MaxStreams       int           // streams, those whose login is not answered too; 65536
	QueueBytes       int           // what may wait to be written; 4 MiB. Polls are dropped beyond half of it
	HandshakeTimeout time.Duration // 3 s
	PingInterval     time.Duration // 100 ms

	Counters *Counters // nil if nobody wants to know
}

func (c DialConfig) withDefaults() DialConfig {
	setDefault(&c.MaxSends, 4096)
	setDefault(&c.MaxPushes, 4096)
	setDefault(&c.MaxStreams, 65536)
	setDefault(&c.QueueBytes, 4<<20)
	setDefault(&c.HandshakeTimeout, 3*time.Second)
	setDefault(&c.PingInterval, 100*time.Millisecond)
	if c.Counters == nil {
		c.Counters = new(Counters)
	}
	return c
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Conn is a proxy's end of a link. Its methods may be called from any goroutine.
type Conn struct {
	s        *session
	pinger   *pinger
	pusher   edge.Pusher
	pushes   *crew.Crew
	tickets  edge.TicketKeeper // nil: nobody keeps any
	streams  *proxyStreams
	counters *Counters
}

// Dial connects to the server at addr and says hello. The caller must then call [Conn.Serve], or [Conn.Close]. Polls
// and sends may begin at once, but nothing moves before Serve does.
//
// The error wraps [ErrOtherKey] or [ErrOtherPeer] when it is that.
func Dial(ctx context.Context, addr string, cfg DialConfig) (*Conn, error) {
	if err := errors.Join(checkNode(cfg.Name), checkNode(cfg.Peer)); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ctx, cancel := withHandshakeLimit(ctx, cfg.HandshakeTimeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dialling %s at %s: %w", cfg.Peer, addr, orCause(ctx, err))
	}
	limitSendBuffer(raw)
	c, err := join(ctx, raw, cfg)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("linking with %s at %s: %w", cfg.Peer, addr, err)
	}
	return c, nil
}

// join makes a connection a link.
func join(ctx context.Context, raw net.Conn, cfg DialConfig) (*Conn, error) {
	conn := cfg.Identity.secureDialled(raw)
	ours := newHello(roleProxy, cfg.Name)
	in, theirs, err := greet(ctx, conn, ours, roleServer)
	switch {
	case err != nil:
		cfg.Counters.Refused.Add(1)
		return nil, err
	case theirs.name != cfg.Peer:
		cfg.Counters.Refused.Add(1)
		return nil, fmt.Errorf("%w: it is %q", ErrOtherPeer, theirs.name)
	}
	return newConn(conn, in, ours, theirs, cfg), nil
}

// newConn is the proxy's end once the hellos are exchanged.
func newConn(conn net.Conn, in *frameReader, ours, theirs hello, cfg DialConfig) *Conn {
	return &Conn{
		s:        newSession(conn, in, ours, theirs, cfg.QueueBytes, cfg.MaxSends, cfg.Counters),
		pinger:   newPinger(cfg.PingInterval),
		pusher:   cfg.Pusher,
		pushes:   crew.New(cfg.MaxPushes),
		tickets:  cfg.Tickets,
		streams:  newProxyStreams(cfg.MaxStreams),
		counters: cfg.Counters,
	}
}

// Serve works the link until it breaks, is closed, or ctx ends, and says why. It returns when everything that belongs
// to the link has, pushes too. It must be called once at most.
func (c *Conn) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.s.stop(context.Cause(ctx)) })
	defer stop()
	pushing, cancelPushes := context.WithCancel(context.WithoutCancel(ctx)) // they end after the link, not with ctx
	defer cancelPushes()

	var wg sync.WaitGroup
	wg.Go(c.s.serveWriter)
	wg.Go(c.serveTicks)
	c.s.serveReader(func(f frame) error { return c.handle(pushing, f) })
	c.endStreams()
	cancelPushes()
	<-c.pushes.Close()
	wg.Wait()
	return fmt.Errorf("the link to %s ended: %w", c.s.peer, c.s.why)
}

// Close ends the link at once, for the reason that [Conn.Serve] is to return. What waits for an answer gets
// [ErrBroken]; nothing that the server says from now on is heard.
func (c *Conn) Close(reason error) {
	if reason == nil {
		reason = net.ErrClosed
	}
	c.s.stop(reason)
}

// Poll hands a poll on. It does not block and keeps nothing of p. It is false when the poll was dropped: the queue is
// full, or the link has ended.
func (c *Conn) Poll(from edge.Caller, p wire.Poll) bool {
	err := c.s.out.add(kindPoll, 0, func(b []byte) []byte { return appendPoll(b, c.s.version, &from, &p) })
	if err != nil {
		c.counters.PollsDropped.Add(1)
		return false
	}
	c.counters.Polls.Add(1)
	return true
}

// Send hands a message on and waits for the answer. What the server refused comes as the [*chat.Error] it answered
// with, and so does busy, when too much waits here already. An error that wraps [ErrBroken] says that no answer will
// come, one of ctx that nobody waited for it; both times the message may have been stored, or may yet be, unless the
// error wraps [ErrNotSent] too: then the server's handler never had it.
func (c *Conn) Send(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
	b, err := c.s.request(ctx, kindSend, func(b []byte) []byte { return appendWrmsg(b, c.s.version, from, m) })
	switch {
	case err == errFull:
		c.counters.SendsBusy.Add(1)
		return 0, chat.Errorf(chat.CodeBusy, "too much is waiting for %s; try again later", c.s.peer)
	case err == errFrameTooLarge:
		return 0, chat.Errorf(chat.CodeTooLarge, "the message does not fit into a frame of a link: %w", err)
	case err != nil:
		return 0, err
	}
	r, err := decodeSendReply(b)
	switch {
	case err != nil:
		c.s.stop(fmt.Errorf("reading a reply of %s: %w", c.s.peer, err))
		return 0, c.s.broken(ErrBroken)
	case r.notTaken:
		return 0, fmt.Errorf("%w: %s is shutting down", ErrNotSent, c.s.peer)
	case r.refusal != nil:
		return 0, r.refusal
	}
	return r.seq, nil
}

// Silence is how long a ping has gone unanswered, in ticks of this process; 0 when none does. What to make of it is
// the caller's policy.
func (c *Conn) Silence() time.Duration { return c.pinger.unanswered() }

// Peer is the name of the server at the other end.
func (c *Conn) Peer() string { return c.s.peer }

// serveTicks pings, and tries again what streams found no room for.
func (c *Conn) serveTicks() {
	ticks := time.NewTicker(max(c.pinger.interval/ticksPerLate, time.Millisecond))
	defer ticks.Stop()
	for {
		if id, ping := c.pinger.tick(time.Now()); ping {
			c.s.out.addUrgent(kindPing, id)
		}
		c.streams.retry()
		select {
		case <-ticks.C:
		case <-c.s.done:
			return
		}
	}
}

func (c *Conn) handle(ctx context.Context, f frame) error {
	switch f.kind {
	case kindPong:
		c.pinger.pong(f.id)
		return nil
	case kindPush:
		return c.takePush(ctx, f)
	}
	if c.s.version >= streamsVersion {
		return c.handleStream(f)
	}
	return unexpected(f)
}

func (c *Conn) takePush(ctx context.Context, f frame) error {
	p, err := decodePush(bytes.Clone(f.body))
	if err != nil {
		return fmt.Errorf("a push: %w", err)
	}
	id := f.id
	if c.pushes.Run(func() { c.handlePush(ctx, id, p) }) == crew.ErrFull {
		c.counters.PushesBusy.Add(1)
		c.replyPush(id, pushReply{receipt: edge.Receipt{Outcome: edge.PushBusy}})
	}
	return nil
}

func (c *Conn) handlePush(ctx context.Context, id uint64, p edge.Push) {
	receipt, err := c.pusher.Push(ctx, p)
	if err != nil {
		c.replyPush(id, pushReply{failed: true, reason: err.Error()})
		return
	}
	c.replyPush(id, pushReply{receipt: receipt})
}

func (c *Conn) replyPush(id uint64, r pushReply) {
	c.s.reply(id, func(b []byte) []byte { return appendPushReply(b, r) })
}
