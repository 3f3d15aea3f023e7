package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// known is a caller with all that a proxy may know of it.
var known = edge.Caller{Addr: clientAddr, Ticket: chat.NewSecret("ticket"), Holder: aHolder}

// before is the hello of a node of the release before streams.
func before(h hello) hello {
	h.version, h.oldest = 1, 1
	return h
}

func TestServerOfTheReleaseBefore(t *testing.T) {
	s, addr := newStrangeServer(t, before(aServer))
	pushed := make(chan edge.Push, 1)
	conn, _ := dial(t, addr, DialConfig{PingInterval: time.Hour, Pusher: pusher(
		func(ctx context.Context, p edge.Push) (edge.Receipt, error) { pushed <- p; return takeAll(ctx, p) })})
	s.accept(t)

	_, err := conn.Login(t.Context(), known, aLogin, client{})
	var refusal *chat.Error
	if !errors.As(err, &refusal) || refusal.Code != chat.CodeUnavail || errors.Is(err, ErrBroken) {
		t.Errorf("a login got %v, want %v", err, chat.CodeUnavail)
	}

	conn.Poll(known, aPoll)
	if f := s.readPast(t, kindPing); f.kind != kindPoll || string(f.body) != string(appendPoll(nil, 1, &aCaller, &aPoll)) {
		t.Errorf("a poll came as a frame of kind %d, %q", f.kind, f.body)
	}
	seqs := make(chan chat.Seq)
	go func() {
		seq, err := conn.Send(context.Background(), known, aMessage)
		if err != nil {
			t.Error(err)
		}
		seqs <- seq
	}()
	f := s.readPast(t, kindPing)
	if f.kind != kindSend || string(f.body) != string(appendWrmsg(nil, 1, aCaller, aMessage)) {
		t.Errorf("a send came as a frame of kind %d, %q", f.kind, f.body)
	}
	s.write(t, rawFrame(kindReply, f.id, string(appendSendReply(nil, sendReply{seq: 7}))))
	if seq := receive(t, seqs, "the answer"); seq != 7 {
		t.Errorf("the send is stored at %v", seq)
	}
	s.write(t, rawFrame(kindPush, 1, string(appendPush(nil, edge.Push{Client: clientAddr}))))
	receive(t, pushed, "the push")
}

func TestStreamsOfAServerOfTheReleaseBefore(t *testing.T) {
	s, addr := newStrangeServer(t, before(aServer))
	_, serving := dial(t, addr, DialConfig{PingInterval: time.Hour})
	s.accept(t)
	s.write(t, rawFrame(kindTicket, 0, string(appendTicket(nil, aHolder, chat.NewSecret("ticket")))))
	if err := serving.wait(t); err == nil {
		t.Error("the link ended without a reason")
	}
}

func TestProxyOfTheReleaseBefore(t *testing.T) {
	callers := make(chan edge.Caller, 1)
	h := handler{
		poll: func(from edge.Caller, _ wire.Poll, _ edge.Pusher) { callers <- from },
		send: func(_ context.Context, from edge.Caller, _ wire.Wrmsg) (chat.Seq, error) {
			callers <- from
			return 7, nil
		},
	}
	addr, _ := listen(t, ListenConfig{Handler: h, Idle: time.Minute})
	p := newStrangeProxy(t, addr, before(newHello(roleProxy, "proxy-1")))
	p.write(t, rawFrame(kindPoll, 0, string(appendPoll(nil, 1, &known, &aPoll))))
	if from := receive(t, callers, "the poll"); !sameCaller(from, aCaller) {
		t.Errorf("%v arrived, want the address alone", from)
	}
	p.write(t, rawFrame(kindSend, 1, string(appendWrmsg(nil, 1, known, aMessage))))
	if from := receive(t, callers, "the send"); !sameCaller(from, aCaller) {
		t.Errorf("%v arrived, want the address alone", from)
	}
	f := p.read(t)
	if r, err := decodeSendReply(f.body); f.kind != kindReply || f.id != 1 || err != nil || r.seq != 7 {
		t.Errorf("the send was answered with a frame of kind %d, %v, %v", f.kind, r, err)
	}
	p.write(t, rawFrame(kindLogin, 1, string(appendLogin(nil, aCaller, aLogin))))
	if !hungUp(p.conn) {
		t.Error("a login in version 1 does not end the link")
	}
}
