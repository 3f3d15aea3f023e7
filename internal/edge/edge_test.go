package edge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"multichat/internal/chat"
	"multichat/internal/edge"
)

func TestPortInUseIsToldWithTheRemedy(t *testing.T) {
	taken := listen(t, edge.Config{})
	defer discard(t, taken)
	udp, tcp := taken.UDPAddr().String(), taken.TCPAddr().String()
	for _, tc := range []struct {
		name string
		cfg  edge.Config
		want string
	}{
		{"polls", edge.Config{UDP: udp, TCP: "127.0.0.1:0"},
			"listen for polls: udp port " + udp + " is in use; end what uses it or choose another with --udp"},
		{"requests", edge.Config{UDP: "127.0.0.1:0", TCP: tcp},
			"listen for requests: tcp port " + tcp + " is in use; end what uses it or choose another with --tcp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := edge.Listen(tc.cfg)
			if fmt.Sprint(err) != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestAddressThatIsNoneIsToldWithItsFlag(t *testing.T) {
	for _, tc := range []struct {
		flag string
		cfg  edge.Config
	}{
		{"--udp 127.0.0.1:port", edge.Config{UDP: "127.0.0.1:port", TCP: "127.0.0.1:0"}},
		{"--tcp 127.0.0.1", edge.Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1"}},
	} {
		t.Run(tc.flag, func(t *testing.T) {
			_, err := edge.Listen(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.flag) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An edge that could not have both ports holds neither.
func TestListenThatFailsHoldsNoPort(t *testing.T) {
	host := newHost().String()
	taken := listen(t, edge.Config{UDP: host + ":0", TCP: host + ":0"})
	udp, tcp := taken.UDPAddr().String(), taken.TCPAddr().String()
	discard(t, taken)
	if _, err := edge.Listen(edge.Config{UDP: udp, TCP: "127.0.0.1"}); err == nil {
		t.Fatal("an edge listens on half an address")
	}
	discard(t, listen(t, edge.Config{UDP: udp, TCP: tcp}))
}

func TestEndOfServeLetsRequestsFinish(t *testing.T) {
	store := make(chan struct{})
	h := newHandler()
	h.send = func(ctx context.Context) (chat.Seq, error) {
		select {
		case <-store:
			return 7, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	n := serve(t, h, edge.Config{Grace: patience})
	stored, late := n.dial(t), n.dial(t)
	finish(t, stored, hello)
	receive(t, "the message", n.requests)
	begin(t, n, late)

	n.stop()
	wantNoListener(t, n)
	finish(t, late, "bob:hello")
	receive(t, "the message that was half sent", n.requests)
	wantNone(t, "the end of Serve", n.ended)
	close(store)
	for _, conn := range []*net.TCPConn{stored, late} {
		if answered := answer(t, conn); !okLine.MatchString(answered) {
			t.Errorf("answered %q", answered)
		}
	}
	n.wantEnded(t)
}

// begin sends half a request on conn and makes sure that it is being served: connections are accepted in order.
func begin(t *testing.T, n *node, conn *net.TCPConn) {
	t.Helper()
	if _, err := io.WriteString(conn, "wrmsg:alice:secret:"); err != nil {
		t.Fatal(err)
	}
	if answered := n.ask(t, "?"); answered == "" {
		t.Fatal("the connection behind it is not answered")
	}
}

func wantNoListener(t *testing.T, n *node) {
	t.Helper()
	eventually(t, "connections are refused", func() bool {
		conn, err := net.DialTCP("tcp", nil, n.TCPAddr())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestEndOfGraceEndsTheRest(t *testing.T) {
	h := newHandler()
	h.send = func(ctx context.Context) (chat.Seq, error) { <-ctx.Done(); return 0, ctx.Err() }
	n := serve(t, h, edge.Config{Grace: moment})
	stuck, silent := n.dial(t), n.dial(t)
	finish(t, stuck, hello)
	receive(t, "the message", n.requests)
	begin(t, n, silent)

	start := time.Now()
	n.stop()
	wantErr(t, answer(t, stuck), chat.CodeUnknown)
	line, err := bufio.NewReader(silent).ReadString('\n')
	if err != nil {
		t.Fatalf("instead of an answer: %q, %v", line, err)
	}
	wantErr(t, line, chat.CodeUnavail)
	n.wantEnded(t)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
	wantNone(t, "half a message", n.requests)
}
