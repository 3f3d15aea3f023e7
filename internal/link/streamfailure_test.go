package link

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// busyStream is a stream at both ends that always has a send under way, and counts how often it ends.
type busyStream struct {
	turns              chan struct{} // one slot: for the next send
	ends, closes, late atomic.Int64
	why                error             // of the first end
	client             edge.StreamClient // of the server's handler
}

func (s *busyStream) Answer(uint64, chat.Seq, *chat.Error) {
	s.event()
	s.turn()
}

func (s *busyStream) turn() {
	select {
	case s.turns <- struct{}{}:
	default:
	}
}

func (s *busyStream) Deliver([]chat.Message) bool {
	s.event()
	return true
}

func (s *busyStream) event() {
	if s.ends.Load() > 0 {
		s.late.Add(1)
	}
}

func (s *busyStream) End(why error) {
	s.why = why
	s.ends.Add(1)
	s.turn()
}

func (s *busyStream) Send(ref uint64, _ edge.StreamMessage) {
	if s.closes.Load() > 0 {
		s.late.Add(1)
	}
	s.client.Answer(ref, 1, nil)
	s.client.Deliver([]chat.Message{message(1, []byte("hello"))})
}

// use sends until the stream ends, and says when it has been used for a while.
func (s *busyStream) use(stream edge.Stream, used chan<- struct{}) {
	defer stream.Close()
	for ref := uint64(1); s.ends.Load() == 0; ref++ {
		stream.Send(ref, edge.StreamMessage{ID: "m"})
		<-s.turns
		if ref == 10 {
			used <- struct{}{}
		}
	}
}

func (s *busyStream) Ack(uint64, chat.Mailbox, chat.Seq) {}

func (s *busyStream) Close() { s.closes.Add(1) }

// However a link ends, each end of each stream learns it, once, and nothing comes after.
func TestEveryStreamEndsWithItsLink(t *testing.T) {
	const n = 300
	gone := errors.New("silent for too long")
	for name, end := range map[string]func(*relay, *Conn, *service, *service){
		"the network breaks":      func(r *relay, _ *Conn, _, _ *service) { r.breakAll() },
		"the proxy gives it up":   func(_ *relay, c *Conn, _, _ *service) { c.Close(gone) },
		"the proxy is stopped":    func(_ *relay, _ *Conn, proxy, _ *service) { proxy.cancel() },
		"the server is shut down": func(_ *relay, _ *Conn, _, server *service) { server.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			byNonce := make([]busyStream, n)
			for i := range byNonce {
				byNonce[i].turns = make(chan struct{}, 1)
			}
			open := func(_ context.Context, _ edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
				s := &byNonce[l.Nonce]
				s.client = client
				return s, nil
			}
			addr, server := listen(t, ListenConfig{Handler: handler{login: open}})
			relay, addr := newRelay(t, addr, 0)
			conn, proxy := dial(t, addr, DialConfig{})

			streams := make([]edge.Stream, n)
			for i := range n {
				s, err := conn.Login(t.Context(), aCaller, edge.Login{Nonce: uint32(i)}, &byNonce[i])
				if err != nil {
					t.Fatal(err)
				}
				streams[i] = s
			}
			var using sync.WaitGroup
			used := make(chan struct{}, n)
			for i := range n {
				using.Go(func() { byNonce[i].use(streams[i], used) })
			}
			for range n {
				receive(t, used, "all streams to be used")
			}
			end(relay, conn, proxy, server)
			proxy.wait(t)
			using.Wait()
			server.end(t)
			for i := range byNonce {
				s := &byNonce[i]
				if s.ends.Load() != 1 || s.closes.Load() != 1 || s.late.Load() != 0 || !errors.Is(s.why, ErrBroken) {
					t.Fatalf("stream %d ended %d times here (%v) and %d times there, and heard %d events after that",
						i, s.ends.Load(), s.why, s.closes.Load(), s.late.Load())
				}
			}
		})
	}
}

func TestLoginOnALinkThatHasEnded(t *testing.T) {
	conn := pair(t, ListenConfig{}, DialConfig{})
	conn.Close(nil)
	_, err := conn.Login(t.Context(), aCaller, aLogin, client{})
	if !errors.Is(err, ErrNotSent) {
		t.Errorf("got %v, want %v", err, ErrNotSent)
	}
}

// held is a handler whose logins wait until they are let go, or their context ends, and then open a stream all the same.
type held struct {
	entered chan *opened
	release chan struct{}
}

func newHeld() held { return held{make(chan *opened, 100), make(chan struct{})} }

func (h held) login(ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
	o := &opened{ctx: ctx, client: client}
	h.entered <- o
	<-h.release
	return o, nil
}

func TestLoginEndsWithItsContext(t *testing.T) {
	h := newHeld()
	conn := pair(t, ListenConfig{Handler: handler{login: h.login}}, DialConfig{})
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := newTold()
	done := make(chan error)
	go func() {
		_, err := conn.Login(ctx, aCaller, aLogin, w.client())
		done <- err
	}()
	o := receive(t, h.entered, "the login to be handled")
	cancel(gone)
	if err := receive(t, done, "the login to end"); !errors.Is(err, gone) || errors.Is(err, ErrBroken) {
		t.Errorf("got %v, want %v", err, gone)
	}
	receive(t, o.ctx.Done(), "the handler's context to end")
	close(h.release)
	eventually(t, "the stream that was opened all the same is closed", o.closed)
	o.client.Deliver([]chat.Message{message(1, nil)})
	o.client.End(nil)
	settle(t, conn)
	w.wantSilence(t)
	wantNoStreams(t, conn, o.client)
	if n := o.closes.Load(); n != 1 {
		t.Errorf("it was closed %d times", n)
	}
}

func TestLoginInHandWhenTheLinkBreaks(t *testing.T) {
	h := newHeld()
	addr, server := listen(t, ListenConfig{Handler: handler{login: h.login}})
	relay, addr := newRelay(t, addr, 0)
	conn, proxy := dial(t, addr, DialConfig{})
	const n = 50
	clients := make([]told, n)
	errs := make(chan error, n)
	for i := range clients {
		clients[i] = newTold()
		go func() {
			_, err := conn.Login(context.Background(), aCaller, aLogin, clients[i].client())
			errs <- err
		}()
	}
	var streams []*opened
	for range n {
		streams = append(streams, receive(t, h.entered, "a login to be handled"))
	}
	relay.breakAll()
	for range n {
		if err := receive(t, errs, "a login to fail"); !errors.Is(err, ErrBroken) || errors.Is(err, ErrNotSent) {
			t.Errorf("a login in the server's hands got %v, want %v and no more than that", err, ErrBroken)
		}
	}
	proxy.wait(t)
	for i := range clients {
		clients[i].wantSilence(t) // that it has failed was said already
	}
	for _, o := range streams {
		receive(t, o.ctx.Done(), "the handler's context to end")
	}
	close(h.release)
	server.end(t)
	for _, o := range streams {
		if n := o.closes.Load(); n != 1 {
			t.Errorf("a stream that was opened too late was closed %d times", n)
		}
	}
}

func TestShutdownWaitsForLoginsAndNotForStreams(t *testing.T) {
	h := newHeld()
	h.entered = make(chan *opened, 2)
	addr, server := listen(t, ListenConfig{Handler: handler{login: h.login}, Grace: patience})
	conn, _ := dial(t, addr, DialConfig{})
	w := newTold()
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := conn.Login(context.Background(), aCaller, aLogin, w.client())
			errs <- err
		}()
	}
	first, second := receive(t, h.entered, "a login"), receive(t, h.entered, "another login")
	server.cancel()
	eventually(t, "new logins are not taken", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := conn.Login(ctx, aCaller, aLogin, client{})
		if errors.Is(err, ErrNotSent) {
			return strings.Contains(err.Error(), "shutting down")
		}
		receive(t, h.entered, "a login from before the end to be handled")
		return false
	})
	close(h.release)
	for range 2 {
		if err := receive(t, errs, "the answer to a login that was in hand"); err != nil {
			t.Error(err)
		}
	}
	if err := server.wait(t); err != nil {
		t.Errorf("the server's Serve returned %v", err)
	}
	if first.closes.Load() != 1 || second.closes.Load() != 1 {
		t.Errorf("the streams were closed %d and %d times", first.closes.Load(), second.closes.Load())
	}
	for range 2 {
		if err := receive(t, w.ends, "the end of a stream"); !errors.Is(err, ErrBroken) {
			t.Errorf("a stream ended with %v", err)
		}
	}
}

func TestShutdownCancelsLoginsAfterGrace(t *testing.T) {
	entered := make(chan struct{})
	addr, server := listen(t, ListenConfig{Grace: 30 * time.Millisecond, Handler: handler{
		login: func(ctx context.Context, _ edge.Caller, _ edge.Login, _ edge.StreamClient) (edge.Stream, error) {
			close(entered)
			<-ctx.Done()
			return nil, chat.Errorf(chat.CodeUnavail, "the shard does not answer")
		},
	}})
	conn, _ := dial(t, addr, DialConfig{})
	done := make(chan error, 1)
	go func() {
		_, err := conn.Login(context.Background(), aCaller, aLogin, client{})
		done <- err
	}()
	receive(t, entered, "the login to be handled")
	if err := server.end(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if err := receive(t, done, "the login to end"); err == nil || chat.AsError(err).Code != chat.CodeUnavail {
		t.Errorf("the login got %v, want what its handler answered in the end", err)
	}
}

// rawStream is a stranger that has opened a stream of id 1.
func rawStream(t *testing.T, cfg ListenConfig) *strangeProxy {
	t.Helper()
	addr, _ := listen(t, cfg)
	p := newStrangeProxy(t, addr, newHello(roleProxy, "stranger"))
	p.write(t, rawFrame(kindLogin, 1, string(appendLogin(nil, aCaller, aLogin))))
	if f := p.read(t); f.kind != kindWelcome || f.id != 1 {
		t.Fatalf("the login was answered with a frame of kind %d", f.kind)
	}
	return p
}

func TestWhatDoesNotParseOnAStreamEndsTheLink(t *testing.T) {
	for name, b := range map[string][]byte{
		"a malformed login":           rawFrame(kindLogin, 2, "\x04"),
		"a login under a used id":     rawFrame(kindLogin, 1, string(appendLogin(nil, aCaller, aLogin))),
		"a malformed send":            rawFrame(kindStreamSend, 1, "\x04"),
		"a malformed ack":             rawFrame(kindAck, 1, ""),
		"a close that says something": rawFrame(kindClose, 1, "x"),
		"an answer from a proxy":      rawFrame(kindAnswer, 1, string(appendAnswer(nil, answer{}))),
		"an unknown kind":             rawFrame(31, 1, ""),
	} {
		t.Run(name, func(t *testing.T) {
			h, streams := openAll()
			p := rawStream(t, ListenConfig{Idle: time.Minute, Handler: h})
			p.write(t, b)
			if !hungUp(p.conn) {
				t.Error("the link goes on")
			}
			served := receive(t, streams, "the login")
			eventually(t, "the stream is closed", served.closed)
		})
	}
}

func TestWhatIsSaidToUnknownStreamsIsPassedOver(t *testing.T) {
	h, streams := openAll()
	p := rawStream(t, ListenConfig{Idle: time.Minute, Handler: h})
	served := receive(t, streams, "the login")
	for _, id := range []uint64{2, 1 << 40} {
		p.write(t, rawFrame(kindStreamSend, id, string(appendStreamSend(nil, 1, edge.StreamMessage{}))))
		p.write(t, rawFrame(kindAck, id, string(appendAck(nil, ack{}))))
		p.write(t, rawFrame(kindClose, id, ""))
	}
	p.write(t, rawFrame(kindPing, 7, ""))
	if f := p.read(t); f.kind != kindPong {
		t.Errorf("a frame of kind %d came, and not the pong", f.kind)
	}
	if served.closed() || len(served.sends) > 0 || len(served.acks) > 0 {
		t.Error("the stream that is known got something of it")
	}
}

// open opens a stream at a strange server. Its id is 1.
func (s *strange) open(t *testing.T, conn *Conn) (edge.Stream, told) {
	t.Helper()
	w := newTold()
	opened := make(chan edge.Stream)
	go func() {
		stream, err := conn.Login(context.Background(), aCaller, aLogin, w.client())
		if err != nil {
			t.Error(err)
		}
		opened <- stream
	}()
	if f := s.readPast(t, kindPing); f.kind != kindLogin || f.id != 1 {
		t.Fatalf("instead of a login came a frame of kind %d", f.kind)
	}
	s.write(t, rawFrame(kindWelcome, 1, string(appendWelcome(nil, welcome{}))))
	return receive(t, opened, "the login"), w
}

func TestWhatAServerMayNotSayEndsTheLink(t *testing.T) {
	for name, b := range map[string][]byte{
		"a second welcome":     rawFrame(kindWelcome, 1, string(appendWelcome(nil, welcome{}))),
		"a malformed welcome":  rawFrame(kindWelcome, 2, "\x09"),
		"a malformed answer":   rawFrame(kindAnswer, 2, ""),
		"a malformed delivery": rawFrame(kindDeliver, 2, "\x00"),
		"a malformed end":      rawFrame(kindEnd, 2, ""),
		"a malformed ticket":   rawFrame(kindTicket, 0, ""),
		"a login":              rawFrame(kindLogin, 1, string(appendLogin(nil, aCaller, aLogin))),
	} {
		t.Run(name, func(t *testing.T) {
			conn, s := piped(t, DialConfig{})
			_, w := s.open(t, conn)
			s.write(t, b)
			if err := receive(t, w.ends, "the end of the stream"); !errors.Is(err, ErrBroken) {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
}

func TestEndBeforeTheLoginIsAnsweredEndsTheLink(t *testing.T) {
	conn, s := piped(t, DialConfig{})
	done := make(chan error)
	go func() {
		_, err := conn.Login(context.Background(), aCaller, aLogin, client{})
		done <- err
	}()
	f := s.readPast(t, kindPing)
	s.write(t, rawFrame(kindEnd, f.id, string(appendEnd(nil, nil))))
	if err := receive(t, done, "the login to fail"); !errors.Is(err, ErrBroken) {
		t.Errorf("the login got %v", err)
	}
}

func TestLateEventsArePassedOver(t *testing.T) {
	conn, s := piped(t, DialConfig{PingInterval: time.Hour})
	_, w := s.open(t, conn)
	one := string(appendMessages(nil, []chat.Message{message(1, nil)}))
	s.write(t, rawFrame(kindEnd, 1, string(appendEnd(nil, nil))))
	if err := receive(t, w.ends, "the end"); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if f := s.readPast(t, kindPing); f.kind != kindClose || f.id != 1 {
		t.Errorf("the end was answered with a frame of kind %d", f.kind)
	}
	for _, id := range []uint64{1, 99} {
		s.write(t, rawFrame(kindAnswer, id, string(appendAnswer(nil, answer{}))))
		s.write(t, rawFrame(kindDeliver, id, one))
		s.write(t, rawFrame(kindEnd, id, string(appendEnd(nil, aRefusal))))
		s.write(t, rawFrame(kindWelcome, id, string(appendWelcome(nil, welcome{}))))
	}
	s.write(t, rawFrame(kindPing, 7, ""))
	if f := s.readPast(t, kindPing); f.kind != kindPong {
		t.Errorf("a frame of kind %d came, and not the pong", f.kind)
	}
	w.wantSilence(t)
}

func TestWhoDoesNotReadTheAnswersOfAStreamLosesTheLink(t *testing.T) {
	var o atomic.Pointer[opened]
	h := loginHandler(func(_ context.Context, client edge.StreamClient) (edge.Stream, error) {
		o.Store(&opened{client: client})
		return answerAll{o.Load()}, nil
	})
	p := rawStream(t, ListenConfig{Idle: time.Minute, QueueBytes: 1000, Handler: h})
	send := rawFrame(kindStreamSend, 1, string(appendStreamSend(nil, 1, edge.StreamMessage{ID: "m"})))
	for {
		if _, err := p.conn.Write(send); err != nil {
			break
		}
	}
	if !hungUp(p.conn) {
		t.Error("writing ended, but not since the server hung up")
	}
	eventually(t, "the stream is closed", o.Load().closed)
}

// answerAll refuses every send at length.
type answerAll struct{ *opened }

func (s answerAll) Send(ref uint64, _ edge.StreamMessage) {
	s.client.Answer(ref, 0, chat.Errorf(chat.CodeBadReq, "%s", strings.Repeat("x", maxReason)))
}
