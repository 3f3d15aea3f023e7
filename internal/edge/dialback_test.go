package edge_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// dialBack is the way back of an edge that is not served: it needs no listener.
func dialBack(t *testing.T, cfg edge.Config) *edge.DialBack {
	t.Helper()
	e := listen(t, cfg)
	discard(t, e)
	return e.DialBack()
}

// push pushes within the test's patience.
func push(t *testing.T, d *edge.DialBack, p edge.Push) edge.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	receipt, err := d.Push(ctx, p)
	if err != nil {
		t.Errorf("the push failed: %v", err)
	}
	return receipt
}

func wantReceipt(t *testing.T, got, want edge.Receipt) {
	t.Helper()
	if got != want {
		t.Errorf("the receipt is %+v, want %+v", got, want)
	}
}

// messages are n messages from alice, and newmsgs is how they arrive.
func messages(n int) (list []chat.Message, newmsgs []string) {
	for i := range n {
		text := fmt.Sprintf("message %d: with\nmore", i)
		list = append(list, chat.Message{From: "alice", FromName: "Alice", To: "bob",
			Text: []byte(text), Sent: time.Unix(1700000000, 0)})
		newmsgs = append(newmsgs, "newmsg:1700000000:Alice:alice:"+text)
	}
	return list, newmsgs
}

func TestMessagesArriveEachOnAConnectionOfItsOwn(t *testing.T) {
	host := newHost()
	p := newPeer(t, host, closes)
	list, newmsgs := messages(5)
	got := push(t, dialBack(t, edge.Config{}), edge.Push{
		Client: host, Ports: []uint16{p.port()}, Settled: true, Messages: list})
	wantReceipt(t, got, edge.Receipt{Taken: 5, Port: p.port(), Outcome: edge.PushTaken})
	p.wantSeen(t, newmsgs...)
}

// The next message is not sent before the one before it has its receipt, or a client might see them out of order.
func TestMessagesArriveOneAfterAnother(t *testing.T) {
	host := newHost()
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	list, newmsgs := messages(3)
	d, ended := dialBack(t, edge.Config{}), make(chan edge.Receipt, 1)
	go func() {
		receipt, _ := d.Push(t.Context(), edge.Push{Client: host, Ports: one(port), Settled: true, Messages: list})
		ended <- receipt
	}()
	for _, newmsg := range newmsgs {
		listener.SetDeadline(time.Now().Add(patience))
		conn, err := listener.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		if brought := answer(t, conn); brought != newmsg {
			t.Errorf("got %q, want %q", brought, newmsg)
		}
		listener.SetDeadline(time.Now().Add(moment))
		if early, err := listener.AcceptTCP(); err == nil {
			early.Close()
			t.Error("a message came before the receipt of the one before it")
		}
		conn.Close()
	}
	wantReceipt(t, receive(t, "the receipt", ended), edge.Receipt{Taken: 3, Port: port, Outcome: edge.PushTaken})
}

func TestAPushThatIsStoppedEndsWithTheMessageOnItsWay(t *testing.T) {
	host := newHost()
	stop := make(chan struct{})
	p := newPeer(t, host, func(p *peer, conn *net.TCPConn) {
		close(stop)
		closes(p, conn)
	})
	list, newmsgs := messages(3)
	got := push(t, dialBack(t, edge.Config{}), edge.Push{
		Client: host, Ports: one(p.port()), Settled: true, Messages: list, Stop: stop})
	wantReceipt(t, got, edge.Receipt{Taken: 1, Port: p.port(), Outcome: edge.PushBusy})
	p.wantSeen(t, newmsgs[0])
}

func TestPushStopsAtTheFirstWithoutReceipt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		ending  ending
		outcome edge.Outcome
		atLeast time.Duration
	}{
		{"reset", resets, edge.PushBroken, 0},
		{"a byte back", writes, edge.PushBroken, 0},
		{"silence", silent, edge.PushBroken, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			host := newHost()
			p := newPeer(t, host, closes, closes, tc.ending)
			list, newmsgs := messages(5)
			start := time.Now()
			got := push(t, dialBack(t, edge.Config{}), edge.Push{
				Client: host, Ports: []uint16{p.port()}, Settled: true, Messages: list})
			wantReceipt(t, got, edge.Receipt{Taken: 2, Port: p.port(), Outcome: tc.outcome})
			if took := time.Since(start); took < tc.atLeast || took > tc.atLeast+2*time.Second {
				t.Errorf("the push took %v, want %v", took, tc.atLeast)
			}
			p.wantSeen(t, newmsgs[:3]...)
		})
	}
	t.Run("refused", func(t *testing.T) {
		host := newHost()
		p := newPeer(t, host, closes, leaves)
		list, _ := messages(5)
		got := push(t, dialBack(t, edge.Config{}), edge.Push{
			Client: host, Ports: []uint16{p.port()}, Settled: true, Messages: list})
		wantReceipt(t, got, edge.Receipt{Taken: 2, Port: p.port(), Outcome: edge.PushRefused})
	})
	t.Run("refused at once", func(t *testing.T) {
		host := newHost()
		list, _ := messages(5)
		got := push(t, dialBack(t, edge.Config{}), edge.Push{
			Client: host, Ports: []uint16{closedPort(t, host)}, Settled: true, Messages: list})
		if got.Taken != 0 || got.Outcome != edge.PushRefused {
			t.Errorf("the receipt is %+v", got)
		}
	})
}

// A port forwarder with nobody behind it accepts and closes. Its close may be on its way before the message is, and must
// not pass for the receipt of what nobody has read.
func TestCloseOfAPeerThatReadsNothingIsNoReceipt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells in which order both sides closed")
	}
	host := newHost()
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			conn.Close()
		}
	})
	defer forwarding.Wait()
	defer listener.Close()

	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	d := dialBack(t, edge.Config{})
	list, _ := messages(1)
	for range 500 {
		got := push(t, d, edge.Push{Client: host, Ports: one(port), Settled: true, Messages: list})
		wantReceipt(t, got, edge.Receipt{Port: port, Outcome: edge.PushBroken})
	}
}

// Text goes out only where exactly one of the two readings of a port answers as a client; the other may be another
// user's client, and is shown nothing but an empty connection.
func TestReadingOfPortIsSettledByEmptyConnections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		right int    // which of the two
		wrong ending // nil: nobody listens there
	}{
		{"the first; the other is refused", 0, nil},
		{"the second; the other is refused", 1, nil},
		{"the first; the other resets", 0, resets},
		{"the second; the other writes", 1, writes},
		{"the first; the other is silent", 0, silent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			host := newHost()
			p := newPeer(t, host, closes)
			ports := []uint16{p.port(), p.port()}
			var other *peer
			if tc.wrong == nil {
				ports[1-tc.right] = closedPort(t, host)
			} else {
				other = newPeer(t, host, tc.wrong)
				ports[1-tc.right] = other.port()
			}
			list, newmsgs := messages(2)
			got := push(t, dialBack(t, edge.Config{}), edge.Push{Client: host, Ports: ports, Messages: list})
			wantReceipt(t, got, edge.Receipt{Taken: 2, Port: p.port(), Outcome: edge.PushTaken})
			p.wantSeen(t, append([]string{""}, newmsgs...)...)
			if other != nil {
				other.wantSeen(t, "")
			}
		})
	}
}

func TestOneReadingIsTriedWithAnEmptyConnectionToo(t *testing.T) {
	host := newHost()
	p := newPeer(t, host, closes)
	list, newmsgs := messages(1)
	got := push(t, dialBack(t, edge.Config{}), edge.Push{Client: host, Ports: []uint16{p.port()}, Messages: list})
	wantReceipt(t, got, edge.Receipt{Taken: 1, Port: p.port(), Outcome: edge.PushTaken})
	p.wantSeen(t, "", newmsgs[0])
}

func TestNothingIsSentWhenBothReadingsAnswer(t *testing.T) {
	host := newHost()
	a, b := newPeer(t, host, closes), newPeer(t, host, closes)
	list, _ := messages(2)
	got := push(t, dialBack(t, edge.Config{}), edge.Push{
		Client: host, Ports: []uint16{a.port(), b.port()}, Messages: list})
	wantReceipt(t, got, edge.Receipt{Outcome: edge.PushAmbiguous})
	a.wantSeen(t, "")
	b.wantSeen(t, "")
}

func TestNothingIsSentWhenNoReadingAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		a, b ending
	}{
		{"both are refused", nil, nil},
		{"one resets and one writes", resets, writes},
		{"both are silent", silent, silent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			host := newHost()
			var ports []uint16
			var peers []*peer
			for _, e := range []ending{tc.a, tc.b} {
				if e == nil {
					ports = append(ports, closedPort(t, host))
					continue
				}
				p := newPeer(t, host, e)
				peers, ports = append(peers, p), append(ports, p.port())
			}
			list, _ := messages(2)
			start := time.Now()
			got := push(t, dialBack(t, edge.Config{}), edge.Push{Client: host, Ports: ports, Messages: list})
			wantReceipt(t, got, edge.Receipt{Outcome: edge.PushRefused})
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("the push took %v: readings are tried at the same time, for 2 s", took)
			}
			for _, p := range peers {
				p.wantSeen(t, "")
			}
		})
	}
}

// A push with a bad port or address is refused as a whole: what asks for one such is not to be trusted with another.
func TestBadPortsAndAddressesAreNeverDialled(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	for _, tc := range []struct {
		name   string
		client netip.Addr // invalid: where the peer listens
		ports  func(port uint16) []uint16
	}{
		{"a port below 1024", newHost(), func(port uint16) []uint16 { return []uint16{port, 1023} }},
		{"port 0", newHost(), func(port uint16) []uint16 { return []uint16{0, port} }},
		{"no port", newHost(), func(port uint16) []uint16 { return nil }},
		{"three ports", newHost(), func(port uint16) []uint16 { return []uint16{port, port, port} }},
		{"no address", netip.Addr{}, one},
		{"any IPv4 address", netip.IPv4Unspecified(), one},
		{"any IPv4 address in IPv6", netip.MustParseAddr("::ffff:0.0.0.0"), one},
		{"any IPv6 address", netip.IPv6Unspecified(), one},
		{"a multicast address", netip.MustParseAddr("224.0.0.1"), one},
	} {
		for _, settled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, settled %v", tc.name, settled), func(t *testing.T) {
				host := tc.client
				if !host.IsLoopback() {
					host = local // where a dial to any address would arrive
				}
				p := newPeer(t, host, closes)
				list, _ := messages(1)
				got := push(t, dialBack(t, edge.Config{UDP: ":0"}), edge.Push{
					Client: tc.client, Ports: tc.ports(p.port()), Settled: settled, Messages: list})
				wantReceipt(t, got, edge.Receipt{Outcome: edge.PushRefused})
				p.wantSeen(t)
			})
		}
	}
}

func one(port uint16) []uint16 { return []uint16{port} }

func TestPushBeyondTheBoundIsAnsweredBusy(t *testing.T) {
	host := newHost()
	d := dialBack(t, edge.Config{MaxPushes: 1})
	stuck, free := newPeer(t, host, silent), newPeer(t, host, closes)
	list, newmsgs := messages(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan edge.Receipt, 1)
	go func() {
		receipt, _ := d.Push(ctx, edge.Push{Client: host, Ports: one(stuck.port()), Settled: true, Messages: list})
		ended <- receipt
	}()
	stuck.wantSeen(t, newmsgs...)
	next := edge.Push{Client: host, Ports: one(free.port()), Settled: true, Messages: list}
	wantReceipt(t, push(t, d, next), edge.Receipt{Outcome: edge.PushBusy})
	free.wantSeen(t)

	cancel()
	receive(t, "the end of the first push", ended)
	wantReceipt(t, push(t, d, next), edge.Receipt{Taken: 1, Port: free.port(), Outcome: edge.PushTaken})
}

func TestEndOfContextCutsAPushShort(t *testing.T) {
	for _, settled := range []bool{true, false} {
		t.Run(fmt.Sprintf("settled %v", settled), func(t *testing.T) {
			host := newHost()
			p := newPeer(t, host, silent)
			d := dialBack(t, edge.Config{})
			list, _ := messages(3)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan edge.Receipt, 1)
			go func() {
				receipt, _ := d.Push(ctx, edge.Push{Client: host, Ports: one(p.port()), Settled: settled, Messages: list})
				ended <- receipt
			}()
			eventually(t, "the client is dialled", func() bool { return len(p.seen()) == 1 })
			start := time.Now()
			cancel()
			if got := receive(t, "the end of the push", ended); got.Taken != 0 || got.Outcome == edge.PushTaken {
				t.Errorf("the receipt is %+v", got)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("the push took %v", took)
			}
		})
	}
}

// Clients of the first generation read 4095 bytes safely.
func TestLongTextIsCutAtACharacter(t *testing.T) {
	host := newHost()
	p := newPeer(t, host, closes)
	text := strings.Repeat("ä", 3000)
	got := push(t, dialBack(t, edge.Config{}), edge.Push{Client: host, Ports: one(p.port()), Settled: true,
		Messages: []chat.Message{{From: "alice", FromName: "Alice", Text: []byte(text), Sent: time.Unix(1700000000, 0)}}})
	wantReceipt(t, got, edge.Receipt{Taken: 1, Port: p.port(), Outcome: edge.PushTaken})
	brought := p.seen()[0]
	rest, found := strings.CutPrefix(brought, "newmsg:1700000000:Alice:alice:ää")
	if !found || !strings.HasSuffix(rest, "ä…") || !utf8.ValidString(rest) {
		t.Errorf("the message ends with %q", brought[len(brought)-20:])
	}
	if len(brought) > 4095 || len(brought) < 4094 {
		t.Errorf("the message has %d bytes", len(brought))
	}
}

// Clients' firewalls expect the connection from where they sent their polls.
func TestDialsComeFromWherePollsAreReceived(t *testing.T) {
	for _, listen := range []string{"127.0.0.9:0", "[::ffff:127.0.0.9]:0"} {
		t.Run(listen, func(t *testing.T) {
			host, edgeHost := newHost(), netip.MustParseAddr("127.0.0.9")
			p := newPeer(t, host, closes)
			list, _ := messages(1)
			got := push(t, dialBack(t, edge.Config{UDP: listen}), edge.Push{
				Client: host, Ports: one(p.port()), Messages: list})
			wantReceipt(t, got, edge.Receipt{Taken: 1, Port: p.port(), Outcome: edge.PushTaken})
			if from := p.dialledFrom(); !slices.Equal(from, []netip.Addr{edgeHost, edgeHost}) {
				t.Errorf("the connections came from %v", from)
			}
		})
	}
}

func TestOutcomesAreNamed(t *testing.T) {
	for outcome, want := range map[edge.Outcome]string{
		edge.PushTaken: "taken", edge.PushRefused: "refused", edge.PushAmbiguous: "ambiguous",
		edge.PushBroken: "broken", edge.PushBusy: "busy", edge.PushBusy + 1: "unknown",
	} {
		if got := outcome.String(); got != want {
			t.Errorf("outcome %d is called %q, want %q", outcome, got, want)
		}
	}
}
