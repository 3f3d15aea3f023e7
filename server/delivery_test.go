package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/server"
)

func TestTheFirstDeviceGetsEverythingThatWaits(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.say("alice", chat.Everyone, "to all 1")
		n.say("alice", "bob", "to bob 1")
		n.say("alice", chat.Everyone, "to all 2")
		n.say("alice", "bob", "to bob 2")
		n.say("bob", "bob", "to myself")

		bob := newClient(t, "bob")
		bob.gets(n, "to bob 1", "to bob 2", "to myself", "to all 1", "to all 2")
		n.say("alice", "bob", "later")
		bob.gets(n, "to bob 1", "to bob 2", "to myself", "to all 1", "to all 2", "later")
		first := bob.pushed()[0]
		if first.Client != bob.addr || first.Settled || !slices.Equal(first.Ports, []uint16{10001, 4391}) {
			t.Errorf("the first push went to %v ports %v, settled: %v", first.Client, first.Ports, first.Settled)
		}
		last := bob.pushed()[len(bob.pushed())-1]
		if !last.Settled || !slices.Equal(last.Ports, []uint16{10001}) {
			t.Errorf("the last push went to ports %v, settled: %v", last.Ports, last.Settled)
		}
	})(t)
}

func TestNobodyGetsTheirOwnBroadcasts(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := newClient(t, "alice")
		other := alice.otherDevice(12)
		alice.join(n)
		other.join(n)
		n.say("alice", chat.Everyone, "mine 1")
		n.say("bob", chat.Everyone, "bob's 1")
		n.say("alice", chat.Everyone, "mine 2")
		n.say("bob", chat.Everyone, "bob's 2")
		n.say("alice", chat.Everyone, "mine 3")
		for _, device := range []*client{alice, other} {
			device.gets(n, "bob's 1", "bob's 2")
		}
	})(t)
}

// Else every later poll of somebody who only sends would cost a query.
func TestOwnBroadcastsArePassedOver(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		alice := newClient(t, "alice")
		alice.join(n)
		n.say("alice", chat.Everyone, "mine 1")
		last := n.say("alice", chat.Everyone, "mine 2")
		n.catchesUp()
		alice.poll(n)
		eventually(t, "the push ends", func() bool { return n.Pushing() == 0 })
		n.end()
		if cur, _ := c.cursor("alice", alice.device()); cur.Broadcast != last {
			t.Errorf("the cursor is at %d; want %d, at the last broadcast", cur.Broadcast, last)
		}
		if pushes := alice.pushed(); len(pushes) != 0 {
			t.Errorf("alice was pushed to %d times", len(pushes))
		}
	})(t)
}

func TestBroadcastsOfBeforeAUserWasMadeAreNotTheUsers(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice")
		n := c.serve()
		n.say("alice", chat.Everyone, "before")
		c.addUsers("bob")
		n.say("alice", chat.Everyone, "after")
		newClient(t, "bob").gets(n, "after")
	})(t)
}

func TestTextsArriveByteForByte(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		var every []byte
		for b := 1; b < 256; b++ {
			every = append(every, byte(b))
		}
		texts := []string{string(every), "", ":colons::and\nnewlines\n", strings.Repeat("ü", chat.DefaultMaxText/2)}
		for i, text := range texts {
			if _, err := n.send("alice", "bob", chat.MessageID(fmt.Sprint(i)), text); err != nil {
				t.Fatal(err)
			}
		}
		newClient(t, "bob").gets(n, texts...)
	})(t)
}

func TestWhatBringsNoReceiptComesAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer func(context.Context, edge.Push) (edge.Receipt, error)
		taken  int           // of the three
		pause  time.Duration // before the next push, at least
	}{
		{"the client takes two and breaks off", takes(2), 2, time.Second},
		{"the client refuses", ends(edge.PushRefused), 0, time.Second},
		{"both readings of its port answer", ends(edge.PushAmbiguous), 0, time.Second},
		{"the proxy is busy", ends(edge.PushBusy), 0, 0},
		{"a receipt that says nothing", ends(edge.PushTaken), 0, 0},
		{"the link to the proxy breaks", func(context.Context, edge.Push) (edge.Receipt, error) {
			return edge.Receipt{}, errors.New("the link is broken")
		}, 0, 0},
	} {
		t.Run(test.name, onBothEngines(1, func(t *testing.T, c *cluster) {
			c.addUsers("alice", "bob")
			n := c.serve()
			bob := newClient(t, "bob")
			bob.join(n)
			for i := range 3 {
				n.say("alice", "bob", fmt.Sprint(i))
			}
			n.catchesUp() // all three are there before the poll
			bob.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
				bob.answers(nil)
				return test.answer(ctx, p)
			})
			bob.poll(n)
			eventually(t, "the push ends", func() bool { return len(bob.pushed()) > 0 && n.Pushing() == 0 })
			if pushes := bob.pushed(); len(pushes) != 1 || len(bob.texts()) != test.taken {
				t.Fatalf("after one poll there were %d pushes, of which %q arrived", len(pushes), bob.texts())
			}
			bob.gets(n, "0", "1", "2")
			pushes := bob.pushed()
			if next := string(pushes[1].Messages[0].Text); next != fmt.Sprint(test.taken) {
				t.Errorf("the next push begins with message %s, want %d", next, test.taken)
			}
			if pause := pushes[1].at.Sub(pushes[0].at); pause < test.pause {
				t.Errorf("the next push came after %v, want %v", pause, test.pause)
			}
		}))
	}
}

func TestWhatIsSettledIsForgottenWhenItFails(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := newClient(t, "bob")
		settled := func() bool {
			pushes := bob.pushed()
			return pushes[len(pushes)-1].Settled
		}
		n.say("alice", "bob", "1")
		bob.gets(n, "1")
		n.say("alice", "bob", "2")
		bob.gets(n, "1", "2")
		if !settled() {
			t.Error("the port is not settled though it took a message")
		}
		fail := func(o edge.Outcome) {
			before := len(bob.pushed())
			bob.answers(ends(o))
			bob.pollUntil(n, "pushed to", func() bool { return len(bob.pushed()) > before && n.Pushing() == 0 })
			bob.answers(nil)
		}
		n.say("alice", "bob", "3")
		fail(edge.PushBusy)
		bob.gets(n, "1", "2", "3")
		if !settled() {
			t.Error("the port is no longer settled, though nothing was tried")
		}
		n.say("alice", "bob", "4")
		fail(edge.PushBroken)
		bob.gets(n, "1", "2", "3", "4")
		if settled() {
			t.Error("the port is still settled after it failed")
		}
	})(t)
}

func TestADeviceHasOnePushInFlight(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := newClient(t, "bob")
		var inFlight, most atomic.Int32
		bob.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
			now := inFlight.Add(1)
			defer inFlight.Add(-1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			return takes(1)(ctx, edge.Push{Ports: p.Ports, Messages: p.Messages[:1]})
		})
		var want []string
		var pollers sync.WaitGroup
		stop := make(chan struct{})
		for range 4 { // proxies that relay the same client's polls
			pollers.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
						bob.poll(n)
					}
				}
			})
		}
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
			n.say("alice", "bob", want[i])
		}
		eventually(t, "all arrive", func() bool { return len(bob.texts()) >= len(want) })
		close(stop)
		pollers.Wait()
		if !slices.Equal(bob.texts(), want) {
			t.Errorf("got %q", bob.texts())
		}
		if most.Load() != 1 {
			t.Errorf("%d pushes at once", most.Load())
		}
	})(t)
}

// Its polls have gone over to another server, which begins at the stored position: what both push comes twice.
func TestAPushEndsWhenTheDevicePollsNoLongerHere(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		var want []string
		for i := range 400 {
			want = append(want, fmt.Sprint(i))
			n.say("alice", "bob", want[i])
		}
		bob := newClient(t, "bob")
		bob.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
			time.Sleep(800 * time.Millisecond) // each push is one to a slow client
			return takes(len(p.Messages))(ctx, p)
		})
		bob.poll(n)
		eventually(t, "the push begins", func() bool { return n.Pushing() == 1 })
		eventually(t, "the push ends", func() bool { return n.Pushing() == 0 })
		if got := len(bob.texts()); got == 0 || got == len(want) {
			t.Errorf("after one poll, and none for seconds, %d of %d messages were pushed", got, len(want))
		}
		bob.answers(nil)
		bob.gets(n, want...)
	})(t)
}

func TestAPollByAnotherProxyAddsNoPush(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob, elsewhere := newClient(t, "bob"), newClient(t, "bob")
		bob.join(n)
		n.say("alice", "bob", "hello")
		n.catchesUp()
		release := make(chan struct{})
		bob.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
			<-release
			return takes(1)(ctx, p)
		})
		bob.poll(n)
		eventually(t, "a push is under way", func() bool { return len(bob.pushed()) == 1 })
		bob.pollBy(n, elsewhere)
		close(release)
		eventually(t, "the push ends", func() bool { return n.Pushing() == 0 })
		if got := bob.texts(); len(got) != 1 || len(elsewhere.pushed()) != 0 {
			t.Errorf("by the first proxy %q, by the second %d pushes", got, len(elsewhere.pushed()))
		}
		bob.pollBy(n, elsewhere)
		n.say("alice", "bob", "by the other")
		bob.pollUntil(n, "given the second", func() bool {
			bob.pollBy(n, elsewhere)
			return len(elsewhere.texts())+len(bob.texts()) == 2
		})
	})(t)
}

func TestWhatWasAcknowledgedDoesNotComeAgainAfterARestart(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		bob := newClient(t, "bob")
		n.say("alice", "bob", "1")
		bob.gets(n, "1") // first: between two mailboxes there is no order
		n.say("alice", chat.Everyone, "2")
		bob.gets(n, "1", "2")
		n.store.on("RaiseCursors", func(context.Context, func() error) error {
			n.store.on("RaiseCursors", nil) // it fails once
			return chat.Errorf(chat.CodeUnavail, "the shard does not answer")
		})
		eventually(t, "a cursor could not be stored", func() bool { return n.store.count("RaiseCursors") > 0 })
		n.say("alice", "bob", "3") // nobody polls for it
		n.end()
		n = c.serve()
		n.say("alice", chat.Everyone, "4")
		bob.gets(n, "1", "2", "3", "4")
	})(t)
}

func TestAFurtherDeviceStartsWhereTheMostAdvancedIs(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		first := newClient(t, "bob")
		first.join(n)
		n.say("alice", "bob", "1")
		first.gets(n, "1") // first: between two mailboxes there is no order
		n.say("alice", chat.Everyone, "2")
		first.gets(n, "1", "2")
		n.end() // its cursor is in the store now
		n = c.serve()
		n.say("alice", "bob", "3")
		first.otherDevice(12).gets(n, "3")
		first.gets(n, "1", "2", "3")
	})(t)
}

func TestADevicesStartIsStoredBeforeItIsGivenAnything(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		n.say("alice", "bob", "hello")
		bob := newClient(t, "bob")
		bob.answers(func(ctx context.Context, p edge.Push) (edge.Receipt, error) {
			if _, ok := c.cursor("bob", bob.device()); !ok {
				t.Error("pushed to a device without a row")
			}
			return takes(1)(ctx, p)
		})
		bob.gets(n, "hello")
	})(t)
}

func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint(i)
	}
	return texts
}

func TestMoreThanTheTailHoldsIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	n := c.serve()
	texts := numbered(2500)
	bob := newClient(t, "bob")
	bob.join(n) // so its mailbox has a tail
	for part := range slices.Chunk(texts, 500) {
		c.commit("alice", "bob", part...)
	}
	n.catchesUp()
	bob.gets(n, texts...)
	if n.store.count("Page") == 0 {
		t.Error("all were in the tail")
	}
}

func TestMoreThanTheTailHoldsWaitsAtTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.addUsers("alice", "bob")
	texts := numbered(2500)
	for part := range slices.Chunk(texts, 500) {
		c.commit("alice", "bob", part...)
	}
	newClient(t, "bob").gets(c.serve(), texts...)
}

func TestAPushIsBoundedByTheBytesOfItsTexts(t *testing.T) {
	onBothEngines(1, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve(func(cfg *server.Config) { cfg.MaxText = chat.MaxText })
		var texts []string
		say := func() {
			for range 5 {
				id := chat.MessageID(fmt.Sprint(len(texts)))
				texts = append(texts, string(id)+strings.Repeat("x", chat.MaxText-2))
				if _, err := n.send("alice", "bob", id, texts[len(texts)-1]); err != nil {
					t.Fatal(err)
				}
			}
		}
		bob := newClient(t, "bob")
		say() // they wait in the store
		bob.gets(n, texts...)
		say() // they are in the tail
		bob.gets(n, texts...)
		for _, p := range bob.pushed() {
			bytes := 0
			for _, m := range p.Messages {
				bytes += len(m.Text)
			}
			if bytes > server.PushBytes+chat.MaxText {
				t.Errorf("a push of %d bytes", bytes)
			}
		}
	})(t)
}

func TestIdlePollsCostNoQuery(t *testing.T) {
	t.Parallel()
	for _, devices := range []int{10, 200, 1000} {
		t.Run(fmt.Sprint(devices, " devices"), func(t *testing.T) {
			t.Parallel()
			testIdlePolls(t, devices)
		})
	}
}

func testIdlePolls(t *testing.T, count int) {
	c := newCluster(t, 1)
	c.addUsers("alice")
	var devices []*client
	for i := range count {
		d := newClient(t, chat.UserID(fmt.Sprint("user", i/chat.MaxDevices)))
		if d.port += uint16(i % chat.MaxDevices); i%chat.MaxDevices == 0 {
			c.addUsers(d.user)
		}
		devices = append(devices, d)
	}
	n := c.serve()
	pollAll := func() {
		for _, d := range devices {
			d.poll(n)
		}
	}
	calls := func() int { return n.store.countAll() - n.store.count("Arrivals") } // but for the reader's ticks
	eventually(t, "all devices are known", func() bool {
		unknown := 0
		for _, d := range devices {
			if !n.Knows(d.user, d.addr, d.port) {
				d.poll(n)
				unknown++
			}
		}
		n.ticks()
		return unknown == 0
	})
	eventually(t, "the last of them are through", func() bool {
		pollAll()
		before := calls()
		n.ticks()
		return calls() == before
	})
	before := calls()
	for range 5 {
		pollAll()
		n.ticks()
	}
	if more := calls() - before; more != 0 {
		t.Errorf("%d polls of %d devices with nothing to get cost %d calls of the store", 5*len(devices), len(devices), more)
	}
	c.commit("alice", chat.Everyone, "to all")
	eventually(t, "each has the broadcast", func() bool {
		pollAll()
		return !slices.ContainsFunc(devices, func(d *client) bool { return len(d.texts()) != 1 })
	})
}
