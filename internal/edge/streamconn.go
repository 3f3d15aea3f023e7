package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/metrics"
	"multichat/internal/wire"
)

const (
	pingAfter   = 30 * time.Second // without a frame from the client
	silentAfter = 15 * time.Second // without one after the ping

	pingID chat.MessageID = "alive" // of the system's pings; any frame will do for an answer
)

// Refusals of single frames; the stream goes on.
var (
	errLoggedIn    = chat.Errorf(chat.CodeBadReq, "this stream has its login already; open another connection for another one")
	errCredentials = chat.Errorf(chat.CodeBadReq, "userid and password are left empty after a login on the same connection")
	errNotClients  = chat.Errorf(chat.CodeBadReq, "ok, err and newmsg are the system's to send")
	errSendOnly    = chat.Errorf(chat.CodeBadReq, "this stream only sends, as push=0 says, so it has nothing to acknowledge")
	errMailbox     = chat.Errorf(chat.CodeBadReq, "the mailbox of an ack is your own userid or %%")
	errBusy        = chat.Errorf(chat.CodeBusy, "%d sends, or %d bytes of them, are unanswered on this stream; "+
		"wait for answers and send again", maxCalls, maxCallBytes)
)

// What a reader of a stream fails with besides.
var (
	errEnded  = errors.New("the stream has ended")
	errSilent = errors.New("the client is silent")
	errCut    = errors.New("the TLS connection was cut") // within a frame or not
)

// streamConn is the connection of a client with a stream. Frames become calls of the handler's [Stream], and calls of
// [StreamClient], which it implements in streamclient.go, become frames.
//
// The connection's goroutine reads, and it alone calls the Stream. Another one writes while there is something to write.
// Locks are taken in the order streamTable, streamConn, output.
type streamConn struct {
	conn     net.Conn
	from     netip.Addr
	login    chat.MessageID // names the stream when it is ended
	user     chat.UserID
	sendOnly bool
	limits   wire.Limits
	grace    time.Duration
	metrics  *metrics.Metrics
	out      output

	// The reader's own.
	handler Stream
	in      *input
	lastRef uint64
	heard   time.Time // when the last frame came
	pinged  bool      // since then

	mu       sync.Mutex
	calls    unanswered
	ended    *ending       // nil: the stream goes on
	left     bool          // bye was said
	answered chan struct{} // closed when nothing is unanswered or the stream has ended; nil: nobody waits for that
}

// newStreamConn makes the client of a login. What it is told before begin is kept behind the login's answer.
func newStreamConn(conn net.Conn, from netip.Addr, l wire.Login, s *connServer) *streamConn {
	c := &streamConn{conn: conn, from: from, login: l.ID, user: l.User, sendOnly: l.SendOnly, limits: s.limits, grace: s.grace,
		metrics: s.metrics}
	c.out.conn, c.out.total, c.out.failed, c.out.held = conn, &s.streams.output, c.outputFailed, true
	c.tell(func(b []byte) []byte { return wire.AppendOK(b, c.login, 0) })
	return c
}

// refuseLogin answers the login, and nothing else.
func (c *streamConn) refuseLogin(ctx context.Context, refusal *chat.Error) {
	c.end(ending{string(refusal.Code), lingerTime}, nil)
	c.out.replaceHeld(func(b []byte) []byte { return wire.AppendErr(b, c.login, refusal) })
	c.hangUp(ctx)
}

// begin answers the login. From here on, the connection is read as a stream.
func (c *streamConn) begin(handler Stream, in *input) {
	c.handler, c.in, c.heard = handler, in, time.Now()
	in.source = c
	c.out.release()
}

// takeFrames reads until the stream has ended.
func (c *streamConn) takeFrames() {
	for c.goesOn() {
		if err := c.takeFrame(); err != nil {
			c.readFailed(err)
		}
	}
}

func (c *streamConn) takeFrame() error {
	// ReadFrame would wait for the first byte as well, but on a larger stack, which an idle stream would keep.
	if _, err := c.in.Peek(1); err != nil {
		return err
	}
	frame, err := wire.ReadFrame(c.in.Reader, c.limits)
	if err != nil {
		return err
	}
	c.heard, c.pinged = time.Now(), false
	if _, bye := frame.(wire.Bye); bye {
		return io.EOF
	}
	c.take(frame)
	return nil
}

func (c *streamConn) readFailed(err error) {
	refusal, refused := errors.AsType[*chat.Error](err)
	switch {
	case err == io.EOF:
		c.awaitAnswers()
		c.end(ending{endClient, lingerTime}, nil)
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.endRefused(chat.Errorf(chat.CodeBadReq, "the connection ended within a frame"))
	case refused:
		c.endRefused(refusal)
	case errors.Is(err, errSilent):
		c.end(ending{reason: endSilent}, nil)
	default:
		c.end(ending{reason: endLost}, nil)
	}
}

// Read waits for input for as long as the client may be silent, and pings it in between.
func (c *streamConn) Read(b []byte) (int, error) {
	for {
		patience := pingAfter
		if c.pinged {
			patience += silentAfter
		}
		c.conn.SetReadDeadline(c.heard.Add(patience))
		// Only now: an end before this is seen here, and one after it interrupts the read.
		if !c.goesOn() {
			return 0, errEnded
		}
		n, err := c.conn.Read(b)
		switch {
		case n > 0:
			if n == len(b) { // there is more: others first, so that nobody who never stops takes this process for itself
				runtime.Gosched()
			}
			return n, nil // an error comes again
		case err == io.ErrUnexpectedEOF:
			return 0, errCut
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case !c.goesOn():
			return 0, errEnded
		case c.pinged:
			return 0, errSilent
		}
		c.pinged = true
		c.tell(func(b []byte) []byte { return wire.AppendPing(b, pingID) })
	}
}

func (c *streamConn) take(frame wire.Frame) {
	switch f := frame.(type) {
	case wire.Wrmsg:
		c.takeSend(f)
	case wire.Ack:
		c.takeAck(f)
	case wire.Ping:
		c.tell(func(b []byte) []byte { return wire.AppendPong(b, f.ID) })
	case wire.Pong:
	case wire.Malformed:
		c.refuseSend(f.ID, f.Err) // mostly it is one
	case wire.Login:
		c.refuse(f.ID, errLoggedIn)
	default:
		c.refuse(frameID(f), errNotClients)
	}
}

func (c *streamConn) takeSend(m wire.Wrmsg) {
	if m.User != "" || m.Password.Len() > 0 {
		c.refuseSend(m.ID, errCredentials)
		return
	}
	ref, ok := c.call(call{id: m.ID, text: len(m.Text)})
	if !ok {
		c.refuseSend(m.ID, errBusy)
		return
	}
	c.handler.Send(ref, StreamMessage{ID: m.ID, To: m.To, Text: m.Text})
}

func (c *streamConn) takeAck(a wire.Ack) {
	switch {
	case c.sendOnly:
		c.refuse(a.ID, errSendOnly)
	case a.Mailbox != c.user.Mailbox() && a.Mailbox != chat.Everyone:
		c.refuse(a.ID, errMailbox)
	case a.ID == "":
		c.handler.Ack(0, a.Mailbox, a.Seq)
	default:
		ref, ok := c.call(call{id: a.ID, ack: true})
		if !ok {
			c.refuse(a.ID, errBusy)
			return
		}
		c.handler.Ack(ref, a.Mailbox, a.Seq)
	}
}

// call gives a call that is to be answered its ref, if there is room for it.
func (c *streamConn) call(of call) (ref uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.calls.add(c.lastRef+1, of) {
		return 0, false
	}
	c.lastRef++
	return c.lastRef, true
}

func (c *streamConn) refuseSend(id chat.MessageID, refusal *chat.Error) {
	c.metrics.Sends.WithLabelValues(string(refusal.Code)).Inc()
	c.refuse(id, refusal)
}

func (c *streamConn) refuse(id chat.MessageID, refusal *chat.Error) {
	c.tell(func(b []byte) []byte { return wire.AppendErr(b, id, refusal) })
}

// tell writes lines to the client, who is slow if there is no room for them.
func (c *streamConn) tell(lines func([]byte) []byte) {
	if c.out.add(lines) == errSlow {
		c.endSlow()
	}
}

func (c *streamConn) goesOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended == nil
}
