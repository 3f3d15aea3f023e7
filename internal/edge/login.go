package edge

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const (
	loginTimeout = 10 * time.Second // for the handler to open a stream
	nonces       = 1 << 20          // see Login.Nonce
)

// handleLogin answers a login, and returns the stream that it opens, or nil. Pings are answered meanwhile.
func (s *connServer) handleLogin(ctx context.Context, conn net.Conn, from netip.Addr, l wire.Login, in *input) *streamConn {
	c := newStreamConn(conn, from, l, s)
	stop := c.answerPings(in)
	handler, refusal := s.login(ctx, from, l, c)
	stop()
	if refusal != nil {
		s.metrics.Logins.WithLabelValues(string(refusal.Code)).Inc()
		c.refuseLogin(ctx, refusal)
		return nil
	}
	s.metrics.Logins.WithLabelValues("ok").Inc()
	c.begin(handler, in)
	return c
}

// login asks the handler for a stream.
func (s *connServer) login(ctx context.Context, from netip.Addr, l wire.Login, c *streamConn) (Stream, *chat.Error) {
	if s.streams.isLeaving() {
		return nil, errShutdown
	}
	login := Login{User: l.User, Password: l.Password, Device: l.Device, Nonce: rand.Uint32N(nonces)}
	if l.SendOnly {
		login.Device = ""
	}
	bound, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	handler, err := s.handler.Login(bound, Caller{Addr: from}, login, c)
	refusal, refused := errors.AsType[*chat.Error](err)
	switch {
	case err == nil:
		return handler, nil
	case refused:
		return nil, refusal
	case ctx.Err() != nil:
		return nil, errShutdown
	}
	return nil, chat.Errorf(chat.CodeUnavail, "the login could not be decided; try again").Because(err)
}

// serveStream serves a stream from the answer to its login to the end of its connection.
func (s *connServer) serveStream(ctx context.Context, c *streamConn) {
	s.metrics.Streams.Inc()
	s.streams.add(c)
	c.takeFrames()
	s.streams.remove(c)
	s.metrics.Streams.Dec()
	c.handler.Close()
	reason := c.ending().reason
	s.metrics.StreamEnds.WithLabelValues(reason).Inc()
	s.log.Debug("a stream ended", "client", c.from, "user", c.user, "reason", reason)
	c.hangUp(ctx)
}

// answerPings answers pings until stop is called, so that a client can tell a login that takes long from a node that is
// gone. The first other frame, and what is behind it, is left where it is: it is for the stream that the login may open.
func (c *streamConn) answerPings(in *input) (stop func()) {
	c.conn.SetReadDeadline(time.Time{}) // the login has an end
	in.source = c.conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			id, err := wire.ReadPing(in.Reader)
			if err != nil {
				return // if the connection has ended, the stream's reader finds that, too
			}
			c.conn.SetWriteDeadline(time.Now().Add(replyTimeout))
			if _, err := c.conn.Write(wire.AppendPong(nil, id)); err != nil {
				c.out.fail(err) // half a pong may be on its way: nothing can follow it
				return
			}
		}
	}()
	return func() {
		interrupt(c.conn)
		c.conn.SetWriteDeadline(time.Now().Add(replyTimeout)) // reading TLS may write
		<-done
		c.conn.SetWriteDeadline(time.Time{})
	}
}
