package main_test

import (
	"bufio"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// generation is which reading of listen_port a first-generation client prints.
type generation int

const (
	older generation = iota // prints htons(port)
	newer                   // prints the port itself
)

// gate is where clients reach the system: the public ports of a proxy, or of a server without one.
type gate struct{ udp, tcp string }

// newmsg is what an old client understands of a message.
type newmsg struct{ username, userid, text string }

// oldClient is a client as the first ones are: it polls over UDP once a second, listens on TCP, reads each connection
// to its end, looks at the first message on it, and closes. It never writes to those, and reads no reply to what it
// sends. It knows nothing of this project but the protocol.
type oldClient struct {
	user, password string
	ip             netip.Addr
	gate           gate
	listener       net.Listener
	listenPort     uint16 // as it is printed in polls

	mu   sync.Mutex
	got  []newmsg
	stop chan struct{}
	done sync.WaitGroup
}

const oldPollInterval = time.Second

func startOldClient(t *testing.T, user, ip string, g gate, gen generation) *oldClient {
	t.Helper()
	c := &oldClient{user: user, password: "demo", ip: netip.MustParseAddr(ip), gate: g, stop: make(chan struct{})}
	var port uint16
	c.listener, port = listenAmbiguously(t, ip)
	c.listenPort = port
	if gen == older {
		c.listenPort = bits.ReverseBytes16(port)
	}
	c.done.Go(c.pollLoop)
	c.done.Go(c.acceptLoop)
	t.Cleanup(c.end)
	return c
}

// listenAmbiguously listens on a port whose both readings are ports that a system may dial.
func listenAmbiguously(t *testing.T, ip string) (net.Listener, uint16) {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		if other := bits.ReverseBytes16(port); other >= 1024 && other != port {
			return l, port
		}
		l.Close()
	}
	t.Fatal("no port with two readings is free")
	return nil, 0
}

func (c *oldClient) end() {
	select {
	case <-c.stop:
		return
	default:
	}
	close(c.stop)
	c.listener.Close()
	c.done.Wait()
}

func (c *oldClient) pollLoop() {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.ip, 0)))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	to, err := net.ResolveUDPAddr("udp", c.gate.udp)
	if err != nil {
		panic(err)
	}
	tick := time.NewTicker(oldPollInterval)
	defer tick.Stop()
	for {
		fmt.Fprint(writerTo{conn, to}, "poll:", c.user, ":", c.password, ":", c.listenPort)
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
	}
}

type writerTo struct {
	conn *net.UDPConn
	to   *net.UDPAddr
}

func (w writerTo) Write(b []byte) (int, error) { return w.conn.WriteToUDP(b, w.to) }

func (c *oldClient) acceptLoop() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		data, err := io.ReadAll(conn)
		if err == nil && len(data) > 0 {
			c.take(string(data))
		}
		conn.Close()
	}
}

func (c *oldClient) take(data string) {
	fields := strings.SplitN(data, ":", 5)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(fields) != 5 || fields[0] != "newmsg" {
		c.got = append(c.got, newmsg{text: "not a newmsg: " + data})
		return
	}
	c.got = append(c.got, newmsg{fields[2], fields[3], fields[4]})
}

func (c *oldClient) received() []newmsg {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func (c *oldClient) has(text string) bool {
	return slices.ContainsFunc(c.received(), func(m newmsg) bool { return m.text == text })
}

// waitFor returns once the client has n messages.
func (c *oldClient) waitFor(t *testing.T, n int, within time.Duration) []newmsg {
	t.Helper()
	proctest.Eventually(t, within, func() error {
		if got := c.received(); len(got) < n {
			return fmt.Errorf("%s has %d of %d messages: %q", c.user, len(got), n, got)
		}
		return nil
	})
	return c.received()
}

// send sends as the first clients do, but reads the line that they ignore.
func (c *oldClient) send(to, text string) (reply string, err error) {
	conn, err := dialStream(c.ip.String(), c.gate.tcp, nil)
	if err != nil {
		return "", err
	}
	return oldSend(conn, c.user, c.password, to, text)
}

// oldSend sends on a connection of the message's own, and closes it.
func oldSend(conn net.Conn, user, password, to, text string) (reply string, err error) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "wrmsg:"+user+":"+password+":"+to+":"+text); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (c *oldClient) mustSend(t *testing.T, to, text string) {
	t.Helper()
	if reply, err := c.send(to, text); err != nil || !strings.HasPrefix(reply, "ok;id=") {
		t.Fatalf("%s to %s: reply %q, error %v; want ok", c.user, to, reply, err)
	}
}
