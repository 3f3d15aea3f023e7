// Package cluster tells a node who else is there. It is the only importer of memberlist, a gossip library, and hides it:
// what comes out is a sorted, immutable list of members, and what goes in is who this node is.
//
//	c, err := cluster.New(cfg)            // binds; nothing runs yet
//	go c.Serve(ctx)                       // joins the others; when ctx ends, leaves them in order
//	for {
//		changed := c.Changed()            // before Members, so that no change is missed
//		use(c.Members())
//		<-changed
//	}
//
// # What it promises
//
// The list holds this node too and is sorted by name, one [Member] for each name. Any number of readers may hold it;
// nobody may change it. All nodes come to the same list, each at its own time: a new node, a changed one or an orderly
// leave is known everywhere in some tenths of a second, a death in one to two seconds. That is discovery, and a
// backstop: whoever needs to know sooner whether a server lives watches its own connection to it.
//
// When more than half of the servers vanish at once without having said that they leave, they stay in the list (see
// [Member.Missing]) until they are back: it is likelier that this node is cut off, and an empty list would help nobody.
//
// A node may be killed and come back under its name at once, at another address too: it is known there as soon as its
// death is known. Nodes that were cut off from each other find each other again through the seeds, which are joined
// for ever. A node without the cluster's key is neither heard nor admitted.
//
// Servers may tell each other by [Cluster.Hint] what they have committed. That is a datagram: it may be lost.
//
// It does not say which member serves whom, it does not elect anybody, and it carries nothing of the clients.
//
// # Who runs what
//
// New starts no goroutine. Serve owns all: the library's, two that receive, and one each for joining, for hints and for
// publishing; its own tells the others what is new about this node. The library calls back (type gossip) with its lock
// held, so those calls only note what happened under mu, which guards nothing else and is never held during a call
// out. The goroutine that publishes makes the list from the notes, and the log lines from the difference of two lists.
package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"multichat/internal/chat"
	"multichat/internal/metrics"
)

const (
	// announceEvery is the least time between two announcements of what is new about this node.
	announceEvery = 500 * time.Millisecond

	// announceTimeout bounds how long an announcement, or the leave, waits until it was gossiped often enough: the usual
	// is 0.2 s. Both go on by themselves afterwards, for as long as the node runs.
	announceTimeout = time.Second
)

// Cluster is a node's view of all nodes. Its methods may be called from many goroutines.
type Cluster struct {
	name  string
	role  Role
	link  netip.AddrPort
	seeds []string
	hints func(chat.ShardNumber, chat.Seq)
	log   *slog.Logger

	metrics *metrics.Metrics // may be nil

	transport  *transport
	libraryLog *libraryLog
	conf       *memberlist.Config

	digest    atomic.Uint64
	draining  atomic.Bool
	announce  chan struct{} // one slot: there is something new about this node
	drain     chan struct{} // one slot: it is draining, which does not wait
	drained   chan struct{} // closed once the others were told
	contested chan struct{} // one slot: another address has this node's name
	outbox    *outbox

	wake      chan struct{} // one slot: there are notes
	mu        sync.Mutex    // guards the notes: what follows
	roster    *roster
	namesakes namesakes
	malformed int // metas and datagrams that made no sense

	shown atomic.Pointer[snapshot]
}

// snapshot is one published list. It never changes; replaced is closed when there is a newer one.
type snapshot struct {
	members  []Member
	peers    []peer // the same members, with where their gossip is
	replaced chan struct{}
}

// New binds the gossip address and checks cfg; an error says what to change. Serve has to be called after it, if only
// with a ctx that has ended: it is what gives the port back.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.Default()
	}
	t, err := listen(cfg.Bind, log)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		name: cfg.Name, role: cfg.Role, seeds: slices.Clone(cfg.Join), hints: cfg.Hints, log: log, metrics: cfg.Metrics,
		transport:  t,
		libraryLog: newLibraryLog(log),
		announce:   make(chan struct{}, 1),
		drain:      make(chan struct{}, 1),
		drained:    make(chan struct{}),
		contested:  make(chan struct{}, 1),
		outbox:     newOutbox(),
		wake:       make(chan struct{}, 1),
		roster:     newRoster(),
		namesakes:  namesakes{},
	}
	c.shown.Store(&snapshot{replaced: make(chan struct{})})
	if err := c.configure(&cfg); err != nil {
		t.Shutdown()
		return nil, err
	}
	return c, nil
}

// configure finds the addresses that the others are told, and sets the library up.
func (c *Cluster) configure(cfg *Config) error {
	ctx := context.Background() // resolve bounds itself
	bound := c.transport.bound()
	host, err := advertiseAddr(ctx, bound.Addr(), cfg.Advertise)
	if err != nil {
		return err
	}
	c.transport.advertise = netip.AddrPortFrom(host, bound.Port())
	if cfg.Role == Server {
		if c.link, err = linkAddr(ctx, cfg.Link, host, cfg.Advertise != ""); err != nil {
			return err
		}
	}
	if err := c.self().check(); err != nil {
		return err
	}
	c.conf, err = libraryConfig(cfg, c.transport, gossip{c}, c.libraryLog)
	return err
}

// Addr is the address of the gossip that the others are told, with the port that was bound.
func (c *Cluster) Addr() netip.AddrPort { return c.transport.advertise }

// self is what this node says of itself.
func (c *Cluster) self() Member {
	return Member{Name: c.name, Role: c.role, Link: c.link, Draining: c.draining.Load(), Digest: c.digest.Load()}
}

// Serve joins the others and publishes who is there, until ctx ends. Then it tells them that this node is draining,
// if Drain has not, leaves, and returns nil, half a second later as a rule and after three at most. It is called once.
func (c *Cluster) Serve(ctx context.Context) error {
	c.transport.start()
	defer c.transport.Shutdown()
	if ctx.Err() != nil {
		return nil
	}
	list, err := memberlist.Create(c.conf)
	if err != nil {
		return fmt.Errorf("start the gossip: %w", err)
	}
	var loops sync.WaitGroup
	loops.Go(func() { c.joinSeeds(ctx, list) })
	loops.Go(func() { c.publishChanges(ctx) })
	loops.Go(func() { c.outbox.run(ctx, func(b []byte) { c.sendToServers(list, b) }) })
	c.announceChanges(ctx, list)

	c.libraryLog.ending.Store(true)
	if err := list.Leave(announceTimeout); err != nil {
		c.log.Debug("leave the cluster", "err", err)
	}
	err = list.Shutdown() // ends the dials of joinSeeds, too
	loops.Wait()
	return err
}

// Members is who is there: sorted by name, this node among them, and never changed. It is empty until Serve runs.
func (c *Cluster) Members() []Member { return c.shown.Load().members }

// Changed is closed once Members has become another list than it is now. Take it before Members, and anew after it
// was closed; any number of readers may wait for it.
func (c *Cluster) Changed() <-chan struct{} { return c.shown.Load().replaced }

// SetDigest tells the others the digest of this node's ring table. It returns at once; of several in half a second
// the last is told.
func (c *Cluster) SetDigest(digest uint64) {
	if c.digest.Swap(digest) != digest {
		signal(c.announce)
	}
}

// Drain tells the others that this node is about to leave and wants nothing new, and returns once they were told. The
// node stays a member until the ctx of Serve ends. The error is that of ctx; the announcement goes on all the same.
func (c *Cluster) Drain(ctx context.Context) error {
	if !c.draining.Swap(true) {
		signal(c.drain)
	}
	select {
	case <-c.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tell the cluster that this node is draining: %w", ctx.Err())
	}
}

// Hint tells all other servers that the shard has committed up to newest. It never blocks: hints go out at most once
// per shard and millisecond, then the newest, in datagrams that may be lost.
func (c *Cluster) Hint(shard chat.ShardNumber, newest chat.Seq) { c.outbox.put(hint{shard, newest}) }

// announceChanges tells the others what is new about this node until ctx ends, and at last that it is draining. Only
// one goroutine may do so: the library reads its own record without its lock there.
func (c *Cluster) announceChanges(ctx context.Context, list *memberlist.Memberlist) {
	announce := c.announce
	var rested <-chan time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-announce:
			c.announceSelf(list)
			announce, rested = nil, time.After(announceEvery)
		case <-rested:
			announce, rested = c.announce, nil
		case <-c.drain:
			c.announceSelf(list)
			close(c.drained)
		}
	}
	c.draining.Store(true)
	select {
	case <-c.drained:
	default:
		c.announceSelf(list)
		close(c.drained)
	}
}

// announceSelf returns when the others were told, or after announceTimeout.
func (c *Cluster) announceSelf(list *memberlist.Memberlist) {
	if err := list.UpdateNode(announceTimeout); err != nil {
		c.log.Debug("announce this node", "err", err)
	}
}

// sendToServers sends a datagram to all other servers. One that cannot be sent is as good as lost.
func (c *Cluster) sendToServers(list *memberlist.Memberlist, datagram []byte) {
	for _, p := range c.shown.Load().peers {
		if p.Role == Server && p.Name != c.name {
			list.SendBestEffort(p.node(), datagram)
		}
	}
}
