package main_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSendsThroughOneProxy sends version 1 messages, a connection each, through one proxy, in batches as
// they form among 64 senders. Beside it BenchmarkBareConnections makes the same connections to a peer that answers one
// line and stores nothing: the limit.
func BenchmarkSendsThroughOneProxy(b *testing.B) {
	c := newCluster(b, onSQLite, 3)
	for i := range c.servers {
		c.startServer(i, "--max-user-sends=0") // one user sends them all
	}
	_, g := c.startProxy(0)
	sendAll(b, g.tcp, "ok;")
}

func BenchmarkBareConnections(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.ReadAll(conn)
				io.WriteString(conn, "ok;\n")
			}()
		}
	}()
	sendAll(b, l.Addr().String(), "ok;")
}

func sendAll(b *testing.B, addr, want string) {
	if reply, err := sendOnce(addr); err != nil || !strings.HasPrefix(reply, want) { // the first one costs a password hash
		b.Fatalf("reply %q, error %v", reply, err)
	}
	var bad atomic.Int64
	b.ResetTimer()
	b.SetParallelism(32) // goroutines per core
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if reply, err := sendOnce(addr); err != nil || !strings.HasPrefix(reply, want) {
				bad.Add(1)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	if bad.Load() > 0 {
		b.Errorf("%d of %d were not stored", bad.Load(), b.N)
	}
}

func sendOnce(addr string) (string, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, "wrmsg:alice:demo:bob:hello, bob, how are you?"); err != nil {
		return "", err
	}
	conn.(*net.TCPConn).CloseWrite()
	return bufio.NewReader(conn).ReadString('\n')
}
