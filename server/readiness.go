package server

import (
	"fmt"
	"time"

	"multichat/internal/chat"
)

// Ready says why the server is not ready to serve: a shard has not answered since its start. One that is lost later does
// not count: its users wait, and those of the others are served.
func (s *Server) Ready() error {
	for _, number := range s.store.Shards() {
		if err := s.ShardReady(number); err != nil {
			return err
		}
	}
	return nil
}

// ShardReady is what Ready says of one shard.
func (s *Server) ShardReady(number chat.ShardNumber) error {
	if s.shards[number].reader.ready() {
		return nil
	}
	return fmt.Errorf("shard %s has not answered yet", s.store.Name(number))
}

// ShardSilence is for how long a shard has not answered, or zero if it answers now.
func (s *Server) ShardSilence(number chat.ShardNumber) time.Duration {
	r := s.shards[number].reader
	if !r.silent() {
		return 0
	}
	return s.clock() - time.Duration(r.answered.Load())
}
