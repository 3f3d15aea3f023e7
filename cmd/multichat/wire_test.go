package main_test

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// wire is what lies between nodes: a relay for TCP, and for UDP if the node listens to that. A test makes it silent, slow
// or broken.
type wire struct {
	port    int    // of the node
	target  string // the node
	tcp     net.Listener
	udp     *net.UDPConn // nil: TCP alone
	running sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	lines   []*wireLine // the open ones, the oldest first
	stalled bool        // nothing passes, and nothing is lost of TCP
	trickle bool        // bytes pass one by one
	refused bool        // connections are closed as soon as they are made
	strange []int       // ports whose datagrams are lost
	closed  bool

	dripped atomic.Int64 // bytes that passed one by one
}

// wireLine is a connection that a wire carries.
type wireLine struct{ in, out net.Conn }

// newWire listens at an address and relays to the same port of 127.0.0.1, until the test ends.
func newWire(t testing.TB, host string, port int, datagrams bool) *wire {
	t.Helper()
	addr := fmt.Sprintf("%s:%d", host, port)
	w := &wire{port: port, target: loopback(port)}
	w.changed = sync.NewCond(&w.mu)
	var err error
	if w.tcp, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	w.running.Go(w.serve)
	if datagrams {
		conn, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		w.udp = conn.(*net.UDPConn)
		w.running.Go(w.serveDatagrams)
	}
	t.Cleanup(w.close)
	return w
}

func (w *wire) close() {
	w.tcp.Close()
	if w.udp != nil {
		w.udp.Close()
	}
	w.change(func() { w.closed = true })
	w.drop(len(w.open()))
	w.running.Wait()
}

func (w *wire) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.changed.Broadcast()
}

// stall begins or ends that nothing passes. Connections are made all the same, and bytes wait.
func (w *wire) stall(on bool) { w.change(func() { w.stalled = on }) }

// drip begins or ends that bytes pass one by one.
func (w *wire) drip(on bool) { w.change(func() { w.trickle = on }) }

// refuse begins or ends that connections are closed as soon as they are made. Those that are open stay.
func (w *wire) refuse(on bool) { w.change(func() { w.refused = on }) }

// open are the connections that the wire carries, the oldest first.
func (w *wire) open() []*wireLine {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines)
}

// drop breaks the n oldest connections.
func (w *wire) drop(n int) {
	for _, l := range w.open()[:n] {
		l.close()
	}
}

func (l *wireLine) close() {
	l.in.Close()
	l.out.Close()
}

func (w *wire) serve() {
	for {
		in, err := w.tcp.Accept()
		if err != nil {
			return
		}
		w.running.Go(func() { w.carry(in) })
	}
}

func (w *wire) carry(in net.Conn) {
	out, err := net.Dial("tcp", w.target)
	if err != nil {
		in.Close()
		return
	}
	l := &wireLine{in, out}
	if !w.admit(l) {
		l.close()
		return
	}
	var back sync.WaitGroup
	back.Go(func() { w.relay(l, out, in) })
	w.relay(l, in, out)
	back.Wait()
	w.change(func() { w.lines = slices.DeleteFunc(w.lines, func(other *wireLine) bool { return other == l }) })
}

func (w *wire) admit(l *wireLine) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused || w.closed {
		return false
	}
	w.lines = append(w.lines, l)
	return true
}

// relay relays one way, and ends both when that ends.
func (w *wire) relay(l *wireLine, from, to net.Conn) {
	defer l.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			pass := w.pass(len(rest))
			if _, err := to.Write(rest[:pass]); err != nil {
				return
			}
			rest = rest[pass:]
		}
		if err != nil {
			w.pass(0)
			return
		}
	}
}

// pass waits while the wire is stalled, and says how many of n bytes may go at once.
func (w *wire) pass(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.stalled && !w.closed {
		w.changed.Wait()
	}
	if w.trickle {
		w.dripped.Add(1)
		return min(n, 1)
	}
	return n
}

// serveDatagrams relays one way: nodes answer to the address that is in a datagram, not to where it came from. While the
// wire is stalled they are lost.
func (w *wire) serveDatagrams() {
	out, err := net.Dial("udp", w.target)
	if err != nil {
		panic(err)
	}
	defer out.Close()
	buf := make([]byte, 64<<10)
	for {
		n, from, err := w.udp.ReadFromUDP(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		lost := w.stalled || w.closed || slices.Contains(w.strange, from.Port)
		w.mu.Unlock()
		if !lost {
			out.Write(buf[:n]) // an error is a datagram that is lost
		}
	}
}

// wired is a cluster whose nodes reach each other by wires only: each tells the others a host where nobody but its wires
// listens.
type wired struct {
	*cluster
	links  []*wire // to the servers
	gossip map[string]*wire
}

func newWiredCluster(t testing.TB, on ground, servers int) *wired {
	t.Helper()
	w := &wired{cluster: newCluster(t, on, servers), gossip: make(map[string]*wire)}
	for i, args := range w.args {
		var gossip int
		at := slices.Index(args, "--gossip") + 1
		fmt.Sscanf(args[at], "127.0.0.1:%d", &gossip)
		host, link := fmt.Sprint("127.0.9.", i+1), freePort(t, 0)
		w.links = append(w.links, newWire(t, host, link, false))
		w.gossip[fmt.Sprint("server-", i+1)] = newWire(t, host, gossip, true)
		args[slices.Index(args, "--link")+1] = loopback(link)
		w.args[i] = append(args, "--advertise", host)
		w.replaceSeed(args[at], fmt.Sprintf("%s:%d", host, gossip))
	}
	return w
}

// replaceSeed has everybody find a server by its wire.
func (w *wired) replaceSeed(old, by string) {
	for _, args := range append(slices.Clone(w.args), w.seeds) {
		for i := 1; i < len(args); i++ {
			if args[i-1] == "--join" && args[i] == old {
				args[i] = by
			}
		}
	}
}

// newProxy is a proxy behind a wire for its gossip.
func (w *wired) newProxy(i int) *proxyNode {
	w.t.Helper()
	port, host := freePort(w.t, 0), fmt.Sprint("127.0.9.", 101+i)
	p := w.cluster.newProxy(i, "--advertise", host)
	w.gossip[p.name] = newWire(w.t, host, port, true)
	for i, arg := range p.args {
		if arg == "--gossip" {
			p.args[i+1] = loopback(port)
		}
	}
	return p
}

// cutOff takes nodes from the gossip: nothing goes there, and nothing comes from there. With no names all is whole again.
func (w *wired) cutOff(names ...string) {
	var ports []int
	for _, name := range names {
		ports = append(ports, w.gossip[name].port)
	}
	for name, wire := range w.gossip {
		wire.change(func() {
			wire.stalled, wire.strange = slices.Contains(names, name), ports
			wire.refused = len(names) > 0 // a connection does not tell who has made it
		})
	}
}
