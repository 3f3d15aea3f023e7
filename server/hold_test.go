package server_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func idsOf(messages []chat.Message) []chat.MessageID {
	ids := make([]chat.MessageID, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return ids
}

func TestASendWaitsForItsShard(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.say("alice", "bob", "before")
		release := c.lock()
		done := make(chan chat.Seq)
		go func() { done <- n.say("alice", "bob", "held") }()
		eventually(t, "the commit is tried", func() bool { return n.store.count("Append") == 2 })
		release()
		<-done
		if got := idsOf(c.stored("bob")); !slices.Equal(got, []chat.MessageID{"before", "held"}) {
			t.Errorf("stored: %q", got)
		}
	})(t)
}

func TestWhatWaitsTooLongIsNeverStoredOnceItWasSaidNotToBe(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve(holdFor(300 * time.Millisecond))
		n.say("alice", "bob", "the password is known now")
		release := c.lock()

		const sends = 20
		codes := make([]chat.Code, sends)
		began := time.Now()
		var group sync.WaitGroup
		for i := range sends {
			group.Go(func() {
				_, err := n.send("alice", "bob", chat.MessageID(fmt.Sprint(i)), "text")
				codes[i] = codeOf(err)
			})
			if i == 0 {
				eventually(t, "the first is handed to the shard", func() bool { return n.store.count("Append") == 2 })
			}
		}
		group.Wait()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the answers took %v; a send is held for 0.3 s", took)
		}
		release()
		eventually(t, "the shard takes messages again", func() bool {
			_, err := n.send("alice", "bob", "behind all of them", "text")
			return err == nil
		})
		stored := idsOf(c.stored("bob"))
		for i, code := range codes {
			switch code {
			case chat.CodeUnknown:
				if i != 0 {
					t.Errorf("message %d was answered unknown, though it waited behind the first", i)
				}
			case chat.CodeUnavail:
				if slices.Contains(stored, chat.MessageID(fmt.Sprint(i))) {
					t.Errorf("message %d was said not to be stored, and is", i)
				}
			default:
				t.Errorf("message %d was answered %s while its shard did not answer", i, code)
			}
		}
		for i := range sends {
			if _, err := n.send("alice", "bob", chat.MessageID(fmt.Sprint(i)), "text"); err != nil {
				t.Errorf("message %d, sent again: %v", i, err)
			}
		}
		all := idsOf(c.stored("bob"))
		slices.Sort(all)
		if len(slices.Compact(slices.Clone(all))) != len(all) || len(all) < sends {
			t.Errorf("after all were sent again these are stored: %q", all)
		}
	})(t)
}

func TestWhatItsSenderHasGivenUpIsNotStored(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		held := n.store.prepareHold(t, "Append")
		first := make(chan chat.Seq)
		go func() { first <- n.say("alice", "bob", "first") }()
		<-held.first
		ctx, giveUp := context.WithCancel(t.Context())
		answer := make(chan error)
		go func() {
			_, err := n.Send(ctx, anyCaller, wire.Wrmsg{ID: "id", User: "alice", To: "bob", Text: []byte("given up"),
				Password: chat.NewSecret(passwordOf("alice"))})
			answer <- err
		}()
		eventually(t, "the second waits behind the first", func() bool { return n.HeldBytes() > int64(len("first")) })
		giveUp()
		if err := <-answer; codeOf(err) != chat.CodeUnavail {
			t.Errorf("a send that waited until its sender left: %v, want unavail", err)
		}
		held.release()
		<-first
		n.say("alice", "bob", "behind it")
		if got := idsOf(c.stored("bob")); !slices.Equal(got, []chat.MessageID{"first", "behind it"}) {
			t.Errorf("stored: %q", got)
		}
	})(t)
}

// loseAnswers commits, and says that nobody knows.
func loseAnswers(_ context.Context, do func() error) error {
	if err := do(); err != nil {
		return err
	}
	return chat.Errorf(chat.CodeUnknown, "the connection broke at COMMIT")
}

func TestACommitWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.store.on("Append", func(ctx context.Context, do func() error) error {
			n.store.on("Append", nil)
			return loseAnswers(ctx, do)
		})
		seq := n.say("alice", "bob", "hello")
		if got := c.stored("bob"); len(got) != 1 || got[0].Seq != seq {
			t.Errorf("answered seq %d, stored %+v", seq, got)
		}
		newClient(t, "bob").gets(n, "hello")
	})(t)
}

func TestWhatMayBeStoredIsNeverSaidNotToBe(t *testing.T) {
	t.Parallel()
	unanswered := func(ctx context.Context, _ func() error) error {
		<-ctx.Done()
		return chat.Errorf(chat.CodeUnavail, "the shard does not answer")
	}
	for _, test := range []struct {
		name  string
		then  func(context.Context, func() error) error // what the shard does after the answer that was lost
		until func(*node)
	}{
		{"when the hold ends", unanswered, func(*node) {}},
		{"when the server ends", unanswered, func(n *node) {
			eventually(n.t, "it is tried again", func() bool { return n.store.count("Append") == 2 })
			n.end()
		}},
		{"when its shard has it refused", func(context.Context, func() error) error {
			return chat.Errorf(chat.CodeUnavail, "the shard does not take it")
		}, func(*node) {}},
	} {
		t.Run(test.name, onBothEngines(1, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			n := c.serve(holdFor(time.Second))
			n.store.on("Append", func(ctx context.Context, do func() error) error {
				n.store.on("Append", test.then)
				return loseAnswers(ctx, do)
			})
			answer := make(chan error)
			go func() {
				_, err := n.send("alice", "bob", "id", "text")
				answer <- err
			}()
			test.until(n)
			if err := <-answer; codeOf(err) != chat.CodeUnknown {
				t.Errorf("answered %v, want unknown: it is stored", err)
			}
			if len(c.stored("bob")) != 1 {
				t.Error("the test's own commit is not there")
			}
		}))
	}
}

func TestASendFollowsItsMailboxToAnotherShard(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.store.on("Append", func(context.Context, func() error) error {
			n.store.on("Append", nil)
			return chat.ErrMoved
		})
		n.say("alice", "bob", "hello")
		if got := len(c.stored("bob")); got != 1 {
			t.Errorf("%d messages are stored, want 1", got)
		}
	})(t)
}
