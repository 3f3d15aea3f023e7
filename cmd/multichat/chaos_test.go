package main_test

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"multichat/client"
	"multichat/internal/chaos"
	"multichat/internal/chat"
	"multichat/internal/checker"
	"multichat/internal/mysqltest"
	"multichat/internal/proctest"
)

// What `make chaos` hands on. Without it these tests are skipped: each needs the machine for itself.
var (
	chaosSeconds = flag.Int("seconds", 0, "chaos: how long faults are done")
	chaosSeed    = flag.Uint64("seed", 0, "chaos: repeats the schedule of a run; 0 is a new one")
	chaosFaults  = flag.String("faults", "", "chaos: only these, such as kill,stop-mysql,proxy")
	chaosRate    = flag.Int("rate", 280, "chaos: messages a second of all clients")
	chaosDir     = flag.String("dir", "", "chaos: keeps the histories in this folder")
)

// Clients of both versions write to each other through two proxies, while servers, proxies and databases are killed, stopped
// and ended. Nothing that was acknowledged may be lost.
func TestChaos(t *testing.T) {
	isChaos(t)
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64N(1e9)
	}
	for _, on := range []ground{onSQLite, {name: "MySQL"}} {
		t.Run(on.name, func(t *testing.T) {
			c := newChaosCluster(t, on, build{program: binary})
			var filter chaos.Filter
			if *chaosFaults != "" {
				filter = strings.Split(*chaosFaults, ",")
			}
			schedule := c.schedule(seed, time.Duration(*chaosSeconds)*time.Second, filter)
			t.Logf("repeat it with -seconds=%d -seed=%d -faults=%q", *chaosSeconds, seed, *chaosFaults)
			for _, f := range schedule {
				t.Log(f)
			}
			report := c.run(t, seed, schedule, chaosSettle)
			if err := report.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func isChaos(t *testing.T) {
	t.Helper()
	if *chaosSeconds == 0 {
		t.Skip("make chaos runs this")
	}
}

const (
	chaosUsers  = 12
	chaosSettle = 90 * time.Second // until everybody has everything, at most
)

// run has clients write while the faults of a schedule are done, waits until all have everything, settle at most, and tells
// what became of it.
func (c *chaosCluster) run(t *testing.T, seed uint64, schedule []chaos.Fault, settle time.Duration) checker.Report {
	history := c.history(t)
	recorder := chaos.NewRecorder(history)
	load := chaos.NewLoad(chaos.LoadConfig{
		Seed: seed, Proxies: c.gates, Users: c.users, Password: chat.NewSecret("demo"),
		Streams: 12, Libraries: 6, Olds: 6, Rate: *chaosRate,
		First: netip.MustParseAddr("127.0.20.1"), Journal: recorder, Log: slog.New(slog.DiscardHandler),
	})
	report, err := chaos.Run{Clients: load, Recorder: recorder, Journal: recorder, Schedule: schedule, System: c,
		Settle: settle, Tell: t.Logf}.Do(t.Context())
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s", report.String())
	if f, kept := history.(*os.File); kept {
		wantSameVerdict(t, f.Name(), report)
	}
	return report
}

// wantSameVerdict judges the history that was kept: whoever looks into it later must find what this run has found.
func wantSameVerdict(t *testing.T, name string, report checker.Report) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	again := checker.New()
	for record, err := range checker.Read(f) {
		if err != nil {
			t.Error(err)
			return
		}
		again.Add(record)
	}
	if kept := again.Report(); kept.String() != report.String() {
		t.Errorf("the history that was kept is judged otherwise:\n%s", kept.String())
	}
}

// history is where the run's history is kept.
func (c *chaosCluster) history(t *testing.T) io.Writer {
	if *chaosDir == "" {
		return io.Discard
	}
	name := strings.ReplaceAll(t.Name(), "/", "-") + time.Now().Format("-20060102-150405") + ".jsonl.gz"
	f, err := os.Create(filepath.Join(*chaosDir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	t.Logf("the history is in %s", f.Name())
	return f
}

// chaosCluster is two proxies, three servers and two shards, of which each can be struck. It implements [chaos.System].
type chaosCluster struct {
	*cluster
	gates []client.Address
	users []chat.UserID
	parts map[string]part
}

// part is a process that can be struck.
type part interface {
	signal(syscall.Signal) error
	end() error // with SIGTERM, in order
	kill() error
	start() error // returns when it is ready
}

// build is a multichat to be run, and the mistakes that each of its nodes makes, if it is a build for that.
type build struct {
	program  string
	mistakes func(node string) string // for internal/faults; nil: none
}

func (b build) env(node string) []string {
	if b.mistakes == nil {
		return nil
	}
	return []string{"MULTICHAT_FAULTS=" + b.mistakes(node)}
}

func newChaosCluster(t *testing.T, on ground, b build) *chaosCluster {
	c := &chaosCluster{parts: make(map[string]part)}
	if on.shard == nil {
		on.shard = func(t testing.TB) string {
			s := mysqltest.Start(t)
			c.parts[fmt.Sprint("mysql-", len(c.parts)+1)] = &database{t: t, server: s}
			url, _ := s.Database(t)
			return url
		}
	}
	c.cluster = newCluster(t, on, 3)
	for _, user := range c.addUsers("user", chaosUsers) {
		c.users = append(c.users, chat.UserID(user))
	}
	for i := range c.servers {
		c.add(&node{t: t, build: b, name: fmt.Sprintf("server-%d", i+1), admin: c.admins[i], args: c.args[i]})
	}
	for i := range 2 {
		name, udp, tcp, admin := fmt.Sprintf("proxy-%d", i+1), freePort(t, 0), freePort(t, 0), loopback(freePort(t, 0))
		c.add(&node{t: t, build: b, name: name, admin: admin, args: slices.Concat([]string{"proxy", "--name", name,
			"--udp", loopback(udp), "--tcp", loopback(tcp), "--gossip", loopback(freePort(t, 0)),
			"--cluster-key-file", c.key, "--admin", admin}, c.seeds)})
		c.gates = append(c.gates, client.Address{Host: "127.0.0.1", UDP: uint16(udp), TCP: uint16(tcp)})
	}
	return c
}

func (c *chaosCluster) schedule(seed uint64, length time.Duration, filter chaos.Filter) []chaos.Fault {
	targets := chaos.Processes(slices.Sorted(maps.Keys(c.parts))...)
	return chaos.Plan{Seed: seed, Length: length, Targets: targets, Filter: filter}.Schedule()
}

func (c *chaosCluster) add(n *node) {
	c.t.Helper()
	if err := n.start(); err != nil {
		c.t.Fatal(err)
	}
	c.parts[n.name] = n
}

// Begin implements [chaos.System].
func (c *chaosCluster) Begin(f chaos.Fault) error {
	switch p := c.parts[f.Target]; f.Kind {
	case chaos.Kill:
		return p.kill()
	case chaos.Stop:
		return p.signal(syscall.SIGSTOP)
	default:
		return p.end()
	}
}

// Heal implements [chaos.System].
func (c *chaosCluster) Heal(f chaos.Fault) error {
	p := c.parts[f.Target]
	if f.Kind == chaos.Stop {
		return p.signal(syscall.SIGCONT)
	}
	return p.start()
}

// node is a server or a proxy.
type node struct {
	t           testing.TB
	build       build
	name, admin string
	args        []string
	process     *process
}

func (n *node) signal(s syscall.Signal) error { return n.process.cmd.Process.Signal(s) }

func (n *node) kill() error {
	n.process.kill()
	return nil
}

func (n *node) end() error {
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.process.exited:
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s has not ended 10 s after SIGTERM", n.name)
	}
	if code := n.process.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with exit code %d:\n%s", n.name, code, n.process.output)
	}
	return nil
}

func (n *node) start() error {
	n.process = startProgram(n.t, n.build.program, n.name, n.build.env(n.name), n.args...)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := proctest.Fetch("http://" + n.admin + "/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-n.process.exited:
			return fmt.Errorf("%s has ended:\n%s", n.name, n.process.output)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w", n.name, err)
		}
	}
}

// database is a MySQL of the run's own.
type database struct {
	t      testing.TB
	server *mysqltest.Server
}

func (d *database) signal(s syscall.Signal) error {
	if s == syscall.SIGSTOP {
		d.server.Suspend(d.t)
	} else {
		d.server.Resume(d.t)
	}
	return nil
}

func (d *database) kill() error {
	d.server.Kill(d.t)
	return nil
}

func (d *database) end() error {
	d.server.Terminate(d.t)
	return nil
}

func (d *database) start() error {
	d.server.Restart(d.t)
	return nil
}
