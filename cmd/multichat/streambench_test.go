package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/proctest"
	"multichat/shardstore"
)

// BenchmarkStreamDelivery sends 1 000 messages a second, on five users' streams, to one reader, and shows how long a
// message takes from the send to its delivery. In the same run it commits single messages on a shard by itself, twenty a
// second: what no delivery can be quicker than.
func BenchmarkStreamDelivery(b *testing.B) {
	for _, on := range []ground{onSQLite, onMySQL} {
		for _, servers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/servers=%d", on.name, servers), func(b *testing.B) { measureDelivery(b, on, servers) })
		}
	}
}

const (
	deliverySenders = 5
	deliveryRate    = 1000 // messages a second, of all senders
)

func measureDelivery(b *testing.B, on ground, servers int) {
	c := newCluster(b, on, servers)
	senders := c.addUsers("sender", deliverySenders)
	for i := range servers {
		c.startServer(i)
	}
	_, g := c.startProxyKnowing(0, servers)
	reader := c.startStreamAt(b, "bob", 0, g) // and the senders at the last server: with two, another one
	var streams []*streamClient
	for _, user := range senders {
		streams = append(streams, c.startStreamAt(b, user, servers-1, g))
	}

	commits, stop := make(chan []time.Duration), make(chan struct{})
	go func() { commits <- commitSingly(b, c, stop) }()
	n := max(b.N, 2*deliveryRate)
	sent := make([]time.Time, n)
	b.ResetTimer()
	pace := time.NewTicker(5 * time.Millisecond)
	for i := 0; i < n; <-pace.C {
		for range deliveryRate / 200 {
			if i == n {
				break
			}
			sent[i] = time.Now()
			if err := streams[i%deliverySenders].post(fmt.Sprint("m", i), "bob", strconv.Itoa(i)); err != nil {
				b.Fatal(err)
			}
			i++
		}
	}
	pace.Stop()
	reader.wait(b, 30*time.Second, func() error {
		if len(reader.got) < n {
			return fmt.Errorf("%d of %d messages have come", len(reader.got), n)
		}
		return nil
	})
	b.StopTimer()
	close(stop)
	var took []time.Duration
	for _, m := range reader.received() {
		i, err := strconv.Atoi(m.text)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, m.at.Sub(sent[i]))
	}
	reportTimes(b, "delivery", took)
	reportTimes(b, "commit", <-commits)
}

// addUsers adds users to a cluster, through the store: a process each would take long.
func (c *cluster) addUsers(name string, n int) (users []string) {
	c.t.Helper()
	for i := range n {
		users = append(users, fmt.Sprint(name, i))
	}
	store := c.openStore()
	defer store.Close()
	alice, err := store.Users(context.Background(), store.Locate("alice"), []chat.UserID{"alice"})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, user := range users { // with alice's password
		if err := store.AddUser(context.Background(), chat.User{ID: chat.UserID(user), Name: user, Hash: alice[0].Hash}); err != nil {
			c.t.Fatal(err)
		}
	}
	return users
}

func (c *cluster) openStore() *shardstore.Store {
	c.t.Helper()
	var specs []shardstore.Spec
	for _, flag := range c.shards {
		if name, url, found := strings.Cut(flag, "="); found {
			specs = append(specs, shardstore.Spec{Name: name, URL: url})
		}
	}
	store, err := shardstore.Open(context.Background(), specs, shardstore.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return store
}

// startStreamAt opens a stream that is served by this server: it tries one address of the client after another.
func (c *cluster) startStreamAt(t testing.TB, user string, server int, g gate) *streamClient {
	t.Helper()
	for range 100 {
		c.addresses++
		before := metric(t, c.admins[server], "multichat_server_streams")
		stream := startStream(t, user, "b", fmt.Sprint("127.0.2.", c.addresses), g.tcp)
		if metric(t, c.admins[server], "multichat_server_streams") != before {
			return stream
		}
		stream.close()
	}
	t.Fatalf("no address leads to server %d", server+1)
	return nil
}

func commitSingly(b *testing.B, c *cluster, stop <-chan struct{}) (took []time.Duration) {
	store := c.openStore()
	defer store.Close()
	shard := store.Locate("carol")
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return took
		case <-pace.C:
		}
		begin := time.Now()
		stored, err := store.Append(context.Background(), shard, []chat.Submission{{ID: chat.MessageID(fmt.Sprint("single", i)),
			From: "carol", FromName: "Carol", To: "carol", Text: []byte("alone"), Sent: begin}})
		if err != nil || stored[0].Err != nil {
			b.Errorf("a single commit: %v, %v", err, stored)
			return took
		}
		took = append(took, time.Since(begin))
	}
}

func reportTimes(b *testing.B, what string, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		b.Errorf("there are no times of %s", what)
		return
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), what+"-p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), what+"-p99-ms")
}

// BenchmarkStreamGap shows the longest time without an answer that the sender on a stream sees when its server is killed,
// and when it is stopped: run it with -benchtime=10x for ten of each.
func BenchmarkStreamGap(b *testing.B) {
	for _, on := range []ground{onSQLite, onMySQL} {
		for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
			b.Run(on.name+"/"+name, func(b *testing.B) { measureGap(b, on, signal) })
		}
	}
}

func measureGap(b *testing.B, on ground, signal syscall.Signal) {
	c := newCluster(b, on, 3)
	c.startServers()
	_, g := c.startProxy(0)
	alice := startStream(b, "alice", "a", "127.0.4.1", g.tcp)
	stop, ended := make(chan struct{}), make(chan struct{})
	answered := make(chan time.Time, 1<<16)
	go func() { // one message after another, so that the time between two answers is the gap
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(6 * time.Millisecond):
			}
			id := fmt.Sprint("g", i)
			if err := alice.post(id, "bob", "hello"); err != nil {
				b.Error(err)
				return
			}
			if reply, err := alice.awaitReply(id, 20*time.Second); !strings.HasPrefix(reply, "ok;") {
				b.Errorf("message %d is answered %q, %v", i, reply, err)
				return
			}
			select {
			case answered <- time.Now():
			default:
			}
		}
	}()
	var gaps []time.Duration
	for len(gaps) < b.N {
		server := c.serverOfStream(b)
		for len(answered) > 0 {
			<-answered
		}
		last := <-answered
		c.servers[server].cmd.Process.Signal(signal)
		gap, begin := time.Duration(0), time.Now()
		for time.Since(begin) < 3*time.Second || gap > time.Since(begin) {
			next := <-answered
			gap, last = max(gap, next.Sub(last)), next
		}
		gaps = append(gaps, gap)
		c.servers[server].cmd.Process.Signal(syscall.SIGCONT)
		if signal == syscall.SIGKILL {
			<-c.servers[server].exited
			c.startServer(server)
		}
		time.Sleep(3 * time.Second) // until its link has proven itself
	}
	close(stop)
	<-ended
	b.Logf("gaps: %v", gaps)
	reportTimes(b, "gap", gaps)
}

// serverOfStream is the server that serves the one stream of a cluster.
func (c *cluster) serverOfStream(b testing.TB) (server int) {
	b.Helper()
	proctest.Eventually(b, 10*time.Second, func() error {
		for i, admin := range c.admins {
			if metric(b, admin, "multichat_server_streams") == "1" {
				server = i
				return nil
			}
		}
		return errors.New("no server has the stream")
	})
	return server
}

// BenchmarkTakeover shows the time until all of 2 000 streams are served again after the death of their proxy, and then of
// a server, and what an idle stream costs in memory.
func BenchmarkTakeover(b *testing.B) {
	for _, on := range []ground{onSQLite, onMySQL} {
		b.Run(on.name, func(b *testing.B) { measureTakeover(b, on) })
	}
}

const takeoverStreams = 2000

func measureTakeover(b *testing.B, on ground) {
	c := newCluster(b, on, 2)
	users := c.addUsers("user", 100)
	c.startServer(0)
	proxy, g := c.startProxyKnowing(0, 1)
	_, g2 := c.startProxyKnowing(1, 1)
	memory := []int{residentBytes(b, proxy), residentBytes(b, c.servers[0])}
	streams := openStreams(b, users, g)
	b.ReportMetric(float64(residentBytes(b, proxy)-memory[0])/takeoverStreams, "B/stream-proxy")
	b.ReportMetric(float64(residentBytes(b, c.servers[0])-memory[1])/takeoverStreams, "B/stream-server")

	begin := time.Now()
	proxy.kill()
	for _, s := range streams {
		<-s.done
	}
	again := openStreams(b, users, g2)
	askAll(b, again, "after the proxy")
	b.ReportMetric(time.Since(begin).Seconds(), "proxy-s")

	// Only now, since half of the clients go over to it: their logins would else meet a server that knows no password of
	// theirs, and a proxy that has no ticket, and cost a hash for each user.
	c.startServer(1)
	time.Sleep(3 * time.Second) // until its link has proven itself
	begin = time.Now()
	c.servers[0].kill()
	askAll(b, again, "after the server")
	b.ReportMetric(time.Since(begin).Seconds(), "server-s")
}

// openStreams opens all streams, 64 at a time.
func openStreams(b *testing.B, users []string, g gate) []*streamClient {
	b.Helper()
	streams := make([]*streamClient, takeoverStreams)
	var group sync.WaitGroup
	for w := range 64 {
		group.Go(func() {
			for i := w; i < takeoverStreams; i += 64 {
				streams[i] = startStream(b, users[i%len(users)], fmt.Sprint("d", i/len(users)), fmt.Sprintf("127.0.%d.%d", 5+i/200, 1+i%200), g.tcp)
			}
		})
	}
	group.Wait()
	return streams
}

// askAll wants an answer that comes from a server, on each stream.
func askAll(b *testing.B, streams []*streamClient, id string) {
	b.Helper()
	for _, s := range streams {
		if err := s.write("ack;id=" + id + ":" + s.user + ":0\n"); err != nil {
			b.Fatal(err)
		}
	}
	for _, s := range streams {
		if reply := s.reply(b, id, 30*time.Second); reply != "ok;id="+id {
			b.Fatalf("%s is answered %q", s.user, reply)
		}
	}
}

func residentBytes(b *testing.B, p *process) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("there is no VmRSS")
	return 0
}
