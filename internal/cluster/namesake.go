package cluster

import (
	"net/netip"
	"time"
)

const (
	// namesakeGrace is how long two addresses may claim one name before that is an error. A node that was killed and
	// restarted at another address is a conflict too, until the others have noticed the death.
	namesakeGrace = 5 * time.Second
	namesakeEvery = 30 * time.Second // between two log lines about the same name
	maxNamesakes  = 64               // names watched at once; further ones wait until one is forgotten
)

// namesakes watches for two live nodes with one name. It is pure and not safe for concurrent use.
type namesakes map[string]*namesake

type namesake struct {
	name                string
	one, other          netip.AddrPort
	first, last, toldAt time.Time
}

// note takes in that a second node claims a name.
func (n namesakes) note(name string, one, other netip.AddrPort, now time.Time) {
	for name, s := range n {
		if now.Sub(s.last) > namesakeEvery {
			delete(n, name)
		}
	}
	s := n[name]
	if s == nil {
		if len(n) == maxNamesakes {
			return
		}
		s = &namesake{name: name, first: now}
		n[name] = s
	}
	s.one, s.other, s.last = one, other, now
}

// overdue are the conflicts that an operator has to be told now.
func (n namesakes) overdue(now time.Time) (due []namesake) {
	for _, s := range n {
		if s.last.Sub(s.first) >= namesakeGrace && (s.toldAt.IsZero() || now.Sub(s.toldAt) >= namesakeEvery) {
			s.toldAt = now
			due = append(due, *s)
		}
	}
	return due
}
