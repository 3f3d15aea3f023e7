package proxy

import (
	"context"
	"time"

	"multichat/internal/chat"
	"multichat/internal/link"
)

// takeoverTime is how long a stream that has lost its server is kept. It is less than a send may wait, so that what becomes
// of the stream is known by then.
const takeoverTime = 12 * time.Second

// lose begins the takeover from l, the present leg, whose server is lost or has sent the stream away. down is held.
func (s *stream) lose(l *leg) {
	s.mu.Lock()
	s.dropLocked()
	worn := s.calls.takeWorn()
	s.mu.Unlock()
	s.answerLost(worn)
	if s.p.takeovers.Run(func() { s.takeOver(l.conn) }) != nil {
		s.endLocked(nil) // this proxy is about to end, or has more to take over than streams
	}
}

// takeOver finds the stream another server than lost, or ends it. It is a goroutine of its own.
func (s *stream) takeOver(lost *link.Conn) {
	s.hand() // the lost leg is closed
	ctx, cancel := context.WithTimeout(context.Background(), takeoverTime)
	defer cancel()
	if !s.stopWith(cancel) {
		return
	}
	if s.ticket.newest().Len() == 0 {
		s.fail(nil, "no_ticket") // the client knows its password, and logs in anew
		return
	}
	l := s.login
	l.TakeOver = true
	err := s.search(ctx, takeoverTime, l, []*link.Conn{lost})
	switch {
	case err == nil:
		s.p.countTakeover("ok")
	case chat.AsError(err).Code == chat.CodeAuth:
		// The ticket does not count any more, which says nothing of the password: the client logs in anew with that.
		s.fail(nil, string(chat.CodeAuth))
	default:
		s.fail(err, string(chat.AsError(err).Code))
	}
}

// stopWith has the end of the stream call cancel. It is false if that has come.
func (s *stream) stopWith(cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = cancel
	return !s.closed
}

// fail ends a stream that no server has taken over, unless its client has meanwhile.
func (s *stream) fail(why error, outcome string) {
	if s.end(why) {
		s.p.countTakeover(outcome)
	}
}

func (p *Proxy) countTakeover(outcome string) { p.cfg.Metrics.Takeovers.WithLabelValues(outcome).Inc() }
