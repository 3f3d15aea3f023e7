package server_test

import (
	"context"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

func TestServeEndsWithPushesUnderWay(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := newClient(t, "bob")
		n.say("alice", "bob", "taken")
		bob.gets(n, "taken")
		n.say("alice", "bob", "not taken")
		silent := make(chan struct{})
		bob.answers(func(ctx context.Context, _ edge.Push) (edge.Receipt, error) {
			close(silent)
			<-ctx.Done()
			return edge.Receipt{}, ctx.Err()
		})
		bob.pollUntil(n, "pushed to", func() bool { return len(bob.pushed()) == 2 })
		<-silent

		began := time.Now()
		n.end()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Serve took %v to end", took)
		}
		bob.answers(nil)
		bob.gets(c.serve(), "taken", "not taken")
	})(t)
}

func TestAServerThatHasEndedRefuses(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve(holdFor(200 * time.Millisecond))
		n.say("alice", "bob", "hello")
		bob := newClient(t, "bob")
		bob.join(n)
		n.end()
		if _, err := n.send("alice", "bob", "id", "text"); codeOf(err) != chat.CodeUnavail {
			t.Errorf("a send: %v, want unavail", err)
		}
		pushes := len(bob.pushed())
		bob.poll(n)
		if n.Pushing() != 0 || len(bob.pushed()) != pushes {
			t.Error("a poll was answered")
		}
	})(t)
}

func TestADrainedServerStoresAllCursorsAndPushesNoMore(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve()
		bob := newClient(t, "bob")
		held := a.store.prepareHold(t, "RaiseCursors")
		first := a.say("alice", "bob", "1")
		bob.gets(a, "1")
		<-held.first // a's own write of the cursor is under way
		drained := make(chan struct{})
		go func() { a.Drain(t.Context()); close(drained) }()
		held.release()
		<-drained
		if cur, _ := c.cursor("bob", bob.device()); cur.Inbox != first {
			t.Errorf("drained with the cursor at %d, want %d", cur.Inbox, first)
		}
		a.say("alice", "bob", "2") // it still takes messages
		a.catchesUp()
		bob.poll(a)
		if a.Pushing() != 0 {
			t.Error("a drained server pushes")
		}
		bob.gets(b, "1", "2")
	})(t)
}

func TestADrainWaitsForPushesNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := newClient(t, "bob")
	seq := n.say("alice", "bob", "1")
	pushed, answer := make(chan struct{}), make(chan struct{})
	bob.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
		close(pushed)
		<-answer
		return takes(1)(ctx, p)
	})
	bob.pollUntil(n, "pushed to", func() bool { return len(bob.pushed()) > 0 })
	<-pushed
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	n.Drain(soon)
	if n.Pushing() != 1 {
		t.Error("the push has ended by itself")
	}
	close(answer)
	n.Drain(t.Context())
	if cur, _ := c.cursor("bob", bob.device()); cur.Inbox != seq {
		t.Errorf("drained with the cursor at %d, want %d", cur.Inbox, seq)
	}
}
