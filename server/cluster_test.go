package server_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"multichat/internal/chat"
	"multichat/internal/edge"
	"multichat/internal/metrics"
	"multichat/internal/wire"
	"multichat/server"
	"multichat/shardstore"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// cheap makes hashing cost next to nothing.
var cheap = server.HashParams{MemoryKiB: 8, Passes: 1, Threads: 1}

// cluster is shards in SQLite files that any number of servers share. Its own store is the administrator's, and also
// stands for a server that is not under test.
type cluster struct {
	t      testing.TB
	specs  []shardstore.Spec
	files  []string
	engine server.Engine // of its servers
	*shardstore.Store
}

// onBothEngines is a test that runs twice, each time on a cluster of its own: once with servers that have the one
// engine, and once with the other.
func onBothEngines(shards int, test func(*testing.T, *cluster)) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		for _, engine := range []server.Engine{server.EventEngine, server.SyncEngine} {
			t.Run(engine.String(), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, shards)
				c.engine = engine
				test(t, c)
			})
		}
	}
}

func newCluster(t testing.TB, shards int) *cluster {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, emptyShards(t, shards)); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t}
	c.specs, c.files = specs(dir, shards)
	c.Store = c.open()
	t.Cleanup(func() { c.Store.Close() })
	return c
}

func specs(dir string, shards int) (specs []shardstore.Spec, files []string) {
	for i := range shards {
		name := fmt.Sprintf("s%d", i)
		files = append(files, filepath.Join(dir, name+".db"))
		specs = append(specs, shardstore.Spec{Name: name, URL: "sqlite:" + files[i]})
	}
	return specs, files
}

var templates = struct {
	sync.Mutex
	files map[int]fstest.MapFS // by the number of shards
}{files: make(map[int]fstest.MapFS)}

// emptyShards is the files of a cluster that has just been made. They are made once, since that takes a while.
func emptyShards(t testing.TB, shards int) fstest.MapFS {
	t.Helper()
	templates.Lock()
	defer templates.Unlock()
	if made := templates.files[shards]; made != nil {
		return made
	}
	specs, files := specs(t.TempDir(), shards)
	if err := shardstore.Init(t.Context(), specs, shardstore.Options{}); err != nil {
		t.Fatal(err)
	}
	made := make(fstest.MapFS)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made[filepath.Base(file)] = &fstest.MapFile{Data: content, Mode: 0o600}
	}
	templates.files[shards] = made
	return made
}

func (c *cluster) open() *shardstore.Store {
	c.t.Helper()
	store, err := shardstore.Open(c.t.Context(), c.specs, shardstore.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	return store
}

// passwordOf is every user's password until it is changed.
func passwordOf(id chat.UserID) string { return "password of " + string(id) }

func (c *cluster) addUsers(ids ...chat.UserID) {
	c.t.Helper()
	for _, id := range ids {
		u := chat.User{ID: id, Name: "Name of " + string(id),
			Hash: server.HashPassword(chat.NewSecret(passwordOf(id)), cheap)}
		if err := c.AddUser(c.t.Context(), u); err != nil {
			c.t.Fatal(err)
		}
	}
}

// addUsersOn makes n users whose mailboxes are on a shard.
func (c *cluster) addUsersOn(shard chat.ShardNumber, n int) (ids []chat.UserID) {
	c.t.Helper()
	for i := 0; len(ids) < n; i++ {
		if id := chat.UserID(fmt.Sprint("user", i)); c.Locate(id.Mailbox()) == shard {
			ids = append(ids, id)
		}
	}
	c.addUsers(ids...)
	return ids
}

// otherThan is the shard of a cluster of two that is not this one.
func (c *cluster) otherThan(shard chat.ShardNumber) chat.ShardNumber {
	for _, other := range c.Shards() {
		if other != shard {
			return other
		}
	}
	panic("the cluster has one shard")
}

// lock takes the write lock of the first shard's file, as a stopped process would.
func (c *cluster) lock() (release func()) {
	c.t.Helper()
	db, err := sql.Open("sqlite", c.files[0])
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := db.Conn(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the file can be locked", func() bool {
		_, err := conn.ExecContext(c.t.Context(), "BEGIN IMMEDIATE")
		return err == nil
	})
	release = sync.OnceFunc(func() {
		conn.Close()
		db.Close()
	})
	c.t.Cleanup(release)
	return release
}

// cursor reads a device's row; ok is false if there is none.
func (c *cluster) cursor(user chat.UserID, device chat.DeviceID) (cur chat.Cursor, ok bool) {
	c.t.Helper()
	for _, file := range c.files {
		db, err := sql.Open("sqlite", file)
		if err != nil {
			c.t.Fatal(err)
		}
		defer db.Close()
		row := db.QueryRow("SELECT inbox_seq, bcast_seq FROM cursor WHERE userid = ? AND device = ?",
			[]byte(user), []byte(device))
		if row.Scan(&cur.Inbox, &cur.Broadcast) == nil {
			return cur, true
		}
	}
	return cur, false
}

// stored are the messages of a mailbox.
func (c *cluster) stored(m chat.Mailbox) []chat.Message {
	c.t.Helper()
	messages, err := c.Page(c.t.Context(), m, 0, 1<<62, 1<<20, 1<<30)
	if err != nil {
		c.t.Fatal(err)
	}
	return messages
}

// commit stores texts from one sender to one mailbox, as another server would.
func (c *cluster) commit(from chat.UserID, to chat.Mailbox, texts ...string) []chat.Seq {
	c.t.Helper()
	batch := make([]chat.Submission, len(texts))
	for i, text := range texts {
		batch[i] = submission(from, to, text)
	}
	return c.commitBatch(batch)
}

// submission is a message whose id is its text.
func submission(from chat.UserID, to chat.Mailbox, text string) chat.Submission {
	return chat.Submission{ID: chat.MessageID(text), From: from, FromName: "Name of " + string(from), To: to,
		Text: []byte(text), Sent: time.Now()}
}

func (c *cluster) commitBatch(batch []chat.Submission) []chat.Seq {
	c.t.Helper()
	stored, err := c.Append(c.t.Context(), c.Locate(batch[0].To), batch)
	if err != nil {
		c.t.Fatal(err)
	}
	seqs := make([]chat.Seq, len(stored))
	for i, s := range stored {
		if s.Err != nil {
			c.t.Fatal(s.Err)
		}
		seqs[i] = s.Seq
	}
	return seqs
}

// node is one server of a cluster, with a store of its own over the shared files.
type node struct {
	*server.Server
	t       testing.TB
	store   *watchedStore
	metrics *metrics.Metrics
	end     func() // ends Serve and waits for it; may be called again
}

// serve starts a server, and returns when it is ready.
func (c *cluster) serve(settings ...func(*server.Config)) *node {
	c.t.Helper()
	n := c.start(settings...)
	n.awaitReady()
	return n
}

func (n *node) awaitReady() {
	n.t.Helper()
	eventually(n.t, "the server is ready", func() bool { return n.Ready() == nil })
}

// start starts a server. The settings may change what its store does before it begins.
func (c *cluster) start(settings ...func(*server.Config)) *node {
	c.t.Helper()
	store := c.open()
	n := &node{t: c.t, store: watch(store), metrics: metrics.New()}
	cfg := server.Config{Store: n.store, Metrics: n.metrics, Log: slog.New(slog.DiscardHandler), Engine: c.engine}
	for _, set := range settings {
		set(&cfg)
	}
	n.Server = server.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Serve(ctx) }()
	n.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			n.t.Errorf("Serve: %v", err)
		}
		store.Close()
	})
	c.t.Cleanup(n.end)
	return n
}

func holdFor(d time.Duration) func(*server.Config) { return func(cfg *server.Config) { cfg.Hold = d } }

func anyNumberOfSends(cfg *server.Config) { cfg.UserSends = -1 }

// anyCaller is somebody at an address that does not matter.
var anyCaller = edge.Caller{Addr: netip.MustParseAddr("127.0.0.9")}

// send sends a text under an id, with the sender's right password.
func (n *node) send(from chat.UserID, to chat.Mailbox, id chat.MessageID, text string) (chat.Seq, error) {
	return n.Send(n.t.Context(), anyCaller, wire.Wrmsg{ID: id, User: from, Password: chat.NewSecret(passwordOf(from)),
		To: to, Text: []byte(text)})
}

// say sends a text that is its own id, and must be stored.
func (n *node) say(from chat.UserID, to chat.Mailbox, text string) chat.Seq {
	n.t.Helper()
	seq, err := n.send(from, to, chat.MessageID(text), text)
	if err != nil {
		n.t.Fatalf("%s to %s: %v", from, to, err)
	}
	return seq
}

// catchesUp returns when the server has read all that was committed before the call.
func (n *node) catchesUp() {
	n.t.Helper()
	for _, shard := range n.store.Shards() {
		head, _, err := n.store.Store.Arrivals(n.t.Context(), shard, 1<<62, chat.Head{}, 1)
		if err != nil {
			n.t.Fatal(err)
		}
		eventually(n.t, "the server has read what was committed", func() bool { return n.ReadUpTo(shard) >= head.Newest })
	}
}

// ticks returns when readers have looked some times more.
func (n *node) ticks() {
	n.t.Helper()
	before := n.store.count("Arrivals")
	eventually(n.t, "the reader looks", func() bool { return n.store.count("Arrivals") >= before+3 })
}

func (n *node) drops(reason string) int {
	return int(testutil.ToFloat64(n.metrics.Drops.WithLabelValues(reason)))
}

// eventually waits for a condition of which nobody tells.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// codeOf is the code of an error, ok for nil.
func codeOf(err error) chat.Code {
	if err == nil {
		return "ok"
	}
	return chat.AsError(err).Code
}
