package proxy

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/link"
)

// takenOver is how many takeovers had this outcome.
func (n *node) takenOver(outcome string) float64 {
	return testutil.ToFloat64(n.metrics.Takeovers.WithLabelValues(outcome))
}

// losses are the ways in which a stream may lose its server.
var losses = []struct {
	name string
	lose func(s *chatServer, st *serverStream)
}{
	{"its link breaks", func(s *chatServer, _ *serverStream) { s.relay.close() }},
	{"it falls silent", func(s *chatServer, _ *serverStream) { s.relay.stall(true) }},
	{"it sends the stream away", func(_ *chatServer, st *serverStream) { st.client.End(nil) }},
}

func TestAStreamSurvivesItsServer(t *testing.T) {
	t.Parallel()
	for _, tt := range losses {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3, silent)
			first, next := f.servers[0], f.servers[1]
			client := f.clientOf(t, f.names, first.name, next.name)
			c := f.open(t, from(client))
			old := first.stream(t, 0)
			old.client.Deliver(mail("alice", 10, 12))
			old.client.Deliver(mail(chat.Everyone, 11))
			c.awaitSeqs(t, "alice", 10, 12)
			c.awaitSeqs(t, chat.Everyone, 11)
			c.Send(1, messageTo("bob", "m1"))
			c.Send(2, messageTo("bob", "m2"))
			c.Ack(0, "alice", 10)
			c.Ack(3, "alice", 11)
			c.Ack(0, "alice", 12)
			c.Ack(4, chat.Everyone, 11)
			c.Send(5, messageTo(chat.Everyone, "m5"))
			c.Send(6, messageTo("bob", "m6"))
			eventually(t, "the first server has all", func() bool { return slices.Contains(old.arrived(), "send 6 m6 to bob: m6") })
			old.client.Answer(2, 20, nil)
			old.client.Answer(3, 0, nil)
			c.awaitTold(t, "2 ok 20", "3 ok 0")

			tt.lose(first, old)
			c.Send(7, messageTo("bob", "m7")) // whenever it comes, it comes behind the others
			st := next.stream(t, 0)
			st.awaitCalls(t, "ack 0 alice 12", "send 1 m1 to bob: m1", "ack 4 % 11", "send 5 m5 to %: m5",
				"send 6 m6 to bob: m6", "send 7 m7 to bob: m7")
			if st.login.Password.Len() > 0 || !st.from.Ticket.Equal(first.ticketOf("alice")) || st.from.Addr != client {
				t.Errorf("the takeover came from %+v with a password of %d bytes; want the ticket alone",
					st.from, st.login.Password.Len())
			}
			if want := (edge.Login{User: "alice", Device: "phone", Nonce: 4711, TakeOver: true,
				Given: edge.Places{Inbox: 12, Broadcast: 11}}); !sameLogin(st.login, want) {
				t.Errorf("the takeover is %+v, want %+v", st.login, want)
			}

			// What the old one says now, it says to nobody. What both push comes once.
			first.relay.stall(false)
			old.client.Answer(1, 99, nil)
			old.client.Deliver(mail("alice", 14))
			old.client.End(chat.Errorf(chat.CodeReplaced, "too late"))
			st.client.Deliver(mail("alice", 10, 12, 13))
			st.client.Deliver(mail(chat.Everyone, 11))
			st.client.Deliver(mail("alice", 14))
			st.client.Answer(7, 27, nil)
			for _, ref := range []uint64{1, 4, 5, 6} {
				st.client.Answer(ref, chat.Seq(20+ref), nil)
			}
			c.awaitTold(t, "2 ok 20", "3 ok 0", "7 ok 27", "1 ok 21", "4 ok 24", "5 ok 25", "6 ok 26")
			c.awaitSeqs(t, "alice", 10, 12, 13, 14)
			c.awaitSeqs(t, chat.Everyone, 11)
			eventually(t, "the takeover is counted", func() bool { return f.takenOver("ok") == 1 })
			if third := f.servers[2]; third.logins() > 0 || next.logins() != 1 {
				t.Errorf("the other servers have %d and %d logins, want 1 and 0", next.logins(), third.logins())
			}
			if tt.name == "it sends the stream away" {
				old.awaitClose(t)
			}
		})
	}
}

func sameLogin(a, b edge.Login) bool {
	same := a.Password.Equal(b.Password)
	a.Password, b.Password = chat.Secret{}, chat.Secret{}
	return same && a == b
}

func TestAnOldLegIsNotHeard(t *testing.T) {
	p := newProxy(t)
	old, c := p.settled(t)
	old.Deliver(mail("alice", 1))
	c.Send(1, messageTo("bob", "m1"))
	next := &leg{stream: old.stream}
	old.stream.hear(next)
	for _, when := range []string{"before the next login is answered", "afterwards"} {
		old.Answer(0, 0, chat.Errorf(chat.CodeBadReq, "no"))
		old.Answer(1, 99, nil)
		old.End(chat.Errorf(chat.CodeReplaced, "no"))
		old.End(link.ErrBroken)
		old.End(nil)
		if !old.Deliver(mail("alice", 2)) {
			t.Errorf("%s, it is to offer a message again, for ever", when)
		}
		if got := c.told(); len(got) > 0 {
			t.Errorf("%s, the client heard %q", when, got)
		}
		if err := old.stream.settle(next, mute{}); err != nil {
			t.Fatal(err)
		}
	}
	next.Deliver(mail("alice", 1, 2))
	next.Answer(1, 21, nil)
	c.awaitSeqs(t, "alice", 1, 2)
	c.awaitTold(t, "1 ok 21")
	c.Close()
}

func TestAStreamOutlivesAllServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	c := f.open(t, from(f.clientOf(t, f.names, "server-1")))
	told := []string{"1 ok 1", "2 ok 2", "3 ok 1"}
	for i, s := range f.servers {
		st := s.stream(t, 0)
		st.client.Deliver(mail("alice", chat.Seq(i+1)))
		c.awaitSeqs(t, "alice", []chat.Seq{1, 2}[:i+1]...)
		c.Send(uint64(i+1), messageTo("bob", fmt.Sprint("m", i+1)))
		c.awaitTold(t, told[:i+1]...)
		if given := st.login.Given.Inbox; given != chat.Seq(i) || st.login.Nonce != aLogin.Nonce {
			t.Errorf("%s was told that %v was given, under nonce %d; want %d and the same nonce", s.name, given, st.login.Nonce, i)
		}
		s.relay.close()
	}
	f.servers[0].relay.open()
	st := f.servers[0].stream(t, 1) // the only one there is, over its next link
	c.Send(3, messageTo("bob", "m3"))
	st.awaitCalls(t, "send 3 m3 to bob: m3")
	c.awaitTold(t, told...)
}

// Once a message was handed to a second server, nobody can say any more that it was not stored.
func TestWhatTheSecondServerRefuses(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, silent)
	first, next := f.servers[0], f.servers[1]
	c := f.open(t, from(f.clientOf(t, f.names, first.name)))
	c.Send(1, messageTo("bob", "m1"))
	c.Send(2, messageTo("bob", "m2"))
	c.Send(3, messageTo("bob", "m3"))
	c.Ack(4, "alice", 1)
	first.stream(t, 0).awaitCalls(t, "send 1 m1 to bob: m1", "send 2 m2 to bob: m2", "send 3 m3 to bob: m3", "ack 4 alice 1")
	first.relay.close()
	st := next.stream(t, 0)
	c.Send(5, messageTo("bob", "m5"))
	eventually(t, "all has arrived", func() bool { return len(st.arrived()) == 5 })
	for i, code := range []chat.Code{chat.CodeBusy, chat.CodeUnavail, chat.CodeNoUser, chat.CodeBusy, chat.CodeBusy} {
		st.client.Answer(uint64(i+1), 0, chat.Errorf(code, "no"))
	}
	c.awaitTold(t, "1 unknown", "2 unknown", "3 nouser", "4 unknown", "5 busy")
}

func TestASendIsHandedToFourServersAtMost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, func(s *chatServer) {
		s.take = func(st *serverStream, call string, ref uint64) {
			if ref == 1 {
				st.client.Answer(2, 0, nil) // whatever comes behind it, and it dies of the first
				s.relay.cut()
			}
		}
	})
	c := f.open(t, from(f.clientOf(t, f.names, "server-1")))
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 unknown")
	arrivals := 0
	for _, s := range f.servers {
		for i := range s.logins() {
			arrivals += len(s.stream(t, i).arrived())
		}
	}
	if arrivals != 1+maxResends {
		t.Errorf("the message arrived %d times, want %d", arrivals, 1+maxResends)
	}
}

func TestATakeoverWaitsForWhatPasses(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	var mu sync.Mutex
	var logins []time.Time
	f.servers[1].login = func(*serverStream) error {
		mu.Lock()
		defer mu.Unlock()
		if logins = append(logins, time.Now()); len(logins) < 2 {
			return chat.Errorf(chat.CodeUnavail, "a shard does not answer")
		}
		return nil
	}
	c := f.open(t, from(f.clientOf(t, f.names, "server-1")))
	lost := time.Now() // not before the stream is open: how long that takes is the machine's business
	f.servers[0].relay.close()
	f.servers[1].stream(t, 1)
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 ok 2")
	for i, pause := range []struct{ least, most time.Duration }{{0, time.Second},
		{resendPause - 500*ms, resendPause + 2*time.Second}} {
		if gap := logins[i].Sub(lost); gap < pause.least || gap > pause.most {
			t.Errorf("try %d came after %v, want %v to %v", i+1, gap, pause.least, pause.most)
		}
		lost = logins[i]
	}
}

func TestTheNewestTicketIsUsed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	first, next := f.servers[0], f.servers[1]
	c := f.open(t, from(f.clientOf(t, f.names, first.name)))
	st := first.stream(t, 0)
	renewed := chat.NewSecret("renewed")
	st.from.Tickets.KeepTicket(st.from.Holder, renewed)
	st.client.Answer(0, 0, chat.Errorf(chat.CodeBadReq, "what comes behind the ticket"))
	c.awaitTold(t, "0 badreq")
	first.relay.cut()
	if got := next.stream(t, 0).from; !got.Ticket.Equal(renewed) || got.Holder != st.from.Holder {
		t.Errorf("the takeover came with another ticket, or under another name")
	}
}

// A client that is given messages more slowly than they come gets each of them, in order, across a takeover too.
func TestWhatTheClientHasNoRoomForComesLater(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	first, next := f.servers[0], f.servers[1]
	c := f.open(t, from(f.clientOf(t, f.names, first.name)))
	st := first.stream(t, 0)
	st.client.Deliver(mail("alice", 1))
	c.awaitSeqs(t, "alice", 1)
	c.setFull(true)
	st.client.Deliver(mail("alice", 2))
	st.client.Deliver(mail("alice", 3))
	c.setFull(false)
	c.awaitSeqs(t, "alice", 1, 2, 3)
	c.setFull(true)
	st.client.Deliver(mail("alice", 4, 5))
	first.relay.close()
	st = next.stream(t, 0)
	if st.login.Given.Inbox != 3 {
		t.Errorf("the next server was told that %v was given, want 3: the rest found no room", st.login.Given.Inbox)
	}
	st.client.Deliver(mail("alice", 4))
	c.setFull(false)
	st.client.Deliver(mail("alice", 5))
	c.awaitSeqs(t, "alice", 1, 2, 3, 4, 5)
}

func TestStreamsStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, nil)
	first := f.servers[0]
	both := []string{"server-1", "server-2"}
	client := from(f.clientOf(t, both, "server-2"))
	c := f.open(t, client)
	joined := newServer(t, "server-2")
	joined.join(t, f.node)
	t.Cleanup(joined.leave)
	f.awaitRoute(t, both...)
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 ok 1")
	if joined.logins() > 0 {
		t.Error("a stream was moved to a server that joined")
	}
	later := f.open(t, client)
	later.Send(1, messageTo("bob", "m2"))
	later.awaitTold(t, "1 ok 2")

	first.drain(t) // nothing new comes, and the server sends away whom it has
	f.awaitRoute(t, "server-2")
	first.stream(t, 0).client.End(nil)
	joined.stream(t, 1)
	c.Send(2, messageTo("bob", "m3"))
	c.awaitTold(t, "1 ok 1", "2 ok 2")
}

func TestManyStreamsOfALostServer(t *testing.T) {
	t.Parallel()
	const many = 2000
	f := newFleet(t, 2, silent)
	first, next := f.servers[0], f.servers[1]
	next.take = nil
	client := from(f.clientOf(t, f.names, first.name))
	clients := make([]*streamClient, many)
	for i := range clients {
		clients[i] = f.open(t, client)
		clients[i].Send(1, messageTo("bob", fmt.Sprint("m", i)))
	}
	for i := range clients {
		st := first.stream(t, i)
		eventually(t, "its send arrives", func() bool { return len(st.arrived()) == 1 })
	}
	lost := time.Now()
	first.relay.close()
	for _, c := range clients {
		c.awaitTold(t, "1 ok 2")
	}
	took := time.Since(lost)
	t.Logf("%d streams were served again within %v", many, took.Round(ms))
	if took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := f.takenOver("ok"); n != many {
		t.Errorf("%v takeovers were counted, want %d", n, many)
	}
}
