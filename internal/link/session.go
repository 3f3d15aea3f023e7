package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

var (
	// ErrBroken says that a link ended, or was ended, before the answer came: nobody knows what became of the request,
	// unless it is ErrNotSent. With its id it can be sent again elsewhere.
	ErrBroken = errors.New("the link broke before the answer came")

	// ErrNotSent is the ErrBroken of a request that certainly never reached a handler, and so did nothing: the link had
	// ended before, or the other end is shutting down and said that it did not take it. What was queued in time but
	// perhaps never written is not told apart, and is plain ErrBroken.
	ErrNotSent = fmt.Errorf("%w, and before the request was handed over", ErrBroken)
)

var errNotReading = errors.New("the other end does not read its answers")

// session is what both ends of a link have: a queue of frames to write, a reader that takes frames apart, and the
// requests of this end that wait for replies.
//
// stop, request and reply may be called from any goroutine; serveReader and serveWriter are one goroutine each.
type session struct {
	peer     string // name of the node at the other end
	version  uint16 // that both ends speak
	conn     net.Conn
	in       *frameReader
	out      *outbox
	calls    *calls
	counters *Counters
	heard    atomic.Bool // set by every frame that is read; whoever watches for silence resets it

	once sync.Once
	done chan struct{} // closed when the session has ended
	why  error         // set before done is closed
}

func newSession(
	conn net.Conn, in *frameReader, ours, theirs hello, queueBytes, maxCalls int, counters *Counters,
) *session {
	return &session{
		peer:     theirs.name,
		version:  ours.common(theirs),
		conn:     conn,
		in:       in,
		out:      newOutbox(queueBytes),
		calls:    newCalls(maxCalls),
		counters: counters,
		done:     make(chan struct{}),
	}
}

// stop ends the session. The first reason counts.
func (s *session) stop(why error) {
	s.once.Do(func() {
		s.why = why
		close(s.done)
		s.out.close()
		s.calls.end()
		hangUp(s.conn)
	})
}

// limitSendBuffer keeps the kernel's buffer small: what lies there can no longer be overtaken by a pong. Without it the
// link works as well, but for that.
func limitSendBuffer(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(256 << 10)
	}
}

// hangUp closes the connection below TLS: an orderly end would wait for a peer that does not read.
func hangUp(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	conn.Close() // nothing is left to be written, so there is nothing that could fail
}

func (s *session) stopped() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// broken is kind, ErrBroken or ErrNotSent, with the reason, which is only told and not wrapped: a context that ended
// this link is not the context of whoever asks.
func (s *session) broken(kind error) error {
	if !s.stopped() {
		return fmt.Errorf("%w: this end of the link to %s is closing", kind, s.peer)
	}
	return fmt.Errorf("%w: %v", kind, s.why)
}

// serveWriter writes until the queue is closed and empty. Then it ends the stream but not the session: closing while
// the other end still talks could destroy replies that it has not read yet.
func (s *session) serveWriter() {
	for {
		b, ok := s.out.next()
		if !ok {
			break
		}
		if _, err := s.conn.Write(b); err != nil {
			s.stop(fmt.Errorf("writing to %s: %w", s.peer, err))
			return
		}
		s.counters.Writes.Add(1)
		s.counters.BytesWritten.Add(int64(len(b)))
	}
	if s.stopped() {
		return
	}
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		if err := c.CloseWrite(); err != nil {
			s.stop(fmt.Errorf("ending the stream to %s: %w", s.peer, err))
		}
	}
}

// serveReader reads until the session ends. Pongs and replies are dealt with here, the rest by handle, which must not
// block: everything behind it waits. A frame's body is valid during the call.
func (s *session) serveReader(handle func(frame) error) {
	for {
		f, err := s.in.next(maxFrame)
		if s.stopped() {
			return
		}
		if err == nil {
			s.heard.Store(true)
			err = s.dispatch(f, handle)
		}
		if err == io.EOF {
			err = errors.New("the other end closed the link")
		}
		if err != nil {
			s.stop(fmt.Errorf("reading from %s: %w", s.peer, err))
			return
		}
	}
}

func (s *session) dispatch(f frame, handle func(frame) error) error {
	switch {
	case f.kind == kindPing:
		s.out.addUrgent(kindPong, f.id)
	case f.kind == kindReply:
		s.calls.answer(f.id, f.body)
	case f.kind < firstHint:
		return handle(f)
	}
	return nil
}

// request sends a frame and waits for the reply's body. The error is errFull or errFrameTooLarge, when nothing was
// sent, or wraps ErrNotSent, ErrBroken or the cause of ctx.
func (s *session) request(ctx context.Context, k kind, encode func([]byte) []byte) ([]byte, error) {
	id, answer, err := s.calls.open()
	if err == nil {
		defer s.calls.forget(id)
		err = s.out.add(k, id, encode)
	}
	if err == errClosed {
		return nil, s.broken(ErrNotSent)
	}
	if err != nil {
		return nil, err
	}
	select {
	case reply, ok := <-answer:
		if !ok {
			return nil, s.broken(ErrBroken)
		}
		return reply, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the answer of %s: %w", s.peer, context.Cause(ctx))
	}
}

// reply answers a request of the other end.
func (s *session) reply(id uint64, encode func([]byte) []byte) { s.insist(kindReply, id, encode) }

// insist sends a frame that is not dropped: who lets such pile up loses the link.
func (s *session) insist(k kind, id uint64, encode func([]byte) []byte) {
	if err := s.out.add(k, id, encode); err == errFull {
		s.stop(fmt.Errorf("answering %s: %w", s.peer, errNotReading))
	}
}

// noBody is the encoding of a frame without one.
func noBody(b []byte) []byte { return b }

func unexpected(f frame) error {
	return fmt.Errorf("a frame of kind %d, which this end does not take", f.kind)
}
