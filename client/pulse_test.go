package client

import (
	"testing"
	"time"

	"multichat/internal/wire"
)

// impatient is a pace that gives up a silent proxy soon, but not a slow test.
func impatient(s *Stream) {
	s.pace.answer, s.pace.pong, s.pace.idle = 250*time.Millisecond, 250*time.Millisecond, 400*time.Millisecond
}

func TestAProxyThatDoesNotAnswerIsLeft(t *testing.T) {
	t.Run("the login", func(t *testing.T) {
		t.Parallel()
		dead, alive := newPeer(t), newPeer(t)
		serve(t, impatient, dead.address(), alive.address())
		f := dead.accept()
		frame[wire.Login](f)
		frame[wire.Ping](f)
		f.wantGone()
		alive.accept().login()
	})
	t.Run("a message", func(t *testing.T) {
		t.Parallel()
		first, second := newPeer(t), newPeer(t)
		s := serve(t, impatient, first.address(), second.address())
		f := first.accept()
		f.login()
		outcomes := make(chan outcome, 1)
		s.post(outcomes, "hello")
		m := f.wantText("hello")
		frame[wire.Ping](f)
		f.wantGone()
		f = second.accept()
		f.login()
		if again := f.wantText("hello"); again.ID != m.ID {
			t.Errorf("the id was %s and is %s", m.ID, again.ID)
		}
	})
	t.Run("nothing that was asked", func(t *testing.T) {
		t.Parallel()
		first, second := newPeer(t), newPeer(t)
		serve(t, impatient, first.address(), second.address())
		f := first.accept()
		f.login()
		frame[wire.Ping](f)
		f.wantGone()
		second.accept().login()
	})
	t.Run("the login, though it answers pings", func(t *testing.T) {
		t.Parallel()
		first, second := newPeer(t), newPeer(t)
		serve(t, func(s *Stream) { impatient(s); s.pace.login = time.Second }, first.address(), second.address())
		f := first.accept()
		frame[wire.Login](f)
		f.answerPings()
		second.accept().login()
	})
	t.Run("a message, though it answers pings", func(t *testing.T) {
		t.Parallel()
		first, second := newPeer(t), newPeer(t)
		s := serve(t, func(s *Stream) { impatient(s); s.pace.stuck = time.Second }, first.address(), second.address())
		f := first.accept()
		f.login()
		outcomes := make(chan outcome, 1)
		s.post(outcomes, "hello")
		f.wantText("hello")
		f.answerPings()
		f = second.accept()
		f.login()
		f.wantText("hello")
	})
}

// answerPings answers pings, and wants nothing else, until the connection ends.
func (f *far) answerPings() {
	f.t.Helper()
	for {
		got, err := wire.ReadFrame(f.r, wire.Limits{})
		if err != nil {
			return
		}
		ping, ok := got.(wire.Ping)
		if !ok {
			f.t.Fatalf("instead of a ping: %#v", got)
		}
		f.conn.Write(wire.AppendPong(nil, ping.ID))
	}
}

func TestAProxyThatAnswersPingsIsKept(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	s := serve(t, impatient, first.address(), second.address())
	f := first.accept()
	f.login()
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	m := f.wantText("hello")
	for range 3 {
		f.write(string(wire.AppendPong(nil, frame[wire.Ping](f).ID)))
	}
	f.ok(m, 7)
	if o := <-outcomes; o.err != nil {
		t.Error(o.err)
	}
	second.wantNobody()
}

func TestAProxyThatAnswersPingsIsKeptUntilItHasDecidedTheLogin(t *testing.T) {
	only := newPeer(t)
	s := serve(t, impatient, only.address())
	f := only.accept()
	frame[wire.Login](f)
	for range 3 {
		f.write(string(wire.AppendPong(nil, frame[wire.Ping](f).ID)))
	}
	f.write(string(wire.AppendOK(nil, loginID, 0)))
	s.wantEvent(Connected, only)
}

func TestPingsOfTheSystemAreAnswered(t *testing.T) {
	proxy := newPeer(t)
	serve(t, nil, proxy.address())
	f := proxy.accept()
	frame[wire.Login](f)
	f.write("ping;id=a\nping;id=b\n") // also before the login is answered
	for _, id := range []string{"a", "b"} {
		if pong := frame[wire.Pong](f); string(pong.ID) != id {
			t.Errorf("got %+v", pong)
		}
	}
}

// The times that a client promises.
func TestPulse(t *testing.T) {
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	for _, tc := range []struct {
		name  string
		signs signs
		pong  float64 // when the ping is answered; 0: never
		ping  float64 // when it is due
		dead  float64 // 0: never, once the ping was answered
	}{
		{"idle", signs{heard: at(1)}, 0, 11, 13},
		{"idle, and it lives", signs{heard: at(1)}, 12, 11, 0},
		{"a send after a long silence", signs{heard: at(0), waiting: at(5)}, 0, 7, 9},
		{"a send at the end of the silence", signs{heard: at(0), waiting: at(9)}, 0, 10, 12},
		{"something else came meanwhile", signs{heard: at(6), waiting: at(5)}, 0, 8, 10},
		{"a send that is held", signs{heard: at(0), waiting: at(0)}, 2, 2, 0},
		{"deaf", signs{heard: at(0), waiting: at(0), wrote: at(3), deaf: true}, 0, 13, 0},
	} {
		p := pulse{pace: usualPace}
		s := tc.signs
		beat, next := p.feel(start, s)
		if beat != alive || !next.Equal(at(tc.ping)) {
			t.Errorf("%s: at first it says %v until %v, want a ping at %vs", tc.name, beat, next.Sub(start), tc.ping)
		}
		if beat, next = p.feel(next, s); beat != asking {
			t.Errorf("%s: at %vs it says %v, want a ping", tc.name, tc.ping, beat)
		}
		s.wrote = at(tc.ping)
		if tc.pong != 0 {
			s.reads, s.heard = 1, at(tc.pong) // perhaps in the same instant
		}
		switch beat, next = p.feel(next, s); {
		case tc.dead == 0 && beat == dead:
			t.Errorf("%s: it gives up", tc.name)
		case tc.dead != 0 && (beat != dead || !next.Equal(at(tc.dead))):
			t.Errorf("%s: it says %v at %v, want the end at %vs", tc.name, beat, next.Sub(start), tc.dead)
		}
	}
}
