package link

import (
	"context"
	"sync/atomic"
	"testing"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

var aLogin = edge.Login{User: "alice", Password: chat.NewSecret("secret"), Device: "phone", Nonce: 7}

// client is a stream's client at the proxy. A nil func passes over what it is told, and takes every delivery.
type client struct {
	answer  func(ref uint64, seq chat.Seq, refusal *chat.Error)
	deliver func(messages []chat.Message) bool
	end     func(why error)
}

func (c client) Answer(ref uint64, seq chat.Seq, refusal *chat.Error) {
	if c.answer != nil {
		c.answer(ref, seq, refusal)
	}
}

func (c client) Deliver(messages []chat.Message) bool {
	return c.deliver == nil || c.deliver(messages)
}

func (c client) End(why error) {
	if c.end != nil {
		c.end(why)
	}
}

// told is what the client of a stream was told, for a test to receive.
type told struct {
	answers    chan answer
	deliveries chan []chat.Message
	ends       chan error
}

func newTold() told {
	return told{make(chan answer, 1000), make(chan []chat.Message, 1000), make(chan error, 1000)}
}

func (w told) client() client {
	return client{
		answer:  func(ref uint64, seq chat.Seq, refusal *chat.Error) { w.answers <- answer{ref, seq, refusal} },
		deliver: func(messages []chat.Message) bool { w.deliveries <- messages; return true },
		end:     func(why error) { w.ends <- why },
	}
}

// opened is a stream as a server's handler opened it, with what was asked of it.
type opened struct {
	ctx    context.Context // of its login
	from   edge.Caller
	login  edge.Login
	client edge.StreamClient

	sends  chan sent
	acks   chan ack
	closes atomic.Int64
}

type sent struct {
	ref uint64
	m   edge.StreamMessage
}

func (o *opened) Send(ref uint64, m edge.StreamMessage) { o.sends <- sent{ref, m} }

func (o *opened) Ack(ref uint64, mailbox chat.Mailbox, seq chat.Seq) {
	o.acks <- ack{ref, mailbox, seq}
}

func (o *opened) Close() { o.closes.Add(1) }

func (o *opened) closed() bool { return o.closes.Load() > 0 }

// openAll is a handler that opens every stream and gives it to the test.
func openAll() (handler, <-chan *opened) {
	streams := make(chan *opened, 1000)
	open := func(ctx context.Context, from edge.Caller, l edge.Login, client edge.StreamClient) (edge.Stream, error) {
		o := &opened{ctx: ctx, from: from, login: l, client: client,
			sends: make(chan sent, 1000), acks: make(chan ack, 1000)}
		streams <- o
		return o, nil
	}
	return handler{login: open}, streams
}

// streamFunc is a stream at the server whose sends a test handles, and whose acks and close it does not care for.
type streamFunc func(ref uint64, m edge.StreamMessage)

func (f streamFunc) Send(ref uint64, m edge.StreamMessage) { f(ref, m) }
func (f streamFunc) Ack(uint64, chat.Mailbox, chat.Seq)    {}
func (f streamFunc) Close()                                {}

// pairForLogin is a pair whose server answers logins with login.
func pairForLogin(t testing.TB, login func(context.Context, edge.StreamClient) (edge.Stream, error)) *Conn {
	t.Helper()
	return pair(t, ListenConfig{Handler: loginHandler(login)}, DialConfig{})
}

// loginHandler is a handler that answers logins with login.
func loginHandler(login func(context.Context, edge.StreamClient) (edge.Stream, error)) handler {
	return handler{
		login: func(ctx context.Context, _ edge.Caller, _ edge.Login, client edge.StreamClient) (edge.Stream, error) {
			return login(ctx, client)
		},
	}
}

// login opens a stream that must open.
func login(t testing.TB, conn *Conn, client edge.StreamClient) edge.Stream {
	t.Helper()
	stream, err := conn.Login(t.Context(), aCaller, aLogin, client)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// streamEnds is a stream at both ends of a link.
type streamEnds struct {
	conn   *Conn
	stream edge.Stream // the proxy's
	told               // what the client there was told
	served *opened     // what the server's handler has
}

// openOne links a server and a proxy, and opens a stream.
func openOne(t testing.TB, server ListenConfig, proxy DialConfig) streamEnds {
	t.Helper()
	h, streams := openAll()
	server.Handler = h
	conn := pair(t, server, proxy)
	return openAt(t, conn, streams)
}

// openAt opens one more stream.
func openAt(t testing.TB, conn *Conn, streams <-chan *opened) streamEnds {
	t.Helper()
	w := newTold()
	stream := login(t, conn, w.client())
	return streamEnds{conn, stream, w, receive(t, streams, "the login to be handled")}
}

// settle returns when all that was said before, at either end, has arrived.
func settle(t testing.TB, conn *Conn) {
	t.Helper()
	if _, err := conn.Send(t.Context(), aCaller, aMessage); err != nil {
		t.Fatal(err)
	}
}

// wantSilence says what a client was told that was not to be told anything, or not anything more.
func (w told) wantSilence(t testing.TB) {
	t.Helper()
	select {
	case a := <-w.answers:
		t.Errorf("the client got the answer %v", a)
	case d := <-w.deliveries:
		t.Errorf("the client got the delivery %v", d)
	case err := <-w.ends:
		t.Errorf("the client got the end %v", err)
	default:
	}
}

// wantNoStreams waits until neither end knows a stream. back is one that was there, as the server's handler got it.
func wantNoStreams(t testing.TB, conn *Conn, back edge.StreamClient) {
	t.Helper()
	ours, theirs := conn.streams, back.(*serverStream).e.streams
	eventually(t, "no stream is known", func() bool {
		ours.mu.Lock()
		defer ours.mu.Unlock()
		theirs.mu.Lock()
		defer theirs.mu.Unlock()
		return len(ours.open) == 0 && len(ours.stuck) == 0 && len(theirs.open) == 0
	})
}
