package server

import (
	"context"
	"time"

	"multichat/internal/chat"
)

// earlyTime is about how long messages that are acknowledged too early are in memory alone.
const earlyTime = 50 * time.Millisecond

// okBeforeCommit is a mistake that only a test build makes, see package faults: it answers a batch that is about to be stored,
// with made-up seqs that rise as true ones do, and lets more gather before the commit. Lost is what this process has in memory
// when it dies; and what the shard fails to store, which is not tried again since nobody waits for it.
func okBeforeCommit(ctx context.Context, shard chat.ShardNumber, batch []*write) {
	counter := time.Now().UnixMicro()
	for i, x := range batch {
		x.finish(chat.Stored{Seq: chat.SeqAt(counter+int64(i), shard)})
	}
	pause(ctx, earlyTime)
}
