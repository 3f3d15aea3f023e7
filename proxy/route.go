package proxy

import (
	"maps"
	"slices"

	"multichat/internal/link"
	"multichat/ring"
)

// route is where clients go now. It never changes: another takes its place, and then replaced is closed.
type route struct {
	ring     *ring.Ring
	links    map[string]*link.Conn // one for each member of the ring
	replaced chan struct{}
}

func newRoute(r *ring.Ring, links map[string]*link.Conn) *route {
	return &route{ring: r, links: links, replaced: make(chan struct{})}
}

// owner is the link to the server that owns key; nil when there is no server.
func (r *route) owner(key ring.Key) *link.Conn {
	name, ok := r.ring.Owner(key)
	if !ok {
		return nil
	}
	return r.links[name]
}

// next is the link to the first server, in the order in which key's servers are to be tried, that is not one of broken;
// nil when there is none. So whoever saw a link break need not wait until the route is without it.
func (r *route) next(key ring.Key, broken []*link.Conn) *link.Conn {
	for name := range r.ring.Order(key) {
		if conn := r.links[name]; !slices.Contains(broken, conn) {
			return conn
		}
	}
	return nil
}

// setRoute routes to these servers from now on. members are all that the gossip names, so that each proxy takes the same
// steps to the same table. If a ring cannot be made the old route stays.
func (p *Proxy) setRoute(members *ring.Ring, links map[string]*link.Conn) error {
	var lost []string
	for _, name := range members.Members() {
		if links[name] == nil {
			lost = append(lost, name)
		}
	}
	alive, err := members.Without(lost...)
	if err != nil {
		return err
	}
	p.swapRoute(newRoute(alive, links))
	p.log.Info("route", "servers", slices.Sorted(maps.Keys(links)), "lost", lost)
	return nil
}

// endRoute leaves no server, for good, and lets nobody wait for one.
func (p *Proxy) endRoute() {
	p.swapRoute(newRoute(new(ring.Ring), nil))
	close(p.ended)
}

func (p *Proxy) swapRoute(next *route) {
	old := p.route.Swap(next)
	close(old.replaced)
	p.cfg.Metrics.SetRingDigest(next.ring.Digest())
	p.cfg.Cluster.SetDigest(next.ring.Digest())
}
