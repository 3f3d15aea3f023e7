package proxy

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/crew"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/internal/metrics"
	"multichat/internal/wire"
	"multichat/ring"
)

// Config is what a Proxy needs.
type Config struct {
	Name    string // as in the gossip
	Key     chat.Secret
	Cluster *cluster.Cluster // served by the caller, before and for longer than the proxy
	Metrics *metrics.Metrics
	Log     *slog.Logger

	Counters *link.Counters // of all links; nil if nobody wants to know
}

// Proxy routes the calls of an edge to servers.
type Proxy struct {
	cfg      Config
	identity *link.Identity
	seed     uint64 // of the ring's keys
	log      *slog.Logger

	holders   *holders
	tickets   *tickets // under the names that holders gives
	streams   *streams
	takeovers *crew.Crew // one goroutine for each stream that is taken over

	route atomic.Pointer[route]
	wake  chan struct{} // one slot: a link has come up or has ended
	ended chan struct{} // closed once Serve makes no more routes
}

// New makes a proxy. It routes nothing until Serve.
func New(cfg Config) (*Proxy, error) {
	identity, err := link.NewIdentity(cfg.Key)
	if err != nil {
		return nil, err
	}
	seed, err := hkdf.Key(sha256.New, cfg.Key.AppendTo(nil), nil, "multichat ring of servers", 8)
	if err != nil {
		return nil, fmt.Errorf("derive the ring's seed from the cluster key: %w", err)
	}
	p := &Proxy{
		cfg:       cfg,
		identity:  identity,
		seed:      binary.BigEndian.Uint64(seed),
		log:       cfg.Log,
		holders:   newHolders(),
		tickets:   newTickets(),
		streams:   newStreams(),
		takeovers: crew.New(maxStreams),
		wake:      make(chan struct{}, 1),
		ended:     make(chan struct{}),
	}
	p.route.Store(newRoute(new(ring.Ring), nil))
	return p, nil
}

// Ready says why the proxy cannot serve: it has no link to a live server.
func (p *Proxy) Ready() error {
	if len(p.route.Load().links) == 0 {
		return errors.New("there is no link to a live server")
	}
	return nil
}

// Links is how many servers the proxy routes to now.
func (p *Proxy) Links() int { return len(p.route.Load().links) }

// Linked says whether the proxy routes to a server now.
func (p *Proxy) Linked(server string) bool { return p.route.Load().links[server] != nil }

// Poll hands a poll to the client's server, or drops and counts it. It implements [edge.Handler]. It does not allocate.
func (p *Proxy) Poll(from edge.Caller, poll wire.Poll, _ edge.Pusher) {
	conn := p.route.Load().owner(ring.ClientKey(from.Addr, p.seed))
	switch {
	case conn == nil:
		p.cfg.Metrics.Drops.WithLabelValues("no_server").Inc()
	case conn.Poll(p.known(from, poll.User, poll.Password), poll):
		p.cfg.Metrics.Polls.Inc()
	default:
		p.cfg.Metrics.Drops.WithLabelValues("link_full").Inc()
	}
}

// known is a caller with what this proxy knows of the user besides: the holder of a ticket, and the ticket if there is
// one.
func (p *Proxy) known(from edge.Caller, user []byte, password chat.Secret) edge.Caller {
	from.Holder = p.holders.of(user, password)
	from.Ticket = p.tickets.find(from.Holder)
	return from
}

// What is done for a send whose server does not answer.
const (
	sendTimeout = chat.SendHold + 4*time.Second // for all attempts; a server answers within its own hold time
	maxResends  = 3
	resendPause = 2 * time.Second // between two resends; the first comes at once
	serverWait  = 5 * time.Second // for a server, when there is none that was not tried
)

// Send hands a message to the client's server and waits for the answer. It implements [edge.Handler].
func (p *Proxy) Send(ctx context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	key := ring.ClientKey(from.Addr, p.seed)
	from = p.known(from, []byte(m.User), m.Password)
	var broken []*link.Conn // those that ended before they answered
	handed := 0             // how many of them may have handed the message to their server
	var nextResend time.Time
	for {
		if handed > 1 {
			p.sleep(ctx, time.Until(nextResend))
		}
		conn := p.await(ctx, serverWait, key, broken)
		if conn == nil {
			return 0, noServer(handed > 0)
		}
		nextResend = time.Now().Add(resendPause)
		seq, err := conn.Send(ctx, from, m)
		if err == nil {
			return seq, nil
		}
		if !errors.Is(err, link.ErrBroken) {
			return 0, answerOf(err, handed > 0)
		}
		p.log.Debug("a send got no answer; trying the next server", "server", conn.Peer(), "id", m.ID)
		broken = append(broken, conn)
		if errors.Is(err, link.ErrNotSent) {
			continue
		}
		if handed++; handed > maxResends {
			return 0, chat.Errorf(chat.CodeUnknown, "%d servers broke off without an answer; "+
				"the message may have been stored: send it again with the same id", handed)
		}
	}
}

// await returns the link to the first of key's servers that is not a broken one, waiting for one if there is none. It is
// nil if none comes in time, or none will.
func (p *Proxy) await(ctx context.Context, patience time.Duration, key ring.Key, broken []*link.Conn) *link.Conn {
	if conn := p.route.Load().next(key, broken); conn != nil && ctx.Err() == nil {
		return conn // as nearly always: nothing has to be waited for
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		r := p.route.Load()
		if conn := r.next(key, broken); conn != nil {
			return conn
		}
		select {
		case <-r.replaced:
		case <-p.ended:
			return nil
		case <-ctx.Done():
		}
	}
	return nil
}

// answerOf turns a link's error into the client's answer. Once another server may have the message, "not stored" can no
// longer be said of it.
func answerOf(err error, handed bool) *chat.Error {
	e := chat.AsError(err)
	if handed && (e.Code == chat.CodeBusy || e.Code == chat.CodeUnavail) {
		return chat.Errorf(chat.CodeUnknown, "the first server broke off and the next could not store the message; "+
			"the first may have: send it again with the same id").Because(e)
	}
	return e
}

func noServer(handed bool) *chat.Error {
	if handed {
		return chat.Errorf(chat.CodeUnknown, "the server broke off and there is no other; "+
			"the message may have been stored: send it again with the same id")
	}
	return chat.Errorf(chat.CodeUnavail, "no server can be reached from this proxy; nothing was stored, send again later")
}

// sleep waits, but not for longer than there is something to wait for.
func (p *Proxy) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-p.ended:
	case <-time.After(d):
	}
}
