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

	"multichat/internal/chat"
	"multichat/internal/mysqltest"
	"multichat/server"
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
	shard    string // URL
	proxy    node
	servers  []node
	udp, tcp string // the proxy's gate
}

type node struct {
	pid   int
	admin string
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
		g.sqlite = g.newCluster("sqlite:" + filepath.Join(g.t.TempDir(), "shard.db"))
	}
	return g.sqlite
}

// onMySQL is the cluster over a shard of MySQL or MariaDB. Without one the row is skipped.
func (g *ground) onMySQL(t *testing.T) *cluster {
	t.Helper()
	if g.mysql == nil {
		url, _ := g.mysqlServer(t).Database(g.t)
		fmt.Println("  starting a cluster on", g.database.Flavor())
		g.mysql = g.newCluster(url)
	}
	return g.mysql
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
		g.database = mysqltest.Start(g.t, "--innodb-buffer-pool-size=1G", "--loose-innodb-redo-log-capacity=1G",
			"--loose-innodb-log-file-size=512M", "--max-binlog-size=1G")
	}
	return g.database
}

func (g *ground) newCluster(shard string, serverFlags ...string) *cluster {
	t := g.t
	t.Helper()
	specs := []shardstore.Spec{{Name: "a", URL: shard}}
	if err := shardstore.Init(t.Context(), specs, shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	addUsers(t, shard)
	key, err := exec.Command(g.program, "keys", "new").Output()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "cluster.key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cluster{shard: shard, udp: freeAddress(t), tcp: freeAddress(t)}
	var join []string
	for i := range 2 {
		gossip := freeAddress(t)
		join = append(join, "--join", gossip)
		c.servers = append(c.servers, g.startNode(slices.Concat([]string{"server", "--name", fmt.Sprint("server-", i+1),
			"--gossip", gossip, "--link", freeAddress(t), "--shard", "a=" + shard, "--cluster-key-file", keyFile,
			"--max-user-sends=0"}, serverFlags, join)))
	}
	c.proxy = g.startNode(append([]string{"proxy", "--name", "proxy-1", "--gossip", freeAddress(t), "--udp", c.udp, "--tcp", c.tcp,
		"--cluster-key-file", keyFile, "--max-addr-conns=0", "--max-addr-polls=0"}, join...))
	eventually(t, 15*time.Second, func() error {
		text, err := httpText("http://" + c.proxy.admin + "/readyz?verbose")
		if n := strings.Count(text, "link to server-"); err == nil && (n < 2 || strings.Contains(text, "warning")) {
			err = fmt.Errorf("the proxy has not both servers: %s", text)
		}
		return err
	})
	return c
}

func (g *ground) startNode(args []string) node {
	g.t.Helper()
	n := node{admin: freeAddress(g.t)}
	n.pid = startProcess(g.t, g.program, append(args, "--admin", n.admin)...).Process.Pid
	if args[0] == "server" {
		eventually(g.t, 20*time.Second, func() error {
			_, err := httpText("http://" + n.admin + "/readyz")
			return err
		})
	}
	return n
}

func (c *cluster) pids() (pids []int) {
	for _, n := range append(c.servers, c.proxy) {
		pids = append(pids, n.pid)
	}
	return pids
}

// databasePid is the process of the cluster's database, if it is one of its own that was started here.
func (g *ground) databasePids(c *cluster) []int {
	if c == g.mysql && g.database.PID() != 0 {
		return []int{g.database.PID()}
	}
	return nil
}

func addUsers(t *testing.T, shard string) {
	t.Helper()
	store := openStore(t, shard)
	hash := server.HashPassword(chat.NewSecret(password), server.HashParams{MemoryKiB: 64, Passes: 1, Threads: 1})
	for _, id := range slices.Concat(userNames("poll", pollers), userNames("send", senders), userNames("box", boxes),
		userNames("read", readers)) {
		if err := store.AddUser(t.Context(), chat.User{ID: chat.UserID(id), Name: id, Hash: hash}); err != nil {
			t.Fatal(err)
		}
	}
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

// commits is how many transactions the database has written to its binary log so far, whoever made them.
func commits(t *testing.T, db *sql.DB) float64 {
	t.Helper()
	var name string
	var n float64
	err := db.QueryRowContext(context.Background(), "SHOW GLOBAL STATUS LIKE 'Binlog_cache_use'").Scan(&name, &n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
