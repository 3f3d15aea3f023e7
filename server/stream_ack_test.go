package server_test

import (
	"context"
	"slices"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/server"
)

func TestAcksThatChangeNothing(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := n.stream("bob", "b", silent)
		one := n.say("alice", "bob", "1")
		two := n.say("alice", "bob", "2")
		all := n.say("alice", chat.Everyone, "to all")
		eventually(t, "all is given", func() bool { return len(bob.messages()) == 3 })
		for _, test := range []struct {
			name    string
			mailbox chat.Mailbox
			seq     chat.Seq
			want    chat.Code
			inbox   chat.Seq // the cursor after it; 0: where it was at the beginning
		}{
			{"above the shard's newest", "bob", two + 1<<20, chat.CodeBadReq, 0},
			{"above the newest by one", chat.Everyone, all + 1, chat.CodeBadReq, 0},
			{"of another user's mailbox", "alice", one, chat.CodeBadReq, 0},
			{"of no mailbox", "", one, chat.CodeBadReq, 0},
			{"of the newer one", "bob", two, "ok", two},
			{"of the older one after it", "bob", one, "ok", two},
			{"of the newer one again", "bob", two, "ok", two},
			{"of nothing", "bob", 0, "ok", two},
			{"of less than nothing", "bob", -1, "ok", two},
		} {
			start := c.storedCursor("bob", "b")
			if code := bob.ackStored(test.mailbox, test.seq); code != test.want {
				t.Errorf("%s: %s, want %s", test.name, code, test.want)
			}
			want := test.inbox
			if want == 0 {
				want = start.Inbox
			}
			if at := c.storedCursor("bob", "b"); at.Inbox != want || at.Broadcast >= all {
				t.Errorf("%s: the cursor is at %d and %d, want %d and less than %d", test.name, at.Inbox, at.Broadcast, want, all)
			}
		}
		if got := len(bob.messages()); got != 3 {
			t.Errorf("bob was given %d messages", got)
		}
	})(t)
}

func TestAnAckIsAnsweredWhenItIsStored(t *testing.T) {
	onEveryKind(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := n.stream("bob", "b", silent)
		for i, text := range numbered(20) {
			seq := n.say("alice", "bob", text)
			bob.gets(numbered(i + 1)...)
			if code := bob.ackStored("bob", seq); code != "ok" {
				t.Fatal(code)
			}
			if at := c.storedCursor("bob", "b").Inbox; at != seq {
				t.Fatalf("it was answered while the cursor was at %d, below %d", at, seq)
			}
		}
	})(t)
}

func TestAcksThatWaitForTheStoreShareItsWrites(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := n.stream("bob", "b", silent)
	seq := n.say("alice", "bob", "hello")
	bob.gets("hello")
	held := n.store.prepareHold(t, "RaiseCursors")
	ask := func() uint64 { return bob.call(func(st edge.Stream, ref uint64) { st.Ack(ref, "bob", seq) }) }
	refs := []uint64{ask()}
	<-held.first
	for range 100 {
		refs = append(refs, ask())
	}
	writes := n.store.count("RaiseCursors")
	held.release()
	for _, ref := range refs {
		if code := bob.answer(ref).code(); code != "ok" {
			t.Fatal(code)
		}
	}
	if got := n.store.count("RaiseCursors") - writes; got > 2 {
		t.Errorf("100 acks that came during one write needed %d more", got)
	}
}

func TestTheAcksOfAStreamThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob, alice := n.stream("bob", "b", silent), n.stream("alice", "a")
	seq := n.say("alice", "bob", "hello")
	bob.gets("hello")
	held := n.store.prepareHold(t, "RaiseCursors")
	ask := func(s *streamer, mailbox chat.Mailbox) uint64 {
		return s.call(func(st edge.Stream, ref uint64) { st.Ack(ref, mailbox, seq) })
	}
	var refs []uint64
	for range server.MaxStreamAcks {
		refs = append(refs, ask(bob, "bob"))
	}
	if code := bob.answer(ask(bob, "bob")).code(); code != chat.CodeBusy {
		t.Errorf("one more: %s, want busy", code)
	}
	others := ask(alice, "alice")
	held.release()
	for _, ref := range refs {
		if code := bob.answer(ref).code(); code != "ok" {
			t.Fatalf("one of those that fit: %s", code)
		}
	}
	if code := alice.answer(others).code(); code != "ok" {
		t.Errorf("another stream's: %s", code)
	}
	if code := bob.ackStored("bob", seq); code != "ok" {
		t.Errorf("afterwards: %s", code)
	}
}

func TestAnAckWhoseShardDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := n.stream("bob", "b", silent)
	seq := n.say("alice", "bob", "hello")
	bob.gets("hello")
	n.store.on("RaiseCursors", func(context.Context, func() error) error {
		return chat.Errorf(chat.CodeUnknown, "the shard does not answer")
	})
	if code := bob.ackStored("bob", seq); code != chat.CodeUnavail {
		t.Errorf("it is answered %s", code)
	}
	n.store.on("RaiseCursors", nil)
	if code := bob.ackStored("bob", seq); code != "ok" {
		t.Errorf("when the shard answers again: %s", code)
	}
}

// The client may come from a server that has read further than this one.
func TestAnAckMayBeAheadOfTheServersReader(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := n.stream("bob", "b")
		release := n.store.hold(t, "Arrivals")
		inbox := c.commit("alice", "bob", "1", "2", "3")
		broadcasts := c.commit("alice", chat.Everyone, "to all")
		var refs []uint64
		for mailbox, seq := range map[chat.Mailbox]chat.Seq{"bob": inbox[1], chat.Everyone: broadcasts[0]} {
			refs = append(refs, bob.call(func(st edge.Stream, ref uint64) { st.Ack(ref, mailbox, seq) }))
		}
		tooHigh := bob.call(func(st edge.Stream, ref uint64) { st.Ack(ref, "bob", inbox[2]+1<<20) })
		for _, ref := range append(refs, tooHigh) {
			if bob.isAnswered(ref) {
				t.Error("an ack is answered though nobody knows whether there is such a seq")
			}
		}
		release()
		for _, ref := range refs {
			if code := bob.answer(ref).code(); code != "ok" {
				t.Errorf("answered %s", code)
			}
		}
		if code := bob.answer(tooHigh).code(); code != chat.CodeBadReq {
			t.Errorf("one that is above the newest: %s", code)
		}
		eventually(t, "bob has the rest", func() bool { return slices.Contains(bob.texts(), "3") })
	})(t)
}

func TestAPlainAckIsAnsweredOnlyIfItIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := n.stream("bob", "b", silent)
	seq := n.say("alice", "bob", "1")
	bob.gets("1")
	bob.ack("bob", seq)
	if code := bob.ackStored("bob", seq); code != "ok" {
		t.Fatal(code)
	}
	if bob.isAnswered(0) {
		t.Error("it is answered")
	}
	bob.ack("bob", seq+1<<20)
	if code := bob.answer(0).code(); code != chat.CodeBadReq {
		t.Errorf("one above the newest: %s", code)
	}
}

// Whoever acknowledges what does not exist, as fast as it can, gets few refusals: nothing else bounds them.
func TestPlainAcksThatWaitForTheShardStandForEachOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := n.stream("bob", "b", silent)
	for _, mailbox := range []chat.Mailbox{"bob", chat.Everyone} {
		before := bob.refusals()
		release := n.store.hold(t, "Arrivals")
		seq := c.commit("alice", mailbox, "hello")[0]
		for i := range 2 * server.MaxStreamAcks {
			bob.ack(mailbox, seq+1<<20+chat.Seq(i))
		}
		bob.ack(mailbox, seq) // this server does not know of it yet
		release()
		eventually(t, "the newest ack counts", func() bool {
			if code := bob.ackStored(mailbox, 0); code != "ok" {
				t.Fatal(code)
			}
			at := c.storedCursor("bob", "b")
			return at.Inbox == seq || at.Broadcast == seq
		})
		if got := bob.refusals() - before; got != 1 {
			t.Errorf("%s: %d refusals, want the first one's alone", mailbox, got)
		}
	}
}

func TestAStreamThatOnlySendsReadsNothing(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := n.stream("alice", "")
		seq := n.say("bob", "alice", "hello")
		alice.say("bob", "sent")
		if code := alice.ackStored("alice", seq); code != chat.CodeBadReq {
			t.Errorf("an ack: %s", code)
		}
		n.ticks()
		if got := alice.texts(); len(got) != 0 {
			t.Errorf("it was given %q", got)
		}
		if got := n.store.count("LoginDevices"); got != 0 {
			t.Errorf("it has a device: %d logins", got)
		}
	})(t)
}

// What a stream is given counts as taken when it is acknowledged.
func TestTakenMessagesAreCounted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	bob := n.stream("bob", "b", silent)
	var seqs []chat.Seq
	for _, text := range numbered(3) {
		seqs = append(seqs, n.say("alice", "bob", text))
	}
	bob.gets(numbered(3)...)
	for i, want := range []int{2, 3} {
		if code := bob.ackStored("bob", seqs[i+1]); code != "ok" {
			t.Fatal(code)
		}
		eventually(t, "they are counted", func() bool { return n.pushes("taken") == want })
	}
}

// Who acknowledges nothing with an id has it stored within seconds all the same, and at once at the end.
func TestWhatWasAcknowledgedIsStoredWhenTheStreamEnds(t *testing.T) {
	onEveryKind(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		a, b := c.serve(), c.serve()
		for i, end := range []func(*streamer){
			func(s *streamer) { s.close() },
			func(s *streamer) { b.stream("bob", "other").close() }, // another device's start needs it
		} {
			bob := a.stream("bob", "b")
			seq := a.say("alice", "bob", numbered(2)[i])
			bob.gets(numbered(2)[i])
			end(bob)
			eventually(t, "the cursor is stored", func() bool { return c.storedCursor("bob", "b").Inbox == seq })
			bob.close()
		}
	})(t)
}
