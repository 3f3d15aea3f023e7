package server

import (
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
	"multichat/internal/faults"
)

// feed is how far a device has read one mailbox: everything at or below the position has arrived, or never will.
type feed struct {
	box      *mailbox
	position atomic.Int64
}

func (f *feed) at() chat.Seq { return chat.Seq(f.position.Load()) }

// raise moves the position up to seq, and says whether it was below.
func (f *feed) raise(seq chat.Seq) bool {
	for {
		old := f.position.Load()
		if int64(seq) <= old {
			return false
		}
		if f.position.CompareAndSwap(old, int64(seq)) {
			return true
		}
	}
}

func (f *feed) waits() bool { return f.box.hasAbove(f.at()) }

// bookmark is how far a device, of either version, has read its two mailboxes, and what the store knows of that: what
// there is to say of a device that reads here, whichever way it does.
//
// Its lock guards the rest of its device or stream, too. It is taken after cursorWriter.mu, streams.mu and a stripe of
// devices, and before the two of a mailbox.
type bookmark struct {
	of        follower
	shard     chat.ShardNumber // of the user's mailbox and cursor
	session   int64            // of the login, 0 for version 1; it does not change once mailboxes are read
	inbox     feed
	broadcast feed

	mu     sync.Mutex
	dirty  bool          // the cursor in the store is behind the feeds, or is being written
	hasty  bool          // what is dirty is written with the next tick, since nothing follows
	stored time.Duration // when the cursor was written last, as Server.clock; 0 while it was not
	seen   time.Duration // when the store heard of the device last
}

// follower is whose bookmark it is: a version 1 device, or a stream. Its methods are called without a lock.
type follower interface {
	owner() chat.UserID
	name() chat.DeviceID // the device's, in the store

	// outdated says that the device's cursor is another login's by now, or gone.
	outdated()
}

func (b *bookmark) cursor() chat.Cursor {
	return chat.Cursor{
		Device:    chat.Device{User: b.of.owner(), ID: b.of.name()},
		Session:   b.session,
		Inbox:     b.inbox.at(),
		Broadcast: b.broadcast.at(),
		Seen:      faults.Now(),
	}
}

// begins takes the place up where the store says, which has heard of the device just now. Another server may have served
// it, so that is never lower than here, but for what was not stored yet.
func (b *bookmark) begins(c chat.Cursor, now time.Duration) {
	b.inbox.raise(c.Inbox)
	b.broadcast.raise(c.Broadcast)
	b.mu.Lock()
	b.seen = now
	b.mu.Unlock()
}

// pass moves the feeds to where the tails begin, if nothing waits below. The store need not know.
func (b *bookmark) pass() {
	for _, f := range []*feed{&b.inbox, &b.broadcast} {
		f.raise(f.box.passed(f.at()))
	}
}

// unseen says that the store has not heard of the device for longer than a time.
func (b *bookmark) unseen(now, longer time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now-b.seen > longer
}
