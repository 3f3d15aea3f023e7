package server_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/server"
)

func TestStreamsOfAUserThatChangedAreEndedEverywhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*testing.T, *cluster) error
	}{
		{"the password", func(t *testing.T, c *cluster) error {
			return c.SetPassword(t.Context(), "alice", server.HashPassword(chat.NewSecret("new"), cheap))
		}},
		{"removed", func(t *testing.T, c *cluster) error { return c.RemoveUser(t.Context(), "alice") }},
	} {
		t.Run(test.name, onEveryKind(2, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			a, b := c.serve(), c.serve()
			streams := []*streamer{a.stream("alice", "a"), b.stream("alice", "b"), b.stream("alice", "")}
			bob := b.stream("bob", "b")
			changed := time.Now()
			if err := test.change(t, c); err != nil {
				t.Fatal(err)
			}
			for _, s := range streams {
				s.isEnded(chat.CodeAuth)
			}
			if took := time.Since(changed); took > 5*time.Second {
				t.Errorf("they ended after %v", took)
			}
			a.say("bob", "bob", "hello")
			bob.gets("hello")
			if ended, why := bob.end(); ended {
				t.Errorf("another user's stream has ended: %v", why)
			}
		}))
	}
}

// A device goes with its user. Whoever stores how far it has read finds it gone, perhaps before the watch does.
func TestAStreamWhoseUserIsRemovedIsNotCalledReplaced(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := n.stream("bob", "b")
		seq := n.say("alice", "bob", "1")
		bob.gets("1")
		if err := c.RemoveUser(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		bob.ackStored("bob", seq)
		bob.isEnded(chat.CodeAuth)
	})(t)
}

// A change of another user is none of this one, and neither is one that cannot be looked up at present.
func TestStreamsSurviveChangesOfOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	alice := n.stream("alice", "a")
	n.store.on("Users", func(context.Context, func() error) error {
		return chat.Errorf(chat.CodeUnavail, "the shard does not answer")
	})
	asked := n.store.count("Users")
	if err := c.SetPassword(t.Context(), "bob", server.HashPassword(chat.NewSecret("new"), cheap)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "alice is looked up again and again", func() bool { return n.store.count("Users") > asked+1 })
	n.store.on("Users", nil)
	asked = n.store.count("Users")
	eventually(t, "alice is looked up", func() bool { return n.store.count("Users") > asked })
	alice.say("alice", "hello")
	alice.gets("hello")
	if ended, why := alice.end(); ended {
		t.Errorf("her stream has ended: %v", why)
	}
}

func TestNothingIsLeftOfStreamsThatWereClosed(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		c.offline("alice", "bob", numbered(1000))
		n := c.serve()
		for round := range 3 {
			var streams []*streamer
			for i := range 10 {
				streams = append(streams,
					n.stream("bob", chat.DeviceID(fmt.Sprint(i))),
					n.stream("carol", chat.DeviceID(fmt.Sprint(i)), silent),
					n.stream("alice", ""),
					n.stream("alice", chat.DeviceID(fmt.Sprint(i)), func(s *streamer) { s.full = true }))
			}
			alice := n.stream("alice", "a")
			for i := range 20 {
				alice.say(chat.Everyone, fmt.Sprint(round, " ", i))
			}
			for _, s := range append(streams, alice) {
				s.close()
				s.close() // again is nothing
			}
			eventually(t, "nothing is left of them", func() bool { return n.StreamTraces() == 0 })
			if n.Streams() != 0 {
				t.Errorf("%d streams are counted", n.Streams())
			}
		}
	})(t)
}

// Streams come and go while much happens, by whichever way they end; what was read then goes on where it was.
func TestStreamsThatComeAndGoMissNothing(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := n.stream("alice", "")
		var sent atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					alice.say("bob", fmt.Sprint(i))
					sent.Store(int64(i + 1))
				}
			}
		}()
		seen := make(map[chat.Seq]bool)
		var order []chat.Seq
		note := func(s *streamer) {
			for _, m := range s.messages() {
				if !seen[m.Seq] {
					seen[m.Seq] = true
					order = append(order, m.Seq)
				}
			}
		}
		for range 30 {
			bob := n.stream("bob", "b")
			eventually(t, "something comes", func() bool { return len(bob.messages()) > 0 })
			bob.close()
			note(bob)
		}
		close(stop)
		<-stopped
		last := n.stream("bob", "b")
		eventually(t, "all has come", func() bool { note(last); return int64(len(order)) >= sent.Load() })
		for i := 1; i < len(order); i++ {
			if order[i] < order[i-1] {
				t.Fatalf("%d came after %d", order[i], order[i-1])
			}
		}
	})(t)
}

func TestADrainedServerAnswersStoresAndEndsItsStreams(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve()
		alice, bob := a.stream("alice", "a"), a.stream("bob", "b")
		first := alice.say("bob", "1")
		bob.gets("1")

		held := a.store.prepareHold(t, "Append")
		underWay := alice.send("bob", "2")
		<-held.first
		drained := make(chan struct{})
		go func() { a.Drain(t.Context()); close(drained) }()
		eventually(t, "logins are refused", func() bool { return codeOf(newStreamer(t, "bob", "other").open(a)) == chat.CodeUnavail })
		later := alice.send("bob", "3")
		held.release()
		alice.isEnded("")
		bob.isEnded("")
		<-drained
		if code := alice.answer(underWay).code(); code != "ok" {
			t.Errorf("what was under way: %s", code)
		}
		if alice.isAnswered(later) {
			t.Error("what was sent during the drain is answered here; it was to be sent again elsewhere")
		}
		if at := c.storedCursor("bob", "b").Inbox; at < first {
			t.Errorf("drained with the cursor at %d, below %d", at, first)
		}
		if a.Streams() != 0 {
			t.Errorf("%d streams are open", a.Streams())
		}
		next := bob.takeOver()
		if err := next.open(b); err != nil {
			t.Fatal(err)
		}
		b.stream("alice", "a").say("bob", "3")
		eventually(t, "bob is given the rest", func() bool { return len(bob.messages())+len(next.messages()) == 3 })
	})(t)
}

func TestADrainDoesNotWaitForAShardThatHangs(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := n.stream("alice", "a")
		n.store.hang(t, c.Shards()[0], "Append", "RaiseCursors")
		alice.send("bob", "never")
		began := time.Now()
		n.Drain(t.Context())
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		alice.isEnded("")
	})(t)
}

func TestServeEndsWithStreamsOpen(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice, bob := n.stream("alice", "a"), n.stream("bob", "b")
		seq := alice.say("bob", "1")
		bob.gets("1")
		bob.call(func(st edge.Stream, _ uint64) { st.Ack(0, "bob", seq) })
		n.end()
		bob.isEnded("")
		alice.isEnded("")
		if at := c.storedCursor("bob", "b").Inbox; at != seq {
			t.Errorf("the cursor is at %d, want %d", at, seq)
		}
		if err := newStreamer(t, "bob", "b").open(n); codeOf(err) != chat.CodeUnavail {
			t.Errorf("a login after the end: %v", err)
		}
		alice.send("bob", "too late") // does nothing
	})(t)
}
