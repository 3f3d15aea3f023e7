package main_test

// These tests run client, send and recv as scripts do.

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// A proxy's death costs a reader and a writer one connection each, and no message: all arrive, each once and in order.
func TestSendAndRecvOutliveTheirProxy(t *testing.T) {
	on(t, bothStores, func(t *testing.T, on ground) {
		c := newCluster(t, on, 2)
		c.startServers()
		var flags []string
		var proxies []*process
		for i := range 2 {
			p, g := c.startProxy(i)
			proxies = append(proxies, p)
			flags = append(flags, "--proxy", proxyFlag(t, g))
		}
		const n = 400
		reader := startProcessIn(t, "recv", []string{"MULTICHAT_PASSWORD=demo"},
			slices.Concat([]string{"recv", "--user", "bob", "--json", "-n", fmt.Sprint(n), "--timeout", "60s"}, flags)...)
		send := exec.Command(binary, slices.Concat([]string{"send", "--user", "alice", "--to", "bob"}, flags)...)
		send.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
		said := &proctest.Output{}
		send.Stdout, send.Stderr = said, said
		in, err := send.StdinPipe()
		if err == nil {
			err = send.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			fmt.Fprintln(in, "line", i)
			if i == n/2 {
				proctest.Eventually(t, 20*time.Second, func() error {
					if got := len(receivedTexts(reader)); got < n/8 {
						return fmt.Errorf("%d messages have arrived", got)
					}
					return nil
				})
				proxies[0].kill()
			}
		}
		in.Close()
		if err := send.Wait(); err != nil {
			t.Fatalf("send: %v:\n%s", err, said)
		}
		select {
		case <-reader.exited:
		case <-time.After(60 * time.Second):
			t.Fatal("recv has not got all messages")
		}
		got := receivedTexts(reader)
		for i := range max(n, len(got)) {
			if i >= len(got) || got[i] != fmt.Sprint("line ", i) {
				t.Fatalf("of %d lines, %d were printed, and line %d is not in its place: %q", n, len(got), i, got)
			}
		}
		if !strings.Contains(said.String(), "connected again") {
			t.Errorf("send did not say that it has another proxy: %q", said)
		}
	})
}

// receivedTexts are the texts that a recv --json has printed so far.
func receivedTexts(reader *process) (texts []string) {
	for line := range strings.Lines(reader.output.String()) {
		var m struct{ Text string }
		if json.Unmarshal([]byte(line), &m) == nil {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// What a reader has printed does not come again to the next, and what it has not printed does.
func TestRecvTakesWhatItPrints(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	alice := startStream(t, "alice", "a", "127.0.3.1", gates[0].tcp)
	for i := range 6 {
		alice.mustSend(t, fmt.Sprint(i), "bob", fmt.Sprint("text ", i))
	}
	for _, part := range []string{"text 0\ntext 1\n", "text 2\ntext 3\n", "text 4\ntext 5\n"} {
		out, code := runAs(t, "demo", "", "recv", "--user", "bob", "--proxy", proxyFlag(t, gates[1]), "-n", "2", "--timeout", "20s", "--json")
		var texts strings.Builder
		for line := range strings.Lines(out) {
			var m struct{ Text string }
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&texts, m.Text)
		}
		if code != 0 || texts.String() != part {
			t.Fatalf("recv printed %q with exit code %d; want %q", out, code, part)
		}
	}

	// A reader whose output is closed cannot print: the message stays.
	alice.mustSend(t, "kept", "bob", "kept")
	reader := exec.Command(binary, "recv", "--user", "bob", "--proxy", proxyFlag(t, gates[1]), "--json", "--timeout", "20s")
	reader.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
	output, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full: ", err)
	}
	defer output.Close()
	reader.Stdout = output
	if err := reader.Run(); err == nil {
		t.Error("recv ends well though it cannot print")
	}
	out, code := runAs(t, "demo", "", "recv", "--user", "bob", "--proxy", proxyFlag(t, gates[0]), "-n", "1", "--timeout", "20s")
	if code != 0 || !strings.Contains(out, "kept") {
		t.Errorf("recv printed %q with exit code %d; want the message that could not be printed before", out, code)
	}
}

// Two people chat, one in each version of the protocol.
func TestClientsChat(t *testing.T) {
	t.Parallel()
	_, gates := startDemo(t, t.TempDir())
	alice := startChat(t, "alice", "--proxy", proxyFlag(t, gates[0]))
	bob := startChat(t, "bob", "--proxy", proxyFlag(t, gates[1]), "--v1")
	alice.say("hello, everyone")
	bob.waitFor(t, "Alice: hello, everyone\n")
	bob.say("/to alice only for you")
	alice.waitFor(t, "Bob: only for you\n")
	alice.say("/nonsense to all")
	alice.waitFor(t, `"/nonsense" is no command`)
	alice.say("/to nobody hello")
	alice.waitFor(t, "not sent to nobody: \"hello\": ")
	alice.say("/all /nonsense")
	bob.waitFor(t, "Alice: /nonsense\n")
	for _, c := range []*chatter{alice, bob} {
		c.say("/quit")
		select {
		case <-c.exited:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s has not ended after /quit", c.name)
		}
		if code := c.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d", c.name, code)
		}
	}
}

// chatter is a client that somebody types into.
type chatter struct {
	*process
	in io.WriteCloser
}

func startChat(t *testing.T, user string, args ...string) *chatter {
	t.Helper()
	p := &process{name: user, cmd: exec.Command(binary, append([]string{"client", "--user", user}, args...)...),
		output: &proctest.Output{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	in, err := p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
	})
	return &chatter{p, in}
}

func (c *chatter) say(line string) { fmt.Fprintln(c.in, line) }

func (c *chatter) waitFor(t *testing.T, text string) {
	t.Helper()
	proctest.Eventually(t, 15*time.Second, func() error {
		if !strings.Contains(c.output.String(), text) {
			return fmt.Errorf("%s shows %q, and not %q", c.name, c.output, text)
		}
		return nil
	})
}
