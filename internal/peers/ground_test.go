//go:build linux

package peers

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"multichat/internal/mysqltest"
	"multichat/internal/proctest"
	"multichat/shardstore"
)

// ground is what all rows stand on. What takes long to start is started once, by the row that needs it first.
type ground struct {
	t       *testing.T // of all rows
	program string     // multichat
	load    string     // of the machine, when the run began

	sqlite, mysql *cluster
	database      *mysqltest.Server
}

// cluster is one proxy and two servers, as processes, over one shard.
type cluster struct {
	shard    string  // URL
	db       *sql.DB // the shard, for what is done there directly
	proxy    *node
	servers  []*node
	udp, tcp string // the proxy's gate
}

// node is a process of multichat.
type node struct {
	program string
	args    []string
	env     []string
	process *exec.Cmd
	admin   string
}

// pid is that of the process that runs now.
func (n *node) pid() int { return n.process.Process.Pid }

// variant is how a cluster differs from the usual one.
type variant struct {
	program       string   // empty: the ground's
	env           []string // more of it
	server, proxy []string // flags
}

const password = "demo"

// Users, by what they are used for. Nobody sends to those who poll, and nobody reads what is sent to boxes: else a row would
// measure what another one has left behind.
const (
	pollers = 500
	senders = 32
	boxes   = 16
	readers = 10
)

// users are in every cluster.
var users = map[string]int{"poll": pollers, "send": senders, "box": boxes, "read": readers}

func userNames(kind string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(kind, i))
	}
	return names
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{t: t, program: filepath.Join(t.TempDir(), "multichat")}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	g.load = strings.Join(strings.Fields(string(load))[:3], " ")
	fmt.Println("building multichat")
	build := exec.Command("go", "build", "-trimpath", "-o", g.program, "multichat/cmd/multichat")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build multichat: %v: %s", err, out)
	}
	return g
}

// onSQLite is the cluster over a SQLite shard.
func (g *ground) onSQLite() *cluster {
	g.t.Helper()
	if g.sqlite == nil {
		fmt.Println("  starting a cluster on SQLite")
		file := filepath.Join(g.t.TempDir(), "shard.db")
		g.sqlite = g.newCluster(g.t, "sqlite:"+file, openSQLite(g.t, file), variant{proxy: unlimited})
	}
	return g.sqlite
}

// onMySQL is the cluster over a shard of MySQL or MariaDB. Without one the row is skipped.
func (g *ground) onMySQL(t *testing.T) *cluster {
	t.Helper()
	if g.mysql == nil {
		g.mysqlServer(t)
		g.mysql = g.newMySQLCluster(g.t, variant{proxy: unlimited})
	}
	return g.mysql
}

// newMySQLCluster is one more, over a database of its own, until t's end. Without a MySQL or MariaDB the row is skipped.
func (g *ground) newMySQLCluster(t *testing.T, v variant) *cluster {
	t.Helper()
	url, db := g.mysqlServer(t).Database(t)
	fmt.Println("  starting a cluster on", g.database.Flavor())
	return g.newCluster(t, url, db, v)
}

const noMySQL = "No MySQL or MariaDB was found, so nothing was measured there: the comment of internal/mysqltest says how to name one."

// findsMySQL says whether there is a MySQL or MariaDB to start: a row may have figures without one.
func (g *ground) findsMySQL(t *testing.T) (found bool) {
	t.Helper()
	t.Run("MySQL", func(t *testing.T) {
		mysqltest.Folder(t) // skips if there is none
		found = true
	})
	return found
}

// mysqlServer is larger than those of tests: its memory holds all that is stored in a run.
func (g *ground) mysqlServer(t *testing.T) *mysqltest.Server {
	t.Helper()
	if g.database == nil {
		fmt.Println("  starting a database server")
		mysqltest.Folder(t) // skips this row alone if there is no server program
		g.database = mysqltest.Start(g.t, "--innodb-buffer-pool-size=4G", "--loose-innodb-redo-log-capacity=1G",
			"--loose-innodb-log-file-size=512M", "--max-binlog-size=1G", "--loose-innodb-ddl-buffer-size=512M",
			"--loose-innodb-sort-buffer-size=64M")
	}
	return g.database
}

// unlimited is a proxy that takes what few addresses send for many.
var unlimited = []string{"--max-addr-conns=0", "--max-addr-polls=0"}

func (g *ground) newCluster(t *testing.T, shard string, db *sql.DB, v variant) *cluster {
	t.Helper()
	specs := []shardstore.Spec{{Name: "a", URL: shard}}
	if err := shardstore.Init(t.Context(), specs, shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	c := &cluster{shard: shard, db: db, udp: freeAddress(t), tcp: freeAddress(t)}
	for kind, n := range users {
		addUsers(t, db, kind, n)
	}
	key, err := exec.Command(g.program, "keys", "new").Output()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "cluster.key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if v.program == "" {
		v.program = g.program
	}
	var join []string
	for i := range 2 {
		gossip := freeAddress(t)
		join = append(join, "--join", gossip)
		c.servers = append(c.servers, newNode(t, v, slices.Concat([]string{"server", "--name", fmt.Sprint("server-", i+1),
			"--gossip", gossip, "--link", freeAddress(t), "--shard", "a=" + shard, "--cluster-key-file", keyFile,
			"--max-user-sends=0"}, v.server, join)))
		c.servers[i].start(t)
	}
	c.proxy = newNode(t, v, slices.Concat([]string{"proxy", "--name", "proxy-1", "--gossip", freeAddress(t), "--udp", c.udp, "--tcp", c.tcp,
		"--cluster-key-file", keyFile}, v.proxy, join))
	c.proxy.start(t)
	c.awaitLinks(t)
	return c
}

// awaitLinks waits until the proxy has a link to each server, and readyz warns of nothing.
func (c *cluster) awaitLinks(t *testing.T) {
	t.Helper()
	proctest.Eventually(t, 15*time.Second, func() error {
		text, err := proctest.Fetch("http://" + c.proxy.admin + "/readyz?verbose")
		if n := strings.Count(text, "link to server-"); err == nil && (n < len(c.servers) || strings.Contains(text, "warning")) {
			err = fmt.Errorf("the proxy has not all servers: %s", text)
		}
		return err
	})
}

func newNode(t *testing.T, v variant, args []string) *node {
	t.Helper()
	n := &node{program: v.program, env: v.env, admin: freeAddress(t)}
	n.args = append(args, "--admin", n.admin)
	return n
}

// start starts the node, or starts it again. A server is ready when it returns.
func (n *node) start(t *testing.T) {
	t.Helper()
	n.process = startProcess(t, n.env, n.program, n.args...)
	if n.args[0] == "server" {
		proctest.Eventually(t, 20*time.Second, func() error {
			_, err := proctest.Fetch("http://" + n.admin + "/readyz")
			return err
		})
	}
}

// kill ends it as a crash would.
func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	n.process.Wait() // it says how it ended, which is known
}

func (c *cluster) pids() (pids []int) {
	for _, n := range append(slices.Clone(c.servers), c.proxy) {
		pids = append(pids, n.pid())
	}
	return pids
}

// databasePids is the process of the cluster's database, if it is one of its own that was started here.
func (g *ground) databasePids(c *cluster) []int {
	if strings.HasPrefix(c.shard, "mysql:") && g.database.PID() != 0 {
		return []int{g.database.PID()}
	}
	return nil
}

// openStore opens a shard beside the cluster's servers, as one more.
func openStore(t *testing.T, shard string) *shardstore.Store {
	t.Helper()
	store, err := shardstore.Open(t.Context(), []shardstore.Spec{{Name: "a", URL: shard}}, shardstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// status is one of the database's counters, whoever raised it.
func status(t *testing.T, db *sql.DB, name string) (n float64) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), "SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&name, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
