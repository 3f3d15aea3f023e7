package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// numbered is a message that says which it is, and is otherwise long.
func numbered(n int, size int) chat.Message {
	m := message(chat.Seq(n), make([]byte, size))
	binary.BigEndian.PutUint32(m.Text, uint32(n))
	return m
}

// inOrder is a client of a stream that has room when it is let, and checks that it gets numbered messages one after
// another, each once.
type inOrder struct {
	t    testing.TB
	room atomic.Bool
	got  atomic.Int64
}

func (c *inOrder) Answer(uint64, chat.Seq, *chat.Error) {}

func (c *inOrder) Deliver(messages []chat.Message) bool {
	if !c.room.Load() {
		return false
	}
	for _, m := range messages {
		if want := c.got.Add(1); m.Seq != chat.Seq(want) || binary.BigEndian.Uint32(m.Text) != uint32(want) {
			c.t.Errorf("message %d came, and %d was due", m.Seq, want)
		}
	}
	return true
}

func (c *inOrder) End(error) {}

// What a client has no room for is offered to it again, in order, and others are not held up by that.
func TestClientWithoutRoom(t *testing.T) {
	h, streams := openAll()
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{PingInterval: 20 * time.Millisecond})
	full, quick := &inOrder{t: t}, &inOrder{t: t}
	quick.room.Store(true)
	login(t, conn, full)
	toFull := receive(t, streams, "the login").client
	login(t, conn, quick)
	toQuick := receive(t, streams, "the login").client

	const n = 900 // messages of 1 kB, less than maxKept
	for i := range n {
		toFull.Deliver([]chat.Message{numbered(i+1, 1000)})
	}
	toQuick.Deliver([]chat.Message{numbered(1, 1000)})
	eventually(t, "the other stream's client has got its message", func() bool { return quick.got.Load() == 1 })
	full.room.Store(true)
	eventually(t, "the client has got all", func() bool { return full.got.Load() == n })
	toFull.Deliver([]chat.Message{numbered(n+1, 1000)})
	eventually(t, "the client has got the last", func() bool { return full.got.Load() == n+1 })
}

func TestClientThatDoesNotRead(t *testing.T) {
	h, streams := openAll()
	conn := pair(t, ListenConfig{Handler: h}, DialConfig{})
	ends := make(chan error, 2)
	login(t, conn, client{
		deliver: func([]chat.Message) bool { return false },
		end:     func(why error) { ends <- why },
	})
	served := receive(t, streams, "the login")
	for range maxKept / chat.MaxText {
		served.client.Deliver([]chat.Message{message(1, everyByteButNUL(chat.MaxText))})
	}
	if err := receive(t, ends, "the end"); chat.AsError(err).Code != chat.CodeSlow {
		t.Errorf("the stream ended with %v, want %v", err, chat.CodeSlow)
	}
	eventually(t, "the server's stream is closed", served.closed)
	wantNoStreams(t, conn, served.client)
}

func TestDeliveriesThatAreKeptEndWithTheirStream(t *testing.T) {
	for name, end := range map[string]func(edge.Stream, edge.StreamClient){
		"closed": func(s edge.Stream, _ edge.StreamClient) { s.Close() },
		"ended":  func(_ edge.Stream, back edge.StreamClient) { back.End(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			h, streams := openAll()
			conn := pair(t, ListenConfig{Handler: h}, DialConfig{PingInterval: 20 * time.Millisecond})
			offers := make(chan bool, 1000)
			stream := login(t, conn, client{deliver: func([]chat.Message) bool {
				select {
				case offers <- true:
				default:
				}
				return false
			}})
			back := receive(t, streams, "the login").client
			back.Deliver([]chat.Message{message(1, nil)})
			for range 3 {
				receive(t, offers, "the delivery to be offered again")
			}
			end(stream, back)
			wantNoStreams(t, conn, back)
		})
	}
}

// When the network stands still, what deliveries may fill of the queue is full at some time; then they are not taken, and
// offered again. In the meantime there is room for answers and pushes.
func TestDeliveriesWaitForAStalledNetwork(t *testing.T) {
	const n, total = 20, 40
	h, streams := openAll()
	addr, _ := listen(t, ListenConfig{Handler: h, Idle: time.Hour, QueueBytes: 256 << 10})
	relay, addr := newRelay(t, addr, 0)
	conn, _ := dial(t, addr, DialConfig{})
	clients := make([]inOrder, n)
	backs := make([]edge.StreamClient, n)
	for i := range clients {
		clients[i].t = t
		clients[i].room.Store(true)
		login(t, conn, &clients[i])
		backs[i] = receive(t, streams, "the login").client
	}
	relay.stop(true)
	given := make([]int, n)
	offer := func(i int) bool { // two at once, in two frames
		batch := []chat.Message{numbered(given[i]+1, 60_000), numbered(given[i]+2, 70_000)}
		if given[i] >= total || !backs[i].Deliver(batch) {
			return false
		}
		given[i] += 2
		return true
	}
	refused := 0
	for refused < n { // until each stream has been refused in turn
		refused = 0
		for i := range n {
			if !offer(i) {
				refused++
			}
		}
	}
	for _, back := range backs {
		back.Answer(1, 1, nil)
	}
	if err := backs[0].(*serverStream).e.s.out.add(kindPush, 1, func(b []byte) []byte {
		return appendPush(b, edge.Push{})
	}); err != nil {
		t.Errorf("when there is no room for deliveries there is none for a push: %v", err)
	}
	relay.stop(false)
	eventually(t, "all have got all", func() bool {
		complete := 0
		for i := range n {
			for offer(i) {
			}
			if clients[i].got.Load() == total {
				complete++
			}
		}
		return complete == n
	})
}

// When the queue is full, sends are refused, by a tick and not within the call, and the newest acks go later.
func TestStreamsOfAProxyWhoseQueueIsFull(t *testing.T) {
	counters := new(Counters)
	addr, _ := listen(t, ListenConfig{})
	conn, err := Dial(t.Context(), addr, withDialDefaults(t, DialConfig{QueueBytes: 1 << 20, Counters: counters}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(nil) // it is not served, so nothing leaves the queue, and ticks are made here
	w := newTold()
	stream, err := conn.openStream(aCaller, aLogin, w.client())
	if err != nil {
		t.Fatal(err)
	}
	var ref uint64
	for counters.SendsBusy.Load() == 0 {
		ref++
		stream.Send(ref, edge.StreamMessage{ID: "m", To: "bob", Text: []byte("hello")})
	}
	stream.Ack(ref+1, "alice", 1)
	w.wantSilence(t)
	conn.streams.retry()
	for _, want := range []uint64{ref, ref + 1} {
		if a := receive(t, w.answers, "the refusal"); a.ref != want || a.refusal == nil || a.refusal.Code != chat.CodeBusy {
			t.Errorf("call %d met the full queue, and the answer is %v", want, a)
		}
	}
	for seq := chat.Seq(1); seq <= 100; seq++ {
		stream.Ack(0, "alice", seq)
		stream.Ack(0, chat.Everyone, 2*seq)
	}
	stream.Ack(0, "alice", 50) // says less than what is known
	_, err = conn.Login(t.Context(), aCaller, aLogin, client{})
	if chat.AsError(err).Code != chat.CodeBusy || counters.StreamsBusy.Load() != 1 {
		t.Errorf("a login got %v, and %d were counted; want %v", err, counters.StreamsBusy.Load(), chat.CodeBusy)
	}
	conn.streams.retry()
	w.wantSilence(t)

	frames := drained(t, conn)
	if f := frames[0]; f.kind != kindLogin || uint64(len(frames)) != ref {
		t.Fatalf("%d frames were queued, the first of kind %d; want a login and %d sends", len(frames), f.kind, ref-1)
	}
	for i, f := range frames[1:] {
		if got, _, err := decodeStreamSend(f.body); f.kind != kindStreamSend || err != nil || got != uint64(i)+1 {
			t.Fatalf("frame %d is of kind %d and has the ref %d", i, f.kind, got)
		}
	}
	conn.streams.retry()
	conn.streams.retry()
	frames = drained(t, conn)
	var acks []ack
	for _, f := range frames {
		a, err := decodeAck(f.body)
		if f.kind != kindAck || err != nil {
			t.Fatalf("a frame of kind %d came instead of an ack", f.kind)
		}
		acks = append(acks, a)
	}
	if want := []ack{{0, "alice", 100}, {0, chat.Everyone, 200}}; !slices.Equal(acks, want) {
		t.Errorf("when there was room again, the acks were %v; want %v", acks, want)
	}
}

// drained takes what is queued, as a writer does.
func drained(t *testing.T, conn *Conn) (frames []frame) {
	t.Helper()
	for waiting(conn.s) > 0 {
		b := mustNext(t, conn.s.out)
		for in := newFrameReader(bytes.NewReader(b)); ; {
			f, err := in.next(maxFrame)
			if err != nil {
				break
			}
			f.body = bytes.Clone(f.body)
			frames = append(frames, f)
		}
	}
	return frames
}

// What has no room when a link ends is not answered: its End says all.
func TestSendsAreNotAnsweredAfterTheEnd(t *testing.T) {
	s := openOne(t, ListenConfig{}, DialConfig{})
	s.conn.Close(nil)
	s.stream.Send(1, edge.StreamMessage{})
	s.stream.Ack(2, "alice", 1)
	s.stream.Ack(0, "alice", 2)
	if err := receive(t, s.ends, "the end"); !errors.Is(err, ErrBroken) {
		t.Errorf("the stream ended with %v", err)
	}
	s.stream.Send(3, edge.StreamMessage{})
	s.wantSilence(t)
}

func TestStreamsAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		server ListenConfig
		proxy  DialConfig
	}{
		"at the proxy":  {ListenConfig{}, DialConfig{MaxStreams: 3}},
		"at the server": {ListenConfig{MaxStreams: 3}, DialConfig{}},
	} {
		t.Run(name, func(t *testing.T) {
			counters := new(Counters)
			c.server.Counters, c.proxy.Counters = counters, counters
			h, streams := openAll()
			c.server.Handler = h
			conn := pair(t, c.server, c.proxy)
			first := openAt(t, conn, streams)
			for range 2 {
				openAt(t, conn, streams)
			}
			_, err := conn.Login(t.Context(), aCaller, aLogin, client{})
			if chat.AsError(err).Code != chat.CodeBusy {
				t.Errorf("a fourth stream: %v, want %v", err, chat.CodeBusy)
			}
			if n := counters.StreamsBusy.Load(); n != 1 {
				t.Errorf("%d logins were counted as busy, want 1", n)
			}
			first.stream.Close()
			openAt(t, conn, streams)
		})
	}
}

func TestLoginsInHandAreBounded(t *testing.T) {
	h := newHeld()
	counters := new(Counters)
	conn := pair(t, ListenConfig{Handler: handler{login: h.login}, MaxLogins: 2, Counters: counters}, DialConfig{})
	var logins sync.WaitGroup
	defer logins.Wait()
	defer close(h.release)
	for range 2 {
		logins.Go(func() {
			if _, err := conn.Login(context.Background(), aCaller, aLogin, client{}); err != nil {
				t.Error(err)
			}
		})
		receive(t, h.entered, "the login to be handled")
	}
	_, err := conn.Login(t.Context(), aCaller, aLogin, client{})
	if chat.AsError(err).Code != chat.CodeBusy || counters.StreamsBusy.Load() != 1 {
		t.Errorf("a third login: %v, want %v", err, chat.CodeBusy)
	}
}
