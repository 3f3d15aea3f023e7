//go:build linux

package peers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// callbacks takes what is brought to version 1 clients, several behind each of some addresses.
type callbacks struct {
	clients map[netip.AddrPort]int // by where they listen

	mu     sync.Mutex
	text   string      // that is waited for
	when   []time.Time // it came to each client; zero: not yet
	behind int         // clients to which it has not come yet
}

// firstPort is the first of the clients' ports, which differ in their lower byte alone: so the other reading of one, with its bytes
// exchanged, is none of them.
const firstPort = 0x6e01

// newCallbacks listens for so many clients behind each address until the test ends. A port is that of a client behind each
// address, and there are less than 256.
func newCallbacks(t *testing.T, behindEach int, addresses []netip.Addr) *callbacks {
	t.Helper()
	c := &callbacks{clients: make(map[netip.AddrPort]int)}
	var group sync.WaitGroup
	t.Cleanup(group.Wait)
	for i := range behindEach {
		port := uint16(firstPort + i)
		l, err := net.Listen("tcp4", fmt.Sprint("0.0.0.0:", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		for _, a := range addresses {
			c.clients[netip.AddrPortFrom(a, port)] = len(c.clients)
		}
		group.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				group.Go(func() { c.take(conn) })
			}
		})
	}
	c.when = make([]time.Time, len(c.clients))
	return c
}

// take reads one newmsg to its end, and closes: that is the receipt.
func (c *callbacks) take(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	newmsg, err := io.ReadAll(conn)
	if err != nil {
		return
	}
	client, known := c.clients[conn.LocalAddr().(*net.TCPAddr).AddrPort()]
	c.mu.Lock()
	defer c.mu.Unlock()
	if known && c.when[client].IsZero() && c.text != "" && bytes.HasSuffix(newmsg, []byte(c.text)) {
		c.when[client] = time.Now()
		c.behind--
	}
}

// expect begins to wait for a text.
func (c *callbacks) expect(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text, c.behind = text, len(c.when)
	clear(c.when)
}

// all waits until the text has come to every client, and says when it came to the last one.
func (c *callbacks) all(t *testing.T, within time.Duration) (last time.Time) {
	t.Helper()
	proctest.Eventually(t, within, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.behind > 0 {
			return fmt.Errorf("%q has not come to %d of %d clients", c.text, c.behind, len(c.when))
		}
		return nil
	})
	for _, when := range c.when {
		if when.After(last) {
			last = when
		}
	}
	return last
}

// polls are one for each client, of the user of a kind who has its number.
func (c *callbacks) polls(kind string) []poll {
	polls := make([]poll, len(c.clients))
	for at, client := range c.clients {
		polls[client] = poll{at.Addr(), fmt.Appendf(nil, "poll:%s%d:%s:%d", kind, client, password, at.Port())}
	}
	return polls
}

// sendToAll stores one message to everyone, by version 1.
func (c *cluster) sendToAll(t *testing.T, text string) {
	t.Helper()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	reply, err := sendByConnection(&dialer, c.tcp, fmt.Sprintf("wrmsg:send0:%s:%%:%s", password, text))
	if err != nil || !strings.HasPrefix(reply, "ok;") {
		t.Fatalf("a message to everyone is answered %q, %v", reply, err)
	}
}
