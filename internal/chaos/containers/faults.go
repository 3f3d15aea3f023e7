package containers

import (
	"fmt"
	"slices"
	"strings"

	"multichat/internal/chaos"
)

// fault is how a kind of fault is done to a container, and healed. Between the two it lasts.
type fault struct {
	begin, heal func(*cluster, *container) error
}

// gossipPort is where nodes of docker-compose.yml gossip, over UDP and TCP.
const gossipPort = "9010"

// lossRules lose one packet in ten each way: TCP's waits for what it sends again are what slows it down. The kernel of an engine
// need not have netem, and always has this.
var lossRules = []string{
	"INPUT ! -i lo -m statistic --mode random --probability 0.1 -j DROP",
	"OUTPUT ! -o lo -m statistic --mode random --probability 0.1 -j DROP",
}

var faults = map[string]fault{
	chaos.Kill: {
		func(_ *cluster, c *container) error { return c.kill() },
		func(_ *cluster, c *container) error { return c.start() },
	},
	chaos.Stop: {
		func(_ *cluster, c *container) error { _, err := docker("pause", c.id); return err },
		func(_ *cluster, c *container) error { _, err := docker("unpause", c.id); return err },
	},
	chaos.End: {
		func(_ *cluster, c *container) error { return c.end() },
		func(_ *cluster, c *container) error { return c.start() },
	},
	chaos.Crash: {
		(*cluster).crash,
		func(cl *cluster, c *container) error { return c.awaitHealthy(cl.crashed(c)) },
	},
	chaos.Cut: {
		func(cl *cluster, c *container) error { return c.firewall(cutRules(cl.subnet(backend))...) },
		func(_ *cluster, c *container) error { return c.unfirewall() },
	},
	chaos.CutEdge: {
		func(cl *cluster, c *container) error { return c.firewall(cutRules(cl.subnet(edge))...) },
		func(_ *cluster, c *container) error { return c.unfirewall() },
	},
	chaos.CutGossip: {
		func(_ *cluster, c *container) error { return c.firewall(gossipRules()...) },
		func(_ *cluster, c *container) error { return c.unfirewall() },
	},
	chaos.Slow: {
		func(_ *cluster, c *container) error { return c.firewall(lossRules...) },
		func(_ *cluster, c *container) error { return c.unfirewall() },
	},
	chaos.Unplug: {
		func(cl *cluster, c *container) error { return cl.unplug(c) },
		func(cl *cluster, c *container) error { return cl.plugAgain(c) },
	},
	chaos.Readdress: {
		func(_ *cluster, c *container) error { return c.kill() },
		(*cluster).readdress,
	},
	chaos.Join: {
		func(_ *cluster, c *container) error { return c.start() },
		func(_ *cluster, c *container) error { return c.end() },
	},
	chaos.Fill: {
		func(cl *cluster, _ *container) error { return cl.disk.fill() },
		(*cluster).makeRoom,
	},
}

func cutRules(subnet string) []string {
	return []string{"INPUT -s " + subnet + " -j DROP", "OUTPUT -d " + subnet + " -j DROP"}
}

func gossipRules() (rules []string) {
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		for _, protocol := range []string{"udp", "tcp"} {
			for _, port := range []string{"--sport", "--dport"} {
				rules = append(rules, strings.Join([]string{chain, "-p", protocol, port, gossipPort, "-j DROP"}, " "))
			}
		}
	}
	return rules
}

// What may be done to any container here, to a node, and to a proxy.
var (
	machineKinds = []string{chaos.Kill, chaos.Stop, chaos.End, chaos.Crash, chaos.Cut, chaos.Unplug, chaos.Slow, chaos.Readdress}
	nodeKinds    = slices.Concat(machineKinds, []string{chaos.CutGossip})
	proxyKinds   = slices.Concat(nodeKinds, []string{chaos.CutEdge})
)

// targets are what may be done to what, in the order of their names.
var targets = []chaos.Target{
	{Name: "mysql-1", Kinds: machineKinds},
	{Name: "mysql-2", Kinds: slices.Concat(machineKinds, []string{chaos.Fill})}, // which has the small disk
	{Name: "proxy-1", Kinds: proxyKinds},
	{Name: "proxy-2", Kinds: proxyKinds},
	{Name: "server-1", Kinds: nodeKinds},
	{Name: "server-2", Kinds: nodeKinds},
	{Name: "server-3", Kinds: nodeKinds},
	{Name: joining, Kinds: []string{chaos.Join}},
}

// Begin implements [chaos.System].
func (cl *cluster) Begin(f chaos.Fault) error { return cl.do(f, faults[f.Kind].begin) }

// Heal implements [chaos.System].
func (cl *cluster) Heal(f chaos.Fault) error { return cl.do(f, faults[f.Kind].heal) }

func (cl *cluster) do(f chaos.Fault, what func(*cluster, *container) error) error {
	c := cl.containers[f.Target]
	if c == nil || what == nil {
		return fmt.Errorf("there is no fault %s for %s", f.Kind, f.Target)
	}
	return what(cl, c)
}
