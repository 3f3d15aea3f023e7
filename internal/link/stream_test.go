package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

func TestLoginArrives(t *testing.T) {
	h, streams := openAll()
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{})
	for name, want := range map[string]edge.Login{
		"with a password":  aLogin,
		"without a device": {User: "alice", Password: aLogin.Password, Nonce: 1<<20 - 1},
		"a takeover": {User: "alice", Device: "phone", TakeOver: true,
			Given: edge.Places{Inbox: 1<<63 - 1, Broadcast: 4096}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, caller := range callers(version) {
				if _, err := conn.Login(t.Context(), caller, want, client{}); err != nil {
					t.Fatal(err)
				}
				got := receive(t, streams, "the login to be handled")
				if got.from.Tickets = nil; !sameCaller(got.from, caller) {
					t.Errorf("%v logged in, and %v arrived", caller, got.from)
				}
				if !sameLogin(got.login, want) {
					t.Errorf("%v was sent, and %v arrived", want, got.login)
				}
			}
		})
	}
}

func TestLoginIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		outcome error
		code    chat.Code
	}{
		"refused": {fmt.Errorf("looking up alice: %w", chat.Errorf(chat.CodeAuth, "the password is wrong")), chat.CodeAuth},
		"failed":  {errors.New("the disk is gone"), chat.CodeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			var back edge.StreamClient
			conn := pairForLogin(t, func(_ context.Context, client edge.StreamClient) (edge.Stream, error) {
				back = client
				return nil, c.outcome
			})
			w := newTold()
			_, err := conn.Login(t.Context(), aCaller, aLogin, w.client())
			var refusal *chat.Error
			if !errors.As(err, &refusal) || refusal.Code != c.code || errors.Is(err, ErrBroken) {
				t.Errorf("got %v, want %v", err, c.code)
			}
			back.Answer(1, 2, nil)
			back.End(nil)
			if back.Deliver([]chat.Message{message(1, nil)}) {
				t.Error("a stream that was refused takes a delivery")
			}
			settle(t, conn)
			w.wantSilence(t)
			wantNoStreams(t, conn, back)
		})
	}
}

func TestLoginThatFitsIntoNoFrame(t *testing.T) {
	conn := pair(t, ListenConfig{}, DialConfig{})
	l := aLogin
	l.Device = chat.DeviceID(make([]byte, maxFrame))
	if _, err := conn.Login(t.Context(), aCaller, l, client{}); chat.AsError(err).Code != chat.CodeTooLarge {
		t.Errorf("got %v, want %v", err, chat.CodeTooLarge)
	}
}

func TestSendOnAStreamIsAnswered(t *testing.T) {
	s := openOne(t, ListenConfig{}, DialConfig{})
	for ref, text := range map[uint64][]byte{1: nil, 2: []byte("a:b\nc"), 1<<64 - 1: everyByteButNUL(chat.MaxText)} {
		m := edge.StreamMessage{ID: "m1", To: "bob", Text: text}
		s.stream.Send(ref, m)
		got := receive(t, s.served.sends, "the send to arrive")
		if got.ref != ref || got.m.ID != m.ID || got.m.To != m.To || !bytes.Equal(got.m.Text, text) {
			t.Errorf("%d %v was sent, and %d %v arrived", ref, m, got.ref, got.m)
		}
		s.served.client.Answer(ref, 4097, nil)
		if a := receive(t, s.answers, "the answer"); a != (answer{ref: ref, seq: 4097}) {
			t.Errorf("the answer is %v", a)
		}
		s.served.client.Answer(ref, 0, chat.Errorf(chat.CodeNoUser, "there is no user bob"))
		a := receive(t, s.answers, "the refusal")
		if a.ref != ref || a.refusal == nil || a.refusal.Code != chat.CodeNoUser ||
			a.refusal.Reason != "there is no user bob" {
			t.Errorf("the refusal is %v", a)
		}
	}
	s.stream.Send(5, edge.StreamMessage{Text: make([]byte, maxFrame)})
	if a := receive(t, s.answers, "the refusal"); a.ref != 5 || a.refusal == nil || a.refusal.Code != chat.CodeTooLarge {
		t.Errorf("a send that fits into no frame got %v", a)
	}
}

func TestAcksArrive(t *testing.T) {
	s := openOne(t, ListenConfig{}, DialConfig{})
	for _, want := range []ack{{0, "alice", 1}, {9, "alice", 1<<63 - 1}, {0, chat.Everyone, 4096}} {
		s.stream.Ack(want.ref, want.mailbox, want.seq)
		if got := receive(t, s.served.acks, "the ack"); got != want {
			t.Errorf("%v was sent, and %v arrived", want, got)
		}
	}
}

func TestDeliveriesArrive(t *testing.T) {
	s := openOne(t, ListenConfig{}, DialConfig{})
	one := []chat.Message{message(1, []byte("a:b\nc"))}
	if !s.served.client.Deliver(one) {
		t.Fatal("there is no room for a message")
	}
	if got := receive(t, s.deliveries, "the message"); !slices.EqualFunc(got, one, sameMessage) {
		t.Errorf("%v was delivered, and %v arrived", one, got)
	}
	if !s.served.client.Deliver(nil) {
		t.Error("there is no room for nothing")
	}

	var many []chat.Message // more than 3 MiB
	for i := range 50 {
		many = append(many, message(chat.Seq(i), everyByteButNUL(chat.MaxText)))
	}
	if !s.served.client.Deliver(many) {
		t.Fatal("there is no room in an empty queue")
	}
	var got []chat.Message
	for len(got) < len(many) {
		got = append(got, receive(t, s.deliveries, "the next part")...)
	}
	if !slices.EqualFunc(got, many, sameMessage) {
		t.Errorf("%d messages were delivered, and %d, or others, arrived", len(many), len(got))
	}
}

func TestHandlerMayDeliverBeforeTheStreamIsOpen(t *testing.T) {
	w := newTold()
	conn := pairForLogin(t, func(_ context.Context, client edge.StreamClient) (edge.Stream, error) {
		client.Deliver([]chat.Message{message(1, nil)})
		if got := receive(t, w.deliveries, "the delivery"); len(got) != 1 {
			t.Errorf("the client got %v", got)
		}
		return new(opened), nil
	})
	login(t, conn, w.client())
}

func TestEndOfAStream(t *testing.T) {
	for name, why := range map[string]error{
		"the server is about to end": nil,
		"refused":                    chat.Errorf(chat.CodeReplaced, "a newer stream of this device took over"),
	} {
		t.Run(name, func(t *testing.T) {
			s := openOne(t, ListenConfig{}, DialConfig{})
			s.served.client.Answer(1, 2, nil)
			s.served.client.End(why)
			s.served.client.End(errors.New("again"))
			s.served.client.Answer(3, 4, nil)
			if s.served.client.Deliver([]chat.Message{message(1, nil)}) {
				t.Error("a stream that has ended takes a delivery")
			}
			got := receive(t, s.ends, "the end")
			if (got == nil) != (why == nil) || why != nil && got.Error() != why.Error() {
				t.Errorf("the stream ended with %v, want %v", got, why)
			}
			if a := receive(t, s.answers, "the answer that came before"); a != (answer{ref: 1, seq: 2}) {
				t.Errorf("got the answer %v", a)
			}
			s.stream.Send(1, edge.StreamMessage{})
			s.stream.Ack(0, "alice", 1)
			s.stream.Close()
			settle(t, s.conn)
			if n := s.served.closes.Load(); n != 1 {
				t.Errorf("the server's stream was closed %d times", n)
			}
			s.wantSilence(t)
			wantNoStreams(t, s.conn, s.served.client)
		})
	}
}

func TestStreamThatEndsWhileItIsOpened(t *testing.T) {
	o := new(opened)
	var back edge.StreamClient
	conn := pairForLogin(t, func(_ context.Context, client edge.StreamClient) (edge.Stream, error) {
		back = client
		client.End(nil)
		return o, nil
	})
	w := newTold()
	login(t, conn, w.client())
	if err := receive(t, w.ends, "the end"); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	eventually(t, "the server's stream is closed", o.closed)
	wantNoStreams(t, conn, back)
}

func TestCloseOfAStream(t *testing.T) {
	s := openOne(t, ListenConfig{}, DialConfig{})
	s.stream.Send(1, edge.StreamMessage{ID: "last"})
	s.stream.Close()
	s.stream.Close()
	s.stream.Send(2, edge.StreamMessage{ID: "too late"})
	s.stream.Ack(3, "alice", 1)
	eventually(t, "the server's stream is closed", s.served.closed)
	if got := receive(t, s.served.sends, "what was sent before"); got.ref != 1 {
		t.Errorf("got %v", got)
	}
	s.served.client.Answer(1, 2, nil)
	s.served.client.End(nil)
	if s.served.client.Deliver([]chat.Message{message(1, nil)}) {
		t.Error("a closed stream takes a delivery")
	}
	settle(t, s.conn)
	if n := s.served.closes.Load(); n != 1 || len(s.served.sends) > 0 || len(s.served.acks) > 0 {
		t.Errorf("the stream was closed %d times, and then got %d sends and %d acks",
			n, len(s.served.sends), len(s.served.acks))
	}
	s.wantSilence(t)
	wantNoStreams(t, s.conn, s.served.client)
}

func TestStreamsDoNotMix(t *testing.T) {
	h, streams := openAll()
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{})
	a, b := openAt(t, conn, streams), openAt(t, conn, streams)
	b.stream.Send(1, edge.StreamMessage{ID: "b"})
	if got := receive(t, b.served.sends, "the send"); got.m.ID != "b" {
		t.Errorf("got %v", got)
	}
	b.served.client.Answer(1, 7, nil)
	b.served.client.Deliver([]chat.Message{message(1, nil)})
	a.stream.Close()
	settle(t, conn)
	receive(t, b.answers, "the answer")
	receive(t, b.deliveries, "the delivery")
	if b.served.closed() || len(a.served.sends) > 0 {
		t.Error("a stream got what was another's")
	}
	a.wantSilence(t)
	b.wantSilence(t)
}

// What one stream sends is stored in the order of its calls, so the link may not change it.
func TestPipelinedSendsStayInOrder(t *testing.T) {
	const n = 10_000
	var arrived []uint64
	h := loginHandler(func(_ context.Context, client edge.StreamClient) (edge.Stream, error) {
		return streamFunc(func(ref uint64, m edge.StreamMessage) {
			arrived = append(arrived, ref)
			client.Answer(ref, chat.Seq(len(m.Text)), nil)
		}), nil
	})
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{QueueBytes: 64 << 20})
	var answered []uint64
	done := make(chan struct{})
	stream := login(t, conn, client{answer: func(ref uint64, seq chat.Seq, refusal *chat.Error) {
		if refusal != nil || seq != chat.Seq(ref%100) {
			t.Errorf("send %d was answered %v, %v", ref, seq, refusal)
		}
		if answered = append(answered, ref); len(answered) == n {
			close(done)
		}
	}})
	text := everyByteButNUL(100)
	for ref := uint64(1); ref <= n; ref++ {
		stream.Send(ref, edge.StreamMessage{ID: "m", To: "bob", Text: text[:ref%100]})
	}
	receive(t, done, "all answers")
	if !slices.IsSorted(arrived) || !slices.IsSorted(answered) || len(arrived) != n {
		t.Errorf("%d sends arrived, or not in order", len(arrived))
	}
}

// A client that is called may do with its stream what it likes.
func TestClientMayUseItsStreamWhileItIsCalled(t *testing.T) {
	ready := make(chan edge.Stream, 1)
	var stream edge.Stream
	closed := make(chan struct{})
	c := client{
		deliver: func([]chat.Message) bool {
			stream = <-ready
			stream.Ack(0, "alice", 1)
			stream.Send(1, edge.StreamMessage{ID: "m"})
			return true
		},
		answer: func(uint64, chat.Seq, *chat.Error) {
			stream.Close()
			close(closed)
		},
	}
	h, streams := openAll()
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{})
	ready <- login(t, conn, c)
	served := receive(t, streams, "the login to be handled")
	served.client.Deliver([]chat.Message{message(1, nil)})
	receive(t, served.acks, "the ack")
	served.client.Answer(receive(t, served.sends, "the send").ref, 1, nil)
	receive(t, closed, "the close")
	eventually(t, "the server's stream is closed", served.closed)
}

// keeper is a proxy's store of tickets.
type keeper chan kept

type kept struct {
	holder edge.Holder
	ticket string
}

func (k keeper) KeepTicket(h edge.Holder, ticket chat.Secret) { k <- kept{h, ticket.Reveal()} }

func TestTicketsFindTheirKeeper(t *testing.T) {
	callers := make(chan edge.Caller, 1)
	h := handler{
		poll: func(from edge.Caller, _ wire.Poll, _ edge.Pusher) { from.Ticket = from.Ticket.Clone(); callers <- from },
		send: func(_ context.Context, from edge.Caller, _ wire.Wrmsg) (chat.Seq, error) {
			callers <- from
			return 1, nil
		},
		login: func(_ context.Context, from edge.Caller, _ edge.Login, _ edge.StreamClient) (edge.Stream, error) {
			callers <- from
			return new(opened), nil
		},
	}
	keeps := make(keeper, 1)
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{Tickets: keeps})
	for name, call := range map[string]func(edge.Caller){
		"poll":  func(from edge.Caller) { conn.Poll(from, aPoll) },
		"send":  func(from edge.Caller) { conn.Send(t.Context(), from, aMessage) },
		"login": func(from edge.Caller) { conn.Login(t.Context(), from, aLogin, client{}) },
	} {
		t.Run(name, func(t *testing.T) {
			call(edge.Caller{Addr: clientAddr, Ticket: chat.NewSecret("old"), Holder: aHolder, Tickets: keeps})
			got := receive(t, callers, "the call")
			if got.Addr != clientAddr || got.Holder != aHolder || got.Ticket.Reveal() != "old" || got.Tickets == nil {
				t.Fatalf("%v arrived", got)
			}
			got.Tickets.KeepTicket(got.Holder, chat.NewSecret("new"))
			if k := receive(t, keeps, "the ticket"); k != (kept{aHolder, "new"}) {
				t.Errorf("the keeper got %v", k)
			}
			call(aCaller)
			if got := receive(t, callers, "the call"); got.Tickets != nil || got.Ticket.Len() > 0 {
				t.Errorf("%v arrived of a caller without a ticket and a keeper", got)
			}
		})
	}
}

func TestTicketsThatNobodyKeepsArePassedOver(t *testing.T) {
	h, streams := openAll()
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{})
	if _, err := conn.Login(t.Context(), edge.Caller{Holder: aHolder}, aLogin, client{}); err != nil {
		t.Fatal(err)
	}
	receive(t, streams, "the login").from.Tickets.KeepTicket(aHolder, chat.NewSecret("new"))
	settle(t, conn)
}
