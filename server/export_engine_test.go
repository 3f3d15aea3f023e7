package server

import (
	"time"

	"multichat/internal/chat"
)

// Submit hands a message to the server's engine, as a sender does who waits for nothing else. giveUp is for whoever does not wait for the answer.
func (s *Server) Submit(m chat.Submission, deadline time.Time, answer func(chat.Stored)) (giveUp func()) {
	x := s.engine.submit(m, nil, deadline, answer)
	return func() { x.refuse(errNotStored) }
}

// Lanes is how many mailboxes have a place in memory because something waits for them.
func (s *Server) Lanes() (n int) {
	switch e := s.engine.(type) {
	case *eventEngine:
		for i := range e.lanes.stripes {
			stripe := &e.lanes.stripes[i]
			stripe.mu.Lock()
			n += len(stripe.byBox)
			stripe.mu.Unlock()
		}
	case *syncEngine:
		e.mu.Lock()
		n = len(e.last)
		e.mu.Unlock()
	}
	return n
}
