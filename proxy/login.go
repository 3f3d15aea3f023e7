package proxy

import (
	"context"
	"errors"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/ring"
)

// Login opens a stream at the client's server, and keeps it open when that is lost. It implements [edge.Handler]. A login
// that is lost with its server is tried at the next.
func (p *Proxy) Login(ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	s := p.newStream(from, l, client)
	err := p.streams.add(s)
	if err == nil {
		err = s.search(ctx, serverWait, l, nil)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (p *Proxy) newStream(from edge.Caller, l edge.Login, client edge.StreamClient) *stream {
	from.Holder = p.holders.of([]byte(l.User), l.Password)
	s := &stream{
		p:      p,
		key:    ring.ClientKey(from.Addr, p.seed),
		from:   from,
		login:  l,
		client: client,
		ticket: p.tickets.hold(from.Holder),
	}
	s.login.Password = chat.Secret{}
	return s
}

// search logs in at one server after the other, in the order of the client's address and without those behind the links
// left, until one takes the stream or refuses it, ctx ends, or there has been none for as long as patience. A takeover is
// not refused by what may pass.
func (s *stream) search(ctx context.Context, patience time.Duration, l edge.Login, left []*link.Conn) error {
	var refusal error // that may pass
	for broken := 0; broken <= maxResends; {
		s.p.sleep(ctx, time.Until(s.pace.next))
		conn := s.p.await(ctx, patience, s.key, left)
		if conn == nil {
			break
		}
		before := s.pace
		s.pace.count(time.Now())
		switch err := s.loginAt(ctx, conn, l); {
		case err == nil, err == errClosed:
			return err // from here on, the pace is the next takeover's
		case err == errSentAway, errors.Is(err, link.ErrNotSent):
			s.pace = before // nothing was done there
			left = append(left, conn)
		case errors.Is(err, link.ErrBroken):
			left = append(left, conn)
			broken++
		case ctx.Err() != nil:
		case l.TakeOver && passes(err):
			refusal = err
		default:
			return err
		}
	}
	if refusal != nil {
		return refusal
	}
	return chat.Errorf(chat.CodeUnavail, "no server can be reached from this proxy; log in again later")
}

// pace keeps repetitions apart: the first comes at once, each further one some time after the one before.
type pace struct {
	tries int
	next  time.Time
}

func (p *pace) count(now time.Time) {
	if p.tries++; p.tries > 1 {
		p.next = now.Add(resendPause)
	}
}

// passes says whether a server that refuses with err may think better of it.
func passes(err error) bool {
	code := chat.AsError(err).Code
	return code == chat.CodeBusy || code == chat.CodeUnavail || code == chat.CodeUnknown
}

// loginAt logs in at one server, and makes it the stream's if it takes it.
func (s *stream) loginAt(ctx context.Context, conn *link.Conn, l edge.Login) error {
	next := &leg{stream: s, conn: conn}
	if given := s.hear(next); l.TakeOver {
		l.Given = given
	}
	from := s.from
	from.Ticket = s.ticket.newest()
	out, err := conn.Login(ctx, from, l, next)
	if err != nil {
		s.hear(nil)
		s.noteStray(err)
		return err
	}
	return s.settle(next, out)
}

// noteStray remembers a login that a server may work off after nobody waits for it.
func (s *stream) noteStray(err error) {
	if answered := chat.AsError(err).Code != chat.CodeUnknown; answered || errors.Is(err, link.ErrNotSent) {
		return
	}
	s.down.Lock()
	defer s.down.Unlock()
	s.stray = true
}

// hear has the client hear l and nobody else, and says what it was given until now.
func (s *stream) hear(l *leg) edge.Places {
	s.down.Lock()
	defer s.down.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.leg = l
	}
	return s.given
}

// errClosed is the end of a search whose stream was closed meanwhile.
var errClosed = chat.Errorf(chat.CodeUnavail, "the stream was closed")

// settle makes out the server that is told what the client says, beginning with what is unanswered. The error is why the
// leg has ended already, if it has.
func (s *stream) settle(l *leg, out edge.Stream) error {
	defer s.hand()
	s.down.Lock()
	defer s.down.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		s.discarded = append(s.discarded, out)
		return errClosed
	case l.over:
		s.discarded = append(s.discarded, out)
		s.leg = nil
		if l.why == nil {
			return errSentAway
		}
		return l.why
	}
	s.out = out
	s.calls.rewind()
	return nil
}
