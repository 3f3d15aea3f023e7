package cluster

import (
	"sync"
	"time"
)

// seldom lets one event through in an interval and counts the others: for log lines that the network can provoke.
type seldom struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
	left int
}

// allow says whether the event may be told, and how many went untold before it.
func (s *seldom) allow(now time.Time) (untold int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.left++
		return 0, false
	}
	untold, s.left = s.left, 0
	s.next = now.Add(s.every)
	return untold, true
}
