package server

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"multichat/internal/chat"
)

// HoldHashes keeps every password hash from being computed until release is called. asked is how many were asked for
// meanwhile.
func (s *Server) HoldHashes() (asked func() int, release func()) {
	h := s.auth.checks.hasher
	for range cap(h.running) {
		h.running <- struct{}{}
	}
	return func() int { return len(h.waiting) }, func() {
		for range cap(h.running) {
			<-h.running
		}
	}
}

// MaxHashesWaiting is how many passwords may be asked for at once.
const MaxHashesWaiting = maxHashesWaiting

// MaxUserChecks is how many of one user's may be.
const MaxUserChecks = maxUserChecks

// MaxWriteBytes is how many bytes of texts may wait for one shard.
const MaxWriteBytes = maxWriteBytes

// PushBytes is about how many bytes of texts go into one push.
const PushBytes = pushBytes

// MaxPages is how many pages of one shard are read at once.
const MaxPages = maxPages

// Opening is how many polls wait until their devices are opened, without those that are being opened.
func (s *Server) Opening() (n int) {
	for _, sh := range s.shards {
		n += len(sh.opens.queue)
	}
	return n
}

// HeldBytes is how many bytes of texts wait to be stored or are being stored.
func (s *Server) HeldBytes() (n int64) {
	switch e := s.engine.(type) {
	case *eventEngine:
		for _, w := range e.writers {
			n += w.texts.taken.Load()
		}
	case *syncEngine:
		for _, sh := range e.shards {
			n += sh.texts.taken.Load()
		}
	}
	return n
}

// Pushing is how many devices are pushed to now.
func (s *Server) Pushing() int {
	return s.pushes.Running()
}

// Knows says that a device is in memory and that it was looked what waits for it.
func (s *Server) Knows(user chat.UserID, client netip.Addr, port uint16) bool {
	d := s.devices.lookup(deviceKey{user, client, port})
	return d != nil && d.searched()
}

// ReadUpTo is the seq up to which the reader of a shard has read everything.
func (s *Server) ReadUpTo(shard chat.ShardNumber) chat.Seq {
	r := s.shards[shard].reader
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head.Newest
}

// DeleteOld deletes what is too old from all shards, now, and returns when that is done.
func (s *Server) DeleteOld(ctx context.Context) (err error) {
	for _, sh := range s.shards {
		err = errors.Join(err, sh.forgets.run(ctx))
	}
	return err
}

// ServeRetention does of Serve only what deletes what is too old.
func (s *Server) ServeRetention(ctx context.Context) {
	var group sync.WaitGroup
	for _, sh := range s.shards {
		group.Go(func() { sh.forgets.serve(ctx) })
	}
	group.Wait()
}
