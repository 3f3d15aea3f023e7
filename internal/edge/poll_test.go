package edge_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/edge"
	"multichat/internal/wire"
)

// udpClient sends datagrams to a port of a host.
func udpClient(t *testing.T, from netip.Addr, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func sendDatagram(t *testing.T, conn *net.UDPConn, datagram string) {
	t.Helper()
	if _, err := conn.Write([]byte(datagram)); err != nil {
		t.Fatal(err)
	}
}

func TestPollsAreHandedOn(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.11"), netip.IPv6Loopback()
	for _, tc := range []struct {
		name, listen string
		client, host netip.Addr
	}{
		{"to one address", "127.0.0.1:0", v4, netip.MustParseAddr("127.0.0.1")},
		{"to any IPv4 address", "0.0.0.0:0", v4, netip.MustParseAddr("127.0.0.3")},
		{"from IPv4 to any address", "[::]:0", v4, netip.MustParseAddr("127.0.0.3")},
		{"from IPv4 to a port alone", ":0", v4, netip.MustParseAddr("127.0.0.3")},
		{"from IPv6 to any address", "[::]:0", v6, v6},
		{"to an IPv6 address", "[::1]:0", v6, v6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.client == v6 || strings.HasPrefix(tc.listen, "[") {
				needIPv6(t)
			}
			n := serve(t, newHandler(), edge.Config{UDP: tc.listen})
			port := n.UDPAddr().AddrPort().Port()
			sendDatagram(t, udpClient(t, tc.client, netip.AddrPortFrom(tc.host, port)), "poll:alice:pass word:4391\n")
			got := receive(t, "the poll", n.polls)
			want := poll{client: tc.client, user: "alice", password: "pass word", port: 4391, back: n.DialBack()}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func needIPv6(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	conn.Close()
}

// What is no poll is dropped in silence: the source of a datagram proves nothing, so an answer might hit a third party.
func TestOtherDatagramsAreCountedAndDropped(t *testing.T) {
	for _, tc := range []struct{ name, datagram, reason string }{
		{"nothing", "", "poll_malformed"},
		{"a newline", "\n", "poll_malformed"},
		{"bytes", "\x00\xff\x00\xff", "poll_malformed"},
		{"another verb", "wrmsg:alice:secret:%:hello", "poll_malformed"},
		{"a field missing", "poll:alice:secret", "poll_malformed"},
		{"a field too many", "poll:alice:secret:4391:1", "poll_malformed"},
		{"a port that is none", "poll:alice:secret:65536", "poll_malformed"},
		{"a userid that is none", "poll:al;ice:secret:4391", "poll_malformed"},
		{"a userid over its limit", "poll:" + strings.Repeat("a", 65) + ":secret:4391", "poll_toolarge"},
		{"513 bytes", strings.Repeat("x", 513), "poll_toolarge"},
		{"65507 bytes", strings.Repeat("x", 65507), "poll_toolarge"},
		{"a poll behind which much follows", "poll:alice:secret:4391" + strings.Repeat("\n", 600), "poll_toolarge"},
		{"a version 2 poll", "poll;v=2;id=1:alice:secret:0", "poll_v2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := serve(t, newHandler(), edge.Config{})
			client := udpClient(t, netip.MustParseAddr("127.0.0.11"), n.UDPAddr().AddrPort())
			sendDatagram(t, client, tc.datagram)
			eventually(t, "the datagram is counted as "+tc.reason, func() bool { return n.drops(tc.reason) == 1 })

			sendDatagram(t, client, "poll:bob:secret:4391")
			if got := receive(t, "the poll after it", n.polls); got.user != "bob" {
				t.Errorf("handed on %+v", got)
			}
			wantNone(t, "another poll", n.polls)
			if reasons := testutil.CollectAndCount(n.metrics.Drops); reasons != 1 {
				t.Errorf("the datagram is counted under %d reasons", reasons)
			}
			wantSilence(t, client)
		})
	}
}

func wantSilence(t *testing.T, client *net.UDPConn) {
	t.Helper()
	client.SetReadDeadline(time.Now().Add(moment))
	n, err := client.Read(make([]byte, 1))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the source of a datagram got %d bytes, %v", n, err)
	}
}

// Nobody who polls without end keeps an edge from its own.
func TestAFloodOfPollsDoesNotHoldUpTheEnd(t *testing.T) {
	h := &countingHandler{handler: newHandler()}
	n := serveHandler(t, h, edge.Config{MaxAddrPolls: -1})
	client := udpClient(t, netip.MustParseAddr("127.0.0.11"), n.UDPAddr().AddrPort())
	var stop atomic.Bool
	var flood sync.WaitGroup
	for range 2 {
		flood.Go(func() {
			for !stop.Load() {
				client.Write([]byte("poll:alice:secret:4391")) // refused once the socket is gone
			}
		})
	}
	defer flood.Wait()
	defer stop.Store(true)
	eventually(t, "polls come in a flood", func() bool { return h.count.Load() > 1000 })
	n.stop()
	n.wantEnded(t)
}

// countingHandler counts polls and keeps none.
type countingHandler struct {
	*handler
	count atomic.Int64
}

func (h *countingHandler) Poll(edge.Caller, wire.Poll, edge.Pusher) { h.count.Add(1) }
