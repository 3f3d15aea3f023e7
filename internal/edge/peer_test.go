package edge_test

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// peer listens where messages are brought to. It reads each connection to its end, as clients do, and then ends it as
// the test says.
type peer struct {
	listener *net.TCPListener
	endings  []ending // of the first connection, the second, …; the last one goes on
	serving  sync.WaitGroup

	mu       sync.Mutex
	conns    []*net.TCPConn
	received []string // what each connection brought
	from     []netip.Addr
}

// ending is what a peer does with a connection that it has read to its end.
type ending func(p *peer, conn *net.TCPConn)

func closes(_ *peer, conn *net.TCPConn) { conn.Close() }

func resets(_ *peer, conn *net.TCPConn) { conn.SetLinger(0); conn.Close() }

func writes(_ *peer, conn *net.TCPConn) { io.WriteString(conn, "2"); conn.Close() }

func silent(*peer, *net.TCPConn) {}

func leaves(p *peer, conn *net.TCPConn) { p.listener.Close(); conn.Close() }

func newPeer(t *testing.T, host netip.Addr, endings ...ending) *peer {
	t.Helper()
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{listener: listener, endings: endings}
	p.serving.Go(p.serve)
	t.Cleanup(func() {
		listener.Close()
		p.serving.Wait()
		for _, conn := range p.conns {
			conn.Close()
		}
	})
	return p
}

func (p *peer) serve() {
	for n := 0; ; n++ {
		conn, err := p.listener.AcceptTCP()
		if err != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(patience))
		brought, _ := io.ReadAll(conn)
		p.mu.Lock()
		p.conns = append(p.conns, conn)
		p.received = append(p.received, string(brought))
		p.from = append(p.from, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		p.mu.Unlock()
		p.endings[min(n, len(p.endings)-1)](p, conn)
	}
}

func (p *peer) port() uint16 { return p.listener.Addr().(*net.TCPAddr).AddrPort().Port() }

// seen is what the connections brought so far, in order. It is complete once the push has its receipt for them.
func (p *peer) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.received)
}

// dialledFrom are the addresses that the connections came from.
func (p *peer) dialledFrom() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.from)
}

// wantSeen waits until the connections brought want, and then looks for a moment for one too many.
func (p *peer) wantSeen(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, "the peer got its connections", func() bool { return len(p.seen()) >= len(want) })
	time.Sleep(moment)
	if got := p.seen(); !slices.Equal(got, want) {
		t.Errorf("port %d got %q, want %q", p.port(), got, want)
	}
}

// closedPort is a port of host where nobody listens.
func closedPort(t *testing.T, host netip.Addr) uint16 {
	t.Helper()
	p := newPeer(t, host, closes)
	p.listener.Close()
	return p.port()
}
