//go:build faults

package server_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/faults"
	"multichat/server"
)

// withAndWithout is a test that runs with a mistake and without it, on both engines. No other test runs meanwhile, since a
// mistake is the whole process's.
func withAndWithout(mistake *bool, shards int, test func(*testing.T, *cluster)) func(*testing.T) {
	return func(t *testing.T) {
		defer func() { *mistake = false }()
		for _, made := range []bool{false, true} {
			*mistake = made
			for _, engine := range []server.Engine{server.EventEngine, server.SyncEngine} {
				t.Run(map[bool]string{false: "without/", true: "with/"}[made]+engine.String(), func(t *testing.T) {
					c := newCluster(t, shards)
					c.addUsers("alice", "bob")
					c.engine = engine
					test(t, c)
				})
			}
		}
	}
}

// either is what is expected with the mistake, or without it.
func either[T any](made bool, with, without T) T {
	if made {
		return with
	}
	return without
}

func TestWithoutDedupeWhatIsSentAgainIsStoredAgain(t *testing.T) {
	withAndWithout(&faults.DedupeOff, 1, func(t *testing.T, c *cluster) {
		a, b := c.serve(), c.serve()
		bob := newClient(t, "bob")
		bob.join(a)
		first := a.say("alice", "bob", "hello")
		second := b.say("alice", "bob", "hello")
		if twice := first != second; twice != faults.DedupeOff {
			t.Errorf("the first is %d, and the second %d", first, second)
		}
		a.say("alice", "bob", "bye")
		bob.gets(a, either(faults.DedupeOff, []string{"hello", "hello", "bye"}, []string{"hello", "bye"})...)
	})(t)
}

// The commit goes through, and its answer is lost: so the engine tries again.
func TestWithoutDedupeARetryOfTheServerIsStoredAgain(t *testing.T) {
	withAndWithout(&faults.DedupeOff, 1, func(t *testing.T, c *cluster) {
		n := c.serve()
		n.store.on("Append", func(_ context.Context, do func() error) error {
			n.store.on("Append", nil)
			if err := do(); err != nil {
				return err
			}
			return chat.Errorf(chat.CodeUnknown, "the answer is lost")
		})
		n.say("alice", "bob", "hello")
		want := either(faults.DedupeOff, []string{"hello", "hello"}, []string{"hello"})
		if got := c.texts("bob"); !slices.Equal(got, want) {
			t.Errorf("stored: %q, want %q", got, want)
		}
	})(t)
}

// The shard is lost for good while it is asked to store a message: as for the message, the server's death is the same.
func TestOKBeforeTheCommitLosesWhatIsAcknowledged(t *testing.T) {
	withAndWithout(&faults.OKBeforeCommit, 1, func(t *testing.T, c *cluster) {
		n := c.serve(holdFor(300 * time.Millisecond))
		n.store.on("Append", func(context.Context, func() error) error {
			return chat.Errorf(chat.CodeUnavail, "the shard is down")
		})
		var seqs []chat.Seq
		for _, text := range []string{"1", "2", "3"} {
			seq, err := n.send("alice", "bob", chat.MessageID(text), text)
			if code := codeOf(err); code != either(faults.OKBeforeCommit, "ok", chat.CodeUnavail) {
				t.Errorf("%s is answered %s", text, code)
			}
			seqs = append(seqs, seq)
		}
		if faults.OKBeforeCommit && !slices.IsSorted(seqs) {
			t.Errorf("the seqs that are made up do not rise: %d", seqs)
		}
		n.end()
		if got := c.texts("bob"); len(got) != 0 {
			t.Errorf("stored: %q", got)
		}
	})(t)
}

func TestOKBeforeTheCommitStoresAllTheSameIfNothingDies(t *testing.T) {
	withAndWithout(&faults.OKBeforeCommit, 1, func(t *testing.T, c *cluster) {
		n := c.serve()
		bob := newClient(t, "bob")
		for _, text := range []string{"1", "2", "3"} {
			n.say("alice", "bob", text)
		}
		bob.gets(n, "1", "2", "3")
	})(t)
}

func TestACursorBeforeTheAckLosesWhatWasOnItsWayToAStream(t *testing.T) {
	withAndWithout(&faults.CursorBeforeAck, 2, func(t *testing.T, c *cluster) {
		n := c.serve()
		bob := n.stream("bob", "phone", silent)
		own, all := n.say("alice", "bob", "1"), n.say("alice", chat.Everyone, "to all")
		eventually(t, "both are given", func() bool { return len(bob.messages()) == 2 })
		if faults.CursorBeforeAck {
			eventually(t, "the cursor is stored", func() bool {
				at := c.storedCursor("bob", "phone")
				return at.Inbox == own && at.Broadcast == all
			})
		}
		bob.close()
		n.end()

		next := c.serve()
		next.say("alice", "bob", "2")
		want := either(faults.CursorBeforeAck, []string{"2"}, []string{"1", "2", "to all"})
		next.stream("bob", "phone").gets(want...)
	})(t)
}

func TestACursorBeforeTheReceiptLosesWhatWasPushed(t *testing.T) {
	withAndWithout(&faults.CursorBeforeAck, 2, func(t *testing.T, c *cluster) {
		n := c.serve()
		bob := newClient(t, "bob")
		bob.answers(ends(edge.PushBroken))
		n.say("alice", "bob", "1")
		bob.pollUntil(n, "pushed to", func() bool { return len(bob.pushed()) > 0 && n.Pushing() == 0 })
		n.end()

		bob.answers(nil)
		next := c.serve()
		next.say("alice", "bob", "2")
		bob.gets(next, either(faults.CursorBeforeAck, []string{"2"}, []string{"1", "2"})...)
	})(t)
}

// While a's reader sees nothing, b commits first, and then a.
func TestPushingPastThePositionLosesWhatOthersCommitted(t *testing.T) {
	withAndWithout(&faults.PushPastPosition, 1, func(t *testing.T, c *cluster) {
		a, b := c.serve(), c.serve()
		phone, poller := a.stream("bob", "phone"), newClient(t, "bob")
		poller.join(a)
		a.say("alice", "bob", "a1")
		phone.gets("a1")
		poller.gets(a, "a1")

		release := a.store.hold(t, "Arrivals")
		b.say("alice", "bob", "b2")
		a.say("alice", "bob", "a3")
		if faults.PushPastPosition {
			phone.gets("a1", "a3")
		}
		release()
		a.catchesUp()
		a.say("alice", "bob", "a4")
		want := either(faults.PushPastPosition, []string{"a1", "a3", "a4"}, []string{"a1", "b2", "a3", "a4"})
		phone.gets(want...)
		poller.gets(a, want...)
		if got := c.texts("bob"); !slices.Equal(got, []string{"a1", "b2", "a3", "a4"}) {
			t.Errorf("stored: %q", got)
		}
	})(t)
}

// setClock sets the process's clock wrong until the test ends.
func setClock(t *testing.T, by time.Duration) {
	faults.Clock = by
	t.Cleanup(func() { faults.Clock = 0 })
}

func TestAWrongClockIsInWhatIsWritten(t *testing.T) {
	for _, by := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run(by.String(), func(t *testing.T) {
			setClock(t, by)
			c := newCluster(t, 1)
			c.addUsers("alice", "bob")
			n := c.serve()
			wrong := func(what string, at time.Time) {
				if off := time.Until(at); (off - by).Abs() > time.Minute {
					t.Errorf("%s is off by %v, want %v", what, off, by)
				}
			}
			alice, bob := n.stream("alice", "phone"), n.stream("bob", "phone")
			wrong("a login", c.storedCursor("bob", "phone").Seen)
			polled := newClient(t, "bob")
			polled.join(n)
			wrong("a device's first poll", c.storedCursor("bob", polled.device()).Seen)
			n.say("alice", "bob", "by itself")
			alice.say("bob", "on a stream")
			bob.gets("by itself", "on a stream")
			for _, m := range bob.messages() {
				wrong("what is sent "+string(m.Text), m.Sent)
			}
		})
	}
}

// Ten minutes are allowed between the clocks of two servers.
func TestTicketsAndWrongClocks(t *testing.T) {
	for _, test := range []struct {
		apart time.Duration
		spare bool
	}{{9 * time.Minute, true}, {11 * time.Minute, false}} {
		t.Run(test.apart.String(), func(t *testing.T) {
			setClock(t, test.apart/2)
			c := newCluster(t, 1)
			c.addUsers("alice")
			p := newProxy()
			c.serve(inCluster).sendBy(p, "alice")
			faults.Clock = -test.apart / 2
			err := c.serve(inCluster).AdmitByTicket(t.Context(), p.caller("alice"), "alice")
			if (err == nil) != test.spare {
				t.Errorf("the ticket is answered %v; want it to be right: %v", err, test.spare)
			}
		})
	}
}

func TestAWrongClockDeletesByItself(t *testing.T) {
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	c.commitAged("bob", 29*day, time.Hour)
	setClock(t, 2*day)
	if err := c.serve().DeleteOld(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.texts("bob"); !slices.Equal(got, []string{time.Hour.String()}) {
		t.Errorf("left: %q", got)
	}
	faults.Clock = -2 * day
	n := c.serve(func(cfg *server.Config) { cfg.Retention = server.MinRetention })
	if err := n.DeleteOld(t.Context()); err != nil {
		t.Errorf("the least retention, where the clock is behind: %v", err)
	}
}
