package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"multichat/internal/chat"
	"multichat/internal/crew"
	"multichat/internal/edge"
)

var errStreamExists = errors.New("there is a stream of this id")

// serverStreams are the streams of a server's end by their ids, at most max. A stream is there from its login until the
// proxy closes it, the link ends, or the login is refused.
type serverStreams struct {
	max int

	mu   sync.Mutex
	open map[uint64]*serverStream
}

func newServerStreams(max int) *serverStreams {
	return &serverStreams{max: max, open: make(map[uint64]*serverStream)}
}

// add lets a stream in, or says errStreamExists or errFull.
func (t *serverStreams) add(st *serverStream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.open[st.id] != nil:
		return errStreamExists
	case len(t.open) >= t.max:
		return errFull
	}
	t.open[st.id] = st
	return nil
}

func (t *serverStreams) find(id uint64) *serverStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[id]
}

// remove takes a stream out, if it is there.
func (t *serverStreams) remove(st *serverStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[st.id] == st {
		delete(t.open, st.id)
	}
}

// removeAll takes all streams out.
func (t *serverStreams) removeAll() map[uint64]*serverStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.open
	t.open = make(map[uint64]*serverStream)
	return all
}

// handleStream takes what the proxy says to streams. Of a stream that has ended nothing is known; what is said to it is
// passed over.
func (e *serverEnd) handleStream(ctx context.Context, f frame) error {
	switch f.kind {
	case kindLogin:
		return e.takeLogin(ctx, f)
	case kindStreamSend:
		return e.takeStreamSend(f)
	case kindAck:
		return e.takeAck(f)
	case kindClose:
		return e.takeClose(f)
	}
	return unexpected(f)
}

func (e *serverEnd) takeLogin(ctx context.Context, f frame) error {
	from, l, err := decodeLogin(bytes.Clone(f.body), e)
	if err != nil {
		return fmt.Errorf("a login: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	st := &serverStream{e: e, id: f.id, cancel: cancel}
	if err = e.streams.add(st); err == nil {
		err = e.logins.Run(func() { st.login(ctx, from, l) })
	}
	switch err {
	case nil:
		return nil
	case errStreamExists:
		return fmt.Errorf("a login: %w", err)
	case crew.ErrClosed:
		st.refuse(welcome{notTaken: true})
	default:
		e.s.counters.StreamsBusy.Add(1)
		busy := chat.Errorf(chat.CodeBusy, "this server has too many streams in hand; try again later")
		st.refuse(welcome{refusal: busy})
	}
	return nil
}

func (e *serverEnd) takeStreamSend(f frame) error {
	ref, m, err := decodeStreamSend(bytes.Clone(f.body))
	if err != nil {
		return fmt.Errorf("a send on a stream: %w", err)
	}
	if stream := e.stream(f.id); stream != nil {
		stream.Send(ref, m)
	}
	return nil
}

func (e *serverEnd) takeAck(f frame) error {
	a, err := decodeAck(f.body)
	if err != nil {
		return fmt.Errorf("an ack: %w", err)
	}
	if stream := e.stream(f.id); stream != nil {
		stream.Ack(a.ref, a.mailbox, a.seq)
	}
	return nil
}

// stream is what the handler opened under this id, or nil.
func (e *serverEnd) stream(id uint64) edge.Stream {
	st := e.streams.find(id)
	if st == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.stream
}

func (e *serverEnd) takeClose(f frame) error {
	if len(f.body) > 0 {
		return fmt.Errorf("the close of a stream: %w", errMalformed)
	}
	if st := e.streams.find(f.id); st != nil {
		e.streams.remove(st)
		st.close()
	}
	return nil
}

// closeStreams closes what is open when the link has ended. It runs once nothing is read anymore.
func (e *serverEnd) closeStreams() {
	for _, st := range e.streams.removeAll() {
		st.close()
	}
}
