package link

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/wire"
)

// blocked is a handler whose sends wait until they are let go, and then tell whether their context had ended.
type blocked struct {
	handler
	entered, release chan struct{}
	left             chan error
}

func newBlocked() *blocked {
	b := &blocked{entered: make(chan struct{}, 1000), release: make(chan struct{}), left: make(chan error, 1000)}
	b.send = func(ctx context.Context, _ edge.Caller, _ wire.Wrmsg) (chat.Seq, error) {
		b.entered <- struct{}{}
		<-b.release
		b.left <- ctx.Err()
		return 7, nil
	}
	return b
}

// sendMany starts n sends and returns when all are being handled.
func (b *blocked) sendMany(t *testing.T, conn *Conn, n int) <-chan error {
	t.Helper()
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := conn.Send(context.Background(), aCaller, aMessage)
			errs <- err
		}()
	}
	for range n {
		receive(t, b.entered, "a send to be handled")
	}
	return errs
}

func TestEverySendInFlightLearnsThatTheLinkBroke(t *testing.T) {
	const n = 100
	h := newBlocked()
	addr, _ := listen(t, ListenConfig{Handler: h})
	relay, addr := newRelay(t, addr, 0)
	conn, serving := dial(t, addr, DialConfig{})
	errs := h.sendMany(t, conn, n)
	relay.breakAll()
	for range n {
		err := receive(t, errs, "a send to fail")
		if !errors.Is(err, ErrBroken) || errors.Is(err, ErrNotSent) {
			t.Errorf("a send in the server's hands got %v, want %v and no more than that", err, ErrBroken)
		}
	}
	if err := serving.wait(t); err == nil {
		t.Error("Serve does not say why the link ended")
	}
	_, err := conn.Send(t.Context(), aCaller, aMessage)
	if !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrBroken) {
		t.Errorf("a send on the broken link got %v, want %v, which is an %v", err, ErrNotSent, ErrBroken)
	}
	if conn.Poll(aCaller, aPoll) {
		t.Error("a poll on the broken link was taken")
	}
	close(h.release)
	for range n {
		if err := receive(t, h.left, "a send to be handled to its end"); err != nil {
			t.Errorf("the context of a send whose link broke ended: %v", err)
		}
	}
}

func TestNothingIsHeardOnALinkThatWasGivenUp(t *testing.T) {
	h := newBlocked()
	backs := make(chan edge.Pusher, 1)
	h.poll = func(_ edge.Caller, _ wire.Poll, back edge.Pusher) { backs <- back }
	addr, _ := listen(t, ListenConfig{Handler: h})
	relay, addr := newRelay(t, addr, 0)
	pushed := make(chan edge.Push, 1)
	keep := pusher(func(_ context.Context, p edge.Push) (edge.Receipt, error) {
		pushed <- p
		return edge.Receipt{}, nil
	})
	back, conn, serving := backOf(t, addr, DialConfig{Pusher: keep}, backs)
	errs := h.sendMany(t, conn, 1)

	relay.stop(true)
	close(h.release) // the reply and a push are on their way, and the network holds them
	receive(t, h.left, "the send to be handled")
	push := make(chan error)
	go func() {
		_, err := back.Push(context.Background(), edge.Push{Client: clientAddr})
		push <- err
	}()
	silent := errors.New("silent for too long")
	conn.Close(silent)
	err := receive(t, errs, "the send to fail")
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), silent.Error()) {
		t.Errorf("the send got %v, want %v and why", err, ErrBroken)
	}
	if err := serving.wait(t); !errors.Is(err, silent) {
		t.Errorf("Serve returned %v, want the reason that Close was given", err)
	}
	relay.stop(false)
	if err := receive(t, push, "the push to fail"); !errors.Is(err, ErrBroken) {
		t.Errorf("the push got %v, want %v", err, ErrBroken)
	}
	select {
	case p := <-pushed:
		t.Errorf("the proxy took a push from the server it had given up: %v", p)
	default:
	}
}

func TestPushesUnderWayAreCancelledWithTheLink(t *testing.T) {
	h, backs := keepBacks()
	addr, _ := listen(t, ListenConfig{Handler: h})
	entered, left := make(chan struct{}), make(chan error, 1)
	stuck := pusher(func(ctx context.Context, _ edge.Push) (edge.Receipt, error) {
		close(entered)
		<-ctx.Done()
		left <- ctx.Err()
		return edge.Receipt{}, ctx.Err()
	})
	back, _, serving := backOf(t, addr, DialConfig{Pusher: stuck}, backs)
	push := make(chan error)
	go func() {
		_, err := back.Push(context.Background(), edge.Push{Client: clientAddr})
		push <- err
	}()
	receive(t, entered, "the push to be handled")
	if err := serving.end(t); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve returned %v, want what its context says", err)
	}
	select {
	case <-left:
	default:
		t.Error("Serve returned before the push that it was handling")
	}
	if err := receive(t, push, "the push to fail"); !errors.Is(err, ErrBroken) {
		t.Errorf("the push got %v, want %v", err, ErrBroken)
	}
}

func TestSilenceOfAStalledNetwork(t *testing.T) {
	addr, _ := listen(t, ListenConfig{Idle: time.Minute})
	relay, addr := newRelay(t, addr, 0)
	conn, _ := dial(t, addr, DialConfig{PingInterval: 20 * time.Millisecond})
	answered := func() bool {
		conn.pinger.mu.Lock()
		defer conn.pinger.mu.Unlock()
		return conn.pinger.last > 2 && !conn.pinger.waiting
	}
	eventually(t, "pings are answered", answered)
	relay.stop(true)
	eventually(t, "the silence is noticed", func() bool { return conn.Silence() >= 100*time.Millisecond })
	relay.stop(false)
	eventually(t, "the silence ends", func() bool { return conn.Silence() == 0 })
	if _, err := conn.Send(t.Context(), aCaller, aMessage); err != nil {
		t.Errorf("a send after the network came back: %v", err)
	}
}

func TestOverloadDoesNotLookLikeDeath(t *testing.T) {
	h := newBlocked()
	defer close(h.release)
	backs := make(chan edge.Pusher, 1)
	h.poll = func(_ edge.Caller, _ wire.Poll, back edge.Pusher) { backs <- back }
	addr, _ := listen(t, ListenConfig{Handler: h, MaxSends: 100, QueueBytes: 1 << 20})
	release := make(chan struct{})
	back, conn, _ := backOf(t, addr, DialConfig{
		PingInterval: 20 * time.Millisecond,
		Pusher: pusher(func(ctx context.Context, _ edge.Push) (edge.Receipt, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return edge.Receipt{}, nil
		}),
	}, backs)
	h.sendMany(t, conn, 100) // every place for a send is taken, and none moves
	pushes := make(chan error, 300)
	p := edge.Push{Client: clientAddr, Messages: []chat.Message{message(1, everyByteButNUL(chat.MaxText))}}
	for range cap(pushes) { // and so many pushes are written and not answered
		go func() {
			_, err := back.Push(context.Background(), p)
			pushes <- err
		}()
	}
	pinged := func() uint64 {
		conn.pinger.mu.Lock()
		defer conn.pinger.mu.Unlock()
		return conn.pinger.last
	}
	goal := pinged() + 10 // a ping is sent only when the one before has its pong
	eventually(t, "ten more pings are answered", func() bool { return pinged() > goal })
	close(release)
	for range cap(pushes) {
		if err := receive(t, pushes, "a push to be answered"); err != nil {
			t.Errorf("a push: %v", err)
		}
	}
}

func TestPongOvertakesPushesThatWait(t *testing.T) {
	h, backs := keepBacks()
	addr, _ := listen(t, ListenConfig{Handler: h, Idle: time.Hour})
	conn := stranger(t, addr)
	conn.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10)
	if _, err := conn.Write(rawFrame(kindPoll, 0, string(appendPoll(nil, version, &aCaller, &aPoll)))); err != nil {
		t.Fatal(err)
	}
	server := receive(t, backs, "the poll").(*serverEnd)
	ctx, cancel := context.WithCancel(t.Context())
	p := edge.Push{Client: clientAddr, Messages: []chat.Message{message(1, everyByteButNUL(chat.MaxText))}}
	pushes := make(chan struct{}, 200)
	for range cap(pushes) { // far more than the kernel takes, for the stranger does not read
		go func() {
			server.Push(ctx, p)
			pushes <- struct{}{}
		}()
	}
	eventually(t, "the queue is long", func() bool { return waiting(server.s) > 2<<20 })
	server.s.heard.Store(false)
	if _, err := conn.Write(rawFrame(kindPing, 42, "")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ping is read", server.s.heard.Load)
	behind := waiting(server.s)

	in := newFrameReader(conn)
	for ponged, after := false, 0; after < behind/2; { // the pong comes, and then most of what waited before it
		f, err := in.next(maxFrame)
		if err != nil {
			t.Fatal(err)
		}
		ponged = ponged || f.kind == kindPong
		if ponged {
			after += len(f.body)
		}
	}
	cancel()
	for range cap(pushes) {
		receive(t, pushes, "a push to end")
	}
}

func TestServerHangsUpOnASilentProxy(t *testing.T) {
	addr, _ := listen(t, ListenConfig{Idle: 60 * time.Millisecond})
	if !hungUp(stranger(t, addr)) {
		t.Error("the server keeps a link on which nothing comes")
	}
}

func TestPingsKeepALinkOpen(t *testing.T) {
	addr, _ := listen(t, ListenConfig{Idle: 300 * time.Millisecond})
	conn, serving := dial(t, addr, DialConfig{PingInterval: 20 * time.Millisecond})
	pings := func() uint64 {
		conn.pinger.mu.Lock()
		defer conn.pinger.mu.Unlock()
		return conn.pinger.last
	}
	eventually(t, "twice the idle time has passed", func() bool { return pings() > 30 })
	select {
	case <-serving.done:
		t.Errorf("the link ended: %v", serving.err)
	default:
	}
}

func TestWhatDoesNotParseEndsTheLink(t *testing.T) {
	for name, b := range map[string][]byte{
		"a second hello":            rawFrame(kindHello, 0, string(appendHello(nil, newHello(roleProxy, "x")))),
		"an unknown kind":           rawFrame(99, 0, ""),
		"a push from a proxy":       rawFrame(kindPush, 1, string(appendPush(nil, edge.Push{}))),
		"a malformed poll":          rawFrame(kindPoll, 0, "\x04"),
		"a malformed send":          rawFrame(kindSend, 1, "\x04"),
		"a frame that is huge":      {0xff, 0xff, 0xff, 0xff},
		"a frame that is too small": {0, 0, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := listen(t, ListenConfig{Idle: time.Minute})
			conn := stranger(t, addr)
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
			if !hungUp(conn) {
				t.Error("the link goes on")
			}
		})
	}
}

func TestHintsArePassedOver(t *testing.T) {
	addr, _ := listen(t, ListenConfig{Idle: time.Minute})
	conn := stranger(t, addr)
	b := append(rawFrame(firstHint, 5, "whatever"), rawFrame(255, 6, "")...)
	if _, err := conn.Write(append(b, rawFrame(kindPing, 7, "")...)); err != nil {
		t.Fatal(err)
	}
	f, err := newFrameReader(conn).next(maxFrame)
	if err != nil || f.kind != kindPong || f.id != 7 {
		t.Errorf("got %v, %v; want the pong to the ping behind the hints", f, err)
	}
}

func TestWhoDoesNotReadItsAnswersLosesTheLink(t *testing.T) {
	addr, _ := listen(t, ListenConfig{Idle: time.Minute, QueueBytes: 1000, Handler: handler{
		send: func(context.Context, edge.Caller, wire.Wrmsg) (chat.Seq, error) {
			return 0, chat.Errorf(chat.CodeBadReq, "%s", strings.Repeat("x", maxReason))
		},
	}})
	conn := stranger(t, addr)
	request := rawFrame(kindSend, 1, string(appendWrmsg(nil, version, aCaller, aMessage)))
	for {
		if _, err := conn.Write(request); err != nil {
			if !hungUp(conn) {
				t.Errorf("writing ended with %v, but not since the server hung up", err)
			}
			return
		}
	}
}

func TestClosedBeforeItIsServed(t *testing.T) {
	addr, _ := listen(t, ListenConfig{})
	conn, err := Dial(t.Context(), addr, withDialDefaults(t, DialConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(nil)
	if err := conn.Serve(t.Context()); err == nil {
		t.Error("Serve says nothing about why")
	}
	if conn.Peer() != "server-1" {
		t.Errorf("the peer is %q", conn.Peer())
	}

	l, err := Listen("127.0.0.1:0", ListenConfig{Identity: identity(t, key("k")), Name: "server-1", Handler: handler{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Serve(t.Context()); err == nil {
		t.Error("a closed listener was served without an error")
	}
}
