package client

import (
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const replaced = "err;id=login:replaced:a newer stream of this device took over\n"

func TestALoginThatWasGivenUpMayReplaceTheStreamOnce(t *testing.T) {
	for name, giveUp := range map[string]func(*far){
		"it was not answered": func(f *far) {
			frame[wire.Ping](f)
			f.wantGone()
		},
		"its connection broke":               func(f *far) { f.conn.Close() },
		"its proxy left":                     func(f *far) { f.write("bye\n") },
		"nobody knows what became of it":     func(f *far) { f.write("err;id=login:unknown:so it is\n") },
		"its answer is not of this protocol": func(f *far) { f.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			first, second := newPeer(t), newPeer(t)
			s := serve(t, impatient, first.address(), second.address())
			f := first.accept()
			frame[wire.Login](f)
			giveUp(f)
			s.wantEvent(Failed, first)

			f = second.accept()
			f.login()
			s.wantEvent(Connected, second)
			f.write(replaced)
			f.wantGone()
			wantCode(t, s.wantEvent(Lost, second).Err, chat.CodeReplaced)

			f = second.accept() // which served, other than the first
			f.login()
			f.write(message(1, "a"))
			s.wantTaken(1)
			f.wantAck("alice", 1)
			f.write(replaced)
			wantCode(t, s.wantEnd(), chat.CodeReplaced)
			second.wantNobody()
		})
	}
}

func TestEachLoginThatWasGivenUpMayReplaceTheStream(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address(), proxy.address(), proxy.address())
	const n = 2
	for range n {
		f := proxy.accept()
		frame[wire.Login](f)
		f.conn.Close()
	}
	for range n + 1 {
		f := proxy.accept()
		f.login()
		f.write(replaced)
		f.wantGone()
	}
	wantCode(t, s.wantEnd(), chat.CodeReplaced)
	proxy.wantNobody()
}

func TestALoginThatWasGivenUpIsNotBlamedFor(t *testing.T) {
	t.Run("what comes long after", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, func(s *Stream) { s.pace.stray = time.Nanosecond }, proxy.address(), proxy.address())
		f := proxy.accept()
		frame[wire.Login](f)
		f.conn.Close()
		f = proxy.accept()
		f.login()
		f.write(replaced)
		wantCode(t, s.wantEnd(), chat.CodeReplaced)
	})
	t.Run("what it cannot have done, since it was refused", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, nil, proxy.address(), proxy.address())
		f := proxy.accept()
		frame[wire.Login](f)
		f.write("err;id=login:unavail:no server is there\n")
		f.wantGone()
		f = proxy.accept()
		f.login()
		f.write(replaced)
		wantCode(t, s.wantEnd(), chat.CodeReplaced)
	})
}

// A proxy with too many connections does not read what a client says, and so does not know what the client calls it.
func TestABusyProxyRefusesTheLogin(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	s := serve(t, nil, first.address(), second.address())
	f := first.accept()
	f.write("err;id=0192f0c1-2222-7000-8000-000000000001:busy:too many connections are open here; try again later\n")
	wantCode(t, s.wantEvent(Failed, first).Err, chat.CodeBusy)
	frame[wire.Login](f)
	f.wantGone()
	f = second.accept()
	f.login()
	s.wantEvent(Connected, second)
	f.write(replaced) // by somebody else, as the first did nothing
	wantCode(t, s.wantEnd(), chat.CodeReplaced)
}

func TestABusyProxyIsTriedAgainAfterAPause(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, func(s *Stream) { s.pace.firstPause, s.pace.longestPause = time.Hour, time.Hour }, proxy.address())
	proxy.accept().write("err;id=m:busy:later\n")
	wantCode(t, s.wantEvent(Failed, proxy).Err, chat.CodeBusy)
	proxy.wantNobody()
	select {
	case err := <-s.ended:
		t.Errorf("Serve returned %v", err)
	default:
	}
}

func TestTheOldestOfManyStraysIsForgotten(t *testing.T) {
	var s strays
	start := time.Now()
	for i := range maxStrays + 5 {
		s.add(start.Add(time.Duration(i)))
	}
	blamed := 0
	for s.blame(start) {
		blamed++
	}
	if blamed != maxStrays {
		t.Errorf("%d are remembered, want %d", blamed, maxStrays)
	}
}

// wantEvent waits for the next event, which is to be this one.
func (s *serving) wantEvent(kind EventKind, p *peer) Event {
	s.t.Helper()
	select {
	case e := <-s.events:
		if e.Kind != kind || e.Proxy != p.address() {
			s.t.Fatalf("told of %+v, want %v of %v", e, kind, p.address())
		}
		return e
	case <-time.After(patience):
		s.t.Fatalf("nothing was told, want %v of %v", kind, p.address())
		return Event{}
	}
}
