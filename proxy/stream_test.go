package proxy

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

func TestAStreamIsServedByTheOwnerOfItsAddress(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	owner := f.servers[1]
	c := f.open(t, from(f.clientOf(t, f.names, owner.name)))
	st := owner.stream(t, 0)
	if st.login != (edge.Login{User: "alice", Password: st.login.Password, Device: "phone", Nonce: 4711}) ||
		!st.login.Password.Equal(password) {
		t.Errorf("the login arrived as %+v", st.login)
	}
	c.Send(1, messageTo("bob", "m1"))
	c.Ack(2, "alice", 77)
	c.Ack(0, chat.Everyone, 78)
	c.Send(3, messageTo(chat.Everyone, "m2"))
	st.awaitCalls(t, "send 1 m1 to bob: m1", "ack 2 alice 77", "ack 0 % 78", "send 3 m2 to %: m2")
	c.awaitTold(t, "1 ok 2", "2 ok 2", "3 ok 2")

	st.client.Deliver(mail("alice", 10, 12))
	st.client.Deliver(mail(chat.Everyone, 11))
	st.client.Deliver(mail("alice", 13))
	c.awaitSeqs(t, "alice", 10, 12, 13)
	c.awaitSeqs(t, chat.Everyone, 11)

	c.Close()
	st.awaitClose(t)
	c.Send(4, messageTo("bob", "m3")) // whoever is gone says nothing
	if got := f.streams.end(); len(got) > 0 {
		t.Errorf("%d streams are still open", len(got))
	}
	for _, s := range f.servers {
		if want := 0; s != owner && s.logins() != want {
			t.Errorf("%s has %d logins, want none", s.name, s.logins())
		}
	}
}

func TestWhatAServerRefusesIsTheClientsAnswer(t *testing.T) {
	t.Parallel()
	for _, code := range []chat.Code{chat.CodeAuth, chat.CodeBusy, chat.CodeUnavail, chat.CodeBadReq} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1, func(s *chatServer) {
				s.login = func(*serverStream) error { return chat.Errorf(code, "the sentence of %s", s.name) }
			})
			_, err := f.Login(t.Context(), from(aClient), aLogin, newStreamClient())
			if err == nil || chat.AsError(err).Code != code || !strings.Contains(err.Error(), "the sentence of server-1") {
				t.Errorf("the login was answered %v, want %s", err, code)
			}
			if n := f.servers[0].logins(); n != 1 {
				t.Errorf("%d logins arrived, want one", n)
			}
			if open := f.streams.end(); len(open) > 0 {
				t.Errorf("%d streams are open", len(open))
			}
		})
	}
}

func TestALoginThatIsLostIsTriedAtTheNextServer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, nil)
	first, next := f.servers[0], f.servers[1]
	first.login = func(*serverStream) error {
		first.relay.close()
		return nil
	}
	c := f.open(t, from(f.clientOf(t, f.names, first.name)))
	st := next.stream(t, 0)
	if st.login.TakeOver || !st.login.Password.Equal(password) || st.login.Nonce != aLogin.Nonce {
		t.Errorf("the second login is %+v, want the first one again", st.login)
	}
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 ok 2")
	if n := f.takenOver("ok"); n != 0 {
		t.Errorf("%v takeovers were counted; nothing was taken over", n)
	}
}

// A server may send a stream away, or be lost, before the proxy has seen that it took it.
func TestWhatEndsAtOnceGoesToTheNextServer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, nil)
	away, last := f.servers[0], f.servers[2]
	for _, s := range f.servers[:2] {
		s.login = func(st *serverStream) error {
			st.client.Deliver(mail("alice", s.number))
			st.client.End(nil)
			return nil
		}
	}
	c := f.open(t, from(f.clientOf(t, f.names, "server-1", "server-2", "server-3")))
	c.Send(1, messageTo("bob", "m1"))
	c.awaitTold(t, "1 ok 3")
	if n := last.logins(); n != 1 {
		t.Errorf("the last server has %d logins, want one", n)
	}
	away.stream(t, 0).awaitClose(t)
	f.servers[1].stream(t, 0).awaitClose(t)
}

func TestALoginFindsNoServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProxy(t)
		begin := time.Now()
		_, err := p.Login(t.Context(), from(aClient), aLogin, newStreamClient())
		if err == nil || chat.AsError(err).Code != chat.CodeUnavail || time.Since(begin) != serverWait {
			t.Errorf("answered %v after %v, want unavail after %v", err, time.Since(begin), serverWait)
		}
		if open := p.streams.end(); len(open) > 0 {
			t.Errorf("%d streams are open", len(open))
		}
	})
}
