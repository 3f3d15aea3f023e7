package link

import (
	"context"
	"errors"
	"sync"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// serverStream is a server's end of a stream, and so the way back to its client. It implements [edge.StreamClient].
type serverStream struct {
	e      *serverEnd
	id     uint64
	cancel context.CancelFunc // of the login's context

	mu     sync.Mutex  // held where a frame is queued, so that none follows the last
	stream edge.Stream // nil until the handler has opened it
	closed bool        // by the proxy, or with the link
	ended  bool        // by the handler
	why    error       // with what, if that was before the login's answer
}

// login has the handler open the stream, and answers. A stream that was closed meanwhile is closed when it is opened.
func (st *serverStream) login(ctx context.Context, from edge.Caller, l edge.Login) {
	defer st.cancel()
	stream, err := st.e.handler.Login(ctx, from, l, st)
	switch {
	case errors.Is(err, edge.ErrLeaving):
		st.refuse(welcome{notTaken: true})
	case err != nil:
		st.refuse(welcome{refusal: chat.AsError(err)})
	case !st.enter(stream):
		stream.Close()
	}
}

// enter lets the proxy know that the stream is open. It is false if it was closed before.
func (st *serverStream) enter(stream edge.Stream) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return false
	}
	st.stream = stream
	st.e.s.insist(kindWelcome, st.id, func(b []byte) []byte { return appendWelcome(b, welcome{}) })
	if st.ended {
		st.tellEndLocked(st.why)
	}
	return true
}

// refuse lets the proxy know that there will be no stream.
func (st *serverStream) refuse(w welcome) {
	st.cancel()
	st.e.streams.remove(st)
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.closed {
		st.closed = true
		st.e.s.insist(kindWelcome, st.id, func(b []byte) []byte { return appendWelcome(b, w) })
	}
}

// close ends the stream because the proxy, or the link, did. Whoever takes it out of the table calls it, once.
func (st *serverStream) close() {
	st.cancel()
	if stream := st.leave(); stream != nil {
		stream.Close()
	}
}

// leave gives the stream that is to be closed, or nil if it is not open yet; then login closes it.
func (st *serverStream) leave() edge.Stream {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	return st.stream
}

// Answer implements [edge.StreamClient]. Answers are not dropped: a proxy that lets them pile up loses the link.
func (st *serverStream) Answer(ref uint64, seq chat.Seq, refusal *chat.Error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.overLocked() {
		a := answer{ref, seq, refusal}
		st.e.s.insist(kindAnswer, st.id, func(b []byte) []byte { return appendAnswer(b, a) })
	}
}

// Deliver implements [edge.StreamClient]. There is no room when the link's queue is half full; else what one call
// brings is taken, in as many frames as it needs, however much it is.
func (st *serverStream) Deliver(messages []chat.Message) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.overLocked() {
		return false
	}
	if len(messages) == 0 {
		return true
	}
	err := st.e.s.out.addParts(kindDeliver, st.id, func(b []byte) ([]byte, bool) {
		part := messages[:firstPart(messages)]
		messages = messages[len(part):]
		return appendMessages(b, part), len(messages) > 0
	})
	return err == nil
}

// End implements [edge.StreamClient]. The proxy answers it by closing the stream. If the login is not answered yet,
// that comes first.
func (st *serverStream) End(why error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.overLocked():
		return
	case st.stream != nil:
		st.tellEndLocked(why)
	}
	st.ended, st.why = true, why
}

func (st *serverStream) tellEndLocked(why error) {
	refusal := chat.AsError(why)
	st.e.s.insist(kindEnd, st.id, func(b []byte) []byte { return appendEnd(b, refusal) })
}

// overLocked says that nothing more is said to the client.
func (st *serverStream) overLocked() bool { return st.closed || st.ended }
