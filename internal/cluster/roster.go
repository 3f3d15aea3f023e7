package cluster

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

const (
	// lossGap is how close together failures must be to count as one event. The failure detector asks one member after
	// another and, when it has reason to doubt itself, up to a second each, so the loss of a whole side shows as a
	// series, not as one moment.
	lossGap = 5 * time.Second

	// heldGrace is how long a mere minority of missing servers is held still. A healed partition comes back one by one,
	// within a few rounds of joining; without the grace the ring would drop the last ones only to take them up again.
	heldGrace = 30 * time.Second
)

// A peer is a member and where its gossip is.
type peer struct {
	Member
	gossip netip.AddrPort
}

// roster decides who is a member. It is a pure state machine: events and times go in, a list of members comes out. It
// is not safe for concurrent use.
//
// Who leaves in order (it was draining) and a proxy that fails are forgotten at once. So is a server that fails,
// unless its failure makes it more than half of the servers in one event: a row of failures, each within lossGap of
// the one before. Then all servers of that event are held: they stay in the list, marked as missing, until they come
// back. Held ones that have been a minority for heldGrace are failures like any other, and forgotten.
type roster struct {
	here map[string]peer // those whom the gossip knows as alive
	lost map[string]peer // servers of the present event; not in the list, unless the event grows
	held map[string]peer // servers of an event that took more than half

	lastLoss time.Time
	minority time.Time // since when held is no more than half of the servers; zero if it is not
}

func newRoster() *roster {
	return &roster{here: map[string]peer{}, lost: map[string]peer{}, held: map[string]peer{}}
}

// alive takes in that p has joined, has come back, or tells something new of itself.
func (r *roster) alive(p peer, now time.Time) {
	p.Missing = false
	delete(r.lost, p.Name)
	delete(r.held, p.Name)
	r.here[p.Name] = p
	r.settle(now)
}

// gone takes in that a member has left or has been given up: the gossip does not say which.
func (r *roster) gone(name string, now time.Time) {
	p, ok := r.here[name]
	if !ok {
		return
	}
	delete(r.here, name)
	if p.Role == Server && !p.Draining {
		r.lose(p, now)
	}
	r.settle(now)
}

func (r *roster) lose(p peer, now time.Time) {
	if now.Sub(r.lastLoss) > lossGap {
		clear(r.lost)
	}
	r.lastLoss = now
	p.Missing = true
	r.lost[p.Name] = p
	if before := len(r.lost) + r.steady(); 2*len(r.lost) > before {
		for name, p := range r.lost {
			r.held[name] = p
		}
		clear(r.lost)
	}
}

// steady counts the servers that are there and mean to stay.
func (r *roster) steady() (n int) {
	for _, p := range r.here {
		if p.Role == Server && !p.Draining {
			n++
		}
	}
	return n
}

// settle lets go of what time has settled.
func (r *roster) settle(now time.Time) {
	switch {
	case len(r.held) == 0 || len(r.held) > r.steady():
		r.minority = time.Time{}
	case r.minority.IsZero():
		r.minority = now
	case now.Sub(r.minority) >= heldGrace:
		clear(r.held)
		r.minority = time.Time{}
	}
}

// list is the members by name, and when to ask again if nothing happens; zero is never.
func (r *roster) list(now time.Time) (peers []peer, again time.Time) {
	r.settle(now)
	peers = make([]peer, 0, len(r.here)+len(r.held))
	for _, p := range r.here {
		peers = append(peers, p)
	}
	for _, p := range r.held {
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b peer) int { return cmp.Compare(a.Name, b.Name) })
	if !r.minority.IsZero() {
		again = r.minority.Add(heldGrace)
	}
	return peers, again
}
