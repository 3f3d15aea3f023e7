package main_test

// These tests speak to multichat as its first clients do, over plain sockets, and import nothing of it but the harness
// that gives them a database.

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// awkward holds what the first server cut: colons and newlines.
const awkward = "to all: a:b::c\nsecond line: \x01\xff :end:"

func TestDemoServesBothGenerationsThroughTwoProxies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	demo, gates := startDemo(t, dir)
	chatBetweenGenerations(t, "127.0.0.11", "127.0.0.12", gates)
	demo.terminate(t)

	_, gates = startDemo(t, dir)
	carolWasAway(t, "127.0.0.13", gates[0])
}

func TestProcessesServeBothGenerationsThroughTwoProxies(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onMySQL, 2)
	c.startServers()
	first, g1 := c.startProxy(0)
	second, g2 := c.startProxy(1)
	chatBetweenGenerations(t, "127.0.0.71", "127.0.0.72", [2]gate{g1, g2})
	for _, p := range append(c.servers, first, second) {
		p.terminate(t)
	}
	c.startServers()
	_, g1 = c.startProxy(0)
	carolWasAway(t, "127.0.0.73", g1)
}

func TestOneServerServesWithoutAProxy(t *testing.T) {
	on(t, []ground{onSQLite, onSQLiteSync, onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 1)
		g := gate{loopback(freePort(t, 0)), loopback(freePort(t, 0))}
		c.startServer(0, "--udp", g.udp, "--tcp", g.tcp)
		chatBetweenGenerations(t, "127.0.0.21", "127.0.0.22", [2]gate{g, g})
		c.servers[0].terminate(t)
		c.startServer(0, "--udp", g.udp, "--tcp", g.tcp)
		carolWasAway(t, "127.0.0.23", g)
	})
}

// chatBetweenGenerations lets an old and a newer client chat, each through its own gate, and leaves messages for carol,
// who is away.
func chatBetweenGenerations(t *testing.T, aliceIP, bobIP string, gates [2]gate) {
	t.Helper()
	alice := startOldClient(t, "alice", aliceIP, gates[0], older)
	bob := startOldClient(t, "bob", bobIP, gates[1], newer)

	alice.mustSend(t, "%", awkward)
	bob.mustSend(t, "%", "from bob: "+awkward)
	bob.waitFor(t, 1, 10*time.Second)
	alice.waitFor(t, 1, 10*time.Second)
	alice.mustSend(t, "bob", "only for bob: "+awkward)
	bob.waitFor(t, 2, 10*time.Second)
	bob.mustSend(t, "alice", "only for alice")
	alice.waitFor(t, 2, 10*time.Second)
	alice.mustSend(t, "carol", "for later")
	// What must not come would have come by the time a message does that was sent last.
	alice.mustSend(t, "alice", "to myself")
	bob.mustSend(t, "bob", "to myself")
	gotAlice, gotBob := alice.waitFor(t, 3, 10*time.Second), bob.waitFor(t, 3, 10*time.Second)

	wantAlice := []newmsg{
		{"Bob", "bob", "from bob: " + awkward}, {"Bob", "bob", "only for alice"}, {"Alice", "alice", "to myself"}}
	wantBob := []newmsg{
		{"Alice", "alice", awkward}, {"Alice", "alice", "only for bob: " + awkward}, {"Bob", "bob", "to myself"}}
	if !slices.Equal(gotAlice, wantAlice) {
		t.Errorf("alice got\n%q, want\n%q", gotAlice, wantAlice)
	}
	if !slices.Equal(gotBob, wantBob) {
		t.Errorf("bob got\n%q, want\n%q", gotBob, wantBob)
	}
	alice.end()
	bob.end()
}

// carolWasAway wants carol to get what was left for her, now that the system has been started again.
func carolWasAway(t *testing.T, ip string, g gate) {
	t.Helper()
	carol := startOldClient(t, "carol", ip, g, newer)
	got := carol.waitFor(t, 3, 10*time.Second)
	want := []newmsg{
		{"Alice", "alice", "for later"}, {"Alice", "alice", awkward}, {"Bob", "bob", "from bob: " + awkward}}
	if !slices.Equal(got, want) {
		t.Errorf("carol got\n%q, want\n%q", got, want)
	}
}

// deliveryAfterKill is the promise: the next message arrives within this time, whichever server was killed.
const deliveryAfterKill = 3 * time.Second

func TestKillingEachServerLosesNothing(t *testing.T) {
	on(t, []ground{onSQLite, onSQLiteSync, onMySQL}, func(t *testing.T, on ground) {
		endEachServerUnderLoad(t, on, "127.0.0.31", "127.0.0.32", func(p *process) { p.kill() })
	})
}

func TestEndingEachServerInOrderRefusesNothing(t *testing.T) {
	on(t, []ground{onSQLite, onMySQL}, func(t *testing.T, on ground) {
		load := endEachServerUnderLoad(t, on, "127.0.0.51", "127.0.0.52", func(p *process) { p.terminate(t) })
		if len(load.refused) > 0 {
			t.Errorf("%d sends were refused: %q", len(load.refused), load.refused)
		}
		if load.again > 0 {
			t.Errorf("%d messages came again, without any fault", load.again)
		}
	})
}

// A server that is new takes clients over from the others. That is no fault, so nothing may come twice.
func TestServersThatJoinMakeNothingComeTwice(t *testing.T) {
	on(t, []ground{onSQLite, onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 3)
		c.startServer(0)
		_, g := c.startProxyKnowing(0, 1)
		alice := startOldClient(t, "alice", "127.0.0.61", g, older)
		bob := startOldClient(t, "bob", "127.0.0.62", g, newer)
		load := startLoad(alice, "bob")
		for i := 1; i < len(c.servers); i++ {
			c.startServer(i)
			// Its link has to prove itself before clients are led there.
			sent := load.count()
			proctest.Eventually(t, 20*time.Second, func() error {
				if n := load.count() - sent; n < 200 {
					return fmt.Errorf("%d of 200 messages since server %d has joined", n, i+1)
				}
				return nil
			})
		}
		load.end()
		load.wantDelivered(t, bob)
		if load.again > 0 || len(load.refused) > 0 {
			t.Errorf("%d messages came again and %d were refused, without any fault", load.again, len(load.refused))
		}
	})
}

// endEachServerUnderLoad ends each of three servers in turn, and starts it again, while alice sends to bob through two
// proxies. It wants the next message to arrive each time, and in the end everything that was acknowledged.
func endEachServerUnderLoad(t *testing.T, on ground, aliceIP, bobIP string, end func(*process)) *load {
	t.Helper()
	c := newCluster(t, on, 3)
	c.startServers()
	_, first := c.startProxy(0)
	_, second := c.startProxy(1)
	alice := startOldClient(t, "alice", aliceIP, first, older)
	bob := startOldClient(t, "bob", bobIP, second, newer)
	alice.mustSend(t, "bob", "before")
	bob.waitFor(t, 1, 10*time.Second)

	load := startLoad(alice, "bob")
	for i, server := range c.servers {
		end(server)
		begin := time.Now()
		text := fmt.Sprintf("after the end of server %d", i+1)
		alice.mustSend(t, "bob", text)
		proctest.Eventually(t, deliveryAfterKill-time.Since(begin), func() error {
			if !bob.has(text) {
				return fmt.Errorf("bob has not got %q", text)
			}
			return nil
		})
		t.Logf("%q arrived after %v", text, time.Since(begin).Round(time.Millisecond))
		c.startServer(i)
	}
	load.end()
	load.wantDelivered(t, bob)
	return load
}

// load sends one message after another until it is ended.
type load struct {
	sent    atomic.Int64
	acked   []string
	refused []string // what was answered otherwise
	again   int      // how many of acked came more than once
	stop    chan struct{}
	done    sync.WaitGroup
}

func startLoad(from *oldClient, to string) *load {
	l := &load{stop: make(chan struct{})}
	l.done.Go(func() {
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			text := fmt.Sprintf("load %d", i)
			switch reply, err := from.send(to, text); {
			case err != nil:
				l.refused = append(l.refused, text+": "+err.Error())
			case strings.HasPrefix(reply, "ok;"):
				l.acked = append(l.acked, text)
			default:
				l.refused = append(l.refused, text+": "+reply)
			}
			l.sent.Add(1)
			select {
			case <-l.stop:
				return
			case <-pace.C:
			}
		}
	})
	return l
}

func (l *load) count() int { return int(l.sent.Load()) }

// wantDelivered waits until a client has all that was acknowledged, and counts what it got more than once.
func (l *load) wantDelivered(t *testing.T, to *oldClient) {
	t.Helper()
	if len(l.acked) < 20 {
		t.Fatalf("only %d messages were acknowledged: too few to tell", len(l.acked))
	}
	proctest.Eventually(t, 10*time.Second, func() error {
		for _, text := range l.acked {
			if !to.has(text) {
				return fmt.Errorf("%s has not got %q, which was acknowledged", to.user, text)
			}
		}
		return nil
	})
	times := make(map[string]int)
	for _, m := range to.received() {
		if times[m.text]++; times[m.text] == 2 {
			l.again++
		}
	}
	t.Logf("%d acknowledged, %d refused, none lost, %d came again", len(l.acked), len(l.refused), l.again)
}

func (l *load) end() {
	close(l.stop)
	l.done.Wait()
}
