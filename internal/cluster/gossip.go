package cluster

import (
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossip is the cluster as memberlist sees it: its delegates. Most of these methods run while the library holds its
// lock, so they follow one rule: copy what was given, note it under the cluster's own leaf lock, signal a one-slot
// channel, return. None of them calls the library or logs.
type gossip struct{ *Cluster }

var (
	_ memberlist.Delegate         = gossip{}
	_ memberlist.EventDelegate    = gossip{}
	_ memberlist.ConflictDelegate = gossip{}
	_ memberlist.MergeDelegate    = gossip{}
)

// NotifyJoin takes in a node that is new or has come back.
func (g gossip) NotifyJoin(n *memberlist.Node) { g.noteAlive(n) }

// NotifyUpdate takes in that a node has a new meta.
func (g gossip) NotifyUpdate(n *memberlist.Node) { g.noteAlive(n) }

// NotifyLeave takes in that a node has left or died. Nothing in n says which; its last meta may.
func (g gossip) NotifyLeave(n *memberlist.Node) {
	g.mu.Lock()
	g.roster.gone(n.Name, time.Now())
	g.mu.Unlock()
	signal(g.wake)
}

// noteAlive passes over a node whose meta makes no sense: it keeps what was known of it before, if anything.
func (g gossip) noteAlive(n *memberlist.Node) {
	m, err := decodeMeta(n.Name, n.Meta)
	at, ok := nodeAddr(n)
	g.mu.Lock()
	if err == nil && ok {
		g.roster.alive(peer{Member: m, gossip: at}, time.Now())
	} else {
		g.malformed++
	}
	g.mu.Unlock()
	signal(g.wake)
}

// NotifyConflict takes in that a node claims the name of another one that is not known to be dead.
func (g gossip) NotifyConflict(existing, other *memberlist.Node) {
	one, _ := nodeAddr(existing)
	two, _ := nodeAddr(other)
	g.noteNamesake(existing.Name, one, two)
	if existing.Name == g.name {
		signal(g.contested)
	}
}

func (g gossip) noteNamesake(name string, one, other netip.AddrPort) {
	g.mu.Lock()
	g.namesakes.note(name, one, other, time.Now())
	g.mu.Unlock()
	signal(g.wake)
}

// NotifyMerge looks through what another node knows, before it is merged, for our own name at another address: then
// that node does not take us in yet, and has to be told again. It never refuses a merge.
func (g gossip) NotifyMerge(nodes []*memberlist.Node) error {
	for _, n := range nodes {
		at, ok := nodeAddr(n)
		if !ok || n.Name != g.name || at == g.transport.advertise {
			continue
		}
		if n.State == memberlist.StateAlive {
			g.noteNamesake(n.Name, g.transport.advertise, at)
		}
		signal(g.contested)
	}
	return nil
}

// NodeMeta is what we say of ourselves.
func (g gossip) NodeMeta(int) []byte { return encodeMeta(g.self()) }

// NotifyMsg takes a direct datagram of another node, which are hints. It runs without the library's lock, but in the
// goroutine that handles all gossip.
func (g gossip) NotifyMsg(b []byte) {
	hints, err := parseHints(b)
	if err != nil {
		g.mu.Lock()
		g.malformed++
		g.mu.Unlock()
		signal(g.wake)
		return
	}
	if g.hints == nil {
		return
	}
	for _, h := range hints {
		g.hints(h.shard, h.newest)
	}
}

// GetBroadcasts has nothing to add to the gossip.
func (g gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState has nothing to add to an exchange.
func (g gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState expects nothing more from an exchange.
func (g gossip) MergeRemoteState([]byte, bool) {}

func nodeAddr(n *memberlist.Node) (netip.AddrPort, bool) {
	addr, ok := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(addr.Unmap(), n.Port), ok && n.Port != 0
}

// signal leaves a sign in a one-slot channel; one that is there already says it all.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
