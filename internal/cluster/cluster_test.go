package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"multichat/internal/chat"
	"multichat/internal/proctest"
)

func TestNodesFindEachOther(t *testing.T) {
	t.Parallel()
	a := bind(t, testConfig("a"))
	b := bind(t, testConfig("b"))
	cfg := testConfig("p", a.Addr().String(), b.Addr().String())
	cfg.Role, cfg.Link = Proxy, ""
	p := bind(t, cfg)
	self := p.Addr().String()
	p.seeds = append(p.seeds, self, "localhost:1", "no-such-host.invalid:7946") // itself, nobody, and no name

	p.serve(t)
	p.await(t, "itself", names("p"))
	a.serve(t) // seeds that come up later are found all the same
	p.await(t, "the first seed", names("a", "p"))
	b.serve(t)
	for _, n := range []*node{a, b, p} {
		n.await(t, "everybody", names("a", "b", "p"))
	}
	want := []Member{
		{Name: "a", Role: Server, Link: netip.MustParseAddrPort("127.0.0.1:1000")},
		{Name: "b", Role: Server, Link: netip.MustParseAddrPort("127.0.0.1:1000")},
		{Name: "p", Role: Proxy},
	}
	if got := b.Members(); !slices.Equal(got, want) {
		t.Errorf("b has the members %v, want %v", got, want)
	}
}

func TestANodeThatFindsNobodySaysSo(t *testing.T) {
	t.Parallel()
	n := start(t, testConfig("a", "127.0.0.1:1"))
	eventually(t, "the log says so", func() bool { return len(n.log.Lines("no other node answers")) == 1 })
}

func TestNodesMeetOverIPv6(t *testing.T) {
	t.Parallel()
	if probe, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6 loopback: ", err)
	} else {
		probe.Close()
	}
	cfg := testConfig("a")
	cfg.Bind, cfg.Link = "[::1]:0", ":1000"
	a := start(t, cfg)
	cfg.Name, cfg.Join = "b", []string{a.Addr().String()}
	b := start(t, cfg)
	want := netip.MustParseAddrPort("[::1]:1000")
	a.await(t, "b", member("b", func(m Member) bool { return m.Link == want }))
	b.await(t, "a", member("a", func(m Member) bool { return m.Link == want }))
}

func TestDrainIsKnownBeforeTheLeave(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a.Addr().String()))
	a.await(t, "b", names("a", "b"))
	b.await(t, "a", names("a", "b"))
	if err := b.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	a.await(t, "b draining", member("b", func(m Member) bool { return m.Draining }))
	b.end()
	a.await(t, "b leaving", names("a"))
	if failed := a.log.Lines("member failed"); len(failed) > 0 {
		t.Errorf("an orderly leave was told as %q", failed)
	}
	if len(a.log.Lines("member left")) != 1 {
		t.Error("the leave was not told")
	}
}

func TestTheEndOfServeDrainsAndLeaves(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a.Addr().String()))
	a.await(t, "b", names("a", "b"))
	b.await(t, "a", names("a", "b"))
	b.end()
	a.await(t, "b leaving", names("a"))
	if len(a.log.Lines("member left")) != 1 || len(a.log.Lines("member failed")) != 0 {
		t.Error("the end of Serve was not an orderly leave")
	}
	if err := b.Drain(context.Background()); err != nil {
		t.Errorf("Drain after the end = %v", err)
	}
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n := bind(t, testConfig("a"))
	if err := n.Drain(ctx); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("Drain = %v", err)
	}
	if err := n.Serve(ctx); err != nil { // gives the port back
		t.Errorf("Serve = %v", err)
	}
	again := testConfig("a")
	again.Bind = n.Addr().String()
	start(t, again)
}

func TestDigestsAreToldSeldomAndTheLastOneAlways(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a.Addr().String()))
	a.await(t, "b", names("a", "b"))
	begin := time.Now()
	const last = 1000
	for i := range uint64(last) {
		b.SetDigest(i + 1)
	}
	seen := 0
	a.await(t, "the last digest", member("b", func(m Member) bool { seen++; return m.Digest == last }))
	if most := 3 + int(time.Since(begin)/announceEvery); seen > most {
		t.Errorf("%d changes were published, more than %d", seen, most)
	}
}

func TestHintsReachAllOtherServers(t *testing.T) {
	t.Parallel()
	const shard = chat.ShardNumber(7)
	var newest [3]atomic.Int64
	var nodes [3]*node
	var seeds []string
	for i, name := range []string{"a", "b", "p"} {
		cfg := testConfig(name, seeds...)
		if name == "p" {
			cfg.Role, cfg.Link = Proxy, ""
		}
		cfg.Hints = func(s chat.ShardNumber, seq chat.Seq) {
			if s == shard && newest[i].Load() < int64(seq) {
				newest[i].Store(int64(seq))
			}
		}
		nodes[i] = start(t, cfg)
		seeds = append(seeds, nodes[i].Addr().String())
	}
	nodes[0].await(t, "everybody", names("a", "b", "p"))
	for i := range int64(5000) {
		nodes[0].Hint(shard, chat.Seq(i+1))
	}
	eventually(t, "b hears the last hint", func() bool { return newest[1].Load() == 5000 })
	if newest[0].Load() != 0 || newest[2].Load() != 0 {
		t.Error("hints went to a proxy, or back to their sender")
	}
	nodes[0].Hint(chat.MaxShards, 1) // no shard: nothing may come of it
	nodes[0].Hint(shard, -1)
}

func TestAnotherKeyIsRefusedWithOneLine(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	cfg := testConfig("stranger", a.Addr().String())
	cfg.Key = chat.NewSecret(strings.Repeat("x", chat.ClusterKeyBytes))
	stranger := start(t, cfg)
	const line = "another cluster key"
	for _, n := range []*node{a, stranger} {
		eventually(t, n.name+" says why", func() bool { return len(n.log.Lines(line)) > 0 })
	}
	friend := start(t, testConfig("friend", a.Addr().String())) // and the others are not disturbed
	a.await(t, "the friend", names("a", "friend"))
	friend.await(t, "the friend", names("a", "friend"))
	signal(stranger.contested) // makes it hurry: three more rounds
	eventually(t, "the stranger is refused again", func() bool { return len(a.log.Lines("from=127.0.0.1")) > 3 })
	if got := a.log.Lines(line); len(got) != 1 {
		t.Errorf("it is told %d times: %q", len(got), got)
	}
	if got := stranger.Members(); !names("stranger")(got) {
		t.Errorf("the stranger has the members %v", got)
	}
}

func TestPlainGossipIsNotHeard(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	a.await(t, "itself", names("a"))
	conf := memberlist.DefaultLocalConfig()
	conf.Name, conf.BindAddr, conf.BindPort, conf.LogOutput = "plain", "127.0.0.1", 0, new(proctest.Output)
	plain, err := memberlist.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Shutdown()
	if _, err := plain.Join([]string{a.Addr().String()}); err == nil {
		t.Error("a node without a key could join")
	}
	if !names("a")(a.Members()) {
		t.Errorf("a has the members %v", a.Members())
	}
}

func TestTwoLiveNodesWithOneNameAreTold(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	one := start(t, testConfig("twin", a.Addr().String()))
	a.await(t, "the first", names("a", "twin"))
	two := start(t, testConfig("twin", a.Addr().String()))
	const line = "two live nodes have the same name"
	eventually(t, "the second says so", func() bool { return len(two.log.Lines(line)) == 1 })
	eventually(t, "the third says so", func() bool { return len(a.log.Lines(line)) == 1 })
	told := a.log.Lines(line)[0]
	for _, n := range []*node{one, two} {
		if !strings.Contains(told, n.Addr().String()) {
			t.Errorf("%q does not name %s", told, n.Addr())
		}
	}
}

func TestMetaThatMakesNoSenseIsPassedOver(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	odd := bind(t, testConfig("odd", a.Addr().String()))
	odd.conf.Delegate = oddMeta{gossip{odd.Cluster}}
	odd.serve(t)
	eventually(t, "a says so", func() bool { return len(a.log.Lines("makes no sense")) == 1 })
	start(t, testConfig("b", a.Addr().String()))
	a.await(t, "b, and not the odd one", names("a", "b"))
}

type oddMeta struct{ gossip }

func (oddMeta) NodeMeta(limit int) []byte { return make([]byte, limit) }

// cuttable is a network that can be cut.
type cuttable struct {
	memberlist.NodeAwareTransport
	cut atomic.Bool
}

func (c *cuttable) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if c.cut.Load() {
		return time.Now(), nil
	}
	return c.NodeAwareTransport.WriteToAddress(b, a)
}

func (c *cuttable) DialAddressTimeout(a memberlist.Address, d time.Duration) (net.Conn, error) {
	if c.cut.Load() {
		return nil, fmt.Errorf("the network is cut")
	}
	return c.NodeAwareTransport.DialAddressTimeout(a, d)
}

func TestForgottenNodesFindEachOtherAgain(t *testing.T) {
	t.Parallel()
	// Both sides forget the dead after a moment instead of half a minute, so that the library knows of nobody to ask.
	var nets [2]*cuttable
	var nodes [2]*node
	for i, name := range []string{"a", "b"} {
		var seeds []string
		if i > 0 {
			seeds = []string{nodes[0].Addr().String()}
		}
		cfg := testConfig(name, seeds...)
		cfg.Role, cfg.Link = Proxy, "" // which are not held
		n := bind(t, cfg)
		nets[i] = &cuttable{NodeAwareTransport: n.transport}
		n.conf.Transport, n.conf.GossipToTheDeadTime = nets[i], 200*time.Millisecond
		nodes[i] = n.serve(t)
	}
	for _, n := range nodes {
		n.await(t, "both", names("a", "b"))
	}
	for _, net := range nets {
		net.cut.Store(true)
	}
	nodes[0].await(t, "b gone", names("a"))
	nodes[1].await(t, "a gone", names("b"))
	// Nothing tells when the library has forgotten; it does so with the first probe after this time.
	<-time.After(nodes[0].conf.GossipToTheDeadTime + 2*nodes[0].conf.ProbeInterval)
	for _, net := range nets {
		net.cut.Store(false)
	}
	for _, n := range nodes {
		n.await(t, "both again", names("a", "b"))
	}
}

func TestKilledServerIsMissedAndIsTakenBackAtANewAddress(t *testing.T) {
	t.Parallel()
	var watchers []*node
	var seeds []string
	for _, name := range []string{"w1", "w2", "w3", "w4"} {
		n := start(t, testConfig(name, seeds...))
		watchers = append(watchers, n)
		seeds = []string{watchers[0].Addr().String()}
	}
	at := func(link string) func([]Member) bool {
		return member("victim", func(m Member) bool { return m.Link.String() == link })
	}
	all := func(what string, ok func([]Member) bool) {
		t.Helper()
		begin := time.Now()
		for _, w := range watchers {
			w.await(t, what, ok)
		}
		t.Logf("all see %s after %v", what, time.Since(begin).Round(10*time.Millisecond))
	}
	victim := startChild(t, "victim", "127.0.0.1:2001", seeds[0])
	all("the victim", at("127.0.0.1:2001"))

	victim.kill()
	all("the death", names("w1", "w2", "w3", "w4"))
	victim = startChild(t, "victim", "127.0.0.1:2002", seeds[0])
	all("the return after the death", at("127.0.0.1:2002"))

	victim.kill()
	startChild(t, "victim", "127.0.0.1:2003", seeds[0])
	all("the return at once", at("127.0.0.1:2003"))
	for _, w := range watchers {
		if lines := w.log.Lines("two live nodes"); len(lines) > 0 {
			t.Errorf("a restart was told as %q", lines)
		}
	}
}

func TestTheLastServersAreHeld(t *testing.T) {
	t.Parallel()
	cfg := testConfig("p")
	cfg.Role, cfg.Link = Proxy, ""
	p := start(t, cfg)
	seed := p.Addr().String()
	s1 := startChild(t, "s1", "127.0.0.1:2001", seed)
	s2 := startChild(t, "s2", "127.0.0.1:2002", seed)
	p.await(t, "both servers", names("p", "s1", "s2"))
	s1.kill()
	s2.kill()
	p.await(t, "both held", func(members []Member) bool {
		return len(members) == 3 && members[1].Missing && members[2].Missing
	})
	startChild(t, "s1", "127.0.0.1:2011", seed)
	p.await(t, "one back", func(members []Member) bool {
		return len(members) == 3 && !members[1].Missing && members[1].Link.Port() == 2011 && members[2].Missing
	})
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken := start(t, testConfig("taken"))
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no name", func(c *Config) { c.Name = "" }, "no name"},
		{"a long name", func(c *Config) { c.Name = strings.Repeat("n", MaxName+1) }, "65 bytes"},
		{"a name with a slash", func(c *Config) { c.Name = "a/b" }, "letters, digits"},
		{"no role", func(c *Config) { c.Role = 0 }, "a proxy or a server"},
		{"a short key", func(c *Config) { c.Key = chat.NewSecret("sesame") }, "has 6 bytes; it must have 32"},
		{"a bind address without a port", func(c *Config) { c.Bind = "127.0.0.1" }, "HOST:PORT"},
		{"a port in use", func(c *Config) { c.Bind = taken.Addr().String() }, "is in use: end the program that has it"},
		{"a seed without a port", func(c *Config) { c.Join = []string{"localhost"} }, "HOST:PORT"},
		{"a seed without a host", func(c *Config) { c.Join = []string{":7946"} }, "lacks a host"},
		{"a server without a link", func(c *Config) { c.Link = "" }, "needs the address of its link"},
		{"a link without a port", func(c *Config) { c.Link = "127.0.0.1:0" }, "has no port"},
		{"a link at an unknown host", func(c *Config) { c.Link = "no-such-host.invalid:1" }, "resolve the link's host"},
		{"a proxy with a link", func(c *Config) { c.Role = Proxy }, "no link address"},
		{"an unknown host to advertise", func(c *Config) { c.Advertise = "no-such-host.invalid" }, "the host to advertise"},
		{"nowhere to advertise", func(c *Config) { c.Advertise = "0.0.0.0" }, "others can reach"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig("a")
			tt.change(&cfg)
			_, err := New(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q in it", err, tt.want)
			}
		})
	}
}
