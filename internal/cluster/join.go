package cluster

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// rejoinEvery is how often the seeds that are no members are joined, for ever: nodes that were cut off from each
	// other for over half a minute have forgotten one another, and nothing else brings them together again.
	rejoinEvery = 5 * time.Second
	firstPause  = 250 * time.Millisecond // after the first round, then doubling up to rejoinEvery

	// Who finds its name at another address, because it restarted before its death was known, makes itself known again
	// soon, until it has met no such trace for claimRounds. After maxClaims without a rest there is a second live node
	// with this name, and no hurry.
	claimPause  = 500 * time.Millisecond
	claimRounds = 3
	claimPeers  = 3 // members told in each of those rounds
	maxClaims   = 20

	maxTargets = 64 // addresses joined in a round; a name that has more of them is used in part

	// The log says that nobody answers from the round on that is followed by a pause of aloneAfter, some 4 s after the
	// start, and then once in aloneEvery.
	aloneAfter = 4 * time.Second
	aloneEvery = time.Minute
)

// joinSeeds joins the absent seeds until ctx ends.
func (c *Cluster) joinSeeds(ctx context.Context, list *memberlist.Memberlist) {
	alone := seldom{every: aloneEvery}
	pace := pace{pause: firstPause}
	for {
		targets, wanting := c.absentSeeds(ctx)
		if pace.claiming() {
			targets = append(targets, c.somePeers(claimPeers)...)
			signal(c.announce)
		}
		join(list, targets)
		if wanting && pace.pause >= aloneAfter && len(c.shown.Load().peers) <= 1 {
			if _, ok := alone.allow(time.Now()); ok {
				c.log.Warn("no other node answers; the seeds are joined again every "+rejoinEvery.String(), "seeds", c.seeds)
			}
		}
		if !c.waitRound(ctx, &pace) {
			return
		}
	}
}

// waitRound waits for the time of the next round; it returns false when ctx has ended.
func (c *Cluster) waitRound(ctx context.Context, pace *pace) bool {
	timer := time.NewTimer(pace.next())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-c.contested:
			if pace.contest() {
				timer.Reset(claimPause)
			}
		}
	}
}

// pace says how long to wait between rounds of joining. It is pure.
type pace struct {
	pause  time.Duration // when nothing presses; grows up to rejoinEvery
	left   int           // rounds in which the name is still to be claimed
	claims int           // such rounds since the last rest
}

func (p *pace) claiming() bool { return p.left > 0 }

// contest takes in that the name was met at another address. It says whether that is news.
func (p *pace) contest() bool {
	news := p.left == 0
	p.left = claimRounds
	return news
}

// next ends a round and says how long to wait for the next one.
func (p *pace) next() time.Duration {
	if p.left == 0 {
		p.claims = 0
	} else {
		p.left--
		p.claims++
		if p.claims <= maxClaims {
			return claimPause
		}
	}
	wait := p.pause
	p.pause = min(2*p.pause, rejoinEvery)
	return wait
}

// join exchanges all state with each of the targets, all at once. Who does not answer is tried in another round; the
// library has logged why.
func join(list *memberlist.Memberlist, targets []netip.AddrPort) {
	var exchanges sync.WaitGroup
	for _, at := range targets {
		exchanges.Go(func() { list.Join([]string{at.String()}) })
	}
	exchanges.Wait()
}

// absentSeeds are the addresses of seeds that are neither members nor this node. A seed that cannot be resolved has
// none now; wanting says that there is such a one, or an address.
func (c *Cluster) absentSeeds(ctx context.Context) (absent []netip.AddrPort, wanting bool) {
	known := map[netip.AddrPort]bool{c.transport.advertise: true, c.transport.bound(): true}
	for _, p := range c.shown.Load().peers {
		known[p.gossip] = known[p.gossip] || !p.Missing
	}
	for _, seed := range c.seeds {
		host, port, _ := splitHostPort(seed) // checked by New
		addrs, err := resolve(ctx, host)
		if err != nil {
			c.log.Debug("resolve a seed", "seed", seed, "err", err)
			wanting = true
		}
		for _, addr := range addrs {
			if at := netip.AddrPortFrom(addr, port); !known[at] && len(absent) < maxTargets {
				known[at] = true
				absent = append(absent, at)
			}
		}
	}
	return absent, wanting || len(absent) > 0
}

// somePeers are the gossip addresses of up to n other members, at random.
func (c *Cluster) somePeers(n int) (some []netip.AddrPort) {
	peers := c.shown.Load().peers
	for _, i := range rand.Perm(len(peers)) {
		if p := peers[i]; p.Name != c.name && !p.Missing && len(some) < n {
			some = append(some, p.gossip)
		}
	}
	return some
}
