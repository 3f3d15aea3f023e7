package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// What send - ends with 0 for is stored: every line, once, in order.
func TestManyLinesAreSentThroughAPipe(t *testing.T) {
	on(t, []ground{onSQLite, onMySQL}, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		for i := range c.servers {
			c.startServer(i, "--max-user-sends=0")
		}
		_, g := c.startProxy(0)
		n := 10_000
		if on.name == onMySQL.name {
			n = 1000 // each line waits for MySQL to have written the one before
		}
		var in strings.Builder
		want := make([]string, n)
		for i := range want {
			want[i] = fmt.Sprint("line ", i)
			fmt.Fprintln(&in, want[i])
		}
		begin := time.Now()
		out, code := runAs(t, "demo", in.String(), "send", "--proxy", proxyFlag(t, g), "--user", "alice", "--to", "bob", "-")
		if code != 0 || out != "" {
			t.Fatalf("exit code %d, said %q; want 0 and nothing", code, out)
		}
		t.Logf("%d lines took %v", n, time.Since(begin).Round(time.Millisecond))
		out, code = runAs(t, "demo", "", "recv", "--json", "--proxy", proxyFlag(t, g), "--user", "bob", "-n", fmt.Sprint(n), "--timeout", "60s")
		if code != 0 {
			t.Fatalf("recv: exit code %d", code)
		}
		var got []string
		for line := range strings.Lines(out) {
			var m struct{ Text string }
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			got = append(got, m.Text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("bob got %d lines, or in another order; want %d", len(got), n)
		}
	})
}

// Scripts decide by the exit code whether to try again, and with what.
func TestExitCodesOfSentLines(t *testing.T) {
	t.Parallel()
	c := newCluster(t, onSQLite, 1)
	c.startServer(0)
	_, g := c.startProxy(0)
	for _, test := range []struct {
		name, password, to, proxy string
		code                      int
		says                      string
	}{
		{"a wrong password", "wrong", "bob", proxyFlag(t, g), 3, "the userid or the password is wrong"},
		{"nobody there", "demo", "bob", loopback(freePort(t, 0)) + "/" + fmt.Sprint(freePort(t, 0)), 4, "see whether a proxy runs there"},
		{"a recipient who does not exist", "demo", "nobody", proxyFlag(t, g), 1, "line 1, and nothing after it: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, code := runAs(t, test.password, "one\ntwo\n", "send", "--proxy", test.proxy, "--user", "alice", "--to", test.to, "-")
			if code != test.code || !strings.Contains(out, test.says) || strings.Count(out, "\n") != 1 {
				t.Errorf("exit code %d, said %q; want %d and %q", code, out, test.code, test.says)
			}
		})
	}

	// The last one cannot be undone: its server stops while it has a line, and nobody knows whether that is stored.
	t.Run("nobody knows", func(t *testing.T) {
		s := startLineSender(t, g)
		bob := startStream(t, "bob", "b", "127.0.4.91", g.tcp)
		s.write(t, "one")
		bob.waitTexts(t, "one")
		c.servers[0].cmd.Process.Signal(syscall.SIGSTOP)
		defer c.servers[0].cmd.Process.Signal(syscall.SIGCONT)
		s.write(t, "two", "three")
		// Bob may have been shown the first line before its sender was answered.
		s.wantExit(t, 5, "multichat: line 1, and nothing after it: ", "multichat: line 2, and nothing after it: ")
	})
	t.Run("the cluster is dead", func(t *testing.T) {
		c.servers[0].kill()
		begin := time.Now()
		out, code := runAs(t, "demo", "one\ntwo\n", "send", "--proxy", proxyFlag(t, g), "--user", "alice", "--to", "bob", "-")
		if took := time.Since(begin); code != 4 || strings.Count(out, "\n") != 1 || took > time.Minute {
			t.Errorf("exit code %d after %v, said %q; want 4 within a minute", code, took, out)
		}
	})
}

// lineSender is a send - whose lines come one by one.
type lineSender struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said proctest.Output
}

func startLineSender(t *testing.T, g gate) *lineSender {
	t.Helper()
	s := &lineSender{cmd: exec.Command(binary, "send", "--proxy", proxyFlag(t, g), "--user", "alice", "--to", "bob", "-")}
	s.cmd.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	return s
}

func (s *lineSender) write(t *testing.T, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(s.in, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// wantExit waits for the end, though standard input stays open, and wants one of these as the last words.
func (s *lineSender) wantExit(t *testing.T, code int, says ...string) {
	t.Helper()
	watchdog := time.AfterFunc(time.Minute, func() { s.cmd.Process.Kill() })
	defer watchdog.Stop()
	begin := time.Now()
	s.cmd.Wait()
	last := strings.TrimSuffix(s.said.String(), "\n")
	last = last[strings.LastIndex(last, "\n")+1:]
	if got := s.cmd.ProcessState.ExitCode(); got != code || !slices.ContainsFunc(says, func(s string) bool { return strings.HasPrefix(last, s) }) {
		t.Errorf("exit code %d after %v, said %q; want %d, and %q last", got, time.Since(begin), &s.said, code, says)
	}
	t.Logf("it ended after %v: %s", time.Since(begin).Round(time.Millisecond), last)
}
