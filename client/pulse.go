package client

import "time"

// pulse tells a dead proxy from a slow one. Whoever is silent for too long is pinged, and dead if that changes nothing.
type pulse struct {
	pace   pace
	pinged time.Time // when the ping was written that nothing was heard after; zero: there is none
	reads  int       // what signs had when it was written
}

// signs are what a pulse is felt by.
type signs struct {
	reads   int       // how many times something came
	heard   time.Time // when it last did
	waiting time.Time // since when something is unanswered; zero: nothing is
	wrote   time.Time // when the last bytes went out

	// Deaf says that nothing is being read, because messages wait to be taken. Then silence means nothing; the pings
	// tell the proxy that this end is alive.
	deaf bool
}

// beat is what a pulse says.
type beat int

const (
	alive  beat = iota
	asking      // a ping is to be written now
	dead
)

// feel is called whenever a sign changed, and at the time that it returned before.
func (p *pulse) feel(now time.Time, s signs) (beat, time.Time) {
	if s.deaf {
		p.pinged = time.Time{}
		return p.ping(now, s.wrote.Add(p.pace.idle))
	}
	if s.reads != p.reads {
		p.pinged = time.Time{}
	}
	if !p.pinged.IsZero() {
		verdict := p.pinged.Add(p.pace.pong)
		if now.Before(verdict) {
			return alive, verdict
		}
		return dead, now
	}
	due := s.heard.Add(p.pace.idle)
	if !s.waiting.IsZero() {
		due = sooner(due, later(s.heard, s.waiting).Add(p.pace.answer))
	}
	beat, next := p.ping(now, due)
	if beat == asking {
		p.pinged, p.reads = now, s.reads
	}
	return beat, next
}

// ping asks if it is due.
func (p *pulse) ping(now, due time.Time) (beat, time.Time) {
	if now.Before(due) {
		return alive, due
	}
	return asking, now.Add(p.pace.pong)
}
