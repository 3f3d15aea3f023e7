package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestBadInputIsAnsweredAndHurtsNobody sends to a running demo what must never come.
func TestBadInputIsAnsweredAndHurtsNobody(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	g := gates[0]

	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct{ name, request, code string }{
		{"unknown verb", "hello:alice:demo:bob:hi", "badreq"},
		{"no verb", ":alice:demo:bob:hi", "badreq"},
		{"poll over TCP", "poll:alice:demo:10001", "badreq"},
		{"missing field", "wrmsg:alice:demo", "badreq"},
		{"empty userid", "wrmsg::demo:bob:hi", "badreq"},
		{"userid with a semicolon", "wrmsg:al;ice:demo:bob:hi", "badreq"},
		{"userid with a control character", "wrmsg:al\x1bice:demo:bob:hi", "badreq"},
		{"userid over its limit", "wrmsg:" + long(65) + ":demo:bob:hi", "toolarge"},
		{"password over its limit", "wrmsg:alice:" + long(129) + ":bob:hi", "toolarge"},
		{"recipient over its limit", "wrmsg:alice:demo:" + long(65) + ":hi", "toolarge"},
		{"text over its limit", "wrmsg:alice:demo:bob:" + long(4001), "toolarge"},
		{"text with NUL", "wrmsg:alice:demo:bob:a\x00b", "badreq"},
		{"wrong password", "wrmsg:alice:wrong:bob:hi", "auth"},
		{"unknown sender", "wrmsg:nobody:demo:bob:hi", "auth"},
		{"unknown recipient", "wrmsg:alice:demo:nobody:hi", "nouser"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply := request(t, g.tcp, c.request)
			if !strings.HasPrefix(reply, "err") || !strings.Contains(reply, ":"+c.code+":") || strings.Count(reply, "\n") != 1 {
				t.Errorf("reply %q; want one err line with code %s", reply, c.code)
			}
			if strings.Contains(reply, "demo") || strings.Contains(reply, "wrong:") {
				t.Errorf("reply %q repeats the password", reply)
			}
		})
	}
	t.Run("datagrams", func(t *testing.T) {
		conn, err := net.Dial("udp", g.udp)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, d := range [][]byte{{}, bytes.Repeat([]byte("x"), 65507), []byte("poll:alice:demo"), []byte("poll;v=2:alice:demo:0"),
			[]byte("poll:alice:demo:99999"), []byte("poll:alice:wrong:10001"), []byte("poll:alice:demo:0"), []byte("poll:alice:demo:22")} {
			if _, err := conn.Write(d); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("connections", func(t *testing.T) {
		t.Run("silent", func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			reply := readReply(t, dial(t, g.tcp))
			if took := time.Since(begin); !strings.Contains(reply, ":badreq:") || took < 4*time.Second || took > 8*time.Second {
				t.Errorf("reply %q after %v; want badreq after 5 s", reply, took)
			}
		})
		t.Run("endless", func(t *testing.T) {
			t.Parallel()
			conn := dial(t, g.tcp)
			go io.Copy(conn, io.MultiReader(strings.NewReader("wrmsg:alice:demo:bob:"), endless{}))
			if reply := readReply(t, conn); !strings.Contains(reply, ":toolarge:") {
				t.Errorf("reply %q; want toolarge", reply)
			}
		})
	})

	// The demo goes on as if nothing had been.
	alice := startOldClient(t, "alice", "127.0.0.41", g, newer)
	alice.mustSend(t, "alice", "still here")
	if got := alice.waitFor(t, 1, 10*time.Second); got[0].text != "still here" || len(got) != 1 {
		t.Errorf("alice got %q; want only what was well-formed", got)
	}
}

// endless is a text without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

func request(t *testing.T, addr, text string) string {
	t.Helper()
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	return readReply(t, conn)
}

// readReply reads to the end of the connection: a reset would be an error.
func readReply(t *testing.T, conn net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("reading the reply: %v after %q", err, line)
	}
	return line
}

// TestExitCodes runs the commands that scripts use against a running demo, and without one.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	proxy := proxyFlag(t, gates[0])
	dead := loopback(freePort(t, 0)) + "/" + fmt.Sprint(freePort(t, 0))

	const text = "one\ntwo \"quoted\" <&>"
	for _, c := range []struct {
		name, password string
		args           []string
		want           int
	}{
		{"sent", "demo", []string{"send", "--proxy", proxy, "--user", "alice", "--to", "bob", text}, 0},
		{"a proxy that is dead, and one that is not", "demo",
			[]string{"send", "--proxy", dead, "--proxy", proxy, "--user", "alice", "--to", "bob", "second"}, 0},
		{"wrong password", "wrong", []string{"send", "--proxy", proxy, "--user", "alice", "--to", "bob", "x"}, 3},
		{"no such recipient", "demo", []string{"send", "--proxy", proxy, "--user", "alice", "--to", "nobody", "x"}, 1},
		{"a recipient that cannot be", "demo", []string{"send", "--proxy", proxy, "--user", "alice", "--to", "a:b", "x"}, 2},
		{"nobody there", "demo", []string{"send", "--proxy", dead, "--user", "alice", "--to", "bob", "x"}, 4},
		{"nothing came", "demo", []string{"recv", "--proxy", proxy, "--user", "carol", "-n", "1", "--timeout", "2s"}, 4},
		{"time was over", "demo", []string{"recv", "--proxy", proxy, "--user", "carol", "--timeout", "1s"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := runAs(t, c.password, "", c.args...)
			if code != c.want {
				t.Errorf("multichat %s: exit code %d; want %d:\n%s", strings.Join(c.args, " "), code, c.want, out)
			}
			if code != 0 && strings.Count(out, "\n") != 1 {
				t.Errorf("multichat %s said %q; want one line", strings.Join(c.args, " "), out)
			}
		})
	}

	if out, code := runAs(t, "demo", "third\nfourth", "send", "--proxy", proxy, "--user", "alice", "--to", "bob", "-"); code != 0 {
		t.Fatalf("send -: exit code %d: %s", code, out)
	}
	wantLines(t, `{"mailbox":"bob","seq":`, []string{
		`"text":"one\ntwo \"quoted\" <&>"}`, `"text":"second"}`, `"text":"third"}`, `"text":"fourth"}`},
		"--proxy", proxy, "--user", "bob")

	if out, code := runAs(t, "demo", "", "send", "--v1", "--proxy", proxy, "--user", "alice", "--to", "carol", "in version 1"); code != 0 {
		t.Fatalf("send --v1: exit code %d: %s", code, out)
	}
	wantLines(t, `{"mailbox":null,"seq":null,"id":null,"from":"alice","name":"Alice","time":"`, []string{`"text":"in version 1"}`},
		"--proxy", proxy, "--user", "carol", "--v1")
}

// wantLines runs recv --json, and wants lines that begin and end so.
func wantLines(t *testing.T, begin string, ends []string, args ...string) {
	t.Helper()
	out, code := runAs(t, "demo", "", append([]string{"recv", "--json", "-n", fmt.Sprint(len(ends)), "--timeout", "20s"}, args...)...)
	if code != 0 {
		t.Fatalf("recv: exit code %d: %s", code, out)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i := range ends {
		if len(lines) != len(ends) || !strings.HasPrefix(lines[i], begin) || !strings.HasSuffix(lines[i], ends[i]) {
			t.Fatalf("recv printed %q; want line %d to begin with %s and to end with %s", lines, i, begin, ends[i])
		}
	}
}

// runAs runs a command with a password and standard input, and returns what it printed and its exit code.
func runAs(t *testing.T, password, in string, args ...string) (string, int) {
	t.Helper()
	return runIn(t, []string{"MULTICHAT_PASSWORD=" + password}, in, args...)
}

// proxyFlag writes a gate as --proxy wants it.
func proxyFlag(t *testing.T, g gate) string {
	t.Helper()
	_, port, err := net.SplitHostPort(g.tcp)
	if err != nil {
		t.Fatal(err)
	}
	return g.udp + "/" + port
}
