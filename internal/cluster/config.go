package cluster

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/hashicorp/memberlist"

	"multichat/internal/chat"
	"multichat/internal/metrics"
)

// Config says who a node is and how it finds the others.
type Config struct {
	// Name tells this node from all others, and stays the same when it restarts, at another address too: the ring
	// places clients by the names of the servers. 1 to 64 letters, digits and . _ -. Of two live nodes with one name
	// the cluster sees only one, and says so in the log.
	Name string

	// Role says whether this node is a proxy or a server.
	Role Role

	// Bind is the address of the gossip, HOST:PORT; the same port is used for UDP and TCP, and both must be open between
	// all nodes. An empty or unspecified host is every interface. Port 0 takes a free one: good for tests, and for nodes
	// that nobody names as a seed.
	Bind string

	// Advertise is the host that the others are told, an address or a name that is resolved once. Empty means the
	// host of Bind or, when that is unspecified, the address from which this machine reaches others. Set it when
	// that is the wrong one: a machine in several networks, or behind address translation.
	Advertise string

	// Join are the seeds: gossip addresses, HOST:PORT, of nodes to find the cluster through. Give all nodes the same
	// list: one seed that is up suffices, but nodes whose seeds have nothing in common never meet. It may name this node
	// itself, and nodes that are not up yet. Names are resolved anew each time, and all their addresses are used. A
	// node without seeds waits to be found.
	Join []string

	// Key is the cluster's key: 32 bytes, the same for all nodes. The gossip is encrypted under a key derived from it,
	// and who has another one is neither heard nor admitted.
	Key chat.Secret

	// Link is, for a server, the HOST:PORT on which its link listens. The others are told the same, but in place of its host
	// the one of Advertise, if that is set; and in place of an empty or unspecified host that of the gossip. A proxy leaves
	// it empty.
	Link string

	// Hints, if set, is called for what other servers tell by [Cluster.Hint]. The calls come from the goroutine that
	// receives all gossip, so it must return within microseconds; it may come twice, late, in any order, or not at all.
	Hints func(shard chat.ShardNumber, newest chat.Seq)

	// Metrics, if set, is told how many members there are.
	Metrics *metrics.Metrics

	// Logger takes one line for each event that an operator must know, and the library's own log at debug level.
	// Nil means slog.Default().
	Logger *slog.Logger
}

func (cfg *Config) check() error {
	if err := CheckName(cfg.Name); err != nil {
		return err
	}
	if cfg.Key.Len() != chat.ClusterKeyBytes {
		return fmt.Errorf("the cluster key has %d bytes; it must have %d", cfg.Key.Len(), chat.ClusterKeyBytes)
	}
	if _, _, err := splitHostPort(cfg.Bind); err != nil {
		return fmt.Errorf("the gossip address: %w", err)
	}
	for _, seed := range cfg.Join {
		host, port, err := splitHostPort(seed)
		if err != nil {
			return fmt.Errorf("a seed to join: %w", err)
		}
		if host == "" || port == 0 {
			return fmt.Errorf("a seed to join: %q lacks a host or a port", seed)
		}
	}
	switch {
	case cfg.Role == Server && cfg.Link == "":
		return errors.New("a server needs the address of its link")
	case cfg.Role == Proxy && cfg.Link != "":
		return errors.New("a proxy has no link address: it dials the servers")
	case cfg.Role != Server && cfg.Role != Proxy:
		return fmt.Errorf("%v is unknown: a node is a proxy or a server", cfg.Role)
	}
	return nil
}

// gossipKey derives the key that encrypts the gossip, so that neither it nor the link's says anything of the other.
func gossipKey(cluster chat.Secret) ([]byte, error) {
	return hkdf.Key(sha256.New, cluster.AppendTo(nil), nil, "multichat gossip v1", chat.ClusterKeyBytes)
}

// tuned is the library's configuration. How soon a death is known follows from four of its numbers: one member is
// asked per probeInterval, so n nodes ask each member n times in n intervals; no answer within it, and it is suspected;
// it then has suspicionMult × max(1, log10 n) × probeInterval to object, up to suspicionMaxMult times as much
// until another node confirms. That makes 1 to 2 s in a small cluster, at about 1 kB/s per node.
func tuned() *memberlist.Config {
	conf := memberlist.DefaultLANConfig()
	conf.ProbeInterval = 250 * time.Millisecond
	conf.ProbeTimeout = 100 * time.Millisecond // then others are asked to try, and TCP
	conf.SuspicionMult = 3
	conf.SuspicionMaxTimeoutMult = 2
	conf.GossipInterval = 50 * time.Millisecond

	// A node that doubts its own health probes up to this many times slower, so that it does not accuse others.
	// The default of 8 would stretch the loss of several members beyond lossGap.
	conf.AwarenessMaxMultiplier = 4

	// A full exchange with one random member repairs what gossip has lost, and brings back a node that was paused for
	// so long that it was forgotten. The state is about 150 bytes per node.
	conf.PushPullInterval = 10 * time.Second
	conf.TCPTimeout = 3 * time.Second

	// By default a dead node's name is never given to another address, and a node that restarted at a new one would be
	// refused. Its name is stable and its own, so any age of the death will do; zero would mean never.
	conf.DeadNodeReclaimTime = time.Millisecond

	// Without these anybody could join, or listen.
	conf.GossipVerifyIncoming = true
	conf.GossipVerifyOutgoing = true

	// It would run every hint and ping through LZW, to no avail, and unpack what others send.
	conf.EnableCompression = false
	return conf
}

// libraryConfig makes the library call g, use t and log to l.
func libraryConfig(cfg *Config, t *transport, g gossip, l *libraryLog) (*memberlist.Config, error) {
	key, err := gossipKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("derive the gossip key: %w", err)
	}
	conf := tuned()
	conf.Name = cfg.Name
	conf.SecretKey = key
	conf.Transport = t
	conf.BindAddr, conf.BindPort = t.bound().Addr().String(), int(t.bound().Port())
	conf.AdvertiseAddr, conf.AdvertisePort = t.advertise.Addr().String(), int(t.advertise.Port())
	conf.Delegate, conf.Events, conf.Conflict, conf.Merge = g, g, g, g
	conf.Logger = log.New(l, "", 0)
	return conf, nil
}
