package server_test

import (
	"context"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/server"
)

// While the reader fetches the texts of the mailboxes that are read here, another one is joined. Its message is among
// the arrivals, but not among the texts.
func TestAMailboxThatIsJoinedWhileTextsAreFetchedMissesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	alice, bob := newClient(t, "alice"), newClient(t, "bob")
	alice.join(n)

	held := n.store.prepareHold(t, "Bodies")
	c.commitBatch([]chat.Submission{
		submission("bob", "alice", "a1"),
		submission("alice", "bob", "b1"),
		submission("alice", "bob", "b2"),
		submission("bob", "alice", "a2"),
	})
	<-held.first
	bob.join(n)
	held.release()
	bob.gets(n, "b1", "b2")
	alice.gets(n, "a1", "a2")
	n.say("alice", "bob", "b3")
	bob.gets(n, "b1", "b2", "b3")
}

// The same, but what is committed meanwhile is there before the join asks for what waits, or after.
func TestADeviceThatJoinsWhileMessagesComeMissesNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"OpenCursors", "Newest", "Page"} {
		t.Run("before "+method, onBothEngines(1, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			n := c.serve()
			n.say("alice", "bob", "0")
			bob := newClient(t, "bob")
			held := n.store.prepareHold(t, method)
			bob.poll(n)
			<-held.first
			n.say("alice", "bob", "1") // taken from memory, or by the reader
			c.commit("alice", "bob", "2")
			n.catchesUp()
			held.release()
			bob.gets(n, "0", "1", "2")
		}))
	}
}

func TestADeviceThatWasAwayIsReadAgain(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve()
		bob := newClient(t, "bob")
		first := a.say("alice", "bob", "1")
		bob.gets(a, "1")
		left := time.Now()
		a.say("alice", "bob", "2")
		a.say("alice", chat.Everyone, "3")
		eventually(t, "a has stored the cursor", func() bool {
			cur, _ := c.cursor("bob", bob.device())
			return cur.Inbox == first
		})
		bob.gets(b, "1", "2", "3")
		b.end()
		bob.pollUntil(c.serve(), "away for long enough", func() bool { return time.Since(left) > 3200*time.Millisecond })
		a.say("alice", "bob", "4")
		a.say("alice", chat.Everyone, "5")
		bob.gets(a, "1", "2", "3", "4", "5")
	})(t)
}

func TestOnlyTheTextsOfMailboxesThatAreReadHereAreFetched(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob", "carol")
	n := c.serve()
	bob := newClient(t, "bob")
	bob.join(n)
	c.commit("alice", "carol", "1", "2", "3")
	n.catchesUp()
	if got := n.store.count("Bodies"); got != 0 {
		t.Errorf("texts were fetched %d times for a mailbox that nobody reads here", got)
	}
	c.commit("alice", "bob", "4")
	bob.gets(n, "4")
	if n.store.count("Bodies") == 0 {
		t.Error("bob's message came without its text being fetched")
	}
}

func TestMoreArrivalsThanOneQueryBrings(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob", "carol")
	n := c.serve()
	bob := newClient(t, "bob")
	bob.join(n)
	release := n.store.hold(t, "Arrivals")
	others := numbered(2000)
	c.commit("alice", "carol", others[:1000]...) // exactly one query's
	c.commit("alice", "bob", "first")
	c.commit("alice", "carol", others[1000:]...)
	c.commit("alice", "bob", "second")
	release()
	bob.gets(n, "first", "second")
}

func TestAHintWakesTheReader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	shard := c.Shards()[0]
	n.ticks()
	const hints = 10
	eventually(t, "ten looks in half the time of ten ticks", func() bool {
		began := time.Now()
		for range hints {
			before := n.store.count("Arrivals")
			n.Hint(shard, 1)
			eventually(t, "the reader looks", func() bool { return n.store.count("Arrivals") > before })
		}
		return time.Since(began) < hints*50*time.Millisecond
	})
	n.Hint(shard+1, 1) // of a shard that this server does not know: nothing happens
}

func TestCommitsAreTold(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		type told struct {
			shard chat.ShardNumber
			seq   chat.Seq
		}
		commits := make(chan told, 10)
		n := c.serve(func(cfg *server.Config) {
			cfg.Committed = func(s chat.ShardNumber, q chat.Seq) { commits <- told{s, q} }
		})
		seq := n.say("alice", "bob", "hello")
		if got := <-commits; got != (told{c.Shards()[0], seq}) {
			t.Errorf("told %+v, want seq %d", got, seq)
		}
		n.say("alice", "bob", "hello") // nothing new
		seq = n.say("alice", "bob", "hello again")
		if got := <-commits; got.seq != seq {
			t.Errorf("told %+v, want seq %d: what was stored before is no news", got, seq)
		}
	})(t)
}

func TestAServerIsReadyWhenEveryShardHasAnswered(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.addUsers("alice", "bob")
	n := c.serve()
	if err := n.Ready(); err != nil {
		t.Fatal(err)
	}
	n.store.on("Arrivals", func(context.Context, func() error) error {
		return chat.Errorf(chat.CodeUnavail, "the shard does not answer")
	})
	n.ticks()
	if err := n.Ready(); err != nil {
		t.Errorf("a shard that is lost later: %v, want ready still", err)
	}
	shard := n.store.Shards()[0]
	eventually(t, "it is known that the shard is silent", func() bool { return n.ShardSilence(shard) > 0 })
	bob := newClient(t, "bob")
	n.say("alice", "bob", "hello")
	n.store.on("Arrivals", nil)
	bob.gets(n, "hello")
	eventually(t, "the shard is heard again", func() bool { return n.ShardSilence(shard) == 0 })
}
