package main_test

// These tests make the network between the nodes slow, silent or broken, while a crowd goes on.

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// addMixed adds readers and senders of each kind, which reach these gates, each client from an address of its own. It wants
// users sender0 to sender2.
func (c *crowd) addMixed(gates ...gate) {
	c.t.Helper()
	first, last := gates[0], gates[len(gates)-1]
	c.readByLibrary("bob", "library", "127.0.6.131", first, last)
	c.readRaw("bob", "raw", "127.0.6.132", last, first)
	c.readAsOld("carol", "127.0.6.133", last, newer)
	c.greet(first)
	c.sendByLibrary("sender0", "bob", "127.0.6.134", first, last)
	c.sendRaw("sender1", "bob", "127.0.6.135", last, first)
	c.sendAsOld("sender2", "carol", "127.0.6.136", first)
}

func TestALinkMayDeliverByteByByte(t *testing.T) {
	t.Parallel()
	c := newWiredCluster(t, onSQLite, 2)
	senders := c.addUsers("sender", 7)
	c.startServers()
	c.links[0].drip(true)
	proxy := c.newProxy(0)
	proxy.start(2)
	crowd := newCrowd(t)
	crowd.addMixed(proxy.gate)
	for i, user := range senders[3:] { // so that some are served behind that link
		crowd.sendRaw(user, "bob", fmt.Sprint("127.0.6.", 137+i), proxy.gate)
	}
	crowd.wantMore(100)
	crowd.wantAnswers()
	crowd.wantDelivered()
	t.Logf("%d messages; the longest wait for an answer was %v", crowd.total(), crowd.longest(anyMessage))
	if n := c.links[0].dripped.Load(); n < 10_000 {
		t.Errorf("%d bytes passed one by one: too few to tell", n)
	}
}

// A link that stands still costs its streams a moment: they go on at another server, and what comes over it late changes
// nothing.
func TestALinkThatStallsDoublesNothing(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newWiredCluster(t, on, 3)
		c.addUsers("sender", 3)
		c.startServers()
		proxy := c.newProxy(0)
		proxy.start(3)
		crowd := newCrowd(t)
		crowd.addMixed(proxy.gate)
		crowd.wantMore(10)
		for _, link := range c.links {
			begin := time.Now()
			link.stall(true)
			crowd.wantMore(10) // nothing of it can come from there
			t.Logf("the crowd went on after %v", time.Since(begin).Round(time.Millisecond))
			time.Sleep(2*time.Second - time.Since(begin))
			link.stall(false)
			crowd.wantMore(10)
		}
		crowd.wantAnswers()
		again := crowd.wantDelivered()
		t.Logf("%d messages; the longest wait for an answer was %v; %d came again in version 1", crowd.total(),
			crowd.longest(anyMessage), again)
		if taken := metric(t, proxy.admin, `multichat_takeovers_total{outcome="ok"}`); taken == "" || taken == "0" {
			t.Errorf("%q streams were taken over", taken)
		}
	})
}

// For a while two proxies know of different servers, and clients of one address are led to two.
func TestProxiesThatSeeDifferentMembers(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(t *testing.T, c *wired, server int, proxies []*proxyNode)
		heal func(c *wired, server int)
	}{
		{"by a link", func(_ *testing.T, c *wired, server int, _ []*proxyNode) {
			c.links[server].refuse(true)
			c.links[server].drop(1) // that of the proxy that came first
		}, func(c *wired, server int) { c.links[server].refuse(false) }},
		{"by gossip", func(t *testing.T, c *wired, _ int, proxies []*proxyNode) {
			c.cutOff(proxies[0].name)
			proctest.Eventually(t, 15*time.Second, func() error {
				if !proxies[0].said("member failed") {
					return fmt.Errorf("%s misses nobody", proxies[0].name)
				}
				return nil
			})
		}, func(c *wired, _ int) { c.cutOff() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on(t, bothStores, func(t *testing.T, on ground) {
				c := newWiredCluster(t, on, 3)
				senders := c.addUsers("sender", 4)
				c.startServers()
				proxies := []*proxyNode{c.newProxy(0), c.newProxy(1)}
				for _, p := range proxies {
					p.start(3)
				}
				const ip = "127.0.6.140" // of all clients
				probe := startStream(t, "alice", "probe", ip, proxies[0].gate.tcp)
				server := c.serverOfStream(t)
				probe.close()

				crowd := newCrowd(t)
				for i, p := range proxies {
					crowd.readByLibrary("bob", fmt.Sprint("library", i), ip, p.gate)
					crowd.readRaw("bob", fmt.Sprint("raw", i), ip, p.gate)
					crowd.readAsOld("carol", ip, p.gate, generation(i))
				}
				crowd.greet(proxies[0].gate)
				for i, p := range proxies {
					crowd.sendByLibrary(senders[2*i], "bob", ip, p.gate)
					crowd.sendRaw(senders[2*i+1], "bob", ip, p.gate)
					crowd.sendAsOld([]string{"alice", "bob"}[i], "carol", ip, p.gate)
				}
				crowd.wantMore(10)
				tt.cut(t, c, server, proxies)
				begin := time.Now()
				crowd.wantMore(10)
				time.Sleep(2*time.Second - time.Since(begin))
				tt.heal(c, server)
				for _, p := range proxies {
					waitMembers(t, p.admin, "server", 3)
				}
				crowd.wantMore(100) // until a link has proven itself
				crowd.wantAnswers()
				again := crowd.wantDelivered()
				t.Logf("%d messages; the longest wait for an answer was %v; %d came again in version 1", crowd.total(),
					crowd.longest(anyMessage), again)
			})
		})
	}
}

// The nodes keep what they knew of each other while the gossip is cut, go by their links, and find each other again.
func TestGossipMayBeCutForAMinute(t *testing.T) {
	t.Parallel()
	c := newWiredCluster(t, onSQLite, 3)
	c.addUsers("sender", 3)
	c.startServers()
	proxies := []*proxyNode{c.newProxy(0), c.newProxy(1)}
	for _, p := range proxies {
		p.start(3)
	}
	admins := append([]string{proxies[0].admin, proxies[1].admin}, c.admins...)
	crowd := newCrowd(t)
	crowd.addMixed(proxies[0].gate, proxies[1].gate)
	crowd.wantMore(10)

	c.cutOff(slices.Collect(maps.Keys(c.gossip))...)
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		crowd.wantMore(10)
	}
	for _, admin := range admins {
		if n := metric(t, admin, `multichat_members{role="proxy"}`); n == "2" {
			t.Errorf("the node at %s has not noticed that the gossip is cut", admin)
		}
	}
	c.cutOff()
	healed := time.Now()
	for _, admin := range admins {
		waitMembers(t, admin, "proxy", 2)
		waitMembers(t, admin, "server", 3)
	}
	t.Logf("all members were known again after %v", time.Since(healed).Round(time.Millisecond))
	// Those that were missing stay in the list, so that they are heard again is shown by what one of them says.
	endInOrder(t, c.servers[0], c.admins[0], c.servers[1], c.servers[2], proxies[0].process, proxies[1].process)
	crowd.wantMore(10)
	crowd.wantAnswers()
	again := crowd.wantDelivered()
	t.Logf("%d messages; the longest wait for an answer was %v; %d came again in version 1", crowd.total(),
		crowd.longest(anyMessage), again)
}
