package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

// listener is a first-generation client's own port. texts has what came, one connection each, empty ones left out.
type listener struct {
	port  uint16
	texts chan string
}

func listen(t *testing.T, host string) *listener {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &listener{port: uint16(l.Addr().(*net.TCPAddr).Port), texts: make(chan string, 100)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if text, _ := io.ReadAll(conn); len(text) > 0 {
				c.texts <- string(text)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return c
}

// pollsTo polls from a host's address, faster than a real client, until the test ends.
func pollsTo(t *testing.T, to *net.UDPAddr, host, poll string) {
	t.Helper()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			conn.Write([]byte(poll))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended; conn.Close() })
}

// sendTo sends a wrmsg and returns the reply line.
func sendTo(t *testing.T, to net.Addr, wrmsg string) string {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, wrmsg)
	conn.(*net.TCPConn).CloseWrite()
	reply, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

func (l *listener) expect(t *testing.T, from, text string) {
	t.Helper()
	select {
	case got := <-l.texts:
		fields := strings.SplitN(got, ":", 5)
		if len(fields) != 5 || fields[0] != "newmsg" || fields[2] != "Name of "+from || fields[3] != from || fields[4] != text {
			t.Errorf("came %q, want %s's %q", got, from, text)
		}
	case <-time.After(patience):
		t.Fatalf("%s's %q did not come", from, text)
	}
}

// One server serves clients of both generations by an edge of its own, over real sockets.
func TestClientsOfBothGenerationsChat(t *testing.T) {
	onBothEngines(2, func(t *testing.T, c *cluster) {
		c.addUsers("alice", "bob")
		n := c.serve()
		e, err := edge.Listen(edge.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Handler: n, Metrics: n.metrics,
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Serve(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("the edge: %v", err)
			}
		})

		newer, older := listen(t, "127.0.0.21"), listen(t, "127.0.0.22")
		pollsTo(t, e.UDPAddr(), "127.0.0.21", fmt.Sprintf("poll:alice:%s:%d", passwordOf("alice"), newer.port))
		pollsTo(t, e.UDPAddr(), "127.0.0.22", fmt.Sprintf("poll:bob:%s:%d", passwordOf("bob"), bits.ReverseBytes16(older.port)))

		send := func(from chat.UserID, to, text string) {
			t.Helper()
			reply := sendTo(t, e.TCPAddr(), fmt.Sprintf("wrmsg:%s:%s:%s:%s", from, passwordOf(from), to, text))
			if !strings.HasPrefix(reply, "ok;id=") {
				t.Fatalf("%s to %s was answered %q", from, to, reply)
			}
		}
		send("alice", "%", "to all:\nwith colons : and newlines\n")
		older.expect(t, "alice", "to all:\nwith colons : and newlines\n")
		send("bob", "%", "from the older")
		newer.expect(t, "bob", "from the older")
		send("alice", "alice", "to myself")
		newer.expect(t, "alice", "to myself")
		send("alice", "bob", "to bob alone")
		older.expect(t, "alice", "to bob alone")
		if reply := sendTo(t, e.TCPAddr(), "wrmsg:alice:guess:bob:text"); !strings.Contains(reply, ":auth:") {
			t.Errorf("a wrong password was answered %q", reply)
		}
		if len(newer.texts)+len(older.texts) != 0 {
			t.Error("more came than was sent")
		}
	})(t)
}
