//go:build linux

package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The rows need small programs beside multichat and its peers: what stands behind a relay, and limits. They are this test
// binary, started again with a role, so that each is a process with CPU seconds of its own. A helper prints the address that it
// listens on, then how much it has done at every line that it reads, and ends with its input. A line that is not empty is for those
// that are connected to it.
const roleVariable = "MULTICHAT_BENCH_ROLE"

func play(role string) int {
	var done atomic.Int64
	var addr string
	var err error
	var crowd crowd
	switch role {
	case "receive":
		addr, err = receiveDatagrams(&done)
	case "answer":
		addr, err = answerConnections(&done)
	case "fan":
		addr, err = crowd.gather(&done)
	default:
		err = fmt.Errorf("there is no role %q", role)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		return 1
	}
	fmt.Println(addr)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() != "" {
			crowd.tell(lines.Text() + "\n")
		}
		fmt.Println(done.Load())
	}
	return 0
}

// answerConnections reads each connection to its end, answers one line, and stores nothing.
func answerConnections(done *atomic.Int64) (addr string, err error) {
	return acceptAll(func(conn net.Conn) {
		go func() {
			defer conn.Close()
			if _, err := io.Copy(io.Discard, conn); err == nil {
				io.WriteString(conn, "ok;id=0;seq=0\n")
				done.Add(1)
			}
		}()
	})
}

// acceptAll hands over each connection to a free port, one after another, until the process ends.
func acceptAll(take func(net.Conn)) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			take(conn)
		}
	}()
	return l.Addr().String(), nil
}

// crowd is connections that are all told the same.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *crowd) gather(done *atomic.Int64) (addr string, err error) {
	return acceptAll(func(conn net.Conn) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, conn)
		done.Add(1)
	})
}

func (c *crowd) tell(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		io.WriteString(conn, line) // whoever does not get it is missed where it is counted
	}
}

// helper is a helper that runs.
type helper struct {
	pid  int
	addr string
	ask  io.Writer
	told *bufio.Reader
}

func startHelper(t *testing.T, role string) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	h := &helper{pid: cmd.Process.Pid, ask: in, told: bufio.NewReader(out)}
	h.addr = h.line(t)
	return h
}

func (h *helper) line(t *testing.T) string {
	t.Helper()
	line, err := h.told.ReadString('\n')
	if err != nil {
		t.Fatalf("a helper has ended: %v", err)
	}
	return strings.TrimSpace(line)
}

// done is how much it has done so far.
func (h *helper) done(t *testing.T) float64 {
	t.Helper()
	return h.say(t, "")
}

// say has it tell a line to all that are connected to it.
func (h *helper) say(t *testing.T, line string) (done float64) {
	t.Helper()
	fmt.Fprintln(h.ask, line)
	n, err := strconv.Atoi(h.line(t))
	if err != nil {
		t.Fatal(err)
	}
	return float64(n)
}
