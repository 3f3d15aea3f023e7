package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/wire"
	"multichat/ring"
)

// someClients are addresses of all kinds.
func someClients() (clients []netip.Addr) {
	for i := range 20 {
		clients = append(clients,
			netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}),
			netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", i)),
			netip.MustParseAddr(fmt.Sprintf("::ffff:127.0.2.%d", i)))
	}
	return clients
}

func TestEveryProxySendsAClientToTheOwnerOfItsAddress(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	second := startProxy(t, "proxy-2", f.node)
	second.awaitRoute(t, f.names...)
	all, err := ring.New(f.names)
	if err != nil {
		t.Fatal(err)
	}
	before := f.route.Load()
	for i, client := range someClients() {
		owner, _ := all.Owner(ring.ClientKey(client, f.seed))
		server := f.servers[slices.Index(f.names, owner)]
		for _, p := range []*node{f.node, second, f.node} {
			p.awaitRoute(t, f.names...) // on a very busy machine, a server may be lost for a while
			seq, err := p.Send(t.Context(), from(client), message(fmt.Sprint("m", i)))
			if err != nil || seq != server.number {
				t.Errorf("%s: a send of %v was answered by server %v (%v), want %s", p.cfg.Name, client, seq, err, owner)
			}
			polls := server.polls(client)
			p.Poll(from(client), aPoll, nil)
			eventually(t, "the owner has the poll", func() bool { return server.polls(client) == polls+1 })
		}
	}
	if got, want := testutil.ToFloat64(second.metrics.Polls), float64(len(someClients())); got != want {
		t.Errorf("the second proxy counted %v polls, want %v", got, want)
	}
	if f.route.Load() != before && len(f.log.Lines("has ended")) == 0 {
		t.Error("the route was replaced though no server was lost")
	}

	for _, p := range []*node{f.node, second} {
		if err := p.Ready(); err != nil {
			t.Errorf("%s is not ready: %v", p.cfg.Name, err)
		}
		if p.Links() != 3 {
			t.Errorf("%s has %d links, want 3", p.cfg.Name, p.Links())
		}
		if got, want := testutil.ToFloat64(p.metrics.RingDigest), float64(all.Digest()&(1<<48-1)); got != want {
			t.Errorf("%s: the ring's digest is %v in the metrics, want %v", p.cfg.Name, got, want)
		}
		for role, want := range map[cluster.Role]float64{cluster.Proxy: 2, cluster.Server: 3} {
			eventually(t, fmt.Sprintf("%s counts %v of role %v", p.cfg.Name, want, role), func() bool {
				return testutil.ToFloat64(p.metrics.Members.WithLabelValues(role.String())) == want
			})
		}
	}
	eventually(t, "the first proxy knows the digest of the second", func() bool {
		return slices.ContainsFunc(f.gossip.Members(), func(m cluster.Member) bool {
			return m.Name == "proxy-2" && m.Digest == all.Digest()
		})
	})
}

func TestADrainingServerFinishesWhatItHasAndGetsNothingNew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	leaving, other := f.servers[0], f.servers[1]
	held := leaving.block(t)
	client := f.clientOf(t, f.names, leaving.name)
	inFlight := f.send(client, "before")
	receive(t, held.entered, "the send to arrive")

	leaving.drain(t)
	f.awaitRoute(t, other.name)
	if seq, err := f.Send(t.Context(), from(client), message("after")); err != nil || seq != other.number {
		t.Errorf("a send after the drain was answered by %v (%v), want %v", seq, err, other.number)
	}
	f.Poll(from(client), aPoll, nil)
	eventually(t, "the other server has the poll", func() bool { return other.polls(client) == 1 })
	held.letGo()
	if a := receive(t, inFlight, "the send in flight"); a.err != nil || a.seq != leaving.number {
		t.Errorf("the send in flight was answered by %v (%v), want %v", a.seq, a.err, leaving.number)
	}

	leaving.endLinks()
	leaving.leave()
	eventually(t, "the member is forgotten", func() bool {
		return testutil.ToFloat64(f.metrics.Members.WithLabelValues("server")) == 1
	})
	if leaving.arrivals("after") != 0 || leaving.polls(client) != 0 {
		t.Error("the draining server got something new")
	}
	for _, failure := range []string{"member failed", "a server cannot be reached", "the link to a server has ended"} {
		if lines := f.log.Lines(failure); len(lines) > 0 {
			t.Errorf("an orderly leave was told as a failure: %q", lines)
		}
	}
}

func TestALinkOutlivesTheMemberUntilItsSendsAreAnswered(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	leaving, other := f.servers[0], f.servers[1]
	held := leaving.block(t)
	client := f.clientOf(t, f.names, leaving.name)
	inFlight := f.send(client, "before")
	receive(t, held.entered, "the send to arrive")
	leaving.leave()
	eventually(t, "the member is forgotten", func() bool {
		return testutil.ToFloat64(f.metrics.Members.WithLabelValues("server")) == 1
	})
	f.awaitRoute(t, other.name)
	held.letGo()
	if a := receive(t, inFlight, "the send in flight"); a.err != nil || a.seq != leaving.number {
		t.Errorf("the send in flight was answered by %v (%v), want %v", a.seq, a.err, leaving.number)
	}
}

func TestAServerThatTheGossipLosesForAMomentKeepsItsLink(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	s := f.servers[0]
	client := f.clientOf(t, f.names, s.name)
	s.leave()
	f.awaitRoute(t, f.names[1])
	s.join(t, f.node)
	f.awaitRoute(t, f.names...)
	if seq, err := f.Send(t.Context(), from(client), message("m1")); err != nil || seq != s.number {
		t.Errorf("answered by %v (%v), want %v", seq, err, s.number)
	}
	if n := s.links(); n != 1 {
		t.Errorf("%d links were made, want the first to serve on", n)
	}
}

func TestASilentServerThatTheGossipHasLostIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	lost, late, other := f.servers[0], f.servers[1], f.servers[2]
	held := lost.block(t)
	inFlight := f.send(f.clientOf(t, f.names, lost.name, other.name), "m1")
	receive(t, held.entered, "the send to arrive")
	for _, s := range []*chatServer{lost, late} {
		s.relay.stall(true) // most are silent, so none is given up for that alone
	}
	lost.leave()
	f.awaitRoute(t, late.name, other.name)
	late.relay.stall(false)
	a := receive(t, inFlight, "an answer")
	if a.err != nil || a.seq != other.number || a.after > sendTimeout/2 {
		t.Errorf("the send was answered by %v (%v) after %v, want %v", a.seq, a.err, a.after, other.number)
	}
}

func TestAServerThatRestartsElsewhereIsUsedThere(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	old := f.servers[0]
	client := f.clientOf(t, f.names, old.name)
	held := old.block(t)
	inFlight := f.send(client, "before")
	receive(t, held.entered, "the send to arrive")

	old.relay.close() // as by SIGKILL
	if a := receive(t, inFlight, "the send in flight"); a.err != nil || a.seq != f.servers[1].number {
		t.Errorf("the send in flight was answered by %v (%v), want the other server", a.seq, a.err)
	}
	old.leave()
	begin := time.Now()
	restarted := newServer(t, old.name)
	restarted.send = func(context.Context, wire.Wrmsg) (chat.Seq, error) { return 9, nil }
	restarted.join(t, f.node)
	eventually(t, "the client is served at the new address", func() bool {
		seq, err := f.Send(t.Context(), from(client), message("after"))
		return err == nil && seq == 9
	})
	took := time.Since(begin)
	t.Logf("used at its new address after %v", took.Round(ms))
	if took > 6*time.Second {
		t.Errorf("it took %v until the new address was used", took)
	}
}
