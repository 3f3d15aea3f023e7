package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/server"
	"multichat/shardstore"
)

// onEveryKind is a test that runs on clusters of every kind: with servers of either engine, and on SQLite and MySQL.
func onEveryKind(shards int, test func(*testing.T, *cluster)) func(*testing.T) {
	return func(t *testing.T) {
		onBothEngines(shards, test)(t)
		t.Run("mysql", func(t *testing.T) {
			t.Parallel()
			test(t, newSharedMySQLCluster(t, shards))
		})
	}
}

// newSharedMySQLCluster is shards on the MySQL server that all tests share.
func newSharedMySQLCluster(t *testing.T, shards int) *cluster {
	c := &cluster{t: t}
	for i := range shards {
		url, _ := mysqltest.Shared(t).Database(t)
		c.specs = append(c.specs, shardstore.Spec{Name: fmt.Sprintf("s%d", i), URL: url})
	}
	if err := shardstore.Init(t.Context(), c.specs, shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	c.Store = c.open()
	t.Cleanup(func() { c.Store.Close() })
	return c
}

// storedCursor is a device's cursor, on every kind of shard. The device must have one.
func (c *cluster) storedCursor(user chat.UserID, device chat.DeviceID) chat.Cursor {
	c.t.Helper()
	cursors, err := c.OpenCursors(c.t.Context(), c.Locate(user.Mailbox()), []chat.Device{{User: user, ID: device}})
	if err != nil {
		c.t.Fatal(err)
	}
	return cursors[0]
}

func TestDevicesOfAUserEachGetEverythingOnceAndInOrder(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		phone, laptop, alice := n.stream("bob", "phone"), n.stream("bob", "laptop"), n.stream("alice", "a")
		var inbox, all []string
		for _, text := range numbered(50) {
			alice.say("bob", text)
			inbox = append(inbox, text)
		}
		phone.gets(inbox...) // first: between two mailboxes there is no order
		laptop.gets(inbox...)
		for _, text := range numbered(50) {
			alice.say(chat.Everyone, "all "+text)
			all = append(all, "all "+text)
		}
		phone.gets(append(inbox, all...)...)
		laptop.gets(append(inbox, all...)...)
		if got := alice.texts(); len(got) != 0 {
			t.Errorf("alice got %.200q, which is her own", got)
		}
	})(t)
}

func TestAMessageSaysWhatItIs(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob, alice := n.stream("bob", "b"), n.stream("alice", "a")
		began := time.Now().Truncate(time.Second)
		seq := alice.say("bob", "hello")
		bob.gets("hello")
		m := bob.messages()[0]
		if m.Seq != seq || m.ID != "hello" || m.From != "alice" || m.FromName != "Name of alice" || m.To != "bob" ||
			m.Sent.Before(began) {
			t.Errorf("bob was given %+v", m)
		}
	})(t)
}

// To oneself one may write; what one says to all does not come back, on no device.
func TestOwnMessages(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		one, other, bob := n.stream("alice", "one"), n.stream("alice", "other"), n.stream("bob", "b")
		one.say(chat.Everyone, "to all")
		bob.gets("to all")
		one.say("alice", "to myself")
		one.gets("to myself")
		other.gets("to myself")
	})(t)
}

// offline stores messages for a user who is nowhere.
func (c *cluster) offline(from chat.UserID, to chat.Mailbox, texts []string) {
	c.t.Helper()
	for part := range slices.Chunk(texts, 250) {
		c.commit(from, to, part...)
	}
}

func TestWhatWaitsComesInOrderHoweverMuchItIs(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		const waiting = 5000
		texts := numbered(waiting)
		n := c.serve()
		n.stream("bob", "b").close() // the device starts here
		c.offline("alice", "bob", texts)
		c.offline("alice", chat.Everyone, texts[:1000])
		bob := n.stream("bob", "b")
		eventually(t, "bob has it all", func() bool { return len(bob.messages()) >= waiting+1000 })
		inbox, broadcasts := split(bob.messages())
		if !slices.Equal(inbox, texts) || !slices.Equal(broadcasts, texts[:1000]) {
			t.Errorf("bob was given %d and %d messages, not in order", len(inbox), len(broadcasts))
		}
	})(t)
}

// split are the texts of a user's own mailbox, and of everyone's.
func split(messages []chat.Message) (inbox, broadcasts []string) {
	for _, m := range messages {
		if m.To == chat.Everyone {
			broadcasts = append(broadcasts, string(m.Text))
		} else {
			inbox = append(inbox, string(m.Text))
		}
	}
	return inbox, broadcasts
}

// Acknowledgements drive what is given: there is never more on the way than fits the window.
func TestNoMoreIsGivenThanFitsTheWindow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		bytes int // of each text
		fit   int
	}{
		{"by number", 10, server.WindowMessages},
		{"by bytes", 4000, server.WindowBytes / 4000},
		{"a text that is as long as may be", chat.MaxText, server.WindowBytes / chat.MaxText},
	} {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, ", while the stream is open: ", live), func(t *testing.T) {
				t.Parallel()
				testWindow(t, test.bytes, test.fit, live)
			})
		}
	}
}

func testWindow(t *testing.T, bytes, fit int, live bool) {
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve(func(cfg *server.Config) { cfg.MaxText = chat.MaxText })
	texts := make([]string, 4*fit)
	for i := range texts {
		texts[i] = longText(i, bytes)
	}
	store := func() {
		for i, text := range texts {
			m := submission("alice", "bob", text)
			m.ID = chat.MessageID(fmt.Sprint(i))
			c.commitBatch([]chat.Submission{m})
		}
	}
	var bob *streamer
	if live {
		bob = n.stream("bob", "b", silent)
		store()
	} else {
		store()
		bob = n.stream("bob", "b", silent)
	}
	given := 0
	for given < len(texts) {
		given = min(given+fit, len(texts))
		eventually(t, fmt.Sprintf("%d are given", given), func() bool { return len(bob.messages()) >= given })
		n.catchesUp()
		n.ticks()
		if got := bob.texts(); !slices.Equal(got, texts[:given]) {
			t.Fatalf("%d are given, want the first %d", len(got), given)
		}
		bob.ack("bob", bob.messages()[given-1].Seq)
	}
}

// A client that acknowledges one message after another gets what waits in a few pages all the same.
func TestPagesAreNotReadForAFewMessages(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	c.offline("alice", "bob", numbered(2000))
	n := c.serve()
	bob := n.stream("bob", "b", silent)
	for i := range 2000 {
		eventually(t, "one more is given", func() bool { return len(bob.messages()) > i })
		bob.ack("bob", bob.messages()[i].Seq)
	}
	if pages := n.store.count("Page"); pages > 2+2*2000/server.WindowMessages {
		t.Errorf("%d pages were read", pages)
	}
}

// Where nothing waits, no page is read to find that out, though the shard has gone on with other mailboxes.
func TestNoPageIsReadWhereNothingWaits(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		n := c.serve()
		for _, mailbox := range []chat.Mailbox{"carol", "alice", "bob"} {
			n.say("alice", mailbox, "before")
		}
		bob, carol := newClient(t, "bob"), newClient(t, "carol")
		bob.gets(n, "before") // it is stored, and nothing waits
		carol.gets(n, "before")
		eventually(t, "the cursors are stored", func() bool {
			n.ServersChanged()
			b, _ := c.cursor("bob", bob.device())
			c, _ := c.cursor("carol", carol.device())
			return b.Inbox > 0 && c.Inbox > 0
		})
		n.end()

		n = c.serve()
		stream := n.stream("bob", "b")
		carol.join(n)
		for _, text := range numbered(3) {
			n.say("alice", "bob", text)
			n.say("alice", "carol", text)
		}
		stream.gets(numbered(3)...)
		n.say("alice", chat.Everyone, "to all")
		stream.gets("0", "1", "2", "to all")
		carol.gets(n, "before", "0", "1", "2", "to all")
		if pages := n.store.count("Page"); pages != 0 {
			t.Errorf("%d pages were read", pages)
		}
	})(t)
}

func TestAReaderWhoNeverAcknowledgesIsEndedAndHurtsNobody(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		n := c.serve(server.WatchStreams(time.Second, 0, 0))
		mute, carol, alice := n.stream("bob", "b", silent), n.stream("carol", "c"), n.stream("alice", "a")
		idle := n.stream("bob", "idle", silent)
		idle.set(func(s *streamer) { s.silent = false }) // it reads all there is, and is never slow
		total := server.WindowMessages + 50
		for _, text := range numbered(total) {
			alice.say("bob", text)
		}
		mute.isEnded(chat.CodeSlow)
		if got := len(mute.messages()); got != server.WindowMessages {
			t.Errorf("%d messages were given, want as many as fit", got)
		}
		alice.say("carol", "hello")
		carol.gets("hello")
		eventually(t, "the other device has it all", func() bool { return len(idle.messages()) == total })

		n.stream("bob", "b").gets(numbered(total)...) // the cursor recovers by itself
		if ended, why := idle.end(); ended {
			t.Errorf("the stream that acknowledges has ended: %v", why)
		}
	})(t)
}

// Who has a full window, but acknowledges something now and then, is not too slow.
func TestProgressIsNotSlow(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	c.offline("alice", "bob", numbered(2*server.WindowMessages))
	const slow = 1500 * time.Millisecond
	n := c.serve(server.WatchStreams(slow, 0, 0))
	bob := n.stream("bob", "b", silent)
	eventually(t, "the window is full", func() bool { return len(bob.messages()) == server.WindowMessages })
	for i := range 6 {
		time.Sleep(slow / 2) // not to synchronise: what is tested is that time alone does not matter
		bob.ack("bob", bob.messages()[i].Seq)
	}
	if ended, why := bob.end(); ended {
		t.Fatalf("it has ended: %v", why)
	}
	bob.isEnded(chat.CodeSlow)
}

func TestAClientThatTakesNothingForAWhileGetsItAllLater(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		n := c.serve()
		full := n.stream("bob", "b", func(s *streamer) { s.full = true })
		carol := n.stream("carol", "c")
		for _, text := range numbered(300) {
			n.say("alice", "bob", text)
		}
		n.say("alice", "carol", "hello")
		carol.gets("hello")
		eventually(t, "it is offered again", func() bool { full.mu.Lock(); defer full.mu.Unlock(); return full.offers > 3 })
		if got := full.messages(); len(got) != 0 {
			t.Errorf("it was given %d messages", len(got))
		}
		full.set(func(s *streamer) { s.full = false })
		full.gets(numbered(300)...)
	})(t)
}

// What a user says to all is passed over for the user's own devices: the cursor follows, and no page is read for it.
func TestOwnBroadcastsArePassedOverOnStreams(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice, bob := n.stream("alice", "a", silent), n.stream("bob", "b")
		var last chat.Seq
		for _, text := range numbered(20) {
			last = alice.say(chat.Everyone, text)
		}
		bob.gets(numbered(20)...)
		eventually(t, "alice's cursor follows", func() bool { return c.storedCursor("alice", "a").Broadcast == last })

		theirs := n.stream("bob", "other").say(chat.Everyone, "bob's")
		own := alice.say(chat.Everyone, "alice's")
		alice.gets("bob's")
		if code := alice.ackStored("alice", 0); code != "ok" { // it has the cursor stored
			t.Fatal(code)
		}
		if at := c.storedCursor("alice", "a").Broadcast; at != last {
			t.Errorf("the cursor is at %d, want %d: bob's at %d is not acknowledged", at, last, theirs)
		}
		if code := alice.ackStored(chat.Everyone, theirs); code != "ok" {
			t.Fatal(code)
		}
		eventually(t, "with bob's acknowledged, the cursor follows to behind her own", func() bool {
			return c.storedCursor("alice", "a").Broadcast == own
		})
	})(t)
}

func TestOwnBroadcastsThatWaitArePassedOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	c.offline("alice", chat.Everyone, numbered(1000))
	last := c.commit("bob", chat.Everyone, "bob's")[0]
	n := c.serve()
	n.stream("alice", "a").gets("bob's")
	eventually(t, "the cursor follows", func() bool { return c.storedCursor("alice", "a").Broadcast == last })
}

// A shard that hangs keeps back what it has, and nothing else.
func TestStreamsGetWhatOtherShardsHaveWhileOneHangs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		broadcast bool // it is the shard of everyone that hangs, and not the user's
	}{{"the shard of everyone", true}, {"the user's own", false}} {
		t.Run(test.name, onBothEngines(2, func(t *testing.T, c *cluster) {
			everyone := c.Locate(chat.Everyone)
			users := c.addUsersOn(c.otherThan(everyone), 2)
			alice, bob := users[0], users[1]
			hung, there, elsewhere := c.otherThan(everyone), bob.Mailbox(), chat.Everyone
			if test.broadcast {
				hung, there, elsewhere = everyone, chat.Everyone, bob.Mailbox()
			}
			c.offline(alice, there, []string{"waits"}) // before the server begins, so it is in no tail
			n := c.serve()
			page := n.store.prepareHold(t, "Page")
			stream := n.stream(bob, "b")
			<-page.first
			release := n.store.hang(t, hung, everyCall...)
			page.release()
			eventually(t, "the shard is known to hang", func() bool { return n.Silent(hung) })
			c.commit(alice, elsewhere, "from the other")
			eventually(t, "the other's is given", func() bool { return slices.Contains(stream.texts(), "from the other") })
			release()
			eventually(t, "all is given", func() bool { return len(stream.texts()) == 2 })
		}))
	}
}

func TestMoreStreamsThanPagesAreAllServed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	c.offline("alice", "bob", numbered(300))
	n := c.serve(func(cfg *server.Config) { cfg.UserStreams = -1 })
	release := n.store.prepareHold(t, "Page").release
	var streams []*streamer
	for i := range chat.MaxDevices {
		streams = append(streams, n.stream("bob", chat.DeviceID(fmt.Sprint(i))))
	}
	release()
	for _, s := range streams {
		s.gets(numbered(300)...)
	}
}
