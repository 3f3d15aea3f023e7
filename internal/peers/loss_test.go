//go:build linux

package peers

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"multichat/internal/proctest"
)

const (
	lostAddresses  = 50
	lostBehindEach = 200
	lostClients    = lostAddresses * lostBehindEach

	pollEvery = time.Second // of one client

	// newLinkTime is until a link that has come back has proved itself, and clients have moved to it.
	newLinkTime = 3 * time.Second
)

// measureLoss kills a server, again and again, and takes the time until each of its clients has been served by the other one: until
// it has got a message that was stored after the kill.
func measureLoss(t *testing.T, g *ground) Row {
	needFiles(t, 2*lostClients)
	c := g.onMySQL(t)
	killed := c.servers[0]
	addUsers(t, c.db, "lost", lostClients)
	back := newCallbacks(t, lostBehindEach, c.addressesOf(t, killed, lostAddresses))
	newFlood(t, c.udp, back.polls("lost")).goOn(t, lostClients/pollEvery.Seconds())
	n := 0
	r := alone(t, contender{"multichat", func(t *testing.T, _ time.Duration) map[string]float64 {
		n++
		return map[string]float64{"s": g.loseServer(t, c, killed, back, n).Seconds()}
	}})
	ours := r.of("multichat", "s")
	return Row{
		Name: fmt.Sprintf("%s version 1 clients of a server that is killed, on MySQL", thousands(lostClients)),
		Figures: []Figure{{What: "seconds until all are served again", Ours: ours, Beside: []Beside{{Name: "limit: a client polls once a second",
			Theirs: Constant(pollEvery.Seconds(), *rounds), Comparison: ours, Target: Within("≤ 5 s", 5)}}}},
	}
}

// addressesOf finds addresses of whose clients a server takes care: it polls from one after another, and looks where that came to.
func (c *cluster) addressesOf(t *testing.T, server *node, n int) (addresses []netip.Addr) {
	t.Helper()
	all := func() (n float64) {
		for _, s := range c.servers {
			n += s.polls(t)
		}
		return n
	}
	for i := 0; len(addresses) < n; i++ {
		from := clientAddress(i)
		probe := newFlood(t, c.udp, []poll{{from, fmt.Appendf(nil, "poll:poll0:%s:1", password)}}) // nobody is dialled at port 1
		before, sum := server.polls(t), all()
		probe.once(t)
		proctest.Eventually(t, 5*time.Second, func() error {
			if all() == sum {
				return fmt.Errorf("a poll from %s has come to no server", from)
			}
			return nil
		})
		if server.polls(t) > before {
			addresses = append(addresses, from)
		}
	}
	return addresses
}

// loseServer takes the time from when a server is killed until all clients are served again. Then it is started again.
func (g *ground) loseServer(t *testing.T, c *cluster, killed *node, back *callbacks, n int) time.Duration {
	t.Helper()
	back.expect(fmt.Sprint("before loss ", n))
	c.sendToAll(t, back.text)
	back.all(t, 30*time.Second)
	polls := killed.polls(t)
	time.Sleep(pollEvery)
	if polls = killed.polls(t) - polls; polls < 0.9*lostClients {
		t.Errorf("only some %.0f clients poll at the server that is to be killed", polls)
	}
	back.expect(fmt.Sprint("after loss ", n))
	begin := time.Now()
	killed.kill(t)
	c.sendToAll(t, back.text)
	took := back.all(t, 30*time.Second).Sub(begin)
	killed.start(g.t) // other rows go on with it
	c.awaitLinks(t)
	time.Sleep(newLinkTime)
	return took
}
