package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

const malformedEvery = 30 * time.Second

// publishChanges makes the published list from the notes, whenever there are some, until ctx ends.
func (c *Cluster) publishChanges(ctx context.Context) {
	malformed := seldom{every: malformedEvery}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		now := time.Now()
		c.mu.Lock()
		peers, again := c.roster.list(now)
		clashes := c.namesakes.overdue(now)
		refused := c.malformed
		c.malformed = 0
		c.mu.Unlock()

		c.publish(peers)
		for _, s := range clashes {
			c.log.Error("two live nodes have the same name, and the cluster sees only one of them: rename the other",
				"name", s.name, "one", s.one, "other", s.other)
		}
		if refused > 0 {
			if untold, ok := malformed.allow(now); ok {
				c.log.Warn("passed over gossip that makes no sense here: is a node of another version?",
					"messages", refused, "untold", untold)
			}
		}
		if !again.IsZero() {
			timer.Reset(time.Until(again))
		}
	}
}

// publish replaces the list if peers differ from it.
func (c *Cluster) publish(peers []peer) {
	before := c.shown.Load()
	if slices.Equal(before.peers, peers) {
		return
	}
	after := &snapshot{members: make([]Member, len(peers)), peers: peers, replaced: make(chan struct{})}
	for i, p := range peers {
		after.members[i] = p.Member
	}
	c.shown.Store(after)
	close(before.replaced)
	c.countMembers(after.members)
	c.logChanges(before.members, after.members)
}

func (c *Cluster) countMembers(members []Member) {
	if c.metrics == nil {
		return
	}
	count := map[Role]int{Proxy: 0, Server: 0}
	for _, m := range members {
		count[m.Role]++
	}
	for role, n := range count {
		c.metrics.Members.WithLabelValues(role.String()).Set(float64(n))
	}
}

// logChanges tells the difference of two lists, both sorted by name. This node itself is no news.
func (c *Cluster) logChanges(before, after []Member) {
	for len(before)+len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Name < after[0].Name:
			c.logLost(before[0])
			before = before[1:]
		case len(before) == 0 || after[0].Name < before[0].Name:
			if m := after[0]; m.Name != c.name {
				c.log.Info("member joined", "name", m.Name, "role", m.Role, "link", m.Link)
			}
			after = after[1:]
		default:
			c.logChanged(before[0], after[0])
			before, after = before[1:], after[1:]
		}
	}
}

func (c *Cluster) logLost(m Member) {
	switch {
	case m.Name == c.name: // this node is ending; it may not have heard its own announcement
	case m.Draining:
		c.log.Info("member left", "name", m.Name, "role", m.Role)
	default:
		c.log.Warn("member failed", "name", m.Name, "role", m.Role, "link", m.Link)
	}
}

func (c *Cluster) logChanged(before, after Member) {
	switch {
	case after.Name == c.name: // it says so itself
	case after.Missing && !before.Missing:
		c.log.Warn("member failed, with more than half of the servers; it is kept until it is back: is this node cut off?",
			"name", after.Name, "link", after.Link)
	case before.Missing && !after.Missing:
		c.log.Info("member is back", "name", after.Name, "role", after.Role, "link", after.Link)
	case after.Draining && !before.Draining:
		c.log.Info("member is draining", "name", after.Name, "role", after.Role)
	case after.Link != before.Link:
		c.log.Info("member has moved", "name", after.Name, "from", before.Link, "to", after.Link)
	}
}

// node is p as the library wants to be told whom to send to.
func (p peer) node() *memberlist.Node {
	return &memberlist.Node{Name: p.Name, Addr: p.gossip.Addr().AsSlice(), Port: p.gossip.Port()}
}
