package server

import (
	"time"

	"multichat/internal/chat"
)

// Bounds of a stream.
const (
	WindowMessages = windowMessages
	WindowBytes    = windowBytes
	MaxStreamAcks  = maxStreamAcks
)

// WatchStreams has a server watch its streams by other times than it would; 0 leaves one as it is.
func WatchStreams(slow, seen, ticket time.Duration) func(*Config) {
	return func(cfg *Config) {
		cfg.watching = usualWatchTimes
		for at, time := range map[*time.Duration]time.Duration{
			&cfg.watching.slow: slow, &cfg.watching.seen: seen, &cfg.watching.ticket: ticket} {
			if time != 0 {
				*at = time
			}
		}
	}
}

// StreamTraces is how many entries all tables have because of streams: none, once all streams are closed and their cursors
// stored.
func (s *Server) StreamTraces() (n int) {
	for _, sh := range s.shards {
		sh.streams.mu.Lock()
		n += len(sh.streams.all) + len(sh.streams.users) + len(sh.streams.devices)
		sh.streams.mu.Unlock()
		sh.reader.mu.Lock()
		for _, box := range sh.reader.active {
			box.listening.Lock()
			n += len(box.listeners)
			box.listening.Unlock()
		}
		n += len(sh.reader.active) + len(sh.reader.asks)
		sh.reader.mu.Unlock()
		sh.cursors.mu.Lock()
		n += len(sh.cursors.dirty) + len(sh.cursors.asks)
		sh.cursors.mu.Unlock()
		n += sh.streamPages.Running()
	}
	s.deliveries.mu.Lock()
	defer s.deliveries.mu.Unlock()
	n += len(s.deliveries.ready) + len(s.deliveries.pauses) + s.deliveries.workers + int(s.streaming.Load())
	return n - 1 // Everyone is read for good
}

// Silent says that a shard is known not to answer.
func (s *Server) Silent(shard chat.ShardNumber) bool { return s.shards[shard].reader.silent() }

// Streams is how many streams are open or being opened.
func (s *Server) Streams() int { return int(s.streaming.Load()) }
