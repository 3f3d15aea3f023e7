package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func TestServeEndsWithTheErrorOfTake(t *testing.T) {
	full := errors.New("the disk is full")
	for _, tc := range []struct {
		name      string
		err, want error
		acked     chat.Seq
	}{
		{"which leaves the message with the system", full, full, 1},
		{"but for ErrStop, which takes it", ErrStop, nil, 2},
		{"and for ErrStop when wrapped", fmt.Errorf("enough: %w", ErrStop), nil, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy := newPeer(t)
			s := serveSlowly(t, func(s *Stream) { s.pace.farewell = patience }, proxy.address())
			f := proxy.accept()
			f.login()
			f.write(message(1, "a"))
			s.wantTaken(1)
			s.result <- nil
			f.wantAck("alice", 1)
			f.write(message(2, "b"), message(3, "c"))
			s.wantTaken(2)
			s.result <- tc.err
			f.wantLastAck("alice", tc.acked)
			if err := s.wantEnd(); err != tc.want {
				t.Errorf("Serve returned %v, want %v", err, tc.want)
			}
			if len(s.taken) != 0 {
				t.Error("a message was taken after the end")
			}
		})
	}
}

// wantLastAck reads the ack of a client that leaves, answers it, and wants the client to say bye and go.
func (f *far) wantLastAck(mailbox chat.Mailbox, seq chat.Seq) {
	f.t.Helper()
	a := frame[wire.Ack](f)
	for a.ID == "" {
		a = frame[wire.Ack](f)
	}
	if a.Mailbox != mailbox || a.Seq != seq {
		f.t.Fatalf("the last ack is %+v, want one of %s up to %d", a, mailbox, seq)
	}
	f.wantSilence() // until it is answered
	f.write(string(wire.AppendOK(nil, a.ID, 0)))
	frame[wire.Bye](f)
	f.wantGone()
}

func TestServeEndsWithItsContext(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, func(s *Stream) { s.pace.farewell = patience }, proxy.address())
	outcomes := make(chan outcome, 9)
	s.post(outcomes, "a")
	f := proxy.accept()
	f.login()
	m := f.wantText("a")
	everyone := message(3, "b")
	everyone.To = chat.Everyone
	f.write(message(1, "a"), everyone)
	s.wantTaken(1)
	s.wantTaken(3)
	s.cancel()
	asked := map[chat.Mailbox]wire.Ack{}
	for len(asked) < 2 {
		if a := frame[wire.Ack](f); a.ID != "" {
			asked[a.Mailbox] = a
		}
	}
	if asked["alice"].Seq != 1 || asked[chat.Everyone].Seq != 3 {
		t.Errorf("the last acks are %+v", asked)
	}
	f.ok(m, 7) // an answer that still comes is heard
	f.write("ok;id="+string(asked["alice"].ID)+"\n", message(4, "too late"), "err;id="+string(asked[chat.Everyone].ID)+":unavail:it will come again\n")
	frame[wire.Bye](f)
	f.wantGone()
	if err := s.wantEnd(); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve returned %v", err)
	}
	if o := <-outcomes; o.err != nil {
		t.Error(o.err)
	}
	if len(s.taken) != 0 {
		t.Error("a message was taken after the end")
	}
}

func TestServeEndsThoughItsLastAckIsNotAnswered(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	f := proxy.accept()
	f.login()
	f.write(message(1, "a"))
	s.wantTaken(1)
	f.wantAck("alice", 1)
	s.cancel()
	if a := frame[wire.Ack](f); a.ID == "" {
		t.Errorf("the last ack is %+v", a)
	}
	f.wantGone()
	if err := s.wantEnd(); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestTheLastAckFindsItsWayAfterALoss(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	s := serveSlowly(t, func(s *Stream) { s.pace.farewell = patience }, first.address(), second.address())
	f := first.accept()
	f.login()
	f.write(message(1, "a"))
	s.wantTaken(1)
	f.conn.Close()
	s.result <- ErrStop
	f = second.accept()
	f.login()
	f.wantLastAck("alice", 1)
	if err := s.wantEnd(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestWithNothingTakenTheEndWaitsForNobody(t *testing.T) {
	slow := func(s *Stream) { s.pace.farewell = time.Hour }
	t.Run("while connected", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, slow, proxy.address())
		f := proxy.accept()
		f.login()
		<-s.events
		s.cancel()
		frame[wire.Bye](f)
		f.wantGone()
		s.wantEnd()
	})
	t.Run("while logging in", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, slow, proxy.address())
		f := proxy.accept()
		frame[wire.Login](f)
		s.cancel()
		f.wantGone()
		s.wantEnd()
	})
	t.Run("while waiting to try again", func(t *testing.T) {
		proxy := newPeer(t)
		s := serve(t, func(s *Stream) { s.pace.firstPause, s.pace.farewell = time.Hour, time.Hour }, proxy.address())
		f := proxy.accept()
		f.login()
		<-s.events
		f.conn.Close()
		<-s.events
		s.cancel()
		s.wantEnd()
	})
}

func TestAPanicOfTakeLeavesNothingBehind(t *testing.T) {
	proxy := newPeer(t)
	s := stream(t, func(s *Stream) { s.cfg.Take = func(chat.Message) error { panic("at the wrong moment") } }, proxy.address())
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		s.Serve(t.Context())
	}()
	f := proxy.accept()
	f.login()
	f.write(message(1, "a"))
	if v := <-ended; v != "at the wrong moment" {
		t.Errorf("recovered %v", v)
	}
	f.wantGone()
}
