package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multichat/internal/chat"
	"multichat/internal/proctest"
)

// childEnv makes the test binary be a node instead: it holds the node's name, role, link and seed.
const childEnv = "MULTICHAT_CLUSTER_TEST_NODE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		runChild(spec)
		return
	}
	code := m.Run()
	if err := leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaked waits for the goroutines that the library ends a moment after its Shutdown: a probe under way may take
// awareness × probe interval. None of them is exempt.
func leaked() (err error) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if err = goleak.Find(); err == nil {
			return nil
		}
	}
	return err
}

var testKey = chat.NewSecret(strings.Repeat("k", chat.ClusterKeyBytes))

func newLogger(b *proctest.Output, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level}))
}

// node is a cluster under test, with its log.
type node struct {
	*Cluster
	log *proctest.Output
	end func() // ends Serve and waits for it
}

// testConfig is a server's, on a free loopback port.
func testConfig(name string, seeds ...string) Config {
	return Config{Name: name, Role: Server, Bind: "127.0.0.1:0", Join: seeds, Key: testKey, Link: "127.0.0.1:1000"}
}

// bind makes a node that does not serve yet.
func bind(t *testing.T, cfg Config) *node {
	t.Helper()
	n := &node{log: new(proctest.Output)}
	cfg.Logger = newLogger(n.log, slog.LevelDebug)
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("New(%s): %v", cfg.Name, err)
	}
	n.Cluster = c
	t.Cleanup(func() {
		if t.Failed() {
			lines := n.log.Lines("")
			t.Logf("the end of the log of %s:\n%s", cfg.Name, strings.Join(lines[max(0, len(lines)-50):], ""))
		}
	})
	return n
}

// serve runs the node until end is called, or the test ends.
func (n *node) serve(t *testing.T) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	n.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve(%s) = %v", n.name, err)
		}
	})
	t.Cleanup(n.end)
	return n
}

func start(t *testing.T, cfg Config) *node {
	t.Helper()
	return bind(t, cfg).serve(t)
}

// await waits until the published list satisfies ok, and returns how long that took.
func (n *node) await(t *testing.T, what string, ok func([]Member) bool) time.Duration {
	t.Helper()
	begin := time.Now()
	timeout := time.After(15 * time.Second)
	for {
		changed := n.Changed()
		if ok(n.Members()) {
			return time.Since(begin)
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s never saw %s; it has %v", n.name, what, n.Members())
		}
	}
}

// names is satisfied by exactly these members, none missing.
func names(want ...string) func([]Member) bool {
	return func(members []Member) bool {
		var got []string
		for _, m := range members {
			if m.Missing {
				return false
			}
			got = append(got, m.Name)
		}
		return fmt.Sprint(got) == fmt.Sprint(want)
	}
}

// member is satisfied when the named member is there and ok.
func member(name string, ok func(Member) bool) func([]Member) bool {
	return func(members []Member) bool {
		for _, m := range members {
			if m.Name == name {
				return ok(m)
			}
		}
		return false
	}
}

// eventually polls for what no channel announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// child is a node in a process of its own.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// startChild runs a server with a gossip port of its own choice.
func startChild(t *testing.T, name, link, seed string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{name, link, seed}, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // at its end, the child ends: it does not outlive the test
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, stdin}
	t.Cleanup(c.kill)
	return c
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

func runChild(spec string) {
	field := strings.Fields(spec)
	cfg := testConfig(field[0], field[2])
	cfg.Link = field[1]
	cfg.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	c, err := New(cfg)
	if err == nil {
		err = c.Serve(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
