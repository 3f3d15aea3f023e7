package main

import (
	"context"
	"time"

	"multichat/internal/chat"
)

const (
	clockEvery = time.Minute      // between two looks at the shards' clocks
	clockTime  = 10 * time.Second // for a look at one of them
	clockApart = time.Minute      // from where on it is worth a word; tickets bear ten minutes
)

// watchClock says when the clock of this machine and that of a shard's database are far apart: nothing else would tell, and
// messages would be shown at wrong times, and be deleted at the wrong day.
func (n *serverNode) watchClock(ctx context.Context) error {
	told := make(map[chat.ShardNumber]bool)
	for {
		for _, shard := range n.shards.Shards() {
			ahead, err := n.shardClock(ctx, shard)
			if err != nil {
				continue // a shard that does not answer is told of elsewhere
			}
			apart := ahead.Abs() > clockApart
			switch {
			case apart && !told[shard]:
				n.log.Warn("the clocks of this machine and of the shard's database are apart; set both by NTP: "+
					"times of messages are wrong, and from 10m on each server hashes passwords anew",
					"shard", n.shards.Name(shard), "database_ahead", ahead.Round(time.Second).String())
			case !apart && told[shard]:
				n.log.Info("the clocks of this machine and of the shard's database agree again", "shard", n.shards.Name(shard))
			}
			told[shard] = apart
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(clockEvery):
		}
	}
}

func (n *serverNode) shardClock(ctx context.Context, shard chat.ShardNumber) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, clockTime)
	defer cancel()
	return n.shards.Clock(ctx, shard)
}
