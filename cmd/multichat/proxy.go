package main

import (
	"context"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/proxy"
)

type proxyCmd struct {
	nodeFlags
	UDP string `default:":9001" placeholder:"ADDR" help:"Public address for the clients' polls; ${default} unless given."`
	TCP string `default:":9002" placeholder:"ADDR" help:"Public address for the clients' messages and streams; ${default} unless given."`

	TLS     string `name:"tls" placeholder:"ADDR" help:"Public address for the same over TLS; the usual port is 9003. Needs --tls-cert and --tls-key."`
	TLSCert string `name:"tls-cert" type:"path" placeholder:"FILE" help:"PEM file of the certificate and its chain. A new one is taken up without a restart."`
	TLSKey  string `name:"tls-key" type:"path" placeholder:"FILE" help:"PEM file of the certificate's key."`

	MaxText      int `default:"4000" placeholder:"BYTES" unit:"bytes" help:"Limit of one message's text, in bytes; ${default} unless given, at most 65536. Set it alike on the servers."`
	MaxAddrConns int `default:"4096" placeholder:"N" unit:"connections" help:"Connections from one client address at once, an IPv6 address being its /64; ${default} unless given, 0 for any number. One more is answered busy."`
	MaxAddrPolls int `default:"2000" placeholder:"N" unit:"polls/s" help:"Polls from one client address a second; ${default} unless given, 0 for any number. Those beyond are dropped."`
}

// Help is printed below the flags' summary.
func (proxyCmd) Help() string {
	return `A proxy finds the servers through the gossip: give --join the gossip address of at least one node that is up.
Any number of proxies may run side by side; they share nothing.`
}

func (c *proxyCmd) Run(ctx context.Context, term terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.run(ctx, cluster.Proxy, term, c.serve)
}

func (c *proxyCmd) check() error {
	if err := c.nodeFlags.check(); err != nil {
		return err
	}
	if err := checkAddrs("udp", c.UDP, "tcp", c.TCP, "tls", c.TLS); err != nil {
		return err
	}
	if c.MaxText < 1 || c.MaxText > chat.MaxText {
		return usagef("--max-text %d is not between 1 and %d", c.MaxText, chat.MaxText)
	}
	if (c.TLS == "") != (c.TLSCert == "") || (c.TLS == "") != (c.TLSKey == "") {
		return usagef("--tls, --tls-cert and --tls-key go together: give all three to serve clients over TLS, or none")
	}
	if c.MaxAddrConns < 0 || c.MaxAddrPolls < 0 {
		return usagef("--max-addr-conns and --max-addr-polls cannot be negative; 0 is any number")
	}
	return nil
}

func (c *proxyCmd) serve(ctx context.Context, cfg nodeConfig) error {
	n, err := newProxyNode(proxyConfig{nodeConfig: cfg, edge: edge.Config{UDP: c.UDP, TCP: c.TCP,
		TLS: c.TLS, TLSCert: c.TLSCert, TLSKey: c.TLSKey, MaxText: c.MaxText,
		MaxAddrConns: noneAsAny(c.MaxAddrConns), MaxAddrPolls: noneAsAny(c.MaxAddrPolls)}})
	if err != nil {
		return err
	}
	return n.serve(ctx)
}

// noneAsAny turns a limit as flags give it, where 0 is none, into one as packages take it, where 0 is the default.
func noneAsAny(limit int) int {
	if limit == 0 {
		return -1
	}
	return limit
}

type proxyConfig struct {
	nodeConfig
	edge edge.Config // where it listens, and its bounds
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
		cfg.edge.Handler, cfg.edge.Metrics, cfg.edge.Log, cfg.edge.Grace = n.router, cfg.metrics, cfg.log, stopGrace
		n.edge, err = edge.Listen(cfg.edge)
	}
	if err != nil {
		n.discard()
		return nil, err
	}
	n.look, n.prepare = n.checkServers, n.edge.Drain
	return n, nil
}

// checkServers looks for links to the servers that the gossip names. One is enough to serve.
func (n *proxyNode) checkServers() []check {
	checks := []check{{name: "a link to a live server", err: n.router.Ready()}}
	for _, m := range n.cluster.Members() {
		if m.Role != cluster.Server {
			continue
		}
		c := check{name: "link to " + m.Name}
		switch {
		case m.Draining:
			c.warning = "the server is leaving"
		case !n.router.Linked(m.Name):
			c.warning = "there is none now; clients go to the other servers"
		}
		checks = append(checks, c)
	}
	return checks
}

func (n *proxyNode) serve(ctx context.Context) error {
	attrs := []any{"udp", n.edge.UDPAddr().String(), "tcp", n.edge.TCPAddr().String(), "gossip", n.cluster.Addr()}
	if tls := n.edge.TLSAddr(); tls != nil {
		attrs = append(attrs, "tls", tls.String())
	}
	n.log.Info("proxy", attrs...)
	return n.node.serve(ctx,
		service{"proxy", func(ctx context.Context) error { return n.router.Serve(ctx, n.edge.DialBack()) }},
		service{"edge", n.edge.Serve})
}
