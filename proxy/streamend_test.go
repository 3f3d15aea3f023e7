package proxy

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/link"
)

func TestAStreamThatNoServerTakes(t *testing.T) {
	t.Parallel()
	for code, end := range map[chat.Code]string{
		chat.CodeAuth:     "bye", // it was the ticket that did not count; the client has its password
		chat.CodeReplaced: "end replaced",
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 3, func(s *chatServer) {
				silent(s)
				s.login = func(st *serverStream) error {
					if st.login.TakeOver {
						return chat.Errorf(code, "no longer")
					}
					return nil
				}
			})
			c := f.open(t, from(f.clientOf(t, f.names, "server-1")))
			c.Send(1, messageTo("bob", "m1"))
			f.servers[0].stream(t, 0).awaitCalls(t, "send 1 m1 to bob: m1")
			f.servers[0].relay.close()
			c.awaitTold(t, "1 unknown", end)
			if n := f.servers[1].logins() + f.servers[2].logins(); n != 1 {
				t.Errorf("%d logins arrived, want one: the answer will be the same everywhere", n)
			}
			eventually(t, "it is counted", func() bool { return f.takenOver(string(code)) == 1 })
		})
	}
}

func TestWithoutATicketTheClientLogsInAnew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, silent)
	c := f.open(t, from(f.clientOf(t, f.names, "server-1")))
	c.Send(1, messageTo("bob", "m1"))
	f.servers[0].stream(t, 0).awaitCalls(t, "send 1 m1 to bob: m1")
	c.Stream.(*stream).ticket.forget()
	f.servers[0].relay.close()
	c.awaitTold(t, "1 unknown", "bye")
	if n := f.servers[1].logins(); n > 0 {
		t.Errorf("%d logins came without a ticket and without a password", n)
	}
	if n := f.takenOver("no_ticket"); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

// forget makes the ticket one that was never given.
func (h *holding) forget() {
	h.stripe.mu.Lock()
	defer h.stripe.mu.Unlock()
	h.ticket = chat.Secret{}
}

func TestAServersEndIsTheClients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, silent)
	c := f.open(t, from(f.clientOf(t, f.names, "server-1")))
	st := f.servers[0].stream(t, 0)
	c.Send(1, messageTo("bob", "m1"))
	c.Send(2, messageTo("bob", "m2"))
	st.awaitCalls(t, "send 1 m1 to bob: m1", "send 2 m2 to bob: m2")
	st.client.Answer(2, 22, nil)
	st.client.End(chat.Errorf(chat.CodeReplaced, "a newer stream has this device"))
	c.awaitTold(t, "2 ok 22", "1 unknown", "end replaced")
	c.Send(3, messageTo("bob", "m3"))
	c.Close()
	st.awaitClose(t)
	if got := c.told(); len(got) != 3 {
		t.Errorf("after its end the client heard %q", got[3:])
	}
	if n := f.servers[1].logins(); n > 0 {
		t.Errorf("%d takeovers of a stream that was not lost", n)
	}
}

// A login that a lost server works off late looks to the present one like a newer stream's. The next takeover tells.
func TestAStreamThatItsOwnLateLoginReplaces(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	lost := f.servers[0]
	lost.login = func(*serverStream) error {
		lost.relay.close()
		return nil
	}
	c := f.open(t, from(f.clientOf(t, f.names, "server-1", "server-2", "server-3")))
	f.servers[1].stream(t, 0).client.End(chat.Errorf(chat.CodeReplaced, "a newer stream has this device"))
	st := f.servers[2].stream(t, 0)
	if !st.login.TakeOver || st.login.Nonce != aLogin.Nonce {
		t.Errorf("the login after it is %+v, want a takeover", st.login)
	}
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 ok 3")
	st.client.End(chat.Errorf(chat.CodeReplaced, "a newer stream has this device"))
	c.awaitTold(t, "1 ok 3", "end replaced") // once is doubt, twice is not
}

func TestAClientThatGoesDuringATakeover(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	first, next := f.servers[0], f.servers[1]
	entered, release := make(chan struct{}), make(chan struct{})
	next.login = func(*serverStream) error {
		close(entered)
		<-release
		return nil
	}
	c := f.open(t, from(f.clientOf(t, f.names, first.name)))
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 ok 1")
	first.relay.close()
	receive(t, entered, "the takeover to arrive")
	c.Send(2, messageTo("bob", "m2"))
	c.Close()
	eventually(t, "the takeover ends", func() bool { return f.takeovers.Running() == 0 })
	close(release)
	st := next.stream(t, 0)
	st.awaitClose(t)
	if len(st.arrived()) > 0 {
		t.Errorf("a stream that was closed said %q", st.arrived())
	}
	c.awaitTold(t, "1 ok 1")
	if got := testutil.CollectAndCount(f.metrics.Takeovers); got > 0 {
		t.Errorf("%d outcomes were counted, want none", got)
	}
}

func TestAStreamThatFindsNoServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProxy(t)
		l, c := p.settled(t)
		c.Send(1, messageTo("bob", "m1"))
		l.End(fmt.Errorf("pulled: %w", link.ErrBroken))
		c.Send(2, messageTo("bob", "m2"))
		time.Sleep(takeoverTime - time.Millisecond)
		synctest.Wait()
		c.awaitTold(t)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		c.awaitTold(t, "1 unknown", "2 unavail", "end unavail") // the second was handed to nobody
		if n := testutil.ToFloat64(p.cfg.Metrics.Takeovers.WithLabelValues("unavail")); n != 1 {
			t.Errorf("counted %v times", n)
		}
	})
}

func TestASendThatIsNotAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProxy(t)
		l, c := p.settled(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.serveExpiry(ctx)
		c.Send(1, messageTo("bob", "m1"))
		c.Ack(0, "alice", 1)
		time.Sleep(2 * time.Second)
		c.Ack(2, "alice", 2)
		time.Sleep(sendTimeout - 2*time.Second - time.Millisecond)
		synctest.Wait()
		c.awaitTold(t)
		time.Sleep(expireEvery)
		synctest.Wait()
		c.awaitTold(t, "1 unknown")
		l.Answer(1, 21, nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		c.awaitTold(t, "1 unknown", "2 unknown")
		c.Send(3, messageTo("bob", "m3"))
		l.Answer(3, 23, nil)
		c.awaitTold(t, "1 unknown", "2 unknown", "3 ok 23")
		c.Close()
	})
}

func TestTheEndEndsAllStreams(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, silent)
	first, next := f.servers[0], f.servers[1]
	held := make(chan struct{})
	defer close(held)
	next.login = func(*serverStream) error {
		<-held
		return nil
	}
	lost := f.open(t, from(f.clientOf(t, f.names, first.name)))
	first.relay.cut()
	eventually(t, "a takeover hangs", func() bool { return next.logins() == 1 })
	f.awaitRoute(t, f.names...)
	served := f.open(t, from(f.clientOf(t, f.names, first.name)))
	served.Send(1, messageTo("bob", "m1"))
	first.stream(t, 1).awaitCalls(t, "send 1 m1 to bob: m1")

	begin := time.Now()
	f.end()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Serve ended after %v", took)
	}
	lost.awaitTold(t, "bye")
	served.awaitTold(t, "1 unknown", "bye")
	_, err := f.Login(t.Context(), from(aClient), aLogin, newStreamClient())
	if err == nil || chat.AsError(err).Code != chat.CodeUnavail {
		t.Errorf("a login after the end was answered %v, want unavail", err)
	}
}
