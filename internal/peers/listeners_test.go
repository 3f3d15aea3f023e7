//go:build linux

package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// listeners are many connections that read lines, and wait for one that all are to get.
type listeners struct {
	mu     sync.Mutex
	turn   int    // counts what is waited for
	text   []byte // that ends the line
	behind int    // those who have not got it
	last   time.Time

	conns   []net.Conn
	reading sync.WaitGroup
}

// connectsAtOnce is how many connections are opened at a time.
const connectsAtOnce = 64

// listen opens so many connections, each from an address of its own, says something on each, and awaits the answer if there is one.
func listen(t *testing.T, addr string, n int, says func(i int) (greeting, answer string)) *listeners {
	t.Helper()
	l := &listeners{conns: make([]net.Conn, n)}
	t.Cleanup(l.close)
	var opened atomic.Int64
	errs := make(chan error, connectsAtOnce)
	for first := range connectsAtOnce {
		go func() {
			for i := first; i < n; i += connectsAtOnce {
				if err := l.open(i, addr, says); err != nil {
					errs <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
				opened.Add(1)
			}
			errs <- nil
		}()
	}
	for range connectsAtOnce {
		if err := <-errs; err != nil {
			t.Errorf("%d connections are there: %v", opened.Load(), err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return l
}

func (l *listeners) open(i int, addr string, says func(i int) (greeting, answer string)) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddress(i).AsSlice()}, Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return err
	}
	l.conns[i] = conn
	in := bufio.NewReaderSize(conn, 512)
	greeting, answer := says(i)
	if _, err := conn.Write([]byte(greeting)); err != nil {
		return err
	}
	if answer != "" {
		if line, err := in.ReadString('\n'); line != answer {
			return fmt.Errorf("%q is answered %q, %v", greeting, line, err)
		}
	}
	l.reading.Go(func() { l.read(conn, in) })
	return nil
}

func (l *listeners) close() {
	for _, conn := range l.conns {
		if conn != nil {
			conn.Close()
		}
	}
	l.reading.Wait()
}

func (l *listeners) read(conn net.Conn, in *bufio.Reader) {
	heard := 0 // the last of what is waited for that came here: once is enough
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if id, ping := bytes.CutPrefix(line, []byte("ping;")); ping {
			fmt.Fprintf(conn, "pong;%s", id)
		} else if l.hear(line, &heard) {
			fmt.Fprintf(conn, "ack:%%:%s\n", seqOf(line))
		}
	}
}

// hear says whether it is the line that is waited for. heard is which one a connection has heard last.
func (l *listeners) hear(line []byte, heard *int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *heard == l.turn || !bytes.HasSuffix(line, l.text) {
		return false
	}
	*heard = l.turn
	l.behind--
	l.last = time.Now()
	return true
}

// seqOf is the seq of a newmsg.
func seqOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(";seq="))
	return rest[:max(0, bytes.IndexAny(rest, ";:"))]
}

// await has something send a text to all, and says after how many milliseconds the last one had it.
func (l *listeners) await(t *testing.T, text string, send func()) (ms float64) {
	t.Helper()
	l.mu.Lock()
	l.turn++
	l.text, l.behind = []byte(":"+text+"\n"), len(l.conns)
	l.mu.Unlock()
	begin := time.Now()
	send()
	proctest.Eventually(t, 30*time.Second, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.behind > 0 {
			return fmt.Errorf("%q has not come to %d of %d streams", text, l.behind, len(l.conns))
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.last.Sub(begin).Microseconds()) / 1000
}
