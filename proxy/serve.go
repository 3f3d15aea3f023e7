package proxy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/ring"
)

// judgeEvery is how often the links are looked at: a tenth of the silence that a server is given up for.
const judgeEvery = 50 * time.Millisecond

// router is what the goroutine of Serve owns.
type router struct {
	*Proxy
	pusher  edge.Pusher
	judge   judge
	peers   map[string]*peer // those that the gossip names
	retired []*peer          // those that it did, and whose links have not ended yet
	group   sync.WaitGroup   // the peers' goroutines, rehearse and serveExpiry
	begun   time.Time

	members  *ring.Ring // all servers that the gossip names and that are not draining
	linked   map[string]*link.Conn
	gathered bool            // there was a route
	next     chan *ring.Ring // one slot: the ring whose losses are to be computed in advance
}

// Serve keeps links to the servers that the gossip names, and routes to those that live, until ctx ends. What the
// servers push goes out through pusher, the edge's dial-back. End the edge first: what it still sends afterwards finds
// no server.
func (p *Proxy) Serve(ctx context.Context, pusher edge.Pusher) error {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the links end after the route
	defer cancel()
	r := &router{
		Proxy:   p,
		pusher:  pusher,
		peers:   make(map[string]*peer),
		members: new(ring.Ring),
		next:    make(chan *ring.Ring, 1),
		begun:   time.Now(),
	}
	r.group.Go(func() { r.rehearse(working) })
	r.group.Go(func() { r.serveExpiry(working) })
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		changed := p.cfg.Cluster.Changed()
		r.follow(working, p.cfg.Cluster.Members())
		r.update(time.Now())
		r.watch(ctx, changed, tick.C)
	}
	p.endStreams()
	p.endRoute() // before the links, so that what a link's end leaves unanswered is not sent over the next link to end
	cancel()
	r.group.Wait()
	return nil
}

// watch returns when the members have changed, or a link has; meanwhile it judges.
func (r *router) watch(ctx context.Context, changed <-chan struct{}, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			return
		case <-r.wake:
			return
		case now := <-tick:
			r.retired = slices.DeleteFunc(r.retired, func(p *peer) bool { return p.finish(now) })
			if name := r.judge.condemn(r.silence(), now); name != "" {
				r.peers[name].giveUp()
			}
			if !maps.Equal(r.usable(now), r.linked) {
				return // a server has come through its probation
			}
		}
	}
}

// follow starts a peer for each server that is new in the gossip, and retires those that it no longer names.
func (r *router) follow(ctx context.Context, members []cluster.Member) {
	named := make(map[string]bool)
	var names []string
	for _, m := range members {
		if m.Role != cluster.Server {
			continue
		}
		named[m.Name] = true
		if !m.Draining {
			names = append(names, m.Name)
		}
		known := r.peers[m.Name]
		if known == nil {
			known = r.revive(m.Name)
		}
		if known != nil {
			known.update(m)
		} else {
			r.start(ctx, m)
		}
	}
	for name, known := range r.peers {
		if !named[name] {
			known.retire(time.Now())
			r.retired = append(r.retired, known)
			delete(r.peers, name)
		}
	}
	if slices.Equal(names, r.members.Members()) {
		return // something else about a member is new
	}
	all, err := ring.New(names)
	if err != nil {
		r.log.Error("the ring of servers could not be made; the old one stays", "error", err)
		return
	}
	r.members = all
}

// revive takes back the retired peer of this name, if its link still lives: the gossip may lose a server for a moment.
func (r *router) revive(name string) *peer {
	for i, p := range r.retired {
		if p.name == name && p.revive() {
			r.retired = slices.Delete(r.retired, i, i+1)
			r.peers[name] = p
			return p
		}
	}
	return nil
}

func (r *router) start(ctx context.Context, m cluster.Member) {
	started := &peer{
		name: m.Name,
		config: link.DialConfig{
			Identity: r.identity, Name: r.cfg.Name, Peer: m.Name, Pusher: serverPusher{r.pusher, r.Proxy, m.Name},
			Tickets: r.tickets, Counters: r.cfg.Counters,
		},
		log:     r.log.With("server", m.Name),
		early:   time.Since(r.begun) < probation,
		notify:  r.noteLink,
		moved:   make(chan struct{}, 1),
		addr:    m.Link,
		leaving: m.Draining,
	}
	r.peers[m.Name] = started
	r.group.Go(func() { started.serve(ctx) })
}

// noteLink wakes the router. Peers call it.
func (p *Proxy) noteLink() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// update makes a new route if other servers are usable than the route has.
func (r *router) update(now time.Time) {
	links := r.usable(now)
	if maps.Equal(links, r.linked) {
		return
	}
	if err := r.setRoute(r.members, links); err != nil {
		r.log.Error("a new route could not be made; the old one stays", "error", err)
		return
	}
	r.linked, r.gathered = links, true
	select {
	case <-r.next: // no longer worth computing
	default:
	}
	r.next <- r.route.Load().ring
}

// usable are the links to send clients to: those of members that have proven themselves; and if there is none, all
// that there are. A link in use stays so, though it was taken up in need: its clients are not sent to and fro. A proxy that
// has just begun uses none until it has all.
func (r *router) usable(now time.Time) map[string]*link.Conn {
	proven, doubtful := make(map[string]*link.Conn), make(map[string]*link.Conn)
	for _, name := range r.members.Members() {
		known := r.peers[name]
		if known == nil {
			continue
		}
		switch conn, ok := known.link(now); {
		case conn == nil:
		case ok || conn == r.linked[name]:
			proven[name] = conn
		default:
			doubtful[name] = conn
		}
	}
	switch linked := len(proven) + len(doubtful); {
	case !r.gathered && linked < len(r.members.Members()) && now.Sub(r.begun) < gatherTime:
		return nil
	case len(proven) == 0:
		return doubtful
	}
	return proven
}

// silence is how long each linked server has not answered.
func (r *router) silence() map[string]time.Duration {
	silence := make(map[string]time.Duration)
	for name, known := range r.peers {
		if conn, _ := known.link(time.Time{}); conn != nil {
			silence[name] = conn.Silence()
		}
	}
	return silence
}

// rehearse computes, while nothing happens, the ring for the loss of each single server, so that the loss itself finds
// it made: with many servers a ring takes tens of milliseconds.
func (r *router) rehearse(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case current := <-r.next:
			for _, name := range current.Members() {
				if ctx.Err() != nil || len(r.next) > 0 {
					break
				}
				if _, err := current.Without(name); err != nil {
					r.log.Error("the ring for a loss could not be made", "server", name, "error", err)
				}
			}
		}
	}
}

func (p *Proxy) countPush(receipt edge.Receipt) {
	if receipt.Taken > 0 {
		p.cfg.Metrics.Pushes.WithLabelValues(edge.PushTaken.String()).Add(float64(receipt.Taken))
	}
	if receipt.Outcome != edge.PushTaken {
		p.cfg.Metrics.Pushes.WithLabelValues(receipt.Outcome.String()).Inc()
	}
}
