package edge

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"multichat/internal/wire"
)

// aSocket is where datagrams arrive, and a client of it.
func aSocket(t *testing.T) (*datagrams, *net.UDPConn) {
	t.Helper()
	listener, err := listenUDP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := takeSocket(listener)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socket.close)
	arrived := newDatagrams(socket)
	client, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 11)}, listener.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return arrived, client
}

func TestDatagramsAreTakenInOrderEachWithItsAddress(t *testing.T) {
	t.Parallel()
	arrived, client := aSocket(t)
	var want [][]byte
	for i := range 2 * datagramsAtOnce { // more than one call takes, long and short in turns
		want = append(want, bytes.Repeat([]byte{byte(i)}, []int{1, 50, 0, wire.MaxPoll}[i%4]))
	}
	want = append(want, make([]byte, wire.MaxPoll+1), make([]byte, wire.MaxPoll+100), []byte("the last"))
	for _, d := range want {
		if _, err := client.Write(d); err != nil {
			t.Fatal(err)
		}
	}
	for len(want) > 0 {
		n, err := arrived.read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			got, from := arrived.at(i)
			if first := want[0][:min(len(want[0]), wire.MaxPoll+1)]; !bytes.Equal(got, first) {
				t.Fatalf("%d bytes %.20q arrived, want %d bytes %.20q", len(got), got, len(first), first)
			}
			if from != netip.MustParseAddr("127.0.0.11") {
				t.Fatalf("a datagram is from %v", from)
			}
			want = want[1:]
		}
	}
}

// What a datagram costs from the kernel to the handler.
func TestReceivingPollsDoesNotAllocate(t *testing.T) { // not parallel: what others allocate would be counted
	arrived, client := aSocket(t)
	l, handled := newPollListener(1<<30), 0
	if n := testing.AllocsPerRun(200, func() {
		for i := range 3 {
			if _, err := client.Write(polls[i]); err != nil {
				t.Fatal(err)
			}
		}
		for taken := 0; taken < 3; {
			n, err := arrived.read()
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				l.handlePoll(arrived.at(i))
			}
			taken += n
			handled += n
		}
	}); n != 0 {
		t.Errorf("%v allocations for three polls", n)
	}
	if handled < 600 {
		t.Errorf("only %d polls were handled", handled)
	}
}

var polls = [][]byte{[]byte("poll:alice:secret:4391"), []byte("poll:bob:secret:10001\n"), []byte("poll:carol::10001")}
