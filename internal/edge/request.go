package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"multichat/internal/chat"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

const (
	idleTimeout    = 5 * time.Second  // a connection that sends nothing for so long is ended
	requestTimeout = 30 * time.Second // a whole request has to be there by then
	replyTimeout   = 2 * time.Second  // for writing the reply to a client that may not read
	lingerBytes    = 64 << 10         // input dropped behind an error, so that a reset does not eat the error
	lingerTime     = time.Second
	maxRefusals    = 256 // connections beyond the bound that are told so at once
)

// requestListener serves TCP connections: one request each, one line in reply.
type requestListener struct {
	listener net.Listener
	handler  Handler
	metrics  *metrics.Metrics
	log      *slog.Logger
	limits   wire.Limits
	grace    time.Duration
	slots    chan struct{} // one for each connection that is served
	refusals chan struct{} // one for each that is only told that there are too many
}

func newRequestListener(l net.Listener, cfg Config) *requestListener {
	return &requestListener{
		listener: l,
		handler:  cfg.Handler,
		metrics:  cfg.Metrics,
		log:      cfg.Log,
		limits:   wire.Limits{MaxText: cfg.MaxText},
		grace:    cfg.Grace,
		slots:    make(chan struct{}, cfg.MaxConns),
		refusals: make(chan struct{}, maxRefusals),
	}
}

func (l *requestListener) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.listener.Close() })
	defer stop()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var group sync.WaitGroup
	err := l.accept(ctx, func(conn net.Conn) { l.admit(work, &group, conn) })
	force := time.AfterFunc(l.grace, cancel)
	defer force.Stop()
	group.Wait()
	return err
}

// accept calls handle for each connection until ctx ends.
func (l *requestListener) accept(ctx context.Context, handle func(net.Conn)) error {
	for {
		conn, err := l.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept requests: %w", err)
		}
		if err != nil {
			// Out of file descriptors, or the client gave up already: others must go on being served.
			l.log.Warn("a connection could not be accepted; going on", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		handle(conn)
	}
}

// admit serves a connection if there is room, and else says that there is none. Where even that is more than is borne,
// it closes the connection. It never waits: other clients are behind this one.
func (l *requestListener) admit(ctx context.Context, group *sync.WaitGroup, conn net.Conn) {
	switch {
	case take(l.slots):
		group.Go(func() {
			defer release(l.slots)
			l.handleConn(ctx, conn)
		})
	case take(l.refusals):
		group.Go(func() {
			defer release(l.refusals)
			l.refuseBusy(conn)
		})
	default:
		l.metrics.Drops.WithLabelValues("conn_busy").Inc()
		conn.Close()
	}
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

func (l *requestListener) refuseBusy(conn net.Conn) {
	defer conn.Close()
	l.refuse(conn, newMessageID(), chat.Errorf(chat.CodeBusy, "too many connections are open here; try again later"))
}

// handleConn serves one connection. The end of ctx ends the reading of the request; it is answered all the same.
func (l *requestListener) handleConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	m, err := l.readRequest(ctx, conn)
	if errors.Is(err, wire.ErrEmpty) {
		return // connected and left again, as health checks do
	}
	if m.ID == "" {
		m.ID = newMessageID()
	}
	if err != nil {
		l.refuse(conn, m.ID, requestError(ctx, err))
		return
	}
	seq, err := l.handler.Send(ctx, clientAddr(conn), m)
	if err != nil {
		l.refuse(conn, m.ID, chat.AsError(err))
		return
	}
	l.reply(conn, "ok", wire.AppendOK(nil, m.ID, seq))
}

func (l *requestListener) readRequest(ctx context.Context, conn net.Conn) (wire.Wrmsg, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	reader := &patientReader{ctx: ctx, conn: conn, end: time.Now().Add(requestTimeout)}
	return wire.ReadRequest(bufio.NewReader(reader), l.limits)
}

// requestError is what a client is told about a request that could not be read to its end.
func requestError(ctx context.Context, err error) *chat.Error {
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return e
	}
	switch {
	case ctx.Err() != nil:
		return chat.Errorf(chat.CodeUnavail, "this node is shutting down; nothing was stored, send again")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return chat.Errorf(chat.CodeBadReq, "the request was not there after %v without a byte or %v in all; "+
			"send it, then close", idleTimeout, requestTimeout)
	}
	return chat.Errorf(chat.CodeBadReq, "the connection broke before the request was there")
}

// reply writes the answer and counts it, here where the client is: a request that a proxy had to send twice is one.
func (l *requestListener) reply(conn net.Conn, outcome string, line []byte) {
	l.metrics.Sends.WithLabelValues(outcome).Inc()
	conn.SetWriteDeadline(time.Now().Add(replyTimeout))
	if _, err := conn.Write(line); err != nil {
		// First-generation clients never read a reply and may be gone: that is not an error.
		l.log.Debug("a reply was not taken", "client", conn.RemoteAddr(), "error", err)
	}
}

// refuse answers with an error, and then drops some more input: closing with unread input would send a reset, and that
// would eat the answer on its way to a client that is still sending.
func (l *requestListener) refuse(conn net.Conn, id chat.MessageID, err *chat.Error) {
	l.reply(conn, string(err.Code), wire.AppendErr(nil, id, err))
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, conn, lingerBytes)
}

// patientReader gives up on a connection that sends nothing for a while, or is not done after a longer one. The end of
// ctx is seen between reads; whoever ends it interrupts a read by setting a deadline in the past.
type patientReader struct {
	ctx  context.Context
	conn net.Conn
	end  time.Time
}

func (r *patientReader) Read(b []byte) (int, error) {
	deadline := time.Now().Add(idleTimeout)
	if deadline.After(r.end) {
		deadline = r.end
	}
	r.conn.SetReadDeadline(deadline)
	// Only now: an end before this is seen here, and one after it sets its own deadline over this one.
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.conn.Read(b)
}

func clientAddr(conn net.Conn) netip.Addr {
	return conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// newMessageID makes an id that begins with the time, which keeps the shards' unique index cheap.
func newMessageID() chat.MessageID {
	return chat.MessageID(uuid.Must(uuid.NewV7()).String())
}
