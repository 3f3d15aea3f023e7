package proxy

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// relay stands between a proxy and a server as a network does.
type relay struct {
	addr netip.AddrPort
	to   string

	mu      sync.Mutex
	changed sync.Cond
	stalled bool
	closed  bool // takes no connection
	taken   int  // connections so far
	conns   map[net.Conn]bool
}

// newRelay listens at a free port and forwards every connection to addr.
func newRelay(t testing.TB, addr string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: netip.MustParseAddrPort(l.Addr().String()), to: addr, conns: make(map[net.Conn]bool)}
	r.changed.L = &r.mu
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { r.forward(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.close()
		group.Wait()
	})
	return r
}

func (r *relay) forward(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer out.Close()
	if !r.hold(in, out) {
		return
	}
	defer r.forget(in, out)
	var group sync.WaitGroup
	group.Go(func() { r.copy(out, in) })
	r.copy(in, out)
	group.Wait()
}

func (r *relay) hold(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken++
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.closed
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

func (r *relay) copy(to, from net.Conn) {
	defer to.(*net.TCPConn).CloseWrite()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !r.pass(from) {
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// pass waits while the relay is stalled, and is false when the connection was cut.
func (r *relay) pass(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.stalled && r.conns[conn] {
		r.changed.Wait()
	}
	return r.conns[conn]
}

// stall holds back all bytes, as when a cable is pulled, or lets them go on.
func (r *relay) stall(stalled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = stalled
	r.changed.Broadcast()
}

// cut breaks all connections; new ones may be made.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutLocked()
}

func (r *relay) cutLocked() {
	for c := range r.conns {
		c.Close()
	}
	clear(r.conns)
	r.changed.Broadcast()
}

// close breaks all connections, and each new one at once.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.cutLocked()
}

// open undoes close.
func (r *relay) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = false
}

// connections is how many have been made so far.
func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}
