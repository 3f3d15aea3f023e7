package edge

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const (
	replyTimeout = 2 * time.Second // for writing the reply to a client that may not read
	lingerBytes  = 64 << 10        // input dropped behind a reply, so that a reset does not eat the reply
	lingerTime   = time.Second
)

// handleSend answers a message that is its connection's only one. ended says that the connection was read to its end.
func (s *connServer) handleSend(ctx context.Context, conn net.Conn, from netip.Addr, m wire.Wrmsg, ended bool) {
	seq, err := s.handler.Send(ctx, Caller{Addr: from}, m)
	if err != nil {
		s.refuse(ctx, conn, m.ID, chat.AsError(err))
		return
	}
	s.metrics.Sends.WithLabelValues("ok").Inc()
	line := wire.AppendOK(nil, m.ID, seq)
	if ended {
		if line = writeLast(conn, line); len(line) == 0 {
			return // the close sends it; no input can come any more, so none has to be dropped before
		}
	}
	s.reply(ctx, conn, line)
}

// refuse answers with an error. It is counted here, where the client is: a request that a proxy had to send twice is one.
func (s *connServer) refuse(ctx context.Context, conn net.Conn, id chat.MessageID, err *chat.Error) {
	s.metrics.Sends.WithLabelValues(string(err.Code)).Inc()
	s.reply(ctx, conn, wire.AppendErr(nil, id, err))
}

// reply writes the only line that is said on a connection.
func (s *connServer) reply(ctx context.Context, conn net.Conn, line []byte) {
	conn.SetWriteDeadline(time.Now().Add(replyTimeout))
	if _, err := conn.Write(line); err != nil {
		// First-generation clients never read a reply and may be gone: that is not an error.
		s.log.Debug("a reply was not taken", "client", conn.RemoteAddr(), "error", err)
		return
	}
	halfClose(conn)
	linger(ctx, conn, lingerTime, lingerBytes)
}

// halfClose tells the client that it has been told everything.
func halfClose(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok { // TCP and TLS both are
		c.CloseWrite()
	}
}

// linger drops input until the client closes, for so long and so many bytes: closing with unread input would send a
// reset, and that would eat what was said last, on its way to a client that is still sending. The end of ctx leaves it
// lingerTime at most.
func linger(ctx context.Context, conn net.Conn, patience time.Duration, bytes int64) {
	conn.SetReadDeadline(time.Now().Add(patience))
	if patience > lingerTime {
		stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now().Add(lingerTime)) })
		defer stop()
	}
	io.CopyN(io.Discard, conn, bytes)
}

// newMessageID makes an id that begins with the time, which keeps the shards' unique index cheap.
func newMessageID() chat.MessageID {
	return chat.MessageID(uuid.Must(uuid.NewV7()).String())
}
