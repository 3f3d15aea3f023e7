package server

import (
	"context"
	"sync"
	"time"
)

// pushEndTime is how long Drain waits for pushes to end. One ends with the messages that are on their way.
const pushEndTime = time.Second

// Drain prepares for the end while other servers take the clients over: it begins no more pushes, waits for those that
// are under way, and stores all cursors. So whichever server a client is led to next knows what the client has, and
// gives nobody a message twice, but for a client that takes long. Sends go on. Call it before the others are told that
// this server is leaving. It takes pushEndTime and cursorLastTime at most.
func (s *Server) Drain(ctx context.Context) {
	select {
	case <-s.pushes.Close():
	case <-time.After(pushEndTime):
	case <-ctx.Done():
	}
	var group sync.WaitGroup
	for _, sh := range s.shards {
		group.Go(func() { sh.cursors.drain(ctx) }) // at once, so that a shard that hangs does not take the others' time
	}
	group.Wait()
}

// ServersChanged says that a server has come or gone, so that clients may be led to another one soon: for a while, what
// they have acknowledged is stored at once.
func (s *Server) ServersChanged() {
	until := int64(s.clock() + cursorHurry)
	for _, sh := range s.shards {
		sh.cursors.hurry.Store(until)
	}
}
