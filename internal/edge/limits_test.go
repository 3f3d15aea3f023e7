package edge_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// dialFrom connects from an address of 127.0.0.0/8.
func (n *node) dialFrom(t *testing.T, from string) *net.TCPConn {
	t.Helper()
	local := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	conn, err := net.DialTCP("tcp", local, n.TCPAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{MaxAddrConns: 2})
	stream := newStreamClient(n.dialFrom(t, "127.0.0.21"))
	stream.say(t, "poll;v=2;id=in:alice:secret:0\n")
	stream.want(t, "ok;id=in\n")
	request := n.dialFrom(t, "127.0.0.21")

	beyond := n.dialFrom(t, "127.0.0.21")
	finish(t, beyond, hello)
	wantErr(t, answer(t, beyond), chat.CodeBusy)
	n.wantSends(t, "busy", 1)

	other := n.dialFrom(t, "127.0.0.22")
	finish(t, other, hello)
	if answered := answer(t, other); !okLine.MatchString(answered) {
		t.Errorf("another address is answered %q", answered)
	}
	finish(t, request, hello)
	if answered := answer(t, request); !okLine.MatchString(answered) {
		t.Errorf("the last one within the bound is answered %q", answered)
	}
	eventually(t, "there is room again", func() bool {
		again := n.dialFrom(t, "127.0.0.21")
		finish(t, again, hello)
		return okLine.MatchString(answer(t, again))
	})
}

func TestBoundOfAnAddressMayBeOff(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{MaxAddrConns: -1, MaxAddrPolls: -1})
	for range 50 {
		c := newStreamClient(n.dialFrom(t, "127.0.0.23"))
		c.say(t, "poll;v=2;id=in:alice:secret:0\n")
		c.want(t, "ok;id=in\n")
	}
	client := udpClient(t, netip.MustParseAddr("127.0.0.23"), n.UDPAddr().AddrPort())
	for range 50 {
		sendDatagram(t, client, "poll:alice:secret:4391")
		receive(t, "the poll", n.polls)
	}
}

func TestPollsOfOneAddressAreBounded(t *testing.T) {
	n := serve(t, newHandler(), edge.Config{MaxAddrPolls: 3})
	greedy := udpClient(t, netip.MustParseAddr("127.0.0.24"), n.UDPAddr().AddrPort())
	modest := udpClient(t, netip.MustParseAddr("127.0.0.25"), n.UDPAddr().AddrPort())
	for range 20 {
		sendDatagram(t, greedy, "poll:alice:secret:4391")
	}
	eventually(t, "polls are dropped", func() bool { return n.drops("addr_polls") >= 20-2*3 }) // two seconds at most
	sendDatagram(t, modest, "poll:bob:secret:4391")
	taken := 0
	for p := receive(t, "a poll", n.polls); p.user != "bob"; p = receive(t, "a poll", n.polls) {
		taken++
	}
	if dropped := n.drops("addr_polls"); float64(taken)+dropped != 20 || taken > 6 {
		t.Errorf("of 20 polls %d were taken and %v dropped", taken, dropped)
	}
	eventually(t, "the next second's are taken", func() bool {
		sendDatagram(t, greedy, "poll:alice:secret:4391")
		select {
		case <-n.polls:
			return true
		case <-time.After(moment):
			return false
		}
	})
}
