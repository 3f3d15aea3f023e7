package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxStreams bounds the streams that others have open here; one more is closed at once. Nobody has shown a key when
	// a stream is accepted, so what one may cost is bounded too: maxStreamBytes is the state of some 5 000 nodes.
	maxStreams     = 64
	maxStreamBytes = 1 << 20

	maxDatagram   = 64 * 1024
	receiveBuffer = 2 << 20 // bytes; the kernel may give less
	acceptPause   = 100 * time.Millisecond
	portAttempts  = 10 // with port 0: the port that TCP was given may be taken for UDP
)

// transport carries the gossip over one UDP socket and one TCP listener with the same port. The library's own would do,
// but for four things: this one binds without starting a goroutine, it ends every stream and dial when it is shut down,
// it bounds what strangers may open, and it does not allocate 64 KiB for each datagram.
type transport struct {
	log       *slog.Logger
	udp       *net.UDPConn
	tcp       *net.TCPListener
	advertise netip.AddrPort

	packets chan *memberlist.Packet
	accepts chan net.Conn

	running context.Context // ends with Shutdown; dials end with it
	end     context.CancelFunc
	readers sync.WaitGroup

	mu       sync.Mutex
	streams  map[*stream]struct{}
	accepted int // of streams
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// listen binds both sockets. The advertised address still has to be set.
func listen(bind string, log *slog.Logger) (*transport, error) {
	tcp, udp, err := listenBoth(bind)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the gossip address %s is in use: end the program that has it or choose another port: %w",
			bind, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for gossip on %s: %w", bind, err)
	}
	udp.SetReadBuffer(receiveBuffer) // a smaller one loses datagrams in a burst, which gossip stands
	running, end := context.WithCancel(context.Background())
	return &transport{
		log: log, udp: udp, tcp: tcp,
		packets: make(chan *memberlist.Packet), accepts: make(chan net.Conn),
		running: running, end: end,
		streams: make(map[*stream]struct{}),
	}, nil
}

func listenBoth(bind string) (*net.TCPListener, *net.UDPConn, error) {
	addr, err := net.ResolveTCPAddr("tcp", bind)
	if err != nil {
		return nil, nil, err
	}
	for attempt := 1; ; attempt++ {
		tcp, err := net.ListenTCP("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		at := tcp.Addr().(*net.TCPAddr)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: at.Port, Zone: addr.Zone})
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if addr.Port != 0 || attempt == portAttempts {
			return nil, nil, err
		}
	}
}

// bound is the address of the sockets.
func (t *transport) bound() netip.AddrPort {
	at := t.tcp.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// start begins to receive. Shutdown ends that.
func (t *transport) start() {
	t.readers.Go(t.acceptStreams)
	t.readers.Go(t.readPackets)
}

// Shutdown closes the sockets and all streams, ends all dials and waits for the goroutines of start.
func (t *transport) Shutdown() error {
	t.end()
	err := errors.Join(t.tcp.Close(), t.udp.Close())
	t.mu.Lock()
	open := t.streams
	t.streams = nil
	t.mu.Unlock()
	for s := range open {
		s.Conn.Close()
	}
	t.readers.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // it was shut down before
	}
	return err
}

func (t *transport) readPackets() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		if t.running.Err() != nil {
			return
		}
		if err != nil || n == 0 {
			continue // a datagram of ours that was refused, or an empty one
		}
		packet := &memberlist.Packet{
			Buf:       append([]byte(nil), buf[:n]...),
			From:      net.UDPAddrFromAddrPort(from),
			Timestamp: time.Now(),
		}
		select {
		case t.packets <- packet:
		case <-t.running.Done():
			return
		}
	}
}

func (t *transport) acceptStreams() {
	for {
		conn, err := t.tcp.Accept()
		if t.running.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			t.log.Warn("accept a gossip stream", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-t.running.Done():
			}
			continue
		}
		s := t.track(conn, true)
		if s == nil {
			continue
		}
		select {
		case t.accepts <- s:
		case <-t.running.Done():
			s.Close()
		}
	}
}

// track makes a stream of conn, or closes it and returns nil: over the limit, or after Shutdown.
func (t *transport) track(conn net.Conn, accepted bool) *stream {
	s := &stream{Conn: conn, owner: t, accepted: accepted, left: maxStreamBytes}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams == nil || accepted && t.accepted == maxStreams {
		conn.Close()
		return nil
	}
	t.streams[s] = struct{}{}
	if accepted {
		t.accepted++
	}
	return s
}

// stream is a connection that its transport can end, and that ends by itself beyond maxStreamBytes read.
type stream struct {
	net.Conn
	owner    *transport
	accepted bool
	left     int
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, fmt.Errorf("a gossip stream of more than %d bytes", maxStreamBytes)
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

func (s *stream) Close() error {
	t := s.owner
	t.mu.Lock()
	if _, open := t.streams[s]; open {
		delete(t.streams, s)
		if s.accepted {
			t.accepted--
		}
	}
	t.mu.Unlock()
	return s.Conn.Close()
}

// WriteToAddress sends one datagram.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// WriteTo sends one datagram to an address in numbers; the library knows no others.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteToUDPAddrPort(b, to)
	return time.Now(), err
}

// DialAddressTimeout opens a stream.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// DialTimeout opens a stream, which ends with Shutdown at the latest.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(t.running, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if s := t.track(conn, false); s != nil {
		return s, nil
	}
	return nil, net.ErrClosed
}

// FinalAdvertiseAddr is the address that others are told; what the library's configuration says is the same.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

// PacketCh is where the library takes datagrams from.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is where the library takes accepted streams from.
func (t *transport) StreamCh() <-chan net.Conn { return t.accepts }
