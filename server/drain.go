package server

import (
	"context"
	"sync"
	"time"
)

const (
	// pushEndTime is how long Drain waits for pushes to end, and for sends of streams to be answered. A push ends with the
	// messages that are on their way.
	pushEndTime = time.Second

	sendsTick = 5 * time.Millisecond // Drain looks whether they are
)

// Drain prepares for the end while other servers take the clients over: it begins no more pushes and takes nothing more
// from streams, waits for the pushes and sends that are under way, stores all cursors, and then ends the streams. So
// whichever server a client is led to next knows what the client has, and gives nobody a message twice, but for a client
// that takes long. What a stream sends meanwhile is not answered, and is sent again there. Version 1's sends go on. Call it
// before the others are told that this server is leaving. It takes pushEndTime and cursorLastTime at most.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	s.deliveries.close()
	s.awaitLast(ctx)
	var group sync.WaitGroup
	for _, sh := range s.shards {
		group.Go(func() { sh.cursors.drain(ctx) }) // at once, so that a shard that hangs does not take the others' time
	}
	group.Wait()
	s.endStreams()
}

// awaitLast waits until no push and no send of a stream is under way, for pushEndTime at most.
func (s *Server) awaitLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pushEndTime)
	defer cancel()
	select {
	case <-s.pushes.Close():
	case <-ctx.Done():
	}
	tick := time.NewTicker(sendsTick)
	defer tick.Stop()
	for s.sending.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// endStreams tells the clients of all streams to go on elsewhere.
func (s *Server) endStreams() {
	s.draining.Store(true)
	for _, sh := range s.shards {
		for _, st := range sh.streams.close() {
			st.end(nil)
		}
	}
}

// endDeliveries returns when nothing is pushed to streams any more.
func (s *Server) endDeliveries() {
	s.deliveries.close()
	for _, sh := range s.shards {
		<-sh.streamPages.Close()
	}
	s.deliveries.wait()
}

// ServersChanged says that a server has come or gone, or a link to this one, so that clients may be led to another one
// soon: for a while, what they have acknowledged is stored at once.
func (s *Server) ServersChanged() {
	until := int64(s.clock() + cursorHurry)
	for _, sh := range s.shards {
		sh.cursors.hurry.Store(until)
	}
}
