package main

import (
	"context"
	"log/slog"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/proxy"
)

type proxyCmd struct {
	nodeFlags
	UDP string `default:":9001" placeholder:"ADDR" help:"Public address for the clients' polls; ${default} unless given."`
	TCP string `default:":9002" placeholder:"ADDR" help:"Public address for the clients' messages; ${default} unless given."`

	MaxText int `default:"4000" placeholder:"BYTES" help:"Limit of one message's text, in bytes; ${default} unless given, at most 65536. Set it alike on the servers."`
}

// Help is printed below the flags' summary.
func (proxyCmd) Help() string {
	return `A proxy finds the servers through the gossip: give --join the gossip address of at least one node that is up.
Any number of proxies may run side by side; they share nothing.`
}

func (c *proxyCmd) Run(ctx context.Context, term terminal) error {
	log := c.logger(term.err, slog.LevelInfo)
	if err := checkAddrs("gossip", c.Gossip, "admin", c.Admin, "udp", c.UDP, "tcp", c.TCP); err != nil {
		return err
	}
	if c.MaxText < 1 || c.MaxText > chat.MaxText {
		return usagef("--max-text %d is not between 1 and %d", c.MaxText, chat.MaxText)
	}
	return c.run(ctx, cluster.Proxy, log, c.serve)
}

func (c *proxyCmd) serve(ctx context.Context, cfg nodeConfig) error {
	n, err := newProxyNode(proxyConfig{nodeConfig: cfg, udp: c.UDP, tcp: c.TCP, maxText: c.MaxText})
	if err != nil {
		return err
	}
	return n.serve(ctx)
}

type proxyConfig struct {
	nodeConfig
	udp, tcp string
	maxText  int
}

// proxyNode is a proxy with everything around it.
type proxyNode struct {
	*node
	router *proxy.Proxy
	edge   *edge.Edge
}

func newProxyNode(cfg proxyConfig) (*proxyNode, error) {
	n := &proxyNode{}
	var err error
	if n.node, err = newNode(cfg.nodeConfig); err != nil {
		return nil, err
	}
	n.router, err = proxy.New(proxy.Config{
		Name: cfg.name, Key: cfg.key, Cluster: n.cluster, Metrics: cfg.metrics, Log: cfg.log, Counters: cfg.links})
	if err == nil {
		n.edge, err = edge.Listen(edge.Config{UDP: cfg.udp, TCP: cfg.tcp, Handler: n.router, Metrics: cfg.metrics,
			Log: cfg.log, MaxText: cfg.maxText, Grace: stopGrace})
	}
	if err != nil {
		n.discard()
		return nil, err
	}
	n.ready, n.prepare = n.router.Ready, n.edge.DialBack().Drain
	return n, nil
}

func (n *proxyNode) serve(ctx context.Context) error {
	n.log.Info("proxy", "udp", n.edge.UDPAddr().String(), "tcp", n.edge.TCPAddr().String(), "gossip", n.cluster.Addr())
	return n.node.serve(ctx,
		service{"proxy", func(ctx context.Context) error { return n.router.Serve(ctx, n.edge.DialBack()) }},
		service{"edge", n.edge.Serve})
}
