package edge

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const (
	// answersTimeout is how long a client that has said its last waits for answers that are due: as long as a send is
	// held, and a little more.
	answersTimeout = chat.SendHold + 2*time.Second

	flushTimeout      = 5 * time.Second // for a client to take what waits for it when its stream has ended
	streamLingerBytes = 2 << 20         // more than a client may have on its way when it is told of the end
)

// Why streams end, besides the codes of the errors that are said.
const (
	endClient = "client" // it said bye, or closed
	endLost   = "lost"   // its connection broke
	endSilent = "silent" // it answered no ping
	endBye    = "bye"    // it was told to go elsewhere
)

// errNotRead is the end of a client that does not read.
var errNotRead = chat.Errorf(chat.CodeSlow, "you do not read, and too much waits for you")

// ending is how a stream ends.
type ending struct {
	reason string
	linger time.Duration // for the client to close; 0: it is not waited for, and what it has not been told is lost
}

// ending is how the stream ended.
func (c *streamConn) ending() ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.ended
}

// end ends the stream, with last words if there are any. What else waits for a client that is slow is forgotten. Only the
// first call counts. The reader does the rest.
func (c *streamConn) end(e ending, last func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return
	}
	if c.left && (e.reason == endClient || e.reason == endLost) {
		e.reason = endBye // it does as it was told
	}
	c.ended = &e
	c.settleLocked()
	c.out.seal(e.reason == string(chat.CodeSlow), last)
	interrupt(c.conn)
}

// endRefused ends a stream on which it is not known where the next frame begins. What came before is still answered.
func (c *streamConn) endRefused(refusal *chat.Error) {
	c.refuseSend("", refusal)
	c.awaitAnswers()
	c.end(ending{string(refusal.Code), lingerTime}, nil)
}

// endSlow ends the stream of a client that does not read. It is told, should it begin to.
func (c *streamConn) endSlow() {
	c.end(ending{string(chat.CodeSlow), lingerTime}, func(b []byte) []byte { return wire.AppendErr(b, c.login, errNotRead) })
}

// outputFailed is called by the writer.
func (c *streamConn) outputFailed(err error) {
	reason := endLost
	if errors.Is(err, os.ErrDeadlineExceeded) {
		reason = string(chat.CodeSlow)
	}
	c.end(ending{reason: reason}, nil)
}

// awaitAnswers waits until nothing is unanswered or the stream has ended, for answersTimeout at most.
func (c *streamConn) awaitAnswers() {
	c.mu.Lock()
	answered := make(chan struct{})
	c.answered = answered
	c.settleLocked()
	c.mu.Unlock()
	timeout := time.NewTimer(answersTimeout)
	defer timeout.Stop()
	select {
	case <-answered:
	case <-timeout.C:
	}
}

func (c *streamConn) settleLocked() {
	if c.answered != nil && (c.calls.empty() || c.ended != nil) {
		close(c.answered)
		c.answered = nil
	}
}

// hangUp lets the client read what it is told, and waits for it to close.
func (c *streamConn) hangUp(ctx context.Context) {
	how := c.ending()
	patience := flushTimeout
	if how.linger == 0 {
		patience = 0
	}
	if !c.out.flush(ctx, patience) || how.linger == 0 {
		abandon(c.conn)
		return
	}
	c.conn.SetWriteDeadline(time.Now().Add(replyTimeout)) // half-closing TLS writes
	halfClose(c.conn)
	linger(ctx, c.conn, how.linger, streamLingerBytes)
}

// abandon makes the close of a connection a reset: else the kernel would keep for a while what the client does not take.
func abandon(conn net.Conn) {
	if secured, ok := conn.(*securedConn); ok {
		conn = secured.raw.Conn
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}
