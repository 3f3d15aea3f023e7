//go:build linux

package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// connectors are the clients that send at once, each from an address of its own and one connection after another.
const connectors = 64

// measureConnections has version 1 messages sent, a connection each. Multichat stores them before it answers; HAProxy hands the
// same connections to a sink that answers and stores nothing.
func measureConnections(t *testing.T, g *ground) Row {
	row := Row{Name: fmt.Sprintf("version 1 messages, a connection each, from %d clients", connectors)}
	sink := startHelper(t, "answer")
	contenders := []contender{
		{"SQLite", g.connectionsTo(g.onSQLite())},
		{"sink", connectionsTo(sink.addr, sink.pid)},
	}
	if g.findsMySQL(t) {
		contenders = append(contenders, contender{"MySQL", g.connectionsTo(g.onMySQL(t))})
	} else {
		row.Notes = append(row.Notes, noMySQL)
	}
	if listens, pid, err := haproxyRelay(t, sink.addr); err != nil {
		row.Notes = append(row.Notes, err.Error())
	} else {
		contenders = append(contenders, contender{"HAProxy", connectionsTo(listens, pid)})
	}
	r := compete(t, contenders...)
	const rate, cpu = "messages/s", "CPU µs/message"
	for _, on := range []string{"SQLite", "MySQL"} {
		row.Figures = append(row.Figures,
			Figure{What: "messages committed a second, on " + on, Ours: r.of(on, rate), Reason: connectionReason, Beside: []Beside{
				{Name: "peer: HAProxy, to a sink that stores nothing", Theirs: r.of("HAProxy", rate), Target: AtLeast(0.8)},
				{Name: "limit: the sink without a relay", Theirs: r.of("sink", rate)},
			}},
			Figure{What: "CPU µs per message, on " + on, Ours: r.of(on, cpu), Beside: []Beside{
				{Name: "peer: HAProxy alone", Theirs: r.of("HAProxy", cpu)},
				{Name: "limit: the sink alone", Theirs: r.of("sink", cpu)},
			}})
	}
	row.Notes = append(row.Notes, "Multichat's CPU seconds are those of the proxy, both servers and MySQL together.")
	return row
}

const connectionReason = "by a profile, the proxy alone takes less than HAProxy does, most of it in the kernel for the connection; " +
	"the servers and the commit, of which HAProxy's sink has none, take more than the proxy, and all share the cores with the clients."

func (g *ground) connectionsTo(c *cluster) func(*testing.T, time.Duration) map[string]float64 {
	return connectionsTo(c.tcp, append(c.pids(), g.databasePids(c)...)...)
}

// connectionsTo is the turn of who listens at an address: what was answered ok, and the CPU seconds of these processes.
func connectionsTo(addr string, pids ...int) func(*testing.T, time.Duration) map[string]float64 {
	return func(t *testing.T, d time.Duration) map[string]float64 {
		cpu := cpuSeconds(t, pids...)
		begin := time.Now()
		answered := sendByConnections(t, addr, begin.Add(d))
		took := time.Since(begin)
		cpu = cpuSeconds(t, pids...) - cpu
		return map[string]float64{"messages/s": answered / took.Seconds(), "CPU µs/message": 1e6 * cpu / answered}
	}
}

func sendByConnections(t *testing.T, addr string, until time.Time) (answered float64) {
	t.Helper()
	var ok, failed atomic.Int64
	var failure atomic.Value
	var group sync.WaitGroup
	for i := range connectors {
		group.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddress(i).AsSlice()}, Timeout: 10 * time.Second}
			message := fmt.Sprintf("wrmsg:send%d:%s:box%d:hello, how are you today?", i%senders, password, i%boxes)
			for time.Now().Before(until) {
				reply, err := sendByConnection(&dialer, addr, message)
				if err == nil && strings.HasPrefix(reply, "ok;") {
					ok.Add(1)
					continue
				}
				failed.Add(1)
				failure.Store(fmt.Sprintf("%q, %v", reply, err))
			}
		})
	}
	group.Wait()
	if ok.Load() == 0 || failed.Load() > ok.Load()/100 {
		t.Fatalf("%d messages were stored and %d not, one of them: %v", ok.Load(), failed.Load(), failure.Load())
	}
	return float64(ok.Load())
}

func sendByConnection(dialer *net.Dialer, addr, message string) (reply string, err error) {
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := io.WriteString(conn, message); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	return bufio.NewReaderSize(conn, 256).ReadString('\n')
}

func haproxyRelay(t *testing.T, sink string) (listens string, pid int, err error) {
	listens = freeAddress(t)
	pid, err = haproxy.start(t, fmt.Sprintf(haproxyConfig, runtime.NumCPU(), listens, sink), listens, "-db", "-f", "FILE")
	return listens, pid, err
}

var haproxyConfig = strings.TrimSpace(`
global
	maxconn 4096
	nbthread %d
defaults
	mode tcp
	timeout connect 5s
	timeout client 60s
	timeout server 60s
listen relay
	bind %s
	server sink %s
`) + "\n"
