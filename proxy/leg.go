package proxy

import (
	"errors"
	"slices"

	"multichat/internal/chat"
	"multichat/internal/link"
)

// leg is the part of a stream that one server serves. It implements [edge.StreamClient] for the link: the client is told
// what the server says, for as long as the leg is the stream's present one.
type leg struct {
	stream *stream
	conn   *link.Conn

	// Set when the server ended the leg before its login was known to be answered. The stream's down guards them.
	over bool
	why  error
}

// doubted says whether why, by which a server ends the stream, is to be asked again: a login of this very stream, which a
// lost server has worked off late, looks to the present one like a newer stream's. Whose the device is, the next login is
// told. The stream's down is held.
func (s *stream) doubted(why error) bool {
	doubted := s.stray && chat.AsError(why).Code == chat.CodeReplaced
	s.stray = s.stray && !doubted
	return doubted
}

// errSentAway is the end of a leg whose server is about to end.
var errSentAway = errors.New("the server is about to end")

// heard says whether the client still hears l, and settled whether the answer to its login is known. The stream's down is
// held.
func (l *leg) heard() (heard, settled bool) {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leg == l, s.out != nil
}

// Answer implements [edge.StreamClient]. Who was answered in another way meanwhile is not answered again.
func (l *leg) Answer(ref uint64, seq chat.Seq, refusal *chat.Error) {
	s := l.stream
	s.down.Lock()
	defer s.down.Unlock()
	if ref == 0 {
		if heard, _ := l.heard(); heard {
			s.client.Answer(0, seq, refusal)
		}
		return
	}
	c := l.takeCall(ref)
	if c == nil {
		return
	}
	if refusal != nil {
		refusal = answerOf(refusal, c.handed > 1)
	}
	s.client.Answer(ref, seq, refusal)
}

// takeCall is the call that l answers; nil if nobody waits for that.
func (l *leg) takeCall(ref uint64) *call {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leg != l {
		return nil
	}
	return s.calls.take(ref)
}

// Deliver implements [edge.StreamClient]. Of what two servers push, the client gets each message once.
func (l *leg) Deliver(messages []chat.Message) bool {
	s := l.stream
	s.down.Lock()
	defer s.down.Unlock()
	if heard, _ := l.heard(); !heard || len(messages) == 0 {
		return true // whoever is not heard need not offer it again
	}
	given := &s.given.Inbox
	if messages[0].To == chat.Everyone {
		given = &s.given.Broadcast
	}
	i := slices.IndexFunc(messages, func(m chat.Message) bool { return m.Seq > *given })
	if i < 0 {
		return true
	}
	if !s.client.Deliver(messages[i:]) {
		return false
	}
	*given = messages[len(messages)-1].Seq
	return true
}

// End implements [edge.StreamClient]. The loss of a server, or its departure, begins a takeover; any other end is the
// client's, too. Closing the leg is left to the takeover or to the client's Close, since whoever calls this has other
// streams to tell.
func (l *leg) End(why error) {
	s := l.stream
	s.down.Lock()
	defer s.down.Unlock()
	switch heard, settled := l.heard(); {
	case !heard:
	case !settled:
		l.over, l.why = true, why
	case why == nil, errors.Is(why, link.ErrBroken), s.doubted(why):
		s.lose(l)
	default:
		s.endLocked(why)
	}
}
