package proxy

import (
	"context"
	"sync"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/ring"
)

// stream is a client's stream, over the lives of the servers that serve it. It implements [edge.Stream]; what comes from
// a server comes through a [leg].
//
// No lock is held while a server is told something: see hand.
type stream struct {
	p      *Proxy
	key    ring.Key
	from   edge.Caller // without a ticket
	login  edge.Login  // without the password: nobody keeps one
	client edge.StreamClient
	ticket *holding

	pace pace // of logins; whoever looks for a server has it: Login, and then one takeover at a time

	// down is held while the client is told something, so that it is told one thing after the other and nothing that a
	// server says after another has taken over. It comes before mu. The edge's calls do not take it, so that the edge may
	// have a lock of its own on the client's side.
	down  sync.Mutex
	given edge.Places // the newest of each mailbox that the client was given
	stray bool        // a login of this stream got no answer, and may be worked off yet

	mu        sync.Mutex // a leaf
	leg       *leg       // the client hears this one; nil while it hears none. Closing apart, it changes under down as well
	out       edge.Stream
	calls     unanswered
	handing   bool
	discarded []edge.Stream      // to be closed
	stop      context.CancelFunc // ends the takeover that is under way, if any
	closed    bool               // nobody says or hears anything any more
}

// Send implements [edge.Stream].
func (s *stream) Send(ref uint64, m edge.StreamMessage) {
	s.call(&call{ref: ref, message: m, due: time.Now().Add(sendTimeout)})
}

// Ack implements [edge.Stream].
func (s *stream) Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq) {
	a := ack{mailbox, seq}
	if ref != 0 {
		s.call(&call{ref: ref, ack: &a, due: time.Now().Add(sendTimeout)})
		return
	}
	s.mu.Lock()
	if !s.closed {
		s.calls.acknowledge(a)
	}
	s.mu.Unlock()
	s.hand()
}

func (s *stream) call(c *call) {
	s.mu.Lock()
	if !s.closed {
		s.calls.add(c)
	}
	s.mu.Unlock()
	s.hand()
}

// Close implements [edge.Stream].
func (s *stream) Close() {
	s.shut()
	s.hand()
}

// shut ends the stream for this proxy, and gives what was still unanswered. It is not ok if that was done before. A call
// of hand is to follow, which closes the leg.
func (s *stream) shut() (calls []*call, ok bool) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, false
	}
	s.closed = true
	s.dropLocked()
	calls, stop := s.calls.takeAll(), s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	s.ticket.release()
	s.p.streams.forget(s)
	return calls, true
}

// dropLocked hears the present leg no longer, and tells it nothing more.
func (s *stream) dropLocked() {
	if s.out != nil {
		s.discarded = append(s.discarded, s.out)
	}
	s.leg, s.out = nil, nil
}

// hand tells the present server all that it is to be told, in order. One goroutine does that at a time; who comes
// meanwhile leaves what it brought to that one. So nobody holds a lock while a link is called, what is sent again comes
// before what is new, and a link's streams are called by one goroutine at a time.
func (s *stream) hand() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handing {
		return
	}
	s.handing = true
	defer func() { s.handing = false }()
	for {
		tell := s.nextLocked()
		if tell == nil {
			return
		}
		s.mu.Unlock()
		tell()
		s.mu.Lock()
	}
}

// nextLocked is what hand does next; nil if there is nothing.
func (s *stream) nextLocked() func() {
	if n := len(s.discarded); n > 0 {
		out := s.discarded[n-1]
		s.discarded = s.discarded[:n-1]
		return out.Close
	}
	out := s.out
	if out == nil {
		return nil
	}
	if a, ok := s.calls.nextAck(); ok {
		return func() { out.Ack(0, a.mailbox, a.seq) }
	}
	if c := s.calls.nextCall(); c != nil {
		return func() { c.handTo(out) }
	}
	return nil
}

// overdue says whether a call has waited too long by now.
func (s *stream) overdue(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls.calls) > 0 && !s.calls.calls[0].due.After(now)
}

// expire answers the calls that have waited too long by now.
func (s *stream) expire(now time.Time) {
	s.down.Lock()
	defer s.down.Unlock()
	s.mu.Lock()
	late := s.calls.takeOverdue(now)
	s.mu.Unlock()
	s.answerLost(late)
}

// answerLost tells the client what nobody else will. down is held.
func (s *stream) answerLost(calls []*call) {
	for _, c := range calls {
		s.client.Answer(c.ref, 0, c.lost())
	}
}

// end ends the stream from this side: what was unanswered is answered, and then the client gets End. It is false if the
// stream has ended before.
func (s *stream) end(why error) bool {
	s.down.Lock()
	ended := s.endLocked(why)
	s.down.Unlock()
	s.hand()
	return ended
}

// endLocked is end with down held, and without closing the leg: a call of hand is to follow.
func (s *stream) endLocked(why error) bool {
	calls, ok := s.shut()
	if ok {
		s.answerLost(calls)
		s.client.End(why)
	}
	return ok
}
