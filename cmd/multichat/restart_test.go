package main_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/internal/proctest"
)

// What a sender may have to wait while a node is started again in order, and while the database of its recipient's shard is.
const (
	waitForANode    = 5 * time.Second
	waitForDatabase = 10 * time.Second
)

// An operator who starts everything again, one thing after another and each in order, costs no client an error or a long
// wait, and makes nothing come twice.
func TestARollingRestartRefusesNothing(t *testing.T) {
	onEachAlone(t, bothStores, func(t *testing.T, on ground) {
		var database *mysqltest.Server // of the first shard
		if on.name == onMySQL.name {
			database = mysqltest.Start(t)
			on.shard = oneShardOn(database, on.shard)
		}
		c := newCluster(t, on, 3)
		senders, readers, old := c.addUsers("sender", 6), c.userOnEachShard("reader"), c.userOnEachShard("old")
		c.startServers()
		proxies := []*proxyNode{c.newProxy(0), c.newProxy(1)}
		for _, p := range proxies {
			p.start(len(c.servers))
		}
		first, second := proxies[0].gate, proxies[1].gate

		machine := watchMachine(t)
		crowd := newCrowd(t)
		ip := func(i, n int) string { return fmt.Sprintf("127.0.6.%d", 10*i+n) }
		var raw []*rawStream
		for i, user := range readers {
			crowd.readByLibrary(user, "library", ip(i, 1), first, second)
			raw = append(raw, crowd.readRaw(user, "raw", ip(i, 2), second, first))
			crowd.readAsOld(old[i], ip(i, 3), second, older)
		}
		crowd.greet(first)
		for i, user := range readers {
			crowd.sendByLibrary(senders[3*i], user, ip(i, 4), first, second)
			raw = append(raw, crowd.sendRaw(senders[3*i+1], user, ip(i, 5), second, first))
			crowd.sendAsOld(senders[3*i+2], old[i], ip(i, 6), first)
		}
		crowd.wantMore(20)

		all := slices.Concat(c.servers, []*process{proxies[0].process, proxies[1].process})
		for i := range c.servers {
			endInOrder(t, c.servers[i], c.admins[i], proxies[0].process, proxies[1].process)
			c.startServer(i)
			all = append(all, c.servers[i])
			crowd.wantMore(20)
		}
		for _, p := range proxies {
			endInOrder(t, p.process, p.admin, c.servers...)
			p.start(len(c.servers))
			all = append(all, p.process)
			crowd.wantMore(20)
		}
		var down, up time.Time
		if database != nil {
			down = time.Now()
			database.Terminate(t)
			database.Restart(t)
			up = time.Now()
			crowd.wantMore(20)
		}

		crowd.wantAnswers()
		again := crowd.wantDelivered()
		around := func(m sending) bool { return database != nil && m.ended.After(down) && m.begun.Before(up) }
		longest := crowd.longest(func(m sending) bool { return !around(m) })
		t.Logf("%d messages; the longest wait for an answer was %v, and %v around the database's restart, which took %v",
			crowd.total(), longest, crowd.longest(around), up.Sub(down))
		tooLong := crowd.longest(func(m sending) bool {
			return !around(m) && m.ended.Sub(m.begun) > waitForANode+machine.stood(m.begun, m.ended)
		})
		if tooLong.Duration > 0 {
			t.Errorf("a message waited for %v; want at most %v, and the %v for which the machine stood still meanwhile",
				tooLong, waitForANode, machine.stood(tooLong.begun, tooLong.begun.Add(tooLong.Duration)))
		}
		// On a busy machine the database itself takes its time, which is not the system's to answer for.
		allowed := waitForDatabase + max(0, up.Sub(down)-waitForDatabase/2)
		if d := crowd.longest(around); d.Duration > allowed {
			t.Errorf("a message waited for %v while a database was started again; want at most %v", d, allowed)
		}
		for _, s := range raw {
			if s.byes.Load() == 0 || s.lost.Load() > 0 || s.cut.Load() > 0 {
				t.Errorf("%s: %v; want each stream to end with bye, when everything was answered", s.user, s)
			}
		}
		if again > 0 && !mistaken(all) {
			t.Errorf("%d messages came again, without any fault", again)
		}
	})
}

// mistaken says whether a node took another for dead, as happens on a machine that is too busy. That is a fault like others.
func mistaken(nodes []*process) bool {
	return slices.ContainsFunc(nodes, func(p *process) bool { return p.said("member failed") })
}

// oneShardOn is where the databases of a cluster's shards are: the first on a server, the others elsewhere.
func oneShardOn(server *mysqltest.Server, elsewhere func(testing.TB) string) func(testing.TB) string {
	shards := 0
	return func(t testing.TB) string {
		if shards++; shards > 1 {
			return elsewhere(t)
		}
		url, _ := server.Database(t)
		return url
	}
}

// userOnEachShard adds users until each of the two shards has one, and returns these: first that of shard a.
func (c *cluster) userOnEachShard(name string) [2]string {
	c.t.Helper()
	store := c.openStore()
	defer store.Close()
	var found [2]string
	for i := 0; slices.Contains(found[:], ""); i++ {
		user := c.addUsers(fmt.Sprint(name, i, "-"), 1)[0]
		if shard := store.Locate(chat.Mailbox(user)); found[shard] == "" {
			found[shard] = user
		}
	}
	return found
}

// endInOrder ends a node by SIGTERM, and wants it to end with 0. Before that it has to say that it leaves: to whoever asks
// whether it is ready, and to the other nodes.
func endInOrder(t *testing.T, p *process, admin string, others ...*process) {
	t.Helper()
	var red atomic.Bool
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-p.exited:
				return
			default:
			}
			if _, err := proctest.Fetch("http://" + admin + "/readyz"); err != nil && strings.Contains(err.Error(), "draining") {
				red.Store(true)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	begin := time.Now()
	p.terminate(t)
	<-asked
	t.Logf("%s has ended after %v", p.name, time.Since(begin).Round(time.Millisecond))
	if !red.Load() {
		t.Errorf("%s was never red on /readyz before it ended", p.name)
	}
	for _, other := range others {
		proctest.Eventually(t, 5*time.Second, func() error {
			name := `"name":"` + p.name + `"`
			if !other.said("member is draining", name) && !other.said("member failed", name) {
				return fmt.Errorf("%s was not told that %s leaves", other.name, p.name)
			}
			return nil
		})
	}
}

// said says whether a process has printed a line with all these words.
func (p *process) said(words ...string) bool {
	for line := range strings.Lines(p.output.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return true
		}
	}
	return false
}
