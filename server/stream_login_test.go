package server_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/server"
)

func TestWhoMayLogIn(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice")
		n := c.serve()
		for _, test := range []struct {
			name     string
			user     chat.UserID
			password string
			device   chat.DeviceID
			want     chat.Code
		}{
			{"the right password", "alice", passwordOf("alice"), "a", "ok"},
			{"a wrong one", "alice", "guess", "a", chat.CodeAuth},
			{"none", "alice", "", "a", chat.CodeAuth},
			{"a user that does not exist", "mallory", "guess", "a", chat.CodeAuth},
			{"to send only", "alice", passwordOf("alice"), "", "ok"},
			{"to send only, with a wrong password", "alice", "guess", "", chat.CodeAuth},
		} {
			s := newStreamer(t, test.user, test.device)
			s.login.Password = chat.NewSecret(test.password)
			if err := s.open(n); codeOf(err) != test.want {
				t.Errorf("%s: %v, want %s", test.name, err, test.want)
			}
		}
	})(t)
}

// The starting points of a new device are in the store before anything is pushed, and before the login is answered.
func TestADevicesStartIsStoredBeforeAnythingIsGiven(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		c.offline("alice", "bob", numbered(3))
		n := c.serve()
		held := n.store.prepareHold(t, "LoginDevices")
		bob := newStreamer(t, "bob", "b")
		opened := make(chan error, 1)
		go func() { opened <- bob.open(n) }()
		<-held.first
		n.say("alice", "bob", "another")
		n.catchesUp()
		n.ticks()
		if got := bob.texts(); len(got) != 0 {
			t.Errorf("before that it was given %q", got)
		}
		held.release()
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		bob.gets("0", "1", "2", "another")
	})(t)
}

func TestWhereDevicesStart(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		c.offline("alice", "bob", []string{"1", "2"})
		n := c.serve()
		first := n.stream("bob", "first")
		first.gets("1", "2")
		// What the first has acknowledged need not be stored yet, and the next one begins there.
		second := n.stream("bob", "second")
		n.say("alice", "bob", "3")
		first.gets("1", "2", "3")
		second.gets("3")

		first.close()
		n.say("alice", "bob", "4")
		second.gets("3", "4")
		n.stream("bob", "first").gets("4") // a device that is known reads on

		poll := newClient(t, "bob") // and so does one of version 1
		poll.join(n)
		n.say("alice", "bob", "5")
		poll.gets(n, "5")
	})(t)
}

func TestAUserHasABoundedNumberOfStreams(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		setting, fit int
	}{{0, server.DefaultUserStreams}, {3, 3}} {
		t.Run(fmt.Sprint(test.setting), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1)
			c.addUsers("alice", "bob")
			n := c.serve(func(cfg *server.Config) { cfg.UserStreams = test.setting })
			var streams []*streamer
			for range test.fit {
				streams = append(streams, n.stream("alice", ""))
			}
			if err := newStreamer(t, "alice", "").open(n); codeOf(err) != chat.CodeBusy {
				t.Errorf("one more: %v, want busy", err)
			}
			n.stream("bob", "b") // others are not concerned
			streams[0].close()
			device := n.stream("alice", "a")
			again := n.stream("alice", "a") // takes no place besides: it replaces the other
			device.isEnded(chat.CodeReplaced)
			again.say("bob", "hello")
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, 1)
		c.addUsers("alice")
		n := c.serve(func(cfg *server.Config) { cfg.UserStreams = -1 })
		for range server.DefaultUserStreams + 1 {
			n.stream("alice", "")
		}
	})
}

func TestALoginWhoseShardDoesNotAnswerIsRefused(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve(holdFor(500 * time.Millisecond))
		n.say("alice", "bob", "the password is known")
		n.say("bob", "bob", "of both")
		release := n.store.hang(t, c.Locate("bob"), "LoginDevices")
		bob := newStreamer(t, "bob", "b")
		if err := bob.open(n); codeOf(err) != chat.CodeUnavail {
			t.Errorf("the login: %v, want unavail", err)
		}
		release()
		n.stream("bob", "b").gets("the password is known", "of both")
		eventually(t, "nothing is left of the login that was given up", func() bool { return n.Streams() == 1 })
		if got := bob.texts(); len(got) != 0 {
			t.Errorf("it was given %q", got)
		}
	})(t)
}

func TestALoginIsRefusedAtOnceWhileItsShardIsKnownToHang(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	hung := c.otherThan(c.Locate(chat.Everyone))
	users := c.addUsersOn(hung, 1)
	n := c.serve()
	n.stream(users[0], "").say(users[0].Mailbox(), "the password is known")
	release := n.store.hang(t, hung, everyCall...)
	n.store.hang(t, hung, "LoginDevices")
	eventually(t, "the shard is known to hang", func() bool { return n.Silent(hung) })
	for range 10 {
		if err := newStreamer(t, users[0], "b").open(n); codeOf(err) != chat.CodeUnavail {
			t.Errorf("the login: %v, want unavail", err)
		}
	}
	if got := n.store.count("LoginDevices"); got != 0 {
		t.Errorf("the shard was asked %d times", got)
	}
	release()
}

// A login that nobody waits for any more must not take the device from a stream that is there.
func TestALoginThatWasGivenUpReplacesNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	n := c.serve()
	alice := n.stream("alice", "a")
	held := n.store.prepareHold(t, "LoginDevices")
	other := newStreamer(t, "alice", "other")
	var group sync.WaitGroup
	group.Go(func() {
		if err := other.open(n); err != nil {
			t.Errorf("the other: %v", err)
		}
	})
	<-held.first
	ctx, giveUp := context.WithCancel(t.Context())
	again := newStreamer(t, "alice", "a")
	refused := make(chan error)
	go func() {
		_, err := n.Login(ctx, again.from, again.login, again)
		refused <- err
	}()
	eventually(t, "it waits", func() bool { return n.Opening() == 1 })
	giveUp()
	if err := <-refused; codeOf(err) != chat.CodeUnavail {
		t.Errorf("it was refused with %v", err)
	}
	held.release()
	group.Wait()
	if code := alice.ackStored("alice", 0); code != "ok" {
		t.Errorf("the stream that was there: %s", code)
	}
}

// After a server's death all its clients come to others at the same time.
func TestLoginsAtOnceShareTheirQueries(t *testing.T) {
	t.Parallel()
	const logins = 200
	c := newCluster(t, 2)
	users := c.addUsersOn(c.otherThan(c.Locate(chat.Everyone)), logins+1)
	n := c.serve()
	for _, user := range users {
		if _, err := n.send(user, "nobody", "id", "the password is known now"); codeOf(err) != chat.CodeNoUser {
			t.Fatal(err)
		}
	}
	methods := []string{"Users", "LoginDevices", "Newest", "Page", "Bodies", "RaiseCursors", "OpenCursors"}
	before := make(map[string]int)
	for _, method := range methods {
		before[method] = n.store.count(method)
	}
	held := n.store.prepareHold(t, "LoginDevices")
	var group sync.WaitGroup
	open := func(user chat.UserID) {
		s := newStreamer(t, user, "d")
		group.Go(func() {
			if err := s.open(n); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		})
	}
	open(users[0])
	<-held.first
	for _, user := range users[1:] {
		open(user)
	}
	eventually(t, "all wait", func() bool { return n.Opening() == logins })
	held.release()
	group.Wait()
	for i, want := range []int{0, 2, 2, 0, 0, 0, 0} {
		if got := n.store.count(methods[i]) - before[methods[i]]; got != want {
			t.Errorf("%s was called %d times for %d logins, want %d", methods[i], got, logins, want)
		}
	}
}

func TestANewerStreamOfADeviceReplacesTheOlder(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve(server.WatchStreams(0, time.Second, 0))
		older := b.stream("bob", "b")
		a.say("alice", "bob", "1")
		older.gets("1")

		newer := b.stream("bob", "b") // on the same server
		older.isEnded(chat.CodeReplaced)
		a.say("alice", "bob", "2")
		newer.gets("2")

		newest := a.stream("bob", "b") // on another one, where it idles
		newer.isEnded(chat.CodeReplaced)
		a.say("alice", "bob", "3")
		eventually(t, "the newest is given it", func() bool { return slices.Contains(newest.texts(), "3") })
		if ended, why := newest.end(); ended {
			t.Errorf("the newest has ended: %v", why)
		}
	})(t)
}

// What was acknowledged on a stream after another took its device is not stored; the one that acknowledges learns of it.
func TestAnAckOfAReplacedStreamIsRefused(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve()
		older := a.stream("bob", "b", silent)
		seq := a.say("alice", "bob", "1")
		older.gets("1")
		newer := b.stream("bob", "b", silent)
		if code := older.ackStored("bob", seq); code != chat.CodeReplaced {
			t.Errorf("the older stream's ack: %s, want replaced", code)
		}
		older.isEnded(chat.CodeReplaced)
		if at := c.storedCursor("bob", "b").Inbox; at >= seq {
			t.Errorf("the cursor is at %d all the same", at)
		}
		newer.gets("1")
	})(t)
}

func TestATakeoverGoesOnWhereTheStreamWas(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		key := func(cfg *server.Config) { cfg.Key = chat.NewSecret("the cluster's key") }
		a, b := c.serve(key), c.serve(key)
		kept := new(ticketShelf)
		stream := a.stream("bob", "b", silent, func(s *streamer) { s.from.Tickets = kept })
		var last chat.Seq
		for _, text := range numbered(10) {
			last = a.say("alice", "bob", text)
		}
		broadcast := a.say("alice", chat.Everyone, "to all")
		stream.gets(append(numbered(10), "to all")...)
		acknowledged := stream.messages()[3].Seq
		if code := stream.ackStored("bob", acknowledged); code != "ok" {
			t.Fatal(code)
		}

		next := stream.takeOver()
		next.silent = true
		next.login.Password = chat.Secret{}
		next.from.Ticket = kept.newest()
		if err := next.open(b); err != nil {
			t.Fatal(err)
		}
		a.say("alice", "bob", "10")
		next.gets("10") // neither what is not acknowledged yet again, nor anything less
		if at := c.storedCursor("bob", "b"); at.Inbox != acknowledged || at.Broadcast >= broadcast {
			t.Errorf("the cursor is at %+v, want where it was, at %d", at, acknowledged)
		}
		for mailbox, seq := range map[chat.Mailbox]chat.Seq{"bob": last, chat.Everyone: broadcast} {
			if code := next.ackStored(mailbox, seq); code != "ok" { // of what the server before had given
				t.Fatal(code)
			}
		}
		if at := c.storedCursor("bob", "b"); at.Inbox != last || at.Broadcast != broadcast {
			t.Errorf("the cursor is at %+v, want %d and %d", at, last, broadcast)
		}
		if code := stream.ackStored("bob", last); code != chat.CodeReplaced {
			t.Errorf("an ack at the server before: %s", code)
		}

		lost := next.takeOver() // nothing but what is acknowledged comes to one who was given nothing
		lost.login.Given = edge.Places{}
		lost.from.Ticket = kept.newest()
		if err := lost.open(a); err != nil {
			t.Fatal(err)
		}
		lost.gets("10")
	})(t)
}

// ticketShelf keeps tickets as a proxy does.
type ticketShelf struct {
	mu      sync.Mutex
	tickets []chat.Secret
}

// KeepTicket implements [edge.TicketKeeper].
func (k *ticketShelf) KeepTicket(_ edge.Holder, ticket chat.Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tickets = append(k.tickets, ticket)
}

func (k *ticketShelf) newest() chat.Secret {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.tickets) == 0 {
		return chat.Secret{}
	}
	return k.tickets[len(k.tickets)-1]
}

func (k *ticketShelf) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.tickets)
}

func TestATakeoverWhoseDeviceIsAnothersIsRefused(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("bob")
		a, b := c.serve(), c.serve()
		stream := a.stream("bob", "b")
		other := b.stream("bob", "b")
		if err := stream.takeOver().open(b); codeOf(err) != chat.CodeReplaced {
			t.Errorf("the takeover: %v, want replaced", err)
		}
		if code := other.ackStored("bob", 0); code != "ok" {
			t.Errorf("the stream that has the device: %s", code)
		}
	})(t)
}

// The server that takes a stream over may know less of the shard than the one before: what the client has been given is
// above all that it has read.
func TestATakeoverByAServerThatIsBehind(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve()
		stream := a.stream("bob", "b", silent)
		release := b.store.hold(t, "Arrivals")
		a.say("alice", "bob", "1")
		a.say("alice", chat.Everyone, "to all")
		stream.gets("1", "to all")
		next := stream.takeOver()
		next.silent = true
		if err := next.open(b); err != nil {
			t.Fatal(err)
		}
		b.say("alice", "bob", "2") // b's own commit does not go by
		release()
		next.gets("2")
	})(t)
}

// A seq that the shard has never given, as after a backup was restored, hides nothing.
func TestATakeoverThatWasGivenMoreThanThereIs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice", "bob")
	n := c.serve()
	n.say("alice", "bob", "1")
	bob := newStreamer(t, "bob", "b").takeOver()
	bob.login.Given = edge.Places{Inbox: 1 << 40, Broadcast: 1 << 40}
	if err := bob.open(n); err != nil {
		t.Fatal(err)
	}
	n.ticks()
	n.say("alice", "bob", "2")
	n.say("alice", chat.Everyone, "to all")
	eventually(t, "what comes is given", func() bool { return len(bob.messages()) >= 2 })
}

// A proxy needs a good ticket at any time, since a server may be lost at any time.
func TestTheTicketsOfOpenStreamsAreRenewed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice")
	n := c.serve(server.WatchStreams(0, 0, time.Nanosecond), func(cfg *server.Config) { cfg.Key = chat.NewSecret("key") })
	var passed atomic.Int64
	n.UseTicketClock(func() time.Time { return time.Now().Add(time.Duration(passed.Load())) })
	kept := new(ticketShelf)
	n.stream("alice", "a", func(s *streamer) { s.from.Tickets = kept })
	if kept.count() != 1 {
		t.Errorf("the login brought %d tickets", kept.count())
	}
	old := kept.newest()
	passed.Store(int64(45 * time.Minute)) // of an hour
	eventually(t, "a new one is given", func() bool { return !kept.newest().Equal(old) })
}
