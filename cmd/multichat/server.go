package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"multichat/internal/chat"
	"multichat/internal/cluster"
	"multichat/internal/edge"
	"multichat/internal/link"
	"multichat/server"
	"multichat/shardstore"
)

type serverCmd struct {
	nodeFlags
	shardFlags
	Link string `default:":9020" placeholder:"ADDR" help:"Address where proxies connect to this server; ${default} unless given."`
	UDP  string `placeholder:"ADDR" env:"MULTICHAT_SERVER_UDP" help:"Serve clients without a proxy: address for their polls. Needs --tcp."`
	TCP  string `placeholder:"ADDR" env:"MULTICHAT_SERVER_TCP" help:"Serve clients without a proxy: address for their messages. Needs --udp."`

	MaxText        int `default:"4000" placeholder:"BYTES" unit:"bytes" help:"Limit of one message's text, in bytes; ${default} unless given, at most 65536."`
	Retention      age `default:"30d" placeholder:"D" help:"How long messages are kept, delivered or not, and devices that nobody sees: days like 90d or hours like 36h; ${default} unless given, at least 1d. Set it alike on all servers."`
	MaxUserSends   int `default:"200" placeholder:"N" unit:"messages/s" help:"Messages a second from one user; ${default} unless given, 0 for any number. Those beyond are answered busy."`
	MaxUserBurst   int `default:"1000" placeholder:"N" unit:"messages" help:"Messages of one user at once, before --max-user-sends counts; ${default} unless given."`
	MaxUserStreams int `default:"64" placeholder:"N" unit:"streams" help:"Streams of one user at once; ${default} unless given, 0 for any number. One more is answered busy."`

	Engine server.Engine `default:"event" placeholder:"NAME" help:"How messages are stored: event, in batches as they form, or sync, one by one; ${default} unless given. Both promise the same."`
}

// Help is printed below the flags' summary.
func (serverCmd) Help() string {
	return `A server owns nothing: any number may share the shards, and any serves any client. Shards are made with
"multichat shard init", the key with "multichat keys new". It waits for shards that do not answer.`
}

func (c *serverCmd) Run(ctx context.Context, term terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.run(ctx, cluster.Server, term, c.serve)
}

func (c *serverCmd) check() error {
	if err := c.nodeFlags.check(); err != nil {
		return err
	}
	if (c.UDP == "") != (c.TCP == "") {
		return usagef("--udp and --tcp go together: give both to serve clients without a proxy, or none")
	}
	if err := checkAddrs("link", c.Link, "udp", c.UDP, "tcp", c.TCP); err != nil {
		return err
	}
	if c.MaxText < 1 || c.MaxText > chat.MaxText {
		return usagef("--max-text %d is not between 1 and %d", c.MaxText, chat.MaxText)
	}
	if least := age(server.MinRetention); c.Retention < least {
		return usagef("--retention %v is under a day, and a message that is sent again is known by the stored one: give %v or more",
			c.Retention, least)
	}
	if c.MaxUserSends < 0 || c.MaxUserBurst < 1 || c.MaxUserStreams < 0 {
		return usagef("--max-user-sends and --max-user-streams are 0 or more, --max-user-burst 1 or more")
	}
	return nil
}

// serve opens the shards, however long it takes until they answer, and serves.
func (c *serverCmd) serve(ctx context.Context, cfg nodeConfig) error {
	store, err := c.awaitStore(ctx, cfg.log, cfg.admin)
	if err != nil {
		return err
	}
	defer store.Close()
	n, err := newServerNode(serverConfig{nodeConfig: cfg, store: store, link: c.Link, udp: c.UDP, tcp: c.TCP,
		logic: server.Config{MaxText: c.MaxText, Retention: time.Duration(c.Retention), Engine: c.Engine,
			UserSends: noneAsAny(c.MaxUserSends), UserSendBurst: c.MaxUserBurst, UserStreams: noneAsAny(c.MaxUserStreams)}})
	if err != nil {
		return err
	}
	return n.serve(ctx)
}

type serverConfig struct {
	nodeConfig
	store    *shardstore.Store
	link     string
	udp, tcp string        // empty: no clients of its own
	logic    server.Config // its limits and its engine
}

// serverNode is a chat server with everything around it.
type serverNode struct {
	*node
	logic  *server.Server
	shards *shardstore.Store
	links  *link.Listener
	edge   *edge.Edge // nil without clients of its own
}

// stopGrace is how long requests that are under way may go on when a node stops.
const stopGrace = 2 * time.Second

func newServerNode(cfg serverConfig) (*serverNode, error) {
	n := &serverNode{}
	cfg.logic.Store, cfg.logic.Metrics, cfg.logic.Log, cfg.logic.Key = cfg.store, cfg.metrics, cfg.log, cfg.key
	cfg.logic.Committed = func(shard chat.ShardNumber, newest chat.Seq) { n.cluster.Hint(shard, newest) }
	n.logic = server.New(cfg.logic)
	identity, err := link.NewIdentity(cfg.key)
	if err != nil {
		return nil, err
	}
	n.links, err = link.Listen(cfg.link, link.ListenConfig{
		Identity: identity, Name: cfg.name, Handler: n.logic, Grace: stopGrace, Ended: n.logic.ServersChanged, Logger: cfg.log,
		Counters: cfg.links})
	if err != nil {
		return nil, listenError("link", cfg.link, err)
	}
	if cfg.udp != "" {
		n.edge, err = edge.Listen(edge.Config{UDP: cfg.udp, TCP: cfg.tcp, Handler: n.logic, Metrics: cfg.metrics,
			Log: cfg.log, MaxText: cfg.logic.MaxText, Grace: stopGrace})
		if err != nil {
			n.links.Close()
			return nil, err
		}
	}
	cfg.hints = n.logic.Hint
	cfg.nodeConfig.link = advertisedLink(cfg.link, n.links.Addr())
	if n.node, err = newNode(cfg.nodeConfig); err != nil {
		n.links.Close()
		n.discardEdge()
		return nil, err
	}
	n.shards = cfg.store
	for _, number := range n.shards.Shards() {
		cfg.metrics.WatchShard(n.shards.Name(number), func() bool { return n.logic.ShardSilence(number) == 0 })
	}
	n.look, n.prepare = n.checkShards, n.logic.Drain
	return n, nil
}

// checkShards looks whether each shard answers. One that is lost after it has answered once is no reason to send this
// server's clients to another, which has lost it, too.
func (n *serverNode) checkShards() []check {
	var checks []check
	for _, number := range n.shards.Shards() {
		c := check{name: "shard " + n.shards.Name(number), err: n.logic.ShardReady(number)}
		if silence := n.logic.ShardSilence(number); silence > 0 {
			c.warning = fmt.Sprintf("it has not answered for %v; what is sent to its users waits, or is refused", silence.Round(time.Second))
		}
		checks = append(checks, c)
	}
	return checks
}

// advertisedLink keeps the host that was asked for, which may be a name or none, with the port that was got.
func advertisedLink(asked string, got net.Addr) string {
	host, _, _ := net.SplitHostPort(asked)
	return net.JoinHostPort(host, fmt.Sprint(got.(*net.TCPAddr).Port))
}

func (n *serverNode) discardEdge() {
	if n.edge != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		n.edge.Serve(ended)
	}
}

func (n *serverNode) discard() {
	n.node.discard()
	n.links.Close()
	n.discardEdge()
}

// watchServers tells the business logic when servers come or go, since clients are led elsewhere then.
func (n *serverNode) watchServers(ctx context.Context) error {
	var known []cluster.Member
	for {
		changed := n.cluster.Changed()
		var servers []cluster.Member
		for _, m := range n.cluster.Members() {
			if m.Role == cluster.Server {
				servers = append(servers, cluster.Member{Name: m.Name, Link: m.Link, Draining: m.Draining})
			}
		}
		if !slices.Equal(servers, known) {
			known = servers
			n.logic.ServersChanged()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (n *serverNode) serve(ctx context.Context) error {
	services := []service{{"server", n.logic.Serve}, {"members", n.watchServers}, {"link", n.links.Serve},
		{"clock", n.watchClock}}
	attrs := []any{"link", n.links.Addr().String(), "gossip", n.cluster.Addr()}
	if n.edge != nil {
		services = append(services, service{"edge", n.edge.Serve})
		attrs = append(attrs, "udp", n.edge.UDPAddr().String(), "tcp", n.edge.TCPAddr().String())
	}
	n.log.Info("server", attrs...)
	return n.node.serve(ctx, services...)
}
