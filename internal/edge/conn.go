package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const (
	handshakeTimeout = 5 * time.Second  // for all of TLS that comes before the first byte
	idleTimeout      = 5 * time.Second  // a connection that sends nothing for so long, and has no stream, is ended
	requestTimeout   = 30 * time.Second // a whole request, or a login, has to be there by then

	// readBuffer is what a connection is read into. An idle stream keeps it, and wire wants room for a header.
	readBuffer = 2 * wire.MaxHeader
)

// errShutdown is what a client is told that comes too late.
var errShutdown = chat.Errorf(chat.CodeUnavail, "this node is shutting down; nothing was stored, send again")

// serveConn serves a connection to its end: a request, or a stream. What it calls returns before it waits for a stream's
// frames, so that an idle stream keeps a small stack.
func (s *connServer) serveConn(ctx context.Context, conn net.Conn, from netip.Addr, secured bool) {
	defer conn.Close()
	spoken := s.secure(ctx, conn, secured)
	if spoken == nil {
		return
	}
	if c := s.handleConn(ctx, spoken, from); c != nil {
		s.serveStream(ctx, c)
	}
}

// refuseConn says that there are too many connections.
func (s *connServer) refuseConn(ctx context.Context, conn net.Conn, secured bool) {
	defer conn.Close()
	if spoken := s.secure(ctx, conn, secured); spoken != nil {
		s.refuse(ctx, spoken, newMessageID(), chat.Errorf(chat.CodeBusy, "too many connections are open here; try again later"))
	}
}

// secure returns a connection as its client speaks on it, or nil if that fails.
func (s *connServer) secure(ctx context.Context, conn net.Conn, secured bool) net.Conn {
	if !secured {
		return conn
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	spoken := newSecuredConn(conn, s.tls)
	switch err := spoken.HandshakeContext(ctx); {
	case err == nil:
		return spoken
	case err != io.EOF: // not connected and left again, as health checks do
		s.metrics.Drops.WithLabelValues("tls_handshake").Inc()
		s.log.Debug("a TLS handshake failed", "client", conn.RemoteAddr(), "error", err)
	}
	return nil
}

// handleConn answers what a connection begins with. It returns the stream that it then is, or nil.
func (s *connServer) handleConn(ctx context.Context, conn net.Conn, from netip.Addr) *streamConn {
	in := newInput(ctx, conn)
	version, first, err := s.readFirst(ctx, conn, in)
	id := chat.MessageID("")
	if version == 1 {
		id = newMessageID() // its clients give none
	}
	switch {
	case errors.Is(err, wire.ErrEmpty): // connected and left again, as health checks do
	case err != nil:
		s.refuse(ctx, conn, id, firstError(ctx, err))
	case version == 1:
		m := first.(wire.Wrmsg)
		m.ID = id
		s.handleSend(ctx, conn, from, m, true)
	default:
		return s.handleFirst(ctx, conn, from, first, in)
	}
	return nil
}

// readFirst reads what a connection begins with, a request of version 1 or a frame of version 2. What cannot be told
// apart counts as version 1. The end of ctx ends the reading.
func (s *connServer) readFirst(ctx context.Context, conn net.Conn, in *input) (int, wire.Frame, error) {
	stop := context.AfterFunc(ctx, func() { interrupt(conn) })
	defer stop()
	switch version, err := wire.Version(in.Reader); {
	case err != nil:
		return 1, nil, err
	case version == 1:
		m, err := wire.ReadRequest(in.Reader, s.limits)
		return 1, m, err
	}
	frame, err := wire.ReadFrame(in.Reader, s.limits)
	return 2, frame, err
}

// handleFirst decides by the first frame of a version 2 connection what it is to be.
func (s *connServer) handleFirst(ctx context.Context, conn net.Conn, from netip.Addr, first wire.Frame, in *input) *streamConn {
	switch first := first.(type) {
	case wire.Login:
		return s.handleLogin(ctx, conn, from, first, in)
	case wire.Wrmsg:
		if first.User == "" {
			s.refuse(ctx, conn, first.ID, chat.Errorf(chat.CodeBadReq, "nobody has logged in here; "+
				"log in first, or give userid and password in the wrmsg"))
			return nil
		}
		s.handleSend(ctx, conn, from, first, false)
	case wire.Malformed:
		s.refuse(ctx, conn, first.ID, first.Err)
	case wire.Bye:
	default:
		s.refuse(ctx, conn, frameID(first), chat.Errorf(chat.CodeBadReq, "a connection begins with a login or a wrmsg; "+
			"log in with poll;v=2;id=R;dev=D:userid:password:0"))
	}
	return nil
}

// frameID is the id of a frame that has no other business here than to be answered.
func frameID(f wire.Frame) chat.MessageID {
	switch f := f.(type) {
	case wire.Ack:
		return f.ID
	case wire.Ping:
		return f.ID
	case wire.Pong:
		return f.ID
	case wire.Reply:
		return f.ID
	case wire.Newmsg:
		return f.ID
	}
	return ""
}

// firstError is what a client is told when what it sent first could not be read to its end.
func firstError(ctx context.Context, err error) *chat.Error {
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return e
	}
	switch {
	case ctx.Err() != nil:
		return errShutdown
	case errors.Is(err, os.ErrDeadlineExceeded):
		return chat.Errorf(chat.CodeBadReq, "the request was not there after %v without a byte or %v in all; "+
			"send it without a pause", idleTimeout, requestTimeout)
	}
	return chat.Errorf(chat.CodeBadReq, "the connection broke before the request was there")
}

// input is what a connection is read through. A stream has more patience than what comes before it, so the source
// changes then, and what is in the buffer stays.
type input struct {
	*bufio.Reader
	source io.Reader
}

func newInput(ctx context.Context, conn net.Conn) *input {
	in := &input{source: &patientReader{ctx: ctx, conn: conn, end: time.Now().Add(requestTimeout)}}
	in.Reader = bufio.NewReaderSize(source{in}, readBuffer)
	return in
}

type source struct{ of *input }

func (s source) Read(b []byte) (int, error) { return s.of.source.Read(b) }

// patientReader gives up on a connection that sends nothing for a while, or is not done after a longer one. The end of
// ctx is seen between reads; whoever ends it interrupts a read.
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
	r.conn.SetDeadline(deadline) // also for writing, as reading TLS may
	// Only now: an end before this is seen here, and one after it sets its own deadline over this one.
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.conn.Read(b)
}

// interrupt makes a read that is under way, and the next one, fail.
func interrupt(conn net.Conn) { conn.SetReadDeadline(time.Unix(1, 0)) }
