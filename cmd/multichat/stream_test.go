package main_test

// These tests speak version 2 to processes, over plain sockets.

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bothStores is what each promise of a stream is shown on.
var bothStores = []ground{onSQLite, onMySQL}

func TestEachDeviceGetsEverythingOnce(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, first := c.startProxy(0)
		_, second := c.startProxy(1)
		alice := startStream(t, "alice", "a", "127.0.1.1", first.tcp)
		laptop := startStream(t, "bob", "laptop", "127.0.1.2", first.tcp)
		phone := startStream(t, "bob", "phone", "127.0.1.3", second.tcp)
		old := startOldClient(t, "bob", "127.0.1.4", second, older)

		alice.mustSend(t, "1", "bob", awkward)
		alice.mustSend(t, "2", "%", "to everyone")
		alice.mustSend(t, "3", "bob", "")
		toBob := map[string][]string{"bob": {awkward, ""}, "%": {"to everyone"}}
		for _, bob := range []*streamClient{laptop, phone} {
			bob.waitMailboxes(t, toBob)
		}
		old.waitFor(t, 3, 10*time.Second)
		laptop.mustSend(t, "1", "%", "to everyone else")
		laptop.mustSend(t, "2", "alice", "last")
		// And not her own, nor laptop's on phone.
		alice.waitMailboxes(t, map[string][]string{"alice": {"last"}, "%": {"to everyone else"}})
		for _, bob := range []*streamClient{laptop, phone} {
			bob.waitMailboxes(t, toBob)
		}
	})
}

// What is sent to somebody who is away waits, comes in order, and comes once however often it is asked for.
func TestWhatWaitsComesInOrderAndOnce(t *testing.T) {
	on(t, []ground{onSQLiteSync, onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, g := c.startProxy(0)
		const n = 400 // more than a stream is given at once; the sync engine stores them one by one
		alice := startStream(t, "alice", "a", "127.0.1.11", g.tcp)
		for i := range n {
			if err := alice.post(fmt.Sprint("m", i), "carol", fmt.Sprint("for later ", i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			if reply := alice.reply(t, fmt.Sprint("m", i), 30*time.Second); !strings.HasPrefix(reply, "ok;") {
				t.Fatalf("message %d: %s", i, reply)
			}
		}
		carol := startStream(t, "carol", "c", "127.0.1.12", g.tcp)
		carol.wait(t, 30*time.Second, func() error {
			if len(carol.got) < n {
				return fmt.Errorf("%d of %d messages have come", len(carol.got), n)
			}
			return nil
		})
		carol.wantRising(t)
		got := carol.received()
		for i, m := range got {
			if m.text != fmt.Sprint("for later ", i) {
				t.Fatalf("message %d is %q", i, m.text)
			}
		}
		carol.leave(t)
		for i, s := range c.servers { // what was acknowledged is known by all
			s.kill()
			c.startServer(i)
		}
		_, g = c.startProxy(1)
		carol = startStream(t, "carol", "c", "127.0.1.12", g.tcp)
		alice = startStream(t, "alice", "a", "127.0.1.11", g.tcp)
		alice.mustSend(t, "new", "carol", "new")
		carol.waitTexts(t, "new")
	})
}

// A server's death costs the client of a stream nothing that it can see.
func TestStreamsOutliveEachServer(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		on(t, []ground{onSQLite, onSQLiteSync, onMySQL}, func(t *testing.T, on ground) {
			endEachServerUnderStreams(t, on, func(_ *testing.T, p *process) { p.kill() })
		})
	})
	t.Run("terminated", func(t *testing.T) {
		on(t, bothStores, func(t *testing.T, on ground) {
			endEachServerUnderStreams(t, on, func(t *testing.T, p *process) { p.terminate(t) })
		})
	})
}

func endEachServerUnderStreams(t *testing.T, on ground, end func(*testing.T, *process)) {
	c := newCluster(t, on, 3)
	c.startServers()
	_, first := c.startProxy(0)
	_, second := c.startProxy(1)
	alice := startStream(t, "alice", "a", "127.0.1.21", first.tcp)
	bob := startStream(t, "bob", "b", "127.0.1.22", second.tcp)
	load := startStreamLoad(t, alice, "bob")
	for i, server := range c.servers {
		load.wantMore(t, 50)
		end(t, server)
		load.wantMore(t, 50)
		c.startServer(i)
	}
	load.end()
	load.wantAllDelivered(t, bob)
	t.Logf("%d messages; the longest wait for an answer was %v", load.sent, load.longest.Round(time.Millisecond))
}

// A server that is stopped and wakes up again writes what it has in its queues once more, and is not heard.
func TestStreamsOutliveAStoppedServer(t *testing.T) {
	on(t, []ground{onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 3)
		c.startServers()
		_, g := c.startProxy(0)
		alice := startStream(t, "alice", "a", "127.0.1.31", g.tcp)
		bob := startStream(t, "bob", "b", "127.0.1.32", g.tcp)
		load := startStreamLoad(t, alice, "bob")
		for _, server := range c.servers {
			load.wantMore(t, 50)
			server.cmd.Process.Signal(syscall.SIGSTOP)
			load.wantMore(t, 100)
			server.cmd.Process.Signal(syscall.SIGCONT)
			load.wantMore(t, 50)
		}
		load.end()
		load.wantAllDelivered(t, bob)
		t.Logf("%d messages; the longest wait for an answer was %v", load.sent, load.longest.Round(time.Millisecond))
	})
}

// The same sender, id and recipient again is one message with one answer: through another proxy, another server, and after
// everything has been started again.
func TestAnIDIsStoredOnce(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, first := c.startProxy(0)
		_, second := c.startProxy(1)
		answer := func(device, ip, addr, to, text string) string {
			t.Helper()
			alice := startStream(t, "alice", device, ip, addr)
			defer alice.close()
			if err := alice.post("same", to, text); err != nil {
				t.Fatal(err)
			}
			return alice.reply(t, "same", 20*time.Second)
		}
		want := answer("a", "127.0.1.41", first.tcp, "bob", "once")
		if !strings.HasPrefix(want, "ok;id=same;seq=") {
			t.Fatalf("reply %q; want ok", want)
		}
		for ip := range 8 { // of which some are served by the other server
			if got := answer("a", fmt.Sprint("127.0.1.", 42+ip), second.tcp, "bob", "once"); got != want {
				t.Errorf("the same again is answered %q, want %q", got, want)
			}
		}
		if got := answer("a", "127.0.1.41", first.tcp, "bob", "twice"); !strings.HasPrefix(got, "err;id=same:conflict:") {
			t.Errorf("another text is answered %q", got)
		}
		if got := answer("a", "127.0.1.41", first.tcp, "carol", "twice"); !strings.HasPrefix(got, "ok;id=same;seq=") {
			t.Errorf("the same id to another recipient is answered %q", got)
		}
		for i, s := range c.servers {
			s.kill()
			c.startServer(i)
		}
		_, third := c.startProxy(2)
		if got := answer("a", "127.0.1.50", third.tcp, "bob", "once"); got != want {
			t.Errorf("after a restart the same again is answered %q, want %q", got, want)
		}
		bob := startStream(t, "bob", "b", "127.0.1.51", third.tcp)
		bob.mustSend(t, "end", "bob", "end")
		bob.waitTexts(t, "once", "end")
	})
}

func TestANewerStreamOfADeviceReplacesTheOlder(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 3)
		c.startServers()
		_, first := c.startProxy(0)
		_, second := c.startProxy(1)
		alice := startStream(t, "alice", "a", "127.0.1.61", first.tcp)
		for ip := range 6 { // at the same server or at another
			older := startStream(t, "bob", "b", "127.0.1.62", first.tcp)
			newer := startStream(t, "bob", "b", fmt.Sprint("127.0.1.", 63+ip), second.tcp)
			text := fmt.Sprint("hello ", ip)
			alice.mustSend(t, text, "bob", text)
			newer.waitTexts(t, text)
			older.wantEnd(t, "replaced", 15*time.Second)
			newer.leave(t)
		}
	})
}

func TestAChangedPasswordEndsStreams(t *testing.T) {
	on(t, []ground{onSQLiteSync, onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, g := c.startProxy(0)
		var streams []*streamClient
		for ip := range 4 {
			streams = append(streams, startStream(t, "bob", fmt.Sprint("d", ip), fmt.Sprint("127.0.1.", 71+ip), g.tcp))
		}
		alice := startStream(t, "alice", "a", "127.0.1.79", g.tcp)
		out, code := runAs(t, "changed", "", slices.Concat([]string{"user", "passwd", "bob"}, c.shards)...)
		if code != 0 {
			t.Fatalf("user passwd: %s", out)
		}
		changed := time.Now()
		for _, s := range streams {
			s.wantEnd(t, "auth", 5*time.Second)
		}
		t.Logf("all streams had ended after %v", time.Since(changed).Round(time.Millisecond))
		conn, err := dialStream("127.0.1.71", g.tcp, nil)
		if err != nil {
			t.Fatal(err)
		}
		bob := startStreamOn(t, conn, "bob", "d1", "changed", false)
		alice.mustSend(t, "1", "bob", "hello again")
		bob.waitTexts(t, "hello again")
	})
}

// A client that acknowledges nothing, and one that reads nothing, hurt nobody.
func TestReadersThatDoNotReadHurtNobody(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		_, g := c.startProxy(0)
		alice := startStream(t, "alice", "a", "127.0.1.81", g.tcp)
		dial := func(ip string) *streamClient {
			conn, err := dialStream(ip, g.tcp, nil)
			if err != nil {
				t.Fatal(err)
			}
			return startStreamOn(t, conn, "bob", ip, "demo", true)
		}
		never := dial("127.0.1.82")
		deaf, err := dialStream("127.0.1.83", g.tcp, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		fmt.Fprint(deaf, "poll;v=2;id=in;dev=deaf:bob:demo:0\n")
		good := startStream(t, "bob", "good", "127.0.1.84", g.tcp)

		long := strings.Repeat("x", 3900)
		var want []string
		for i := range 800 {
			text := fmt.Sprint(i, " ", long)
			want = append(want, text)
			alice.mustSend(t, fmt.Sprint("m", i), "bob", text)
		}
		good.waitTexts(t, want...)
		good.wantRising(t)
		if n := len(never.received()); n == 0 || n > 300 {
			t.Errorf("who acknowledges nothing was given %d of %d messages", n, len(want))
		}
		never.wantEnd(t, "slow", 60*time.Second)
		again := startStream(t, "bob", "127.0.1.82", "127.0.1.82", g.tcp) // the same device, which reads now
		again.waitTexts(t, want...)
	})
}

// Who sends too much, opens too many streams, connections or guesses, is answered busy, and the others are served.
func TestLimitsAreAnsweredBusy(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 1)
		c.startServer(0, "--max-user-sends=20", "--max-user-burst=50", "--max-user-streams=3")
		_, g := c.startProxyWith(0, 1, "--max-addr-conns=5")
		alice := startStream(t, "alice", "a", "127.0.1.91", g.tcp)
		bob := startStream(t, "bob", "b", "127.0.1.92", g.tcp)
		const n = 200
		for i := range n {
			if err := alice.post(fmt.Sprint("m", i), "bob", fmt.Sprint("text ", i)); err != nil {
				t.Fatal(err)
			}
		}
		var stored []string
		for i := range n {
			switch reply := alice.reply(t, fmt.Sprint("m", i), 20*time.Second); {
			case strings.HasPrefix(reply, "ok;"):
				stored = append(stored, fmt.Sprint("text ", i))
			case !strings.Contains(reply, ":busy:"):
				t.Errorf("message %d is answered %q", i, reply)
			}
		}
		if len(stored) < 50 || len(stored) == n {
			t.Errorf("%d of %d messages were stored; want the 50 that a user may send at once, and what came in time since", len(stored), n)
		}
		bob.waitTexts(t, stored...)

		bobs := []*streamClient{startStream(t, "bob", "b1", "127.0.1.93", g.tcp), startStream(t, "bob", "b2", "127.0.1.93", g.tcp)}
		if reply := firstReply(t, "127.0.1.93", g.tcp, "poll;v=2;id=in;dev=b3:bob:demo:0\n"); !strings.HasPrefix(reply, "err;id=in:busy:") {
			t.Errorf("a user's fourth stream is answered %q", reply)
		}
		bobs[0].mustSend(t, "still", "bob", "still here")
		bobs[1].waitTexts(t, "still here")

		for range 5 {
			conn, err := dialStream("127.0.1.94", g.tcp, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		if reply := firstReply(t, "127.0.1.94", g.tcp, ""); !strings.Contains(reply, ":busy:") {
			t.Errorf("an address's sixth connection is answered %q", reply)
		}
		for range 60 {
			reply := firstReply(t, "127.0.1.95", g.tcp, "poll;v=2;id=in:carol:wrong:0\n")
			if strings.HasPrefix(reply, "err;id=in:busy:") {
				break
			}
			if !strings.HasPrefix(reply, "err;id=in:auth:") {
				t.Fatalf("a wrong password is answered %q", reply)
			}
		}
		if reply := firstReply(t, "127.0.1.95", g.tcp, "poll;v=2;id=in:carol:wrong again:0\n"); !strings.HasPrefix(reply, "err;id=in:busy:") {
			t.Errorf("one more guess is answered %q", reply)
		}
		startStream(t, "carol", "c", "127.0.1.96", g.tcp).mustSend(t, "1", "carol", "not locked out")
	})
}

// firstReply opens a connection, says something, and returns the first line that comes back.
func firstReply(t *testing.T, ip, addr, say string) string {
	t.Helper()
	conn, err := dialStream(ip, addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("reading the answer to %q: %v", say, err)
	}
	return line
}
