package main

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/link"
	"multichat/internal/metrics"
)

// nodeFlags are what proxies and servers have in common.
type nodeFlags struct {
	Name           string   `help:"This node's name, the same after a restart and unlike any other node's; default: the role and the host's name."`
	Gossip         string   `default:":9010" placeholder:"ADDR" help:"Address of the gossip, UDP and TCP, on which the nodes find each other; ${default} unless given."`
	Join           []string `placeholder:"HOST:PORT" help:"Gossip address of a node to find the others through; may be repeated, and may name this node or nodes that are not up yet."`
	ClusterKeyFile string   `required:"" type:"path" placeholder:"FILE" help:"File with the cluster key, as made by \"multichat keys new\"; the same for all nodes."`
	Admin          string   `default:"127.0.0.1:0" placeholder:"ADDR" help:"Address of /livez, /readyz, /metrics and /loglevel; port 0 takes a free one, which is logged; ${default} unless given."`
	Advertise      string   `placeholder:"HOST" help:"Host that the other nodes are told, when it is not the one this machine reaches others from."`

	logFlags
}

// node is what a proxy and a server have in common while they run.
type node struct {
	name    string
	key     chat.Secret
	log     *slog.Logger
	metrics *metrics.Metrics
	cluster *cluster.Cluster
	links   *link.Counters
	admin   *admin                // nil: nobody asks
	look    func() []check        // whether the node serves
	prepare func(context.Context) // before the others are told that this node leaves; may be nil
}

// nodeConfig says what newNode makes. Addresses may have port 0.
type nodeConfig struct {
	name      string
	role      cluster.Role
	key       chat.Secret
	gossip    string
	join      []string
	advertise string
	link      string // of a server: where its link listens
	admin     *admin // nil: nobody asks
	log       *slog.Logger
	metrics   *metrics.Metrics
	links     *link.Counters
	hints     func(chat.ShardNumber, chat.Seq)
}

// run runs a node as the flags say, behind its admin listener.
func (f nodeFlags) run(
	ctx context.Context, role cluster.Role, term terminal, node func(context.Context, nodeConfig) error,
) error {
	defer runtime.KeepAlive(reserveHeap())
	log, level := f.logger(term.err, slog.LevelInfo)
	cfg, err := f.config(role, log)
	if err != nil {
		return err
	}
	if cfg.admin, err = listenAdmin(f.Admin, cfg.metrics, cfg.log, level); err != nil {
		return err
	}
	describeProcess(cfg.metrics)
	cfg.log.Info("admin", "address", cfg.admin.listener.Addr().String())
	return cfg.admin.serveAround(ctx, func(ctx context.Context) error { return node(ctx, cfg) })
}

// check says what can be seen to be wrong with the settings.
func (f nodeFlags) check() error {
	if f.Admin == "" {
		return usagef("--admin is empty: give HOST:PORT, or leave it out for a free port of the loopback interface")
	}
	for _, seed := range f.Join {
		if err := checkAddrs("join", seed); err != nil {
			return err
		}
	}
	if f.Name != "" {
		if err := cluster.CheckName(f.Name); err != nil {
			return usagef("--name: %w", err)
		}
	}
	return checkAddrs("gossip", f.Gossip, "admin", f.Admin)
}

// nodeName is the name that was given, or one that is as lasting.
func (f nodeFlags) nodeName(role cluster.Role) (string, error) {
	if f.Name != "" {
		return f.Name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", usagef("the host's name cannot be told (%w); give this node one with --name", err)
	}
	return role.String() + "-" + host, nil
}

// config turns flags into a configuration; link, hints and admin are the caller's to add.
func (f nodeFlags) config(role cluster.Role, log *slog.Logger) (nodeConfig, error) {
	key, err := readClusterKey(f.ClusterKeyFile)
	if err != nil {
		return nodeConfig{}, err
	}
	name, err := f.nodeName(role)
	if err != nil {
		return nodeConfig{}, err
	}
	return nodeConfig{name: name, role: role, key: key, gossip: f.Gossip, join: f.Join, advertise: f.Advertise,
		log: log.With("node", name), metrics: metrics.New(), links: new(link.Counters)}, nil
}

func newNode(cfg nodeConfig) (*node, error) {
	gossip, err := cluster.New(cluster.Config{
		Name: cfg.name, Role: cfg.role, Bind: cfg.gossip, Advertise: cfg.advertise, Join: cfg.join, Key: cfg.key,
		Link: cfg.link, Hints: cfg.hints, Metrics: cfg.metrics, Logger: cfg.log,
	})
	if err != nil {
		return nil, err
	}
	n := &node{name: cfg.name, key: cfg.key, log: cfg.log, metrics: cfg.metrics, cluster: gossip, links: cfg.links,
		admin: cfg.admin}
	n.countLinks()
	return n, nil
}

func (n *node) countLinks() {
	read := func(counter *atomic.Int64) func() float64 {
		return func() float64 { return float64(counter.Load()) }
	}
	n.metrics.CountLinks(read(&n.links.Refused), read(&n.links.SendsBusy), read(&n.links.PushesBusy),
		read(&n.links.StreamsBusy))
}

// discard gives up a node that was never served.
func (n *node) discard() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	n.cluster.Serve(ended)
}

// drainTime is how long a node prepares for the end, and then how long it waits for the others to hear of it.
const drainTime = time.Second

// serve runs the node's own services around those of its role: the gossip below them, and above them the announcement
// that the node is leaving, so that it is stopped first.
func (n *node) serve(ctx context.Context, services ...service) error {
	if n.admin != nil {
		n.admin.ask(n.look)
	}
	all := append([]service{{"gossip", n.cluster.Serve}}, services...)
	all = append(all, service{"drain", n.drain})
	return serveAll(ctx, n.log, all...)
}

// drain waits for the end and tells the others of it, so that they send nothing new here.
func (n *node) drain(ctx context.Context) error {
	<-ctx.Done()
	n.log.Info("draining")
	if n.admin != nil {
		n.admin.draining.Store(true)
	}
	ctx = context.WithoutCancel(ctx)
	if n.prepare != nil {
		ready, cancel := context.WithTimeout(ctx, drainTime)
		n.prepare(ready)
		cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := n.cluster.Drain(ctx); err != nil {
		n.log.Debug("the others may not know that this node leaves", "error", err)
	}
	return nil
}
