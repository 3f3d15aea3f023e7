package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/internal/metrics"
	"multichat/internal/proctest"
	"multichat/internal/wire"
	"multichat/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	testKey  = chat.NewSecret(strings.Repeat("k", chat.ClusterKeyBytes))
	password = chat.NewSecret("secret")
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

// always checks that something stays true for a while.
func always(t testing.TB, what string, d time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !ok() {
			t.Fatalf("no longer true: %s", what)
		}
	}
}

func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}

// ownLateness tells when this process was late itself for the last time: the proxy counts silence anew from there, so
// that on a busy machine a server is given up later.
func ownLateness(t testing.TB) (last func() time.Time) {
	var late atomic.Pointer[time.Time]
	late.Store(new(time.Time))
	start(t, "watching the clock", func(ctx context.Context) error {
		ticks := time.NewTicker(25 * time.Millisecond)
		defer ticks.Stop()
		for before := time.Now(); ; {
			select {
			case <-ctx.Done():
				return nil
			case <-ticks.C:
			}
			now := time.Now()
			if now.Sub(before) > 75*time.Millisecond {
				late.Store(&now)
			}
			before = now
		}
	})
	return func() time.Time { return *late.Load() }
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// newLog makes a log that is shown if the test fails.
func newLog(t testing.TB, node string) (*proctest.Output, *slog.Logger) {
	b := new(proctest.Output)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s:\n%s", node, strings.Join(b.Lines(""), ""))
		}
	})
	return b, slog.New(slog.NewTextHandler(b, nil))
}

// start runs serve until the returned function is called, which waits for it, or the test ends.
func start(t testing.TB, what string, serve func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s ended with %v", what, err)
			}
		case <-time.After(patience):
			t.Errorf("waited %v for %s to end", patience, what)
		}
	})
	t.Cleanup(end)
	return end
}

// node is a proxy under test, with what is around it but for the edge.
type node struct {
	*Proxy
	gossip  *cluster.Cluster
	metrics *metrics.Metrics
	log     *proctest.Output
	end     func() // ends the proxy's Serve; the gossip goes on

	// push answers what servers push through this proxy; nil refuses. It is set before anybody pushes.
	push func(context.Context, edge.Push) (edge.Receipt, error)
}

// Push makes the node the edge's dial-back.
func (n *node) Push(ctx context.Context, p edge.Push) (edge.Receipt, error) {
	if n.push == nil {
		return edge.Receipt{Outcome: edge.PushRefused}, nil
	}
	return n.push(ctx, p)
}

// startProxy starts a proxy that finds the others through seeds.
func startProxy(t testing.TB, name string, seeds ...*node) *node {
	t.Helper()
	n := &node{metrics: metrics.New()}
	var log *slog.Logger
	n.log, log = newLog(t, name)
	var join []string
	for _, s := range seeds {
		join = append(join, s.gossip.Addr().String())
	}
	var err error
	n.gossip, err = cluster.New(cluster.Config{
		Name: name, Role: cluster.Proxy, Bind: "127.0.0.1:0", Join: join, Key: testKey, Metrics: n.metrics, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	start(t, "the gossip of "+name, n.gossip.Serve)
	n.Proxy, err = New(Config{Name: name, Key: testKey, Cluster: n.gossip, Metrics: n.metrics, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	n.end = start(t, name, func(ctx context.Context) error { return n.Serve(ctx, n) })
	return n
}

// newProxy is a proxy that is not served, and so has no server.
func newProxy(t testing.TB) *Proxy {
	t.Helper()
	p, err := New(Config{Name: "proxy-1", Key: testKey, Metrics: metrics.New(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// routed are the servers that the proxy routes to now.
func (n *node) routed() []string { return n.route.Load().ring.Members() }

func (n *node) awaitRoute(t testing.TB, servers ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s routes to %v", n.cfg.Name, servers), func() bool {
		return slices.Equal(n.routed(), servers)
	})
}

func (n *node) drops(reason string) float64 {
	return testutil.ToFloat64(n.metrics.Drops.WithLabelValues(reason))
}

// order is the order in which these servers are to be tried for client.
func (n *node) order(t testing.TB, client netip.Addr, servers []string) []string {
	t.Helper()
	r, err := ring.New(servers)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(r.Order(ring.ClientKey(client, n.seed)))
}

// clientOf is an address whose servers are to be tried in an order that begins like this.
func (n *node) clientOf(t testing.TB, servers []string, begin ...string) netip.Addr {
	t.Helper()
	client := netip.MustParseAddr("127.0.0.10")
	for range 1000 {
		client = client.Next()
		if slices.Equal(n.order(t, client, servers)[:len(begin)], begin) {
			return client
		}
	}
	t.Fatalf("no client has the order %v", begin)
	panic("unreachable")
}

// answer is what a send is answered.
type answer struct {
	seq   chat.Seq
	err   error
	after time.Duration
}

// code is "ok" or the code of the error.
func (a answer) code() string {
	if a.err == nil {
		return "ok"
	}
	return string(chat.AsError(a.err).Code)
}

// from is a caller as the edge tells of it.
func from(client netip.Addr) edge.Caller { return edge.Caller{Addr: client} }

func message(id string) wire.Wrmsg {
	return wire.Wrmsg{ID: chat.MessageID(id), User: "alice", Password: password, To: "bob", Text: []byte("hello")}
}

func (n *node) send(client netip.Addr, id string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		begin := time.Now()
		seq, err := n.Send(context.Background(), from(client), message(id))
		answers <- answer{seq, err, time.Since(begin)}
	}()
	return answers
}

// fleet is a proxy and servers that it routes to, server-1 and so on.
type fleet struct {
	*node
	names   []string
	servers []*chatServer
}

// newFleet starts a fleet of n servers. Each is given to change, if any, before it can be reached.
func newFleet(t testing.TB, n int, change func(*chatServer)) *fleet {
	t.Helper()
	f := &fleet{node: startProxy(t, "proxy-1")}
	t.Cleanup(func() { // together, since each takes some tenths of a second
		var group sync.WaitGroup
		for _, s := range f.servers {
			group.Go(s.leave)
		}
		group.Wait()
	})
	for i := range n {
		s := newServer(t, fmt.Sprintf("server-%d", i+1))
		if change != nil {
			change(s)
		}
		f.names = append(f.names, s.name)
		f.servers = append(f.servers, s)
	}
	for _, s := range f.servers {
		s.join(t, f.node)
	}
	f.awaitRoute(t, f.names...)
	return f
}
