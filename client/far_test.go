package client

import (
	"bufio"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

// far is the other end of a stream's connection, played by the test frame by frame.
type far struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// accept waits for the next connection of a stream.
func (p *peer) accept() *far {
	p.t.Helper()
	p.tcp.SetDeadline(time.Now().Add(patience))
	conn, err := p.tcp.Accept()
	if err != nil {
		p.t.Fatalf("no connection came: %v", err)
	}
	return newFar(p.t, conn)
}

// wantNobody looks for a moment whether somebody connects.
func (p *peer) wantNobody() {
	p.t.Helper()
	p.tcp.SetDeadline(time.Now().Add(moment))
	if conn, err := p.tcp.Accept(); err == nil {
		conn.Close()
		p.t.Error("the client connected")
	}
}

func newFar(t *testing.T, conn net.Conn) *far {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &far{t, conn, bufio.NewReader(conn)}
}

// frame reads the next frame, which is to be of this kind.
func frame[F wire.Frame](f *far) F {
	f.t.Helper()
	got, err := wire.ReadFrame(f.r, wire.Limits{MaxText: chat.MaxText})
	if err != nil {
		f.t.Fatalf("instead of a %T: %v", *new(F), err)
	}
	if got, ok := got.(F); ok {
		return got
	}
	f.t.Fatalf("instead of a %T: %#v", *new(F), got)
	return *new(F)
}

// write writes frames, some as text and some as bytes.
func (f *far) write(frames ...any) {
	f.t.Helper()
	var b []byte
	for _, frame := range frames {
		switch frame := frame.(type) {
		case string:
			b = append(b, frame...)
		case chat.Message:
			b = wire.AppendMessage(b, frame)
		}
	}
	if _, err := f.conn.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

// login lets the client in.
func (f *far) login() wire.Login {
	f.t.Helper()
	l := frame[wire.Login](f)
	f.write("ok;id=login\n")
	return l
}

// ok answers a send.
func (f *far) ok(m wire.Wrmsg, seq chat.Seq) {
	f.t.Helper()
	f.write(string(wire.AppendOK(nil, m.ID, seq)))
}

// err answers a send with a refusal.
func (f *far) err(m wire.Wrmsg, code chat.Code) {
	f.t.Helper()
	f.write(string(wire.AppendErr(nil, m.ID, chat.Errorf(code, "so it is"))))
}

// wantText reads the next send and looks at its text.
func (f *far) wantText(text string) wire.Wrmsg {
	f.t.Helper()
	m := frame[wire.Wrmsg](f)
	if string(m.Text) != text {
		f.t.Fatalf("the client sent %q, want %q", m.Text, text)
	}
	return m
}

// wantAck reads the next ack.
func (f *far) wantAck(mailbox chat.Mailbox, seq chat.Seq) {
	f.t.Helper()
	if a := frame[wire.Ack](f); a != (wire.Ack{Mailbox: mailbox, Seq: seq}) {
		f.t.Fatalf("the client sent %+v, want a plain ack of %s up to %d", a, mailbox, seq)
	}
}

// wantSilence looks for a moment whether the client writes.
func (f *far) wantSilence() {
	f.t.Helper()
	f.conn.SetReadDeadline(time.Now().Add(moment))
	if got, err := wire.ReadFrame(f.r, wire.Limits{}); err == nil {
		f.t.Fatalf("the client sent %#v", got)
	} else if e, ok := err.(interface{ Unwrap() error }); !ok || !isTimeout(e.Unwrap()) {
		f.t.Fatalf("the client's silence is that of the dead: %v", err)
	}
	f.conn.SetReadDeadline(time.Now().Add(patience))
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// wantGone waits for the end of the connection, without another frame before it.
func (f *far) wantGone() {
	f.t.Helper()
	if got, err := wire.ReadFrame(f.r, wire.Limits{}); err == nil {
		f.t.Fatalf("instead of the connection's end: %#v", got)
	} else if e, ok := err.(interface{ Unwrap() error }); ok && isTimeout(e.Unwrap()) {
		f.t.Fatal("the connection did not end")
	}
}

// message is one of alice's.
func message(seq chat.Seq, text string) chat.Message {
	return chat.Message{
		Seq: seq, ID: chat.MessageID("m" + seq.String()), From: "bob", FromName: "Bob B", To: "alice",
		Text: []byte(text), Sent: time.Unix(1700000000, 0),
	}
}

// serving is a Serve that runs until the test ends it.
type serving struct {
	*Stream
	t      *testing.T
	taken  chan chat.Message // what Take was given
	result chan error        // what Take is to return; nil at once if closed
	events chan Event
	cancel context.CancelFunc
	ended  chan error // what Serve returned
}

// stream makes a stream of alice's phone; change may be nil.
func stream(t *testing.T, change func(*Stream), proxies ...Address) *serving {
	t.Helper()
	s := &serving{
		t:      t,
		taken:  make(chan chat.Message, 4096),
		result: make(chan error),
		events: make(chan Event, 4096),
		ended:  make(chan error, 1),
	}
	var err error
	s.Stream, err = NewStream(StreamConfig{
		Proxies: proxies, User: "alice", Password: chat.NewSecret("secret"), Device: "phone", LocalAddr: clientAddr,
		Take: func(m chat.Message) error {
			s.taken <- m
			select {
			case err := <-s.result:
				return err
			case <-t.Context().Done(): // the test has failed
				return nil
			}
		},
		Notify: func(e Event) { s.events <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.pace.firstPause = time.Millisecond
	s.pace.longestPause = 5 * time.Millisecond
	s.pace.settled = 0
	s.pace.farewell = moment // at a test's end nobody answers any more
	if change != nil {
		change(s.Stream)
	}
	return s
}

// serve begins to Serve. Take returns nil at once.
func serve(t *testing.T, change func(*Stream), proxies ...Address) *serving {
	t.Helper()
	s := stream(t, change, proxies...)
	close(s.result)
	s.start()
	return s
}

// serveSlowly begins to Serve. Take returns what the test gives it.
func serveSlowly(t *testing.T, change func(*Stream), proxies ...Address) *serving {
	t.Helper()
	s := stream(t, change, proxies...)
	s.start()
	return s
}

func (s *serving) start() {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	done.Go(func() { s.ended <- s.Serve(ctx) })
	s.t.Cleanup(func() {
		s.cancel()
		done.Wait()
	})
}

// wantTaken waits for the next message that Take is given.
func (s *serving) wantTaken(seq chat.Seq) chat.Message {
	s.t.Helper()
	select {
	case m := <-s.taken:
		if m.Seq != seq {
			s.t.Fatalf("Take was given %d, want %d", m.Seq, seq)
		}
		return m
	case <-time.After(patience):
		s.t.Fatalf("Take was not given %d", seq)
		return chat.Message{}
	}
}

// wantEnd waits for Serve to return.
func (s *serving) wantEnd() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		s.t.Fatal("Serve did not return")
		return nil
	}
}

// outcome is what was told of a message that was posted.
type outcome struct {
	text   string
	result Result
	err    error
}

// post posts to bob and has what becomes of it told.
func (s *serving) post(outcomes chan<- outcome, texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if err := s.Post("bob", []byte(text), func(r Result, err error) { outcomes <- outcome{text, r, err} }); err != nil {
			s.t.Fatal(err)
		}
	}
}

// newFarOf is a far end that reads what was written in advance.
func newFarOf(t *testing.T, b []byte) (near net.Conn, f *far) {
	near, conn := net.Pipe()
	go func() { near.Write(b); near.Close() }()
	return near, newFar(t, conn)
}

// waitRefused waits until the client knows that the system has refused its oldest message.
func (s *serving) waitRefused(code chat.Code) {
	s.t.Helper()
	waitUntil(s.t, func() bool {
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		m := s.out.queue[0]
		return m.refusal != nil && m.refusal.Code == code
	})
}
