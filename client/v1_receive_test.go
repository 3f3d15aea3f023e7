package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/wire"
)

const hello = "newmsg:1700000000:Bob B:bob:a:b\nc"

// receiving runs Receive until the test ends it.
type receiving struct {
	messages chan chat.Message // what take was given; take waits until the test has it
	results  chan error        // what take is to return
	ended    chan error        // what Receive returned
	cancel   context.CancelFunc
}

func receive(t *testing.T, c *V1) *receiving {
	ctx, cancel := context.WithCancel(testContext(t))
	r := &receiving{make(chan chat.Message), make(chan error), make(chan error, 1), cancel}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- c.Receive(ctx, func(m chat.Message) error {
			select {
			case r.messages <- m:
				return <-r.results
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestReceiveGivesWhatIsBrought(t *testing.T) {
	proxy := newPeer(t)
	r := receive(t, newV1(t, proxy.address()))
	at := proxy.poll()
	if at.Addr() != clientAddr {
		t.Errorf("the client listens at %v, not at its LocalAddr", at)
	}
	conn := proxy.bring(at, hello)
	m := <-r.messages
	if m.From != "bob" || m.FromName != "Bob B" || string(m.Text) != "a:b\nc" || m.Sent.Unix() != 1700000000 {
		t.Errorf("got %+v", m)
	}
	if m.Seq != 0 || m.ID != "" || m.To != "" {
		t.Errorf("%+v has what version 1 does not tell", m)
	}
	wantOpen(t, conn) // until the message is taken
	r.results <- nil
	wantReceipt(t, conn)
	if next := proxy.poll(); next != at {
		t.Errorf("the next poll is for %v, not %v", next, at)
	}
}

func TestReceiveTakesTheLongestMessage(t *testing.T) {
	proxy := newPeer(t)
	r := receive(t, newV1(t, proxy.address()))
	text := strings.Repeat("x", chat.MaxText)
	conn := proxy.bring(proxy.poll(), "newmsg:1:Bob:bob:"+text)
	if m := <-r.messages; string(m.Text) != text {
		t.Errorf("got %d bytes", len(m.Text))
	}
	r.results <- nil
	wantReceipt(t, conn)
}

func TestReceivePassesOverProbes(t *testing.T) {
	proxy := newPeer(t)
	receive(t, newV1(t, proxy.address()))
	wantReceipt(t, proxy.bring(proxy.poll(), ""))
}

func TestReceiveGivesNoReceiptForWhatIsNoMessage(t *testing.T) {
	proxy := newPeer(t)
	receive(t, newV1(t, proxy.address()))
	at := proxy.poll()
	for name, data := range map[string]string{
		"another verb":     "wrmsg:alice:secret:bob:hi",
		"cut off":          "newmsg:1:Bob",
		"no timestamp":     "newmsg:now:Bob:bob:hi",
		"a NUL":            "newmsg:1:Bob:bob:\x00",
		"another protocol": "GET / HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) { wantReset(t, proxy.bring(at, data)) })
	}
	t.Run("no end", func(t *testing.T) {
		conn := proxy.dial(at)
		go fmt.Fprint(conn, "newmsg:1:Bob:bob:", strings.Repeat("x", maxNewmsg))
		wantReset(t, conn)
	})
}

func TestReceiveEndsWithTheErrorOfTake(t *testing.T) {
	full := errors.New("the disk is full")
	for _, tc := range []struct {
		name      string
		err, want error
		end       func(*testing.T, net.Conn)
	}{
		{"which leaves the message with the system", full, full, wantReset},
		{"but for ErrStop, which takes it", ErrStop, nil, wantReceipt},
		{"and for ErrStop when wrapped", fmt.Errorf("enough: %w", ErrStop), nil, wantReceipt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proxy := newPeer(t)
			r := receive(t, newV1(t, proxy.address()))
			conn := proxy.bring(proxy.poll(), hello)
			<-r.messages
			r.results <- tc.err
			if err := <-r.ended; err != tc.want {
				t.Errorf("Receive returned %v, want %v", err, tc.want)
			}
			tc.end(t, conn)
		})
	}
}

func TestReceiveLeavesTheMessageWhenTakePanics(t *testing.T) {
	proxy := newPeer(t)
	c := newV1(t, proxy.address())
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		c.Receive(testContext(t), func(chat.Message) error { panic("at the wrong moment") })
	}()
	conn := proxy.bring(proxy.poll(), hello)
	if v := <-ended; v != "at the wrong moment" {
		t.Errorf("recovered %v", v)
	}
	wantReset(t, conn)
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	proxy := newPeer(t)
	r := receive(t, newV1(t, proxy.address()))
	at := proxy.poll()
	half := proxy.dial(at)
	if _, err := half.Write([]byte("newmsg:1:Bob:bob:hal")); err != nil {
		t.Fatal(err)
	}
	given := proxy.bring(at, hello)
	<-r.messages
	waiting := proxy.bring(at, hello)
	wantOpen(t, waiting)
	r.cancel()
	r.results <- nil
	if err := <-r.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Receive returned %v", err)
	}
	wantReceipt(t, given)
	wantReset(t, half)
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("the waiting connection brought a byte")
	}
}

func TestReceiveGivesOneAtATime(t *testing.T) {
	proxy := newPeer(t)
	r := receive(t, newV1(t, proxy.address()))
	at := proxy.poll()
	const n = 2 * maxConns
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = proxy.bring(at, fmt.Sprintf("newmsg:1:Bob:bob:%d", i))
	}
	got := map[string]bool{}
	for range conns {
		got[string((<-r.messages).Text)] = true
		select {
		case <-r.messages:
			t.Fatal("a second message before the first was taken")
		default:
		}
		r.results <- nil
	}
	for _, conn := range conns {
		wantReceipt(t, conn)
	}
	if len(got) != n {
		t.Errorf("%d different messages of %d", len(got), n)
	}
}

func TestReceiveBoundsItsConnections(t *testing.T) {
	proxy := newPeer(t)
	r := receive(t, newV1(t, proxy.address()))
	at := proxy.poll()
	silent := make([]*net.TCPConn, maxConns)
	for i := range silent {
		silent[i] = proxy.dial(at)
	}
	conn := proxy.bring(at, hello)
	wantOpen(t, conn)
	select {
	case <-r.messages:
		t.Error("one more than the bound was served")
	default:
	}
	silent[0].Close()
	<-r.messages
	r.results <- nil
	wantReceipt(t, conn)
}

func TestReceiveTakesTheNextProxy(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	c := newV1(t, first.address(), second.address())
	events := make(chan Event, 9)
	c.cfg.Notify = func(e Event) { events <- e }
	r := receive(t, c)
	at := first.poll()
	first.poll()
	if e := <-events; e.Kind != Connected || e.Proxy != first.address() {
		t.Errorf("told of %+v", e)
	}
	first.udp.Close()
	if next := second.poll(); next != at {
		t.Errorf("the next proxy is told of %v; it was %v", next, at)
	}
	conn := second.bring(at, hello)
	<-r.messages
	r.results <- nil
	wantReceipt(t, conn)
	if e := <-events; e.Kind != Failed || e.Proxy != first.address() || e.Err == nil {
		t.Errorf("told of %+v", e)
	}
	if e := <-events; e.Kind != Connected || e.Proxy != second.address() {
		t.Errorf("told of %+v", e)
	}
}

func TestReceiveKeepsADeliveryWhenItTakesTheNextProxy(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	r := receive(t, newV1(t, first.address(), second.address()))
	conn := first.bring(first.poll(), hello)
	<-r.messages
	first.udp.Close()
	second.poll()
	r.results <- nil
	wantReceipt(t, conn)
}

func TestReceiveFollowsSend(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	first.tcp.Close() // its UDP port is as silent as that of a host that is down
	second.answer("ok;id=m1;seq=1\n")
	c := newV1(t, first.address(), second.address())
	receive(t, c)
	first.poll()
	if _, err := c.Send(testContext(t), "bob", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	second.poll()
}

func TestReceiveOutlivesAnOutage(t *testing.T) {
	proxy := newPeer(t)
	lost := make(chan struct{}, 1)
	c := newV1(t, proxy.address())
	c.cfg.Log = logTo(lost)
	receive(t, c)
	at := proxy.poll()
	proxy.poll()
	proxy.poll() // the second was written without an error, so the client knows that it reached the proxy
	port := proxy.address().UDP
	proxy.udp.Close()
	<-lost
	proxy.openUDP(port)
	if again := proxy.poll(); again != at {
		t.Errorf("after the outage the client listens at %v, before at %v", again, at)
	}
}

func TestReceiveWithoutAnyProxy(t *testing.T) {
	first, second := newPeer(t), newPeer(t)
	first.udp.Close()
	second.udp.Close()
	for name, proxies := range map[string][]Address{
		"nobody listens":     {first.address(), second.address()},
		"another IP version": {{Host: "::1", UDP: 9001, TCP: 9002}},
	} {
		t.Run(name, func(t *testing.T) {
			err := newV1(t, proxies...).Receive(testContext(t), func(chat.Message) error { return nil })
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("got %v, want ErrUnreachable", err)
			}
		})
	}
}

func TestListenPortsAreNeverInDoubt(t *testing.T) {
	seen := map[uint16]bool{}
	for range 20000 {
		port := randomPort()
		itself, swapped := wire.Readings(port)
		if itself < wire.MinListenPort || swapped >= wire.MinListenPort {
			t.Fatalf("port %d has the other reading %d", itself, swapped)
		}
		seen[port] = true
	}
	if len(seen) != 1008 {
		t.Errorf("%d ports, want 1008", len(seen))
	}
}

func TestListenTakesAnotherPortWhenOneIsTaken(t *testing.T) {
	first, err := listen(clientAddr, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	taken := first.Addr().(*net.TCPAddr).AddrPort().Port()
	second, err := listen(clientAddr, taken)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Addr().(*net.TCPAddr).AddrPort().Port() == taken {
		t.Error("two listeners on one port")
	}
}

func TestListenGivesUp(t *testing.T) {
	l, err := listen(netip.MustParseAddr("fe80::1%lo"), 0) // nobody's address
	if err == nil {
		l.Close()
		t.Fatal("it listens on an address that nobody has")
	}
}

func TestNewChecks(t *testing.T) {
	proxies := []Address{{Host: "localhost", UDP: 9001, TCP: 9002}}
	for name, cfg := range map[string]V1Config{
		"no proxy":             {User: "alice"},
		"no user":              {Proxies: proxies},
		"a proxy with TLS":     {Proxies: []Address{proxies[0], {Host: "localhost", TCP: 9003, TLS: true}}, User: "alice"},
		"a forbidden user":     {Proxies: proxies, User: "%"},
		"a forbidden password": {Proxies: proxies, User: "alice", Password: chat.NewSecret("a:b")},
		"a negative interval":  {Proxies: proxies, User: "alice", PollInterval: -time.Second},
	} {
		if _, err := NewV1(cfg); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if c, err := NewV1(V1Config{Proxies: proxies, User: "alice"}); err != nil || c.cfg.PollInterval != time.Second {
		t.Errorf("the least that is needed: %v", err)
	}
}
