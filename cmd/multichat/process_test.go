package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"multichat/internal/proctest"
)

// process is one multichat that runs.
type process struct {
	name   string
	cmd    *exec.Cmd
	output *proctest.Output // standard output and error together
	exited chan struct{}
}

func startProcess(t testing.TB, name string, args ...string) *process {
	t.Helper()
	return startProcessIn(t, name, nil, args...)
}

// startProcessIn starts a process with something more in its environment.
func startProcessIn(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	return startProgram(t, binary, name, env, args...)
}

// startProgram starts a process of another build than usual.
func startProgram(t testing.TB, program, name string, env []string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(program, args...), output: &proctest.Output{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.output)
		}
		if strings.Contains(p.output.String(), "DATA RACE") {
			t.Errorf("%s has a data race:\n%s", name, p.output)
		}
	})
	return p
}

// waitLine returns once the process has printed a line.
func (p *process) waitLine(t testing.TB, line string, within time.Duration) {
	t.Helper()
	proctest.Eventually(t, within, func() error {
		select {
		case <-p.exited:
			t.Fatalf("%s has ended:\n%s", p.name, p.output)
		default:
		}
		if !strings.Contains("\n"+p.output.String(), "\n"+line+"\n") {
			return fmt.Errorf("%s has not printed %q", p.name, line)
		}
		return nil
	})
}

// terminate ends the process as an operator would, and wants it to end in order.
func (p *process) terminate(t testing.TB) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s has not ended 10 s after SIGTERM", p.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("%s ended with exit code %d; want 0:\n%s", p.name, code, p.output)
	}
}

// kill ends the process without any warning.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.exited
}

// run runs a command to its end and wants exit code 0. It returns what the command printed.
func run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "MULTICHAT_PASSWORD=demo")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("multichat %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// runIn runs a command to its end, with something more in its environment and standard input. It returns what the command
// printed and its exit code.
func runIn(t testing.TB, env []string, in string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// Ports of nodes are below those that the kernel gives to connections: a node that is started again wants its port back.
const (
	firstPort = 12000
	portCount = 20000
)

// ports are those that were given to nodes: none is given twice.
var ports = struct {
	sync.Mutex
	next  int
	given map[int]bool
}{next: rand.IntN(portCount), given: make(map[int]bool)} // anywhere, so that two runs of the tests at once rarely meet

// freePort finds a port that is free for TCP and UDP on 127.0.0.1, and on which the one `step` above it is free too.
func freePort(t testing.TB, step int) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	var failure error
	for range 1000 {
		ports.next = (ports.next + 1) % portCount
		port := firstPort + ports.next
		if ports.given[port] || ports.given[port+step] {
			continue
		}
		if failure = errors.Join(proctest.Listenable(loopback(port)), proctest.Listenable(loopback(port+step))); failure == nil {
			ports.given[port], ports.given[port+step] = true, true
			return port
		}
	}
	t.Fatalf("no port is free; the last try: %v", failure)
	return 0
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// demo is a running `multichat demo` and its two proxies' gates.
func startDemo(t testing.TB, dir string) (*process, [2]gate) {
	t.Helper()
	udp, tcp := freePort(t, 100), freePort(t, 100)
	p := startProcess(t, "demo", "demo", "--dir", dir, "--udp", loopback(udp), "--tcp", loopback(tcp), "--log-level", "info")
	p.waitLine(t, "ready", 30*time.Second)
	return p, [2]gate{{loopback(udp), loopback(tcp)}, {loopback(udp + 100), loopback(tcp + 100)}}
}

// cluster is proxies and servers as processes of their own, over two shards, with the demo's users.
type cluster struct {
	t       testing.TB
	key     string   // file
	shards  []string // --shard flags
	seeds   []string // --join flags: the gossip addresses of all servers
	servers []*process
	args    [][]string // of the servers, to start them again
	admins  []string   // of the servers

	proxyAdmin string // of the proxy that was started last

	addresses int // how many addresses of clients startStreamAt has tried
}

func newCluster(t testing.TB, on ground, servers int) *cluster {
	t.Helper()
	c := &cluster{t: t, key: newClusterKey(t), shards: []string{"--shard", "a=" + on.shard(t), "--shard", "b=" + on.shard(t)}}
	run(t, append([]string{"shard", "init"}, c.shards...)...)
	for _, user := range []string{"alice", "bob", "carol"} {
		run(t, append([]string{"user", "add", user, "--name", strings.ToUpper(user[:1]) + user[1:]}, c.shards...)...)
	}
	for i := range servers {
		gossip := loopback(freePort(t, 0))
		c.seeds = append(c.seeds, "--join", gossip)
		c.admins = append(c.admins, loopback(freePort(t, 0)))
		c.args = append(c.args, append([]string{"server", "--name", fmt.Sprintf("server-%d", i+1), "--gossip", gossip,
			"--link", "127.0.0.1:0", "--cluster-key-file", c.key, "--admin", c.admins[i]}, c.shards...))
	}
	for i := range c.args {
		c.args[i] = slices.Concat(c.args[i], c.seeds, on.flags)
		c.servers = append(c.servers, nil)
	}
	return c
}

func newClusterKey(t testing.TB) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "cluster.key")
	if err := os.WriteFile(file, []byte(run(t, "keys", "new")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (c *cluster) startServer(i int, more ...string) {
	c.t.Helper()
	c.servers[i] = startProcess(c.t, fmt.Sprintf("server-%d", i+1), append(c.args[i], more...)...)
	waitReady(c.t, c.admins[i])
}

// startServers starts all servers, one after another.
func (c *cluster) startServers() {
	c.t.Helper()
	for i := range c.servers {
		c.startServer(i)
	}
}

func (c *cluster) startProxy(i int) (*process, gate) {
	c.t.Helper()
	return c.startProxyKnowing(i, len(c.servers))
}

// startProxyKnowing starts a proxy and returns once it knows so many servers.
func (c *cluster) startProxyKnowing(i, servers int) (*process, gate) {
	c.t.Helper()
	return c.startProxyWith(i, servers)
}

func (c *cluster) startProxyWith(i, servers int, more ...string) (*process, gate) {
	c.t.Helper()
	p := c.newProxy(i, more...)
	p.start(servers)
	return p.process, p.gate
}

// proxyNode is a proxy that may be started again, at its gate.
type proxyNode struct {
	*process // nil before the first start
	c        *cluster
	name     string
	gate     gate
	admin    string
	args     []string
}

func (c *cluster) newProxy(i int, more ...string) *proxyNode {
	c.t.Helper()
	p := &proxyNode{c: c, name: fmt.Sprintf("proxy-%d", i+1), gate: gate{loopback(freePort(c.t, 0)), loopback(freePort(c.t, 0))},
		admin: loopback(freePort(c.t, 0))}
	c.proxyAdmin = p.admin
	p.args = slices.Concat([]string{"proxy", "--name", p.name, "--udp", p.gate.udp, "--tcp", p.gate.tcp, "--gossip", "127.0.0.1:0",
		"--cluster-key-file", c.key, "--admin", p.admin}, c.seeds, more)
	return p
}

// start returns once the proxy knows so many servers.
func (p *proxyNode) start(servers int) {
	p.c.t.Helper()
	p.process = startProcess(p.c.t, p.name, p.args...)
	waitReady(p.c.t, p.admin)
	waitMembers(p.c.t, p.admin, "server", servers)
}

// waitMembers returns once a node knows so many nodes of a role.
func waitMembers(t testing.TB, admin, role string, want int) {
	t.Helper()
	proctest.Eventually(t, 10*time.Second, func() error {
		if n := metric(t, admin, `multichat_members{role="`+role+`"}`); n != fmt.Sprint(want) {
			return fmt.Errorf("the node at %s knows %s of %d %ss", admin, n, want, role)
		}
		return nil
	})
}

func waitReady(t testing.TB, admin string) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, func() error {
		_, err := proctest.Fetch("http://" + admin + "/readyz")
		return err
	})
}

// metric reads one sample of a node's metrics; "" if there is none.
func metric(t testing.TB, admin, sample string) string {
	t.Helper()
	text, err := proctest.Fetch("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, sample+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
