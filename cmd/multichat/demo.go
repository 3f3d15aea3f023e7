package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/link"
	"multichat/internal/metrics"
	"multichat/shardstore"
)

type demoCmd struct {
	Dir     string `type:"path" placeholder:"DIR" help:"Keep data, key and users in this folder; without it they are in a temporary one, removed at the end."`
	UDP     string `default:"127.0.0.1:9001" placeholder:"ADDR" help:"The first proxy's address for polls, ${default} unless given; each further proxy is 100 ports above the one before."`
	TCP     string `default:"127.0.0.1:9002" placeholder:"ADDR" help:"The first proxy's address for messages, ${default} unless given; likewise."`
	Proxies int    `default:"2" help:"How many proxies."`
	Servers int    `default:"3" help:"How many servers."`
	Shards  int    `default:"2" help:"How many shards."`

	logFlags
}

// Help is printed below the flags' summary.
func (demoCmd) Help() string {
	return `The users are alice, bob and carol, and their password is demo. When it prints "ready", every proxy serves.`
}

var demoUsers = []chat.User{{ID: "alice", Name: "Alice"}, {ID: "bob", Name: "Bob"}, {ID: "carol", Name: "Carol"}}

const demoPassword = "demo"

// demoPortStep is how far apart the ports of two proxies are.
const demoPortStep = 100

func (c *demoCmd) Run(ctx context.Context, term terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	dir, err := c.folder()
	if err != nil {
		return err
	}
	if c.Dir == "" {
		defer os.RemoveAll(dir)
	}
	d, err := newDemo(ctx, c, dir, term)
	if err != nil {
		return err
	}
	defer d.close()
	return d.serve(ctx, term)
}

func (c *demoCmd) check() error {
	if err := checkAddrs("udp", c.UDP, "tcp", c.TCP); err != nil {
		return err
	}
	for _, n := range []struct {
		flag   string
		is, to int
	}{{"proxies", c.Proxies, 16}, {"servers", c.Servers, 16}, {"shards", c.Shards, 16}} {
		if n.is < 1 || n.is > n.to {
			return usagef("--%s %d is not between 1 and %d", n.flag, n.is, n.to)
		}
	}
	return nil
}

// folder is where the data goes.
func (c *demoCmd) folder() (string, error) {
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "multichat-demo-")
		if err != nil {
			return "", fmt.Errorf("make a temporary folder: %w; give one with --dir", err)
		}
		return dir, nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", usagef("--dir: %w", err)
	}
	return c.Dir, nil
}

// demo is a cluster in one process: real gossip, real links and real shards.
type demo struct {
	cmd     *demoCmd
	dir     string
	log     *slog.Logger
	key     chat.Secret
	servers []*demoServer
	proxies []*proxyNode
}

// demoServer is a server and the store that it alone uses, as a process of its own would.
type demoServer struct {
	*serverNode
	store *shardstore.Store
}

func newDemo(ctx context.Context, c *demoCmd, dir string, term terminal) (*demo, error) {
	log, _ := c.logger(term.err, slog.LevelWarn)
	d := &demo{cmd: c, dir: dir, log: log}
	err := d.build(ctx)
	if err != nil {
		d.discard()
		return nil, err
	}
	return d, nil
}

func (d *demo) build(ctx context.Context) (err error) {
	if d.key, err = d.clusterKey(); err != nil {
		return err
	}
	specs := d.specs()
	if err := shardstore.Init(ctx, specs, shardstore.Options{}); err != nil {
		return err
	}
	for i := range d.cmd.Servers {
		if err := d.addServer(ctx, i+1, specs); err != nil {
			return err
		}
	}
	for i := range d.cmd.Proxies {
		if err := d.addProxy(i + 1); err != nil {
			return err
		}
	}
	return d.addUsers(ctx)
}

func (d *demo) addServer(ctx context.Context, number int, specs []shardstore.Spec) error {
	store, err := shardstore.Open(ctx, specs, shardstore.Options{})
	if err != nil {
		return err
	}
	n, err := newServerNode(serverConfig{nodeConfig: d.nodeConfig(cluster.Server, number), store: store, link: "127.0.0.1:0"})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	d.servers = append(d.servers, &demoServer{n, store})
	return nil
}

func (d *demo) addProxy(number int) (err error) {
	cfg := proxyConfig{nodeConfig: d.nodeConfig(cluster.Proxy, number)}
	above := (number - 1) * demoPortStep
	if cfg.edge.UDP, err = portAbove("udp", d.cmd.UDP, above); err != nil {
		return err
	}
	if cfg.edge.TCP, err = portAbove("tcp", d.cmd.TCP, above); err != nil {
		return err
	}
	n, err := newProxyNode(cfg)
	if err == nil {
		d.proxies = append(d.proxies, n)
	}
	return err
}

// nodeConfig is a node of the demo: it listens on free ports of the loopback interface, and finds the others through
// the first server.
func (d *demo) nodeConfig(role cluster.Role, number int) nodeConfig {
	name := fmt.Sprintf("%s-%d", role, number)
	cfg := nodeConfig{name: name, role: role, key: d.key, gossip: "127.0.0.1:0", log: d.log.With("node", name),
		metrics: metrics.New(), links: new(link.Counters)}
	if len(d.servers) > 0 {
		cfg.join = []string{d.servers[0].cluster.Addr().String()}
	}
	return cfg
}

// clusterKey reads the key of an earlier run, or makes one.
func (d *demo) clusterKey() (chat.Secret, error) {
	file := filepath.Join(d.dir, "cluster.key")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(file, []byte(newClusterKey()+"\n"), 0o600); err != nil {
			return chat.Secret{}, fmt.Errorf("keep the cluster key: %w", err)
		}
	}
	return readClusterKey(file)
}

func (d *demo) specs() (specs []shardstore.Spec) {
	for i := range d.cmd.Shards {
		name := fmt.Sprintf("shard-%d", i+1)
		specs = append(specs, shardstore.Spec{Name: name, URL: "sqlite:" + filepath.Join(d.dir, name+".db")})
	}
	return specs
}

func (d *demo) addUsers(ctx context.Context) error {
	for _, u := range demoUsers {
		err := addUser(ctx, d.servers[0].store, u, chat.NewSecret(demoPassword))
		if err != nil && !errors.Is(err, shardstore.ErrUserExists) {
			return err
		}
	}
	return nil
}

// portAbove is addr with its port raised; port 0, a free one, stays.
func portAbove(flag, addr string, by int) (string, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usagef("--%s %s: %w", flag, addr, err)
	}
	port, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return "", usagef("--%s %s: %w", flag, addr, err)
	case port == 0:
		return addr, nil
	case port+by > 65535:
		return "", usagef("--%s %s: port %d of a further proxy is above 65535", flag, addr, port+by)
	}
	return net.JoinHostPort(host, strconv.Itoa(port+by)), nil
}

// serve runs all nodes until ctx ends: the servers first, and ended last.
func (d *demo) serve(ctx context.Context, term terminal) error {
	var services []service
	for _, n := range d.servers {
		services = append(services, service{n.name, n.serve})
	}
	for _, n := range d.proxies {
		services = append(services, service{n.name, n.serve})
	}
	services = append(services, service{"welcome", func(ctx context.Context) error { return d.welcome(ctx, term) }})
	return serveAll(ctx, d.log, services...)
}

// discard gives up nodes that were never served.
func (d *demo) discard() {
	for _, n := range d.proxies {
		n.discard()
	}
	for _, n := range d.servers {
		n.discard()
	}
	d.close()
}

func (d *demo) close() {
	for _, n := range d.servers {
		n.store.Close()
	}
}
