package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

func TestSendIsAnswered(t *testing.T) {
	type call struct {
		client netip.Addr
		m      wire.Wrmsg
	}
	calls := make(chan call, 1)
	outcome := error(nil)
	conn := pairFor(t, func(_ context.Context, from edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
		calls <- call{from.Addr, m}
		return 4097, outcome
	})

	t.Run("stored", func(t *testing.T) {
		for _, client := range addrs {
			m := aMessage
			m.Text = everyByteButNUL(chat.MaxText)
			seq, err := conn.Send(t.Context(), edge.Caller{Addr: client}, m)
			if seq != 4097 || err != nil {
				t.Fatalf("got %v, %v; want 4097", seq, err)
			}
			got := receive(t, calls, "the send to arrive")
			if got.client != client || got.m.ID != m.ID || got.m.User != m.User || got.m.To != m.To ||
				!got.m.Password.Equal(m.Password) || !bytes.Equal(got.m.Text, m.Text) {
				t.Errorf("%v sent %v, but %v arrived from %v", client, m, got.m, got.client)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		outcome = fmt.Errorf("looking up bob: %w", chat.Errorf(chat.CodeNoUser, "there is no user bob"))
		_, err := conn.Send(t.Context(), aCaller, aMessage)
		var answer *chat.Error
		if !errors.As(err, &answer) || answer.Code != chat.CodeNoUser || answer.Reason != "there is no user bob" {
			t.Errorf("got %v", err)
		}
		<-calls
	})
	t.Run("failed", func(t *testing.T) {
		outcome = errors.New("the disk is gone")
		_, err := conn.Send(t.Context(), aCaller, aMessage)
		var answer *chat.Error
		if !errors.As(err, &answer) || answer.Code != chat.CodeUnknown {
			t.Errorf("got %v, want %v", err, chat.CodeUnknown)
		}
		<-calls
	})
	t.Run("too large", func(t *testing.T) {
		m := aMessage
		m.Text = make([]byte, maxFrame)
		if _, err := conn.Send(t.Context(), aCaller, m); chat.AsError(err).Code != chat.CodeTooLarge {
			t.Errorf("got %v, want %v", err, chat.CodeTooLarge)
		}
	})
}

func TestRepliesFindTheirRequests(t *testing.T) {
	conn := pairFor(t, func(_ context.Context, _ edge.Caller, m wire.Wrmsg) (chat.Seq, error) {
		return chat.Seq(len(m.Text)), nil
	})
	errs := make(chan error)
	for i := range 200 {
		go func() {
			m := aMessage
			m.Text = make([]byte, i)
			seq, err := conn.Send(context.Background(), aCaller, m)
			if err == nil && seq != chat.Seq(i) {
				err = fmt.Errorf("request %d got the reply %v", i, seq)
			}
			errs <- err
		}()
	}
	for range 200 {
		if err := receive(t, errs, "a reply"); err != nil {
			t.Error(err)
		}
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	conn := pairFor(t, func(context.Context, edge.Caller, wire.Wrmsg) (chat.Seq, error) {
		<-release
		return 1, nil
	})
	defer close(release)
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := conn.Send(ctx, aCaller, aMessage); !errors.Is(err, gone) || errors.Is(err, ErrBroken) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

func TestPollArrives(t *testing.T) {
	type poll struct {
		client   netip.Addr
		user     string
		password chat.Secret
		port     uint16
	}
	polls := make(chan poll, 1)
	conn := pair(t, ListenConfig{Handler: handler{poll: func(from edge.Caller, p wire.Poll, _ edge.Pusher) {
		polls <- poll{from.Addr, string(p.User), p.Password.Clone(), p.Port}
	}}}, DialConfig{})
	for _, client := range addrs {
		if !conn.Poll(edge.Caller{Addr: client}, aPoll) {
			t.Fatal("the poll was dropped")
		}
		got := receive(t, polls, "the poll")
		if got.client != client || got.user != string(aPoll.User) || got.port != aPoll.Port ||
			!got.password.Equal(aPoll.Password) {
			t.Errorf("%v sent %v, but %v arrived", client, aPoll, got)
		}
	}
}

// backOf polls once and gives the way back that the server got with it.
func backOf(t *testing.T, addr string, proxy DialConfig, backs <-chan edge.Pusher) (edge.Pusher, *Conn, *service) {
	t.Helper()
	conn, serving := dial(t, addr, proxy)
	if !conn.Poll(aCaller, aPoll) {
		t.Fatal("the poll was dropped")
	}
	return receive(t, backs, "the poll"), conn, serving
}

// keepBacks is a handler that gives the way back of each poll to the test.
func keepBacks() (handler, <-chan edge.Pusher) {
	backs := make(chan edge.Pusher, 1)
	return handler{poll: func(_ edge.Caller, _ wire.Poll, back edge.Pusher) { backs <- back }}, backs
}

func TestPushAndItsReceipt(t *testing.T) {
	var pushed []edge.Push
	answer, failure := edge.Receipt{}, error(nil)
	h, backs := keepBacks()
	addr, _ := listen(t, ListenConfig{Handler: h})
	back, _, _ := backOf(t, addr, DialConfig{Pusher: pusher(func(_ context.Context, p edge.Push) (edge.Receipt, error) {
		pushed = append(pushed, p)
		return answer, failure
	})}, backs)

	p := edge.Push{
		Client: clientAddr, Ports: []uint16{4391, 10001},
		Messages: []chat.Message{message(1, []byte("a:b\nc")), message(2, everyByteButNUL(chat.MaxText-1000))},
	}
	for name, want := range map[string]edge.Receipt{
		"all taken":  {Taken: 2, Port: 10001, Outcome: edge.PushTaken},
		"one taken":  {Taken: 1, Port: 10001, Outcome: edge.PushBroken},
		"none taken": {Outcome: edge.PushAmbiguous},
	} {
		t.Run(name, func(t *testing.T) {
			pushed, answer = nil, want
			got, err := back.Push(t.Context(), p)
			if err != nil || got != want {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
			if len(pushed) != 1 || !samePush(pushed[0], p) {
				t.Errorf("the proxy got %v", pushed)
			}
		})
	}
	t.Run("nothing to give", func(t *testing.T) {
		pushed, answer = nil, edge.Receipt{Port: 10001}
		got, err := back.Push(t.Context(), edge.Push{Client: clientAddr, Ports: []uint16{10001}})
		if err != nil || got != answer || len(pushed) != 1 {
			t.Errorf("got %v, %v after %d pushes; want %v after one", got, err, len(pushed), answer)
		}
	})
	t.Run("failed", func(t *testing.T) {
		answer, failure = edge.Receipt{}, errors.New("no route")
		if got, err := back.Push(t.Context(), p); err == nil || !strings.Contains(err.Error(), "no route") {
			t.Errorf("got %v, %v; want the proxy's error", got, err)
		}
	})
}

func TestLargePushTravelsInParts(t *testing.T) {
	const count = 50 // more than 3 MiB
	var texts [][]byte
	var parts []edge.Push
	takes := count
	h, backs := keepBacks()
	addr, _ := listen(t, ListenConfig{Handler: h})
	back, _, _ := backOf(t, addr, DialConfig{Pusher: pusher(func(_ context.Context, p edge.Push) (edge.Receipt, error) {
		parts = append(parts, p)
		for _, m := range p.Messages {
			texts = append(texts, m.Text)
		}
		if len(texts) > takes {
			left := len(texts) - takes
			return edge.Receipt{Taken: len(p.Messages) - left, Port: 4391, Outcome: edge.PushBroken}, nil
		}
		return edge.Receipt{Taken: len(p.Messages), Port: 4391, Outcome: edge.PushTaken}, nil
	})}, backs)

	p := edge.Push{Client: clientAddr, Ports: []uint16{4391, 10001}}
	for i := range count {
		text := everyByteButNUL(chat.MaxText)
		text[0] = byte(i) + 1
		p.Messages = append(p.Messages, message(chat.Seq(i), text))
	}
	got, err := back.Push(t.Context(), p)
	if want := (edge.Receipt{Taken: count, Port: 4391, Outcome: edge.PushTaken}); err != nil || got != want {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
	if len(texts) != count {
		t.Fatalf("%d messages arrived, want %d", len(texts), count)
	}
	for i, text := range texts {
		if !bytes.Equal(text, p.Messages[i].Text) {
			t.Fatalf("message %d is not what was pushed", i)
		}
	}
	for i, part := range parts {
		if part.Settled != (i > 0) {
			t.Errorf("part %d says settled: %v", i, part.Settled)
		}
	}

	texts, takes = nil, 11
	got, err = back.Push(t.Context(), p)
	if want := (edge.Receipt{Taken: 11, Port: 4391, Outcome: edge.PushBroken}); err != nil || got != want {
		t.Errorf("a client that takes 11 of %d: got %v, %v; want %v", count, got, err, want)
	}
}

func TestPushesAreBoundedAtTheProxy(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	counters := new(Counters)
	h, backs := keepBacks()
	addr, _ := listen(t, ListenConfig{Handler: h})
	wait := pusher(func(context.Context, edge.Push) (edge.Receipt, error) {
		entered <- struct{}{}
		<-release
		return edge.Receipt{}, nil
	})
	back, _, _ := backOf(t, addr, DialConfig{MaxPushes: 1, Counters: counters, Pusher: wait}, backs)
	first := make(chan error)
	go func() {
		_, err := back.Push(context.Background(), edge.Push{Client: clientAddr})
		first <- err
	}()
	receive(t, entered, "the first push")
	if r, err := back.Push(t.Context(), edge.Push{Client: clientAddr}); err != nil || r.Outcome != edge.PushBusy {
		t.Errorf("a second push while one is at work and one is allowed: %v, %v; want busy", r, err)
	}
	if n := counters.PushesBusy.Load(); n != 1 {
		t.Errorf("%d pushes were counted as busy, want 1", n)
	}
	close(release)
	if err := receive(t, first, "the receipt"); err != nil {
		t.Error(err)
	}
}

func TestSendsAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		server ListenConfig
		proxy  DialConfig
	}{
		"at the proxy":  {ListenConfig{}, DialConfig{MaxSends: 3}},
		"at the server": {ListenConfig{MaxSends: 3}, DialConfig{}},
	} {
		t.Run(name, func(t *testing.T) {
			release, entered := make(chan struct{}), make(chan struct{}, 3)
			c.server.Counters = new(Counters)
			c.proxy.Counters = c.server.Counters
			c.server.Handler = handler{send: func(context.Context, edge.Caller, wire.Wrmsg) (chat.Seq, error) {
				entered <- struct{}{}
				<-release
				return 1, nil
			}}
			conn := pair(t, c.server, c.proxy)
			errs := make(chan error, 3)
			for range 3 {
				go func() {
					_, err := conn.Send(context.Background(), aCaller, aMessage)
					errs <- err
				}()
				receive(t, entered, "the send to be handled")
			}
			if _, err := conn.Send(t.Context(), aCaller, aMessage); chat.AsError(err).Code != chat.CodeBusy {
				t.Errorf("a fourth send: %v, want %v", err, chat.CodeBusy)
			}
			if n := c.proxy.Counters.SendsBusy.Load(); n != 1 {
				t.Errorf("%d sends were counted as busy, want 1", n)
			}
			close(release)
			for range 3 {
				if err := receive(t, errs, "a reply"); err != nil {
					t.Error(err)
				}
			}
			if _, err := conn.Send(t.Context(), aCaller, aMessage); err != nil {
				t.Errorf("a send when the others are done: %v", err)
			}
		})
	}
}

func TestFullQueueDropsPollsAndThenRefusesSends(t *testing.T) {
	addr, _ := listen(t, ListenConfig{})
	counters := new(Counters)
	conn, err := Dial(t.Context(), addr, withDialDefaults(t, DialConfig{QueueBytes: 1 << 20, Counters: counters}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(nil) // it is not served, so nothing leaves the queue
	taken := 0
	for conn.Poll(aCaller, aPoll) {
		taken++
	}
	for range 9 {
		conn.Poll(aCaller, aPoll)
	}
	if got := counters.Polls.Load(); got != int64(taken) {
		t.Errorf("%d polls were taken and %d counted", taken, got)
	}
	if got := counters.PollsDropped.Load(); got != 10 {
		t.Errorf("%d polls were counted as dropped, want 10", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for sends := 0; ; sends++ {
		_, err := conn.Send(gone, aCaller, aMessage)
		if errors.Is(err, context.Canceled) {
			continue // queued, and not waited for
		}
		if chat.AsError(err).Code != chat.CodeBusy || sends == 0 {
			t.Errorf("after %d sends: %v, want %v only when polls are long dropped", sends, err, chat.CodeBusy)
		}
		return
	}
}

func TestOneByteAtATime(t *testing.T) {
	var polls atomic.Int64
	backs := make(chan edge.Pusher, 100)
	h, streams := openAll()
	h.poll = func(_ edge.Caller, _ wire.Poll, back edge.Pusher) {
		polls.Add(1)
		backs <- back
	}
	addr, _ := listen(t, ListenConfig{Handler: h})
	_, addr = newRelay(t, addr, 1)
	back, conn, _ := backOf(t, addr, DialConfig{}, backs)
	for range 9 {
		conn.Poll(aCaller, aPoll)
	}
	m := aMessage
	m.Text = everyByteButNUL(4000)
	if seq, err := conn.Send(t.Context(), aCaller, m); seq != 1 || err != nil {
		t.Errorf("send: %v, %v", seq, err)
	}
	r, err := back.Push(t.Context(), edge.Push{Client: clientAddr, Messages: []chat.Message{message(1, m.Text)}})
	if err != nil || r.Taken != 1 {
		t.Errorf("push: %v, %v", r, err)
	}
	s := openAt(t, conn, streams)
	s.stream.Send(1, edge.StreamMessage{ID: "m", To: "bob", Text: m.Text})
	if got := receive(t, s.served.sends, "the send on the stream"); !bytes.Equal(got.m.Text, m.Text) {
		t.Error("another text arrived on the stream")
	}
	s.served.client.Deliver([]chat.Message{message(1, m.Text)})
	if got := receive(t, s.deliveries, "the delivery"); !sameMessage(got[0], message(1, m.Text)) {
		t.Error("another message was delivered")
	}
	if n := polls.Load(); n != 10 {
		t.Errorf("%d polls arrived before the send that followed them, want 10", n)
	}
}

func TestPollCostsNoAllocation(t *testing.T) {
	conn := pair(t, ListenConfig{}, DialConfig{QueueBytes: 64 << 20})
	for range 100_000 { // let the buffers grow
		conn.Poll(known, aPoll)
	}
	for _, from := range []edge.Caller{aCaller, known} {
		if n := testing.AllocsPerRun(10_000, func() { conn.Poll(from, aPoll) }); n != 0 {
			t.Errorf("%v allocations per poll of %v, want 0", n, from)
		}
	}
}

func TestPollCostsTheServerNoAllocation(t *testing.T) {
	e := &serverEnd{s: &session{version: version}, handler: handler{}}
	for _, from := range []edge.Caller{aCaller, known} {
		f := frame{kind: kindPoll, body: appendPoll(nil, version, &from, &aPoll)}
		if n := testing.AllocsPerRun(10_000, func() { e.handle(t.Context(), f) }); n != 0 {
			t.Errorf("%v allocations per poll of %v, want 0", n, from)
		}
	}
}
