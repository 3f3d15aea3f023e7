package containers

import (
	"context"
	"flag"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"multichat/internal/chaos"
	"multichat/internal/chaos/remote"
	"multichat/internal/checker"
)

// What `make chaos-compose` hands on. Without it the run is skipped: it needs an engine, and the machine for itself.
var (
	seconds = flag.Int("seconds", 0, "how long faults are done")
	seed    = flag.Uint64("seed", 0, "repeats the schedule of a run; 0 is a new one")
	kinds   = flag.String("faults", "", "only these, such as kill,cut-gossip,proxy")
	rate    = flag.Int("rate", 280, "messages a second of all clients")
	dir     = flag.String("dir", "", "keeps the history in this folder, and what the containers said if something is wrong")
)

const (
	streams, libraries, olds = 12, 6, 6
	clients                  = streams + libraries + olds
	users                    = 12
	settle                   = 2 * time.Minute // until everybody has everything, at most
)

// Clients in containers write to each other through docker-compose.yml, while its containers and networks fail. Nothing that
// was acknowledged may be lost, and servers see clients at their own addresses.
func TestChaos(t *testing.T) {
	if *seconds == 0 {
		t.Skip("make chaos-compose runs this")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	schedule := planned(t)
	began := time.Now().Format("20060102-150405")
	cl := bringUp(t, ctx, began)
	report := run(t, ctx, cl, schedule, began)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if ctx.Err() != nil {
		t.Error("the run was interrupted")
	}
	found, err := cl.clientsSeen()
	if err != nil {
		t.Error(err)
	}
	for _, problem := range found.check(cl.clientVersions()) {
		t.Error(problem)
	}
}

func planned(t *testing.T) []chaos.Fault {
	if *seed == 0 {
		*seed = rand.Uint64N(1e9)
	}
	plan := chaos.Plan{Seed: *seed, Length: time.Duration(*seconds) * time.Second, Targets: targets, Evenly: true}
	if *kinds != "" {
		plan.Filter = strings.Split(*kinds, ",")
	}
	t.Logf("repeat it with --seconds %d --seed %d --faults %q --rate %d", *seconds, *seed, *kinds, *rate)
	schedule := plan.Schedule()
	for _, f := range schedule {
		t.Log(f)
	}
	return schedule
}

// bringUp makes the cluster and its users, and takes it away at the end of the test.
func bringUp(t *testing.T, ctx context.Context, began string) *cluster {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cl := newCluster(root, filepath.Join(root, ".build", "chaos-disk"))
	t.Cleanup(func() {
		if t.Failed() && *dir != "" {
			logs := filepath.Join(*dir, "containers-"+began)
			t.Logf("what the containers said is in %s; error %v", logs, cl.saveLogs(logs))
		}
		if err := cl.down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Log("bringing the containers up; with images to be made that takes minutes, else half of one")
	if err := cl.up(ctx, 512+*seconds); err != nil {
		t.Fatal(err)
	}
	t.Log("all are healthy; making users and clients")
	if err := cl.buildClients(ctx, filepath.Join(root, ".build", "chaos-client")); err != nil {
		t.Fatal(err)
	}
	return cl
}

// run does the schedule while clients write, and tells what became of it.
func run(t *testing.T, ctx context.Context, cl *cluster, schedule []chaos.Fault, began string) checker.Report {
	recorder := chaos.NewRecorder(history(t, began))
	crew, listener := newCrew(t, cl, recorder)
	if err := cl.startClients(clients, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	report, err := chaos.Run{Clients: crew, Recorder: recorder, Journal: crew, Schedule: schedule, System: cl,
		Settle: settle, Tell: t.Logf}.Do(ctx)
	if err != nil {
		t.Error(err)
	}
	t.Logf("the report, of seed %d:\n%s", *seed, report.String())
	return report
}

func newCrew(t *testing.T, cl *cluster, recorder *chaos.Recorder) (*remote.Crew, net.Listener) {
	names, err := cl.addUsers(users)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := os.MkdirTemp("", "multichat-chaos-") // its path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(socket) })
	if err := os.Chmod(socket, 0o755); err != nil { // clients are another user
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(socket, "driver"))
	if err != nil {
		t.Fatal(err)
	}
	return remote.NewCrew(listener, remote.Task{Seed: *seed, Proxies: cl.proxies(), Users: names, Password: password,
		Streams: streams, Libraries: libraries, Olds: olds, Rate: *rate}, recorder), listener
}

// history is where the run's history is kept.
func history(t *testing.T, began string) *os.File {
	path := os.DevNull
	if *dir != "" {
		path = filepath.Join(*dir, "containers-"+began+".jsonl.gz")
		t.Logf("the history is in %s", path)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// clientVersions is which version is spoken at which address.
func (cl *cluster) clientVersions() map[string]int {
	versions := make(map[string]int)
	for number := 1; number <= clients; number++ {
		versions[cl.clientAddress(number)] = 2
		if number > streams+libraries {
			versions[cl.clientAddress(number)] = 1
		}
	}
	return versions
}
