package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

func TestAStreamLogsInAndTakesMessages(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	f := proxy.accept()
	l := f.login()
	if l.User != "alice" || l.Password.Reveal() != "secret" || l.Device != "phone" || l.SendOnly {
		t.Errorf("the login is %+v", l)
	}
	if from := f.conn.RemoteAddr().String(); !strings.HasPrefix(from, clientAddr.String()+":") {
		t.Errorf("the client comes from %s, not from its LocalAddr", from)
	}
	want := message(7, "a:b\nc")
	f.write(want)
	if got := s.wantTaken(7); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Take was given %+v, want %+v", got, want)
	}
	f.wantAck("alice", 7)
}

func TestAStreamWithoutADeviceOnlySends(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, func(s *Stream) { s.cfg.Device, s.cfg.Take = "", nil }, proxy.address())
	f := proxy.accept()
	if l := f.login(); !l.SendOnly {
		t.Errorf("the login is %+v", l)
	}
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	f.ok(f.wantText("hello"), 7)
	if o := <-outcomes; o.err != nil {
		t.Error(o.err)
	}
}

func TestSendReturnsThePlaceOfAMessage(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	go func() {
		f := proxy.accept()
		f.login()
		f.ok(f.wantText("a:b\nc"), 7169)
	}()
	r, err := s.Send(testContext(t), "bob", []byte("a:b\nc"))
	if err != nil || r.Seq != 7169 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if id, err := uuid.Parse(string(r.ID)); err != nil || id.Version() != 7 {
		t.Errorf("the id is %q, which does not begin with the time", r.ID)
	}
}

func TestAStreamReadsMessagesBeforeItsLoginIsAnswered(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	f := proxy.accept()
	frame[wire.Login](f)
	f.write(message(7, "early"))
	s.wantTaken(7)
	f.wantSilence() // acks are for after the login
	f.write("ok;id=login\n")
	f.wantAck("alice", 7)
}

func TestAMessageIsAcknowledgedAfterTakeReturned(t *testing.T) {
	proxy := newPeer(t)
	s := serveSlowly(t, nil, proxy.address())
	f := proxy.accept()
	f.login()
	f.write(message(1, "a"), message(2, "b"))
	s.wantTaken(1)
	f.wantSilence()
	if len(s.taken) != 0 {
		t.Fatal("a second message before the first was taken")
	}
	s.result <- nil
	s.wantTaken(2)
	f.wantAck("alice", 1) // the second takes its time, so the first is not held back for it
	s.result <- nil
	f.wantAck("alice", 2)
}

func TestAcksAreGathered(t *testing.T) {
	proxy := newPeer(t)
	s := serveSlowly(t, nil, proxy.address())
	f := proxy.accept()
	f.login()
	const n = 200 // fit between the connection and Take
	for i := range n {
		f.write(message(chat.Seq(i+1), "a"))
	}
	s.wantTaken(1)
	waitUntil(t, func() bool { return len(s.deliveries) == n-1 })
	close(s.result)
	acks := 0
	for last := chat.Seq(0); last < n; acks++ {
		a := frame[wire.Ack](f)
		if a.Seq <= last {
			t.Errorf("an ack of %d after that of %d", a.Seq, last)
		}
		last = a.Seq
	}
	if acks > 1+n/maxUnacked+3 {
		t.Errorf("%d acks for %d messages that came at once", acks, n)
	}
}

func TestEachMessageIsTakenOnce(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	f := proxy.accept()
	f.login()
	everyone := message(5, "b")
	everyone.To = chat.Everyone
	f.write(message(7, "a"))
	s.wantTaken(7)
	f.wantAck("alice", 7)
	f.write(everyone) // its seq is lower, but in another mailbox
	s.wantTaken(5)
	f.wantAck(chat.Everyone, 5)

	f.write(message(7, "a"))
	f.wantAck("alice", 7)
	f.conn.Close()

	f = proxy.accept()
	f.login()
	f.wantAck("alice", 7) // perhaps the ones before were lost
	f.wantAck(chat.Everyone, 5)
	f.write(message(7, "a"), everyone, message(8, "c"))
	s.wantTaken(8)
	for last := (wire.Ack{}); last.Mailbox != "alice" || last.Seq != 8; {
		last = frame[wire.Ack](f)
	}
	if len(s.taken) != 0 {
		t.Errorf("Take was given %d more", len(s.taken))
	}
}

func TestMessagesOfALostConnectionAreStillTaken(t *testing.T) {
	proxy := newPeer(t)
	s := serveSlowly(t, nil, proxy.address())
	f := proxy.accept()
	f.login()
	f.write(message(1, "a"), message(2, "b"), message(3, "c"))
	s.wantTaken(1)
	waitUntil(t, func() bool { return len(s.deliveries) == 2 })
	f.conn.Close()
	f = proxy.accept()
	f.login()
	f.write(message(1, "a"), message(2, "b"), message(3, "c"), message(4, "d"))
	close(s.result)
	for seq := range chat.Seq(3) {
		s.wantTaken(seq + 2)
	}
	for frame[wire.Ack](f).Seq != 4 {
	}
	if len(s.taken) != 0 {
		t.Errorf("Take was given %d more", len(s.taken))
	}
}

func TestWhatIsUnansweredIsSentAgain(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	s := serve(t, nil, first.address(), second.address())
	outcomes := make(chan outcome, 9)
	s.post(outcomes, "a", "b", "c", "d")
	f := first.accept()
	f.login()
	a, b, c, d := f.wantText("a"), f.wantText("b"), f.wantText("c"), f.wantText("d")
	f.ok(b, 11)
	if o := <-outcomes; o.text != "b" || o.result != (Result{b.ID, 11}) {
		t.Errorf("told of %+v", o)
	}
	f.conn.Close()

	f = second.accept()
	f.login()
	s.post(outcomes, "e")
	s.wantEvent(Connected, first)
	s.wantEvent(Lost, first)
	s.wantEvent(Connected, second)
	for _, m := range []wire.Wrmsg{a, c, d} {
		if e := s.wantEvent(Retried, second); e.Message != m.ID || !errors.Is(e.Err, errCut) {
			t.Errorf("told of %+v, want that %s is sent again", e, m.ID)
		}
	}
	for i, want := range []wire.Wrmsg{a, c, d} {
		m := f.wantText(string(want.Text))
		if m.ID != want.ID {
			t.Errorf("%q came under the id %s, before under %s", m.Text, m.ID, want.ID)
		}
		f.ok(m, chat.Seq(20+i))
	}
	f.ok(f.wantText("e"), 30)
	for range 4 {
		if o := <-outcomes; o.err != nil {
			t.Errorf("%s: %v", o.text, o.err)
		}
	}
	if n := s.Pending(); n != 0 {
		t.Errorf("%d are pending", n)
	}
	if len(s.events) > 0 {
		t.Errorf("told of %+v too", <-s.events) // "e" was sent once
	}
}

func TestAStreamTakesTheNextProxy(t *testing.T) {
	dead, first, second := newPeer(t), newPeer(t), newPeer(t)
	dead.tcp.Close()
	s := serve(t, nil, dead.address(), first.address(), second.address())
	f := first.accept()
	f.login()
	if e := <-s.events; e.Kind != Failed || e.Proxy != dead.address() || e.Err == nil {
		t.Errorf("told of %+v", e)
	}
	if e := <-s.events; e.Kind != Connected || e.Proxy != first.address() || e.Err != nil {
		t.Errorf("told of %+v", e)
	}
	first.tcp.Close()
	f.conn.Close()
	f = second.accept()
	f.login()
	if e := <-s.events; e.Kind != Lost || e.Proxy != first.address() || e.Err == nil {
		t.Errorf("told of %+v", e)
	}
	if e := <-s.events; e.Kind != Connected || e.Proxy != second.address() {
		t.Errorf("told of %+v", e)
	}
	f.conn.Close() // the others are dead, so it comes back
	second.accept().login()
}

func TestALoginRefusedForGoodEndsServe(t *testing.T) {
	for _, tc := range []struct {
		line string
		code chat.Code
	}{
		{"err;id=login:auth:the password is wrong\n", chat.CodeAuth},
		{"err;id=login:badreq:no such version\n", chat.CodeBadReq},
		{"err;id=login:replaced:a newer stream\n", chat.CodeReplaced},
		{"err:badreq:version 2 is not served\n", chat.CodeBadReq},
		{"err;id=login:teapot:a code of the future\n", "teapot"},
	} {
		t.Run(string(tc.code), func(t *testing.T) {
			first, second := newPeer(t), newPeer(t)
			s := serve(t, nil, first.address(), second.address())
			outcomes := make(chan outcome, 1)
			s.post(outcomes, "hello")
			f := first.accept()
			frame[wire.Login](f)
			f.write(tc.line)
			wantCode(t, s.wantEnd(), tc.code)
			f.wantGone()
			o := <-outcomes
			wantCode(t, o.err, tc.code)
			if !errors.Is(o.err, ErrNotSent) {
				t.Errorf("%v does not say that nothing was sent", o.err)
			}
			second.wantNobody()
		})
	}
}

func TestALoginRefusedForTheMomentIsTriedElsewhere(t *testing.T) {
	for _, code := range []chat.Code{chat.CodeBusy, chat.CodeUnavail, chat.CodeUnknown} {
		first, second := newPeer(t), newPeer(t)
		serve(t, nil, first.address(), second.address())
		f := first.accept()
		frame[wire.Login](f)
		f.write("err;id=login:" + string(code) + ":later\n")
		f.wantGone()
		second.accept().login()
	}
}

func TestAReplacedStreamDoesNotComeBack(t *testing.T) {
	proxy := newPeer(t)
	s := serveSlowly(t, nil, proxy.address())
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	f := proxy.accept()
	f.login()
	f.wantText("hello")
	f.write(message(1, "a"), message(2, "b"))
	s.wantTaken(1)
	f.write("err;id=login:replaced:a newer stream of this device took over\n")
	f.wantGone()
	s.result <- nil
	wantCode(t, s.wantEnd(), chat.CodeReplaced)
	if len(s.taken) != 0 {
		t.Error("what now belongs to the newer stream was taken")
	}
	wantCode(t, (<-outcomes).err, chat.CodeUnknown) // it was written, and not answered
	proxy.wantNobody()
}

func TestASlowStreamComesBack(t *testing.T) {
	proxy := newPeer(t)
	serve(t, nil, proxy.address())
	f := proxy.accept()
	f.login()
	f.write("err;id=login:slow:you do not read\n")
	f.wantGone()
	proxy.accept().login()
}

func TestAfterByeTheNextProxyIsTakenAtOnce(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	s := serve(t, func(s *Stream) { s.pace.firstPause, s.pace.longestPause = time.Hour, time.Hour }, first.address(), second.address())
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	f := first.accept()
	f.login()
	m := f.wantText("hello")
	f.write("bye\n")
	f.wantGone()
	f = second.accept()
	f.login()
	if again := f.wantText("hello"); again.ID != m.ID {
		t.Errorf("the id was %s and is %s", m.ID, again.ID)
	}
}

func TestServeSaysWhichProxiesCannotBeReached(t *testing.T) {
	dead, shy, silent := newPeer(t), newPeer(t), newPeer(t)
	dead.tcp.Close()
	s := serve(t, impatient, dead.address(), shy.address(), silent.address())
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	shy.accept().conn.Close()
	f := silent.accept()
	err := s.wantEnd()
	f.conn.Close()
	if !errors.Is(err, ErrUnreachable) {
		t.Fatalf("Serve returned %v", err)
	}
	for _, p := range []*peer{dead, shy, silent} {
		if !strings.Contains(err.Error(), fmt.Sprint(p.address().TCP)) {
			t.Errorf("%q does not name %v", err, p.address())
		}
	}
	if o := <-outcomes; !errors.Is(o.err, ErrNotSent) || !errors.Is(o.err, ErrUnreachable) {
		t.Errorf("the message was told %v", o.err)
	}
}

func TestServeDoesNotGiveUpWhatAnsweredOnce(t *testing.T) {
	proxy := newPeer(t)
	s := serve(t, nil, proxy.address())
	f := proxy.accept()
	frame[wire.Login](f)
	f.write("err;id=login:unavail:no server is there\n")
	for range 3 {
		proxy.accept().conn.Close()
	}
	proxy.accept().login()
	select {
	case err := <-s.ended:
		t.Errorf("Serve returned %v", err)
	default:
	}
}

func TestWhatIsNotMultichatIsNotListenedTo(t *testing.T) {
	for name, said := range map[string]any{
		"another protocol":            "HTTP/1.1 400 Bad Request\r\n\r\n",
		"an older proxy":              "wrmsg:a:b:c:d\n",
		"a verb of nobody":            "teapot\n",
		"what a client says":          "ack:alice:1\n",
		"a message of someone else":   chat.Message{Seq: 1, ID: "m", From: "bob", FromName: "Bob", To: "carol"},
		"a message without its place": "newmsg;id=m;to=alice;len=1:1:Bob:bob:x\n",
	} {
		t.Run(name, func(t *testing.T) {
			proxy := newPeer(t)
			s := serve(t, nil, proxy.address())
			f := proxy.accept()
			f.login()
			<-s.events
			f.write(said)
			f.wantGone()
			e := <-s.events
			if e.Kind != Lost || !strings.Contains(e.Err.Error(), "does not speak version 2 of multichat") {
				t.Errorf("told of %+v", e)
			}
			if _, coded := errors.AsType[*chat.Error](e.Err); coded {
				t.Error("what this end thinks looks like a word of the system")
			}
			proxy.accept().login()
		})
	}
}

// The system may hold up a stream that does not read, but it hears that the stream is alive; and this end does not take
// its own deafness for the death of the proxy.
func TestASlowTakeHoldsUpTheSystem(t *testing.T) {
	proxy := newPeer(t)
	s := serveSlowly(t, impatient, proxy.address())
	f := proxy.accept()
	f.login()
	outcomes := make(chan outcome, 1)
	s.post(outcomes, "hello")
	hello := f.wantText("hello")
	const n = maxDeliveries + 100
	for i := range n {
		f.write(message(chat.Seq(i+1), "a"))
	}
	f.ok(hello, 1) // behind the messages
	for range 3 {
		frame[wire.Ping](f)
	}
	close(s.result)
	for i := range n {
		s.wantTaken(chat.Seq(i + 1))
	}
	if o := <-outcomes; o.err != nil {
		t.Error(o.err)
	}
	proxy.wantNobody()
}

func TestAStreamIsServedOnce(t *testing.T) {
	s := stream(t, nil, Address{Host: "127.0.0.1", TCP: 1})
	if err := s.Serve(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("the first Serve returned %v", err)
	}
	if err := s.Serve(t.Context()); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("the second Serve returned %v", err)
	}
}

func TestNewStreamChecks(t *testing.T) {
	good := func() StreamConfig {
		return StreamConfig{
			Proxies: []Address{{Host: "localhost", TCP: 9003, TLS: true}}, User: "alice",
			Device: "phone", Take: func(chat.Message) error { return nil },
		}
	}
	for name, spoil := range map[string]func(*StreamConfig){
		"no proxy":             func(c *StreamConfig) { c.Proxies = nil },
		"no user":              func(c *StreamConfig) { c.User = "" },
		"a forbidden password": func(c *StreamConfig) { c.Password = chat.NewSecret("a:b") },
		"a forbidden device":   func(c *StreamConfig) { c.Device = "a:b" },
		"no device":            func(c *StreamConfig) { c.Device = "" },
		"nobody who takes":     func(c *StreamConfig) { c.Take = nil },
	} {
		cfg := good()
		spoil(&cfg)
		if _, err := NewStream(cfg); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if _, err := NewStream(good()); err != nil {
		t.Error(err)
	}
	if _, err := NewStream(StreamConfig{Proxies: good().Proxies, User: "alice"}); err != nil {
		t.Errorf("a stream that only sends: %v", err)
	}
}

// waitUntil waits for what must become true.
func waitUntil(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
	}
}
