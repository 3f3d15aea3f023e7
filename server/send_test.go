package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"multichat/internal/chat"
	"multichat/server"
)

func TestSendIsAnsweredOnceTheMessageIsStored(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		release := n.store.prepareHold(t, "Append")
		answered := make(chan chat.Seq)
		go func() { answered <- n.say("alice", "bob", "hello") }()
		<-release.first
		select {
		case <-answered:
			t.Fatal("the send was answered before its commit")
		default:
		}
		release.release()
		seq := <-answered
		got := c.stored("bob")
		if len(got) != 1 || got[0].Seq != seq || got[0].From != "alice" || got[0].FromName != "Name of alice" ||
			got[0].ID != "hello" || string(got[0].Text) != "hello" {
			t.Fatalf("answered seq %d; the store has %+v", seq, got)
		}
	})(t)
}

func TestSendRefuses(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.say("alice", "bob", "first")
		for _, test := range []struct {
			name     string
			from     chat.UserID
			to       chat.Mailbox
			id, text string
			want     chat.Code
		}{
			{"a recipient that does not exist", "alice", "nobody", "1", "x", chat.CodeNoUser},
			{"an id that was used for another text", "alice", "bob", "first", "second", chat.CodeConflict},
			{"a text over the limit", "alice", "bob", "2", strings.Repeat("x", chat.DefaultMaxText+1), chat.CodeTooLarge},
			{"a text with NUL", "alice", "bob", "3", "a\x00b", chat.CodeBadReq},
			{"a sender that does not exist", "mallory", "bob", "4", "x", chat.CodeAuth},
		} {
			t.Run(test.name, func(t *testing.T) {
				_, err := n.send(test.from, test.to, chat.MessageID(test.id), test.text)
				if codeOf(err) != test.want {
					t.Errorf("got %v, want %s", err, test.want)
				}
			})
		}
		if got := c.stored("bob"); len(got) != 1 {
			t.Errorf("bob's mailbox has %d messages, want the one that was accepted", len(got))
		}
		if seq, err := n.send("alice", "bob", "empty", ""); err != nil || seq == 0 {
			t.Errorf("an empty text: %v", err)
		}
		if seq, err := n.send("alice", "bob", "full", strings.Repeat("x", chat.DefaultMaxText)); err != nil || seq == 0 {
			t.Errorf("a text at the limit: %v", err)
		}
	})(t)
}

func TestTheSameIDIsTheSameMessage(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		a, b := c.serve(), c.serve()

		t.Run("again, by any server", func(t *testing.T) {
			first := a.say("alice", "bob", "hello")
			for _, n := range []*node{a, b} {
				if seq := n.say("alice", "bob", "hello"); seq != first {
					t.Errorf("stored as %d and answered as %d", first, seq)
				}
			}
		})
		t.Run("64 times at once, at two servers", func(t *testing.T) {
			var mu sync.Mutex
			seqs := make(map[chat.Seq]bool)
			var group sync.WaitGroup
			for i := range 64 {
				group.Go(func() {
					seq := []*node{a, b}[i%2].say("alice", "carol", "at once")
					mu.Lock()
					defer mu.Unlock()
					seqs[seq] = true
				})
			}
			group.Wait()
			if len(seqs) != 1 || len(c.stored("carol")) != 1 {
				t.Errorf("%d seqs were answered, %d messages are stored; want one", len(seqs), len(c.stored("carol")))
			}
		})
		t.Run("but of another sender, or to another recipient, it is another message", func(t *testing.T) {
			seqs := []chat.Seq{a.say("alice", "bob", "id"), a.say("carol", "bob", "id"), a.say("alice", chat.Everyone, "id")}
			slices.Sort(seqs)
			if len(slices.Compact(seqs)) != 3 {
				t.Errorf("seqs %v are not three", seqs)
			}
		})
	})(t)
}

func TestABroadcastIsStoredOnce(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob", "carol")
		n := c.serve()
		n.say("alice", chat.Everyone, "to all")
		if got := c.stored(chat.Everyone); len(got) != 1 {
			t.Errorf("everyone's mailbox has %d messages, want 1", len(got))
		}
		for _, user := range []chat.Mailbox{"alice", "bob", "carol"} {
			if got := c.stored(user); len(got) != 0 {
				t.Errorf("%s's own mailbox has %d messages, want none", user, len(got))
			}
		}
	})(t)
}

type waitingSend struct {
	from     chat.UserID
	to       chat.Mailbox
	id, text string
}

// sendBehindHeldCommit has sends wait behind one whose commit is held. Each text is one byte, so that it can be seen how
// many wait.
func sendBehindHeldCommit(n *node, sends []waitingSend) (seqs []chat.Seq, errs []error) {
	n.t.Helper()
	held := n.store.prepareHold(n.t, "Append")
	seqs, errs = make([]chat.Seq, len(sends)), make([]error, len(sends))
	var group sync.WaitGroup
	group.Go(func() { n.say("alice", "bob", "1") })
	<-held.first
	for i, s := range sends {
		group.Go(func() { seqs[i], errs[i] = n.send(s.from, s.to, chat.MessageID(s.id), s.text) })
		eventually(n.t, "the send waits in its place", func() bool { return n.HeldBytes() == int64(i+2) })
	}
	held.release()
	group.Wait()
	return seqs, errs
}

func TestSendsThatWaitShareOneCommitInTheirOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	var sends []waitingSend
	for i := range 64 {
		sends = append(sends, waitingSend{"alice", "bob", fmt.Sprint("id ", i), string(rune('0' + i))})
	}
	seqs, errs := sendBehindHeldCommit(n, sends)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seqs) {
		t.Errorf("what was sent in order has the seqs %v", seqs)
	}
	if n := n.store.count("Append"); n != 2 {
		t.Errorf("%d commits for one message and then 64 that waited; want 2", n)
	}
}

func TestEqualIDsInOneBatch(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	seqs, errs := sendBehindHeldCommit(n, []waitingSend{
		{"alice", "bob", "id", "A"},
		{"alice", "bob", "id", "A"},
		{"alice", "bob", "id", "B"},
		{"bob", "bob", "id", "B"},
		{"alice", "nobody", "id", "A"},
		{"alice", "nobody", "id", "A"},
	})
	var codes []chat.Code
	for _, err := range errs {
		codes = append(codes, codeOf(err))
	}
	want := []chat.Code{"ok", "ok", chat.CodeConflict, "ok", chat.CodeNoUser, chat.CodeNoUser}
	if !slices.Equal(codes, want) {
		t.Errorf("answered %v, want %v", codes, want)
	}
	if seqs[0] != seqs[1] || seqs[0] == seqs[3] {
		t.Errorf("seqs %v: the first two are one message, the fourth another", seqs)
	}
	if got := len(c.stored("bob")); got != 3 {
		t.Errorf("%d messages are stored, want 3", got)
	}
}

func TestSendsBeyondTheBoundAreBusy(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve(anyNumberOfSends, func(cfg *server.Config) { cfg.MaxText = chat.MaxText })
		n.say("alice", "bob", "the password is known now")
		n.store.on("Append", func(ctx context.Context, _ func() error) error {
			<-ctx.Done()
			return chat.Errorf(chat.CodeUnavail, "the shard does not answer")
		})
		text := bytes.Repeat([]byte("x"), chat.MaxText)
		var senders sync.WaitGroup
		for i := range server.MaxWriteBytes / chat.MaxText {
			senders.Go(func() {
				_, err := n.send("alice", "bob", chat.MessageID(fmt.Sprint(i)), string(text))
				if code := codeOf(err); code != chat.CodeUnavail && code != chat.CodeUnknown {
					t.Errorf("a send that was held when the server ended: %v", err)
				}
			})
		}
		eventually(t, "the queue is full", func() bool { return n.HeldBytes() == server.MaxWriteBytes })
		if _, err := n.send("alice", "bob", "one more", "x"); codeOf(err) != chat.CodeBusy {
			t.Errorf("one more byte: %v, want busy", err)
		}
		n.end()
		senders.Wait()
		if left := n.HeldBytes(); left != 0 {
			t.Errorf("%d bytes are still counted as queued at the end", left)
		}
	})(t)
}
