package shardstore

import (
	"context"
	"fmt"
	"slices"

	"multichat/internal/chat"
	"multichat/ring"
)

// Partition is the partition that a mailbox belongs to.
func (l Layout) Partition(m chat.Mailbox) int { return ring.Partition(m, l.Seed, l.Partitions) }

// newLayout is what a new cluster is made with.
func newLayout(cluster string, seed uint64) Layout {
	return Layout{Cluster: cluster, Partitions: ring.MailboxPartitions, Hash: ring.MailboxHash, Seed: seed}
}

// propose asks ring 2 where the partitions of a new cluster should live. It only proposes: what counts from then on is
// what each shard has stored.
func propose(layout Layout, members []*member) (Plan, error) {
	numbers := make(map[string]chat.ShardNumber)
	names := make([]string, 0, len(members))
	for _, m := range members {
		numbers[m.name] = m.id.Number
		names = append(names, m.name)
	}
	owners, err := ring.Propose(names, layout.Partitions)
	if err != nil {
		return nil, err
	}
	plan := make(Plan, len(owners))
	for pid, owner := range owners {
		plan[pid] = numbers[owner]
	}
	return plan, nil
}

// placement is the map: who serves which partition, as the shards say themselves. It never changes; a newer one takes
// its place.
type placement struct {
	layout Layout
	owners []*member // by partition
	epochs map[chat.ShardNumber]int64
}

// readPlacement asks every shard what it serves. Each partition must have exactly one shard.
func readPlacement(ctx context.Context, layout Layout, members []*member) (*placement, error) {
	p := &placement{
		layout: layout,
		owners: make([]*member, layout.Partitions),
		epochs: make(map[chat.ShardNumber]int64, len(members)),
	}
	for _, m := range members {
		epoch, pids, err := m.shard.Partitions(ctx)
		if err != nil {
			return nil, err
		}
		p.epochs[m.id.Number] = epoch
		for _, pid := range pids {
			if pid < 0 || pid >= len(p.owners) {
				return nil, problemf(ErrMap, "shard %s serves partition %d, and the cluster has %d: restore the shard's part table",
					m.name, pid, len(p.owners))
			}
			if other := p.owners[pid]; other != nil {
				return nil, problemf(ErrMap,
					"partition %d is served by both shard %s and shard %s: one of them is an old copy; leave it out",
					pid, other.name, m.name)
			}
			p.owners[pid] = m
		}
	}
	if pid := slices.Index(p.owners, nil); pid >= 0 {
		return nil, p.holeProblem(pid)
	}
	return p, nil
}

func (p *placement) holeProblem(first int) error {
	holes := 0
	for _, m := range p.owners {
		if m == nil {
			holes++
		}
	}
	which := fmt.Sprintf("partition %d is", first)
	if holes > 1 {
		which = fmt.Sprintf("%d of %d partitions, the first of them %d, are", holes, len(p.owners), first)
	}
	return problemf(ErrMap, "%s served by none of the shards: give all shards of the cluster, "+
		"or finish an interrupted `multichat shard init` by running it again", which)
}

func (p *placement) locate(m chat.Mailbox) *member { return p.owners[p.layout.Partition(m)] }

// fence is what a writer to a shard goes by while this is the map.
func (p *placement) fence(shard chat.ShardNumber) Fence {
	return Fence{Layout: p.layout, Epoch: p.epochs[shard]}
}
