package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	for range maxStreams {
		dial(t, a.Addr())
	}
	eventually(t, "one more is closed at once", func() bool {
		conn := dial(t, a.Addr())
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	})
	begin := time.Now()
	a.end() // the streams that are open do not keep it
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Serve took %v to end", took)
	}
}

func TestNoiseIsPassedOver(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	udp, err := net.Dial("udp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for size := range 200 {
		for _, first := range []byte{0, 1, 10, 244, 255} {
			noise := bytes.Repeat([]byte{byte(size)}, size)
			if size > 0 {
				noise[0] = first
			}
			udp.Write(noise)
		}
	}
	for _, noise := range []string{
		"GET / HTTP/1.1\r\n\r\n", "\x0a\xff\xff\xff\xff", "\x0a\x00\x00\x00\x00", "\xf4", "\x06\x00",
	} {
		dial(t, a.Addr()).Write([]byte(noise))
	}
	b := start(t, testConfig("b", a.Addr().String()))
	b.await(t, "a, which has survived", names("a", "b"))
}

func TestAStreamEndsAtItsLimit(t *testing.T) {
	n := bind(t, testConfig("a"))
	defer n.transport.Shutdown()
	near, far := net.Pipe()
	defer far.Close()
	s := n.transport.track(near, true)
	go func() {
		for block := make([]byte, 64*1024); ; {
			if _, err := far.Write(block); err != nil {
				return
			}
		}
	}()
	if read, err := io.Copy(io.Discard, s); read != maxStreamBytes || err == nil {
		t.Errorf("%d bytes were read, then %v; the limit is %d", read, err, maxStreamBytes)
	}
	s.Close()
}

func dial(t *testing.T, to netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// The library holds its lock while it calls back, so a callback may wait for nobody: not for the goroutine that
// publishes, which does not run here, and not for room in a queue.
func TestCallbacksWaitForNobody(t *testing.T) {
	n := bind(t, testConfig("a"))
	defer n.transport.Shutdown()
	g := gossip{n.Cluster}
	node := func(i int) *memberlist.Node {
		meta := encodeMeta(Member{Role: Server, Link: netip.MustParseAddrPort("127.0.0.1:1")})
		return &memberlist.Node{Name: fmt.Sprint("n", i%10), Addr: net.IPv4(127, 0, 0, byte(i)), Port: 1, Meta: meta}
	}
	for i := range 10_000 {
		g.NotifyJoin(node(i))
		g.NotifyUpdate(node(i))
		g.NotifyConflict(node(i), node(i+1))
		g.NotifyMerge([]*memberlist.Node{node(i)})
		g.NotifyMsg(encodeHints([]hint{{1, 1}}))
		g.NotifyMsg([]byte("no hint"))
		g.NotifyLeave(node(i))
	}
	if known := len(n.roster.here) + len(n.roster.lost) + len(n.roster.held); known > 10 {
		t.Errorf("of 10 nodes %d are known", known)
	}
}

func TestWhereOthersFindThisNode(t *testing.T) {
	for _, tt := range []struct{ name, bind, advertise, link, wantHost, wantLink string }{
		{"what is bound", "127.0.0.2:0", "", "127.0.0.3:1000", "127.0.0.2", "127.0.0.3:1000"},
		{"a link on every interface", "127.0.0.2:0", "", "0.0.0.0:1000", "127.0.0.2", "127.0.0.2:1000"},
		{"a link without a host", "127.0.0.2:0", "", ":1000", "127.0.0.2", "127.0.0.2:1000"},
		{"what is advertised", "127.0.0.2:0", "127.0.0.4", ":1000", "127.0.0.4", "127.0.0.4:1000"},
		{"what is advertised, of both", "127.0.0.2:0", "127.0.0.4", "127.0.0.3:1000", "127.0.0.4", "127.0.0.4:1000"},
		{"by name", "127.0.0.2:0", "localhost", "localhost:1000", "127.0.0.1", "127.0.0.1:1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig("a")
			cfg.Bind, cfg.Advertise, cfg.Link = tt.bind, tt.advertise, tt.link
			n := bind(t, cfg)
			defer n.transport.Shutdown()
			if host, link := n.Addr().Addr().String(), n.self().Link.String(); host != tt.wantHost || link != tt.wantLink {
				t.Errorf("the others are told %s and %s, want %s and %s", host, link, tt.wantHost, tt.wantLink)
			}
			if n.Addr().Port() != n.transport.bound().Port() {
				t.Errorf("the others are told %v, and %v is bound", n.Addr(), n.transport.bound())
			}
		})
	}
}

func TestAnUnspecifiedAddressIsNeverAdvertised(t *testing.T) {
	got, err := advertiseAddr(t.Context(), netip.IPv6Unspecified(), "")
	if err != nil || got.IsUnspecified() || got.Zone() != "" {
		t.Errorf("it is %v, %v", got, err)
	}
}

// All nodes, of all releases, must derive the same.
func TestTheGossipKeyIsPinned(t *testing.T) {
	key, err := gossipKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	const want = "76237cb55a51af41bb5a52158f520aa3875b45d7c63ec95214bfa81e95e67e2a"
	if got := hex.EncodeToString(key); got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}
