package link

import (
	"sync"
	"time"
)

// ticksPerLate is how many ticks are due within the gap that makes one late: the resolution of what is measured.
const ticksPerLate = 4

// silence measures how long the other end has said nothing. It adds up the gaps between our own ticks, and a gap
// longer than late counts for nothing and begins anew: we slept then, and what the other end said meanwhile may be
// waiting unread.
type silence struct {
	late   time.Duration
	last   time.Time // of the last tick; zero before the first
	length time.Duration
}

// tick adds the time since the last tick.
func (s *silence) tick(now time.Time) time.Duration {
	gap := now.Sub(s.last)
	s.last = now
	s.length += gap
	if gap > s.late {
		s.length = 0
	}
	return s.length
}

// begin starts the silence at now.
func (s *silence) begin(now time.Time) {
	s.last, s.length = now, 0
}

// pinger decides when to ping, one ping unanswered at a time, and measures for how long it has been.
type pinger struct {
	interval time.Duration

	mu      sync.Mutex
	last    uint64 // id of the newest ping
	sent    time.Time
	waiting bool // for the pong to it
	silence silence
}

func newPinger(interval time.Duration) *pinger {
	return &pinger{interval: interval, silence: silence{late: interval}}
}

// tick is to be called several times per interval. It says whether to send a ping now, and its id.
func (p *pinger) tick(now time.Time) (id uint64, ping bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting {
		p.silence.tick(now)
		return 0, false
	}
	if now.Sub(p.sent) < p.interval {
		return 0, false
	}
	p.last++
	p.sent, p.waiting = now, true
	p.silence.begin(now)
	return p.last, true
}

// pong ends the silence, if it answers the newest ping.
func (p *pinger) pong(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == p.last {
		p.waiting = false
	}
}

// unanswered is how long the ping has been waiting for its pong, as of the last tick; 0 if it is not.
func (p *pinger) unanswered() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting {
		return 0
	}
	return p.silence.length
}
