package server

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"multichat/internal/chat"
)

// deviceKey is what a version 1 device is: who polls, from where, with which listen_port.
type deviceKey struct {
	user   chat.UserID
	client netip.Addr
	port   uint16 // as the client printed it
}

// id is the device's name in the store.
func (k deviceKey) id() chat.DeviceID {
	return chat.DeviceID(fmt.Sprintf("v1 %s %d", deviceAddr(k.client), k.port))
}

// deviceAddr writes an address without the colons that a device's name may not have.
func deviceAddr(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	b := a.As16()
	return fmt.Sprintf("%x", b[:])
}

// feed is how far a device has read one mailbox: everything at or below the position has arrived, or never will.
type feed struct {
	box      *mailbox
	position atomic.Int64
}

func (f *feed) at() chat.Seq { return chat.Seq(f.position.Load()) }

func (f *feed) raise(seq chat.Seq) {
	for {
		old := f.position.Load()
		if int64(seq) <= old || f.position.CompareAndSwap(old, int64(seq)) {
			return
		}
	}
}

func (f *feed) waits() bool { return f.box.hasAbove(f.at()) }

// device is one version 1 client that polls here. Its state in the store is its cursor; all else can be found out anew.
type device struct {
	key       deviceKey
	shard     chat.ShardNumber // of the user's mailbox and cursor
	inbox     feed
	broadcast feed
	polled    atomic.Int64 // the last poll, as Server.clock
	port      uint16       // the reading of listen_port that is settled, 0 while none is; guarded by ports.mu

	mu       sync.Mutex
	pushing  bool          // one push at a time, whichever proxy relayed the poll
	gone     bool          // forgotten here: the next poll opens it again
	failures int           // rounds that ended without a receipt, in a row
	retryAt  time.Duration // no dial before; as Server.clock
	dirty    bool          // the cursor in the store is behind the feeds
	stored   time.Duration // when the cursor was written last; 0 while it was not
	seen     time.Duration // when the store heard of the device last
}

const (
	// A device that has not polled for deviceStale is read again from the store: another server may have served it.
	deviceStale = 3 * time.Second

	// A device that has not polled for deviceIdle is forgotten here.
	deviceIdle = time.Minute

	// Of a device that polls, the store hears at least every seenInterval, whether or not there is anything to get: it
	// forgets the devices that it has not heard of for long.
	seenInterval = 5 * time.Minute

	// After a round without a receipt a client is left alone for minBackoff, doubling up to maxBackoff.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// waits says whether there may be something to push. It takes no lock and reads only memory.
func (d *device) waits() bool { return d.inbox.waits() || d.broadcast.waits() }

// searched says that the store was asked for what waits in both mailboxes.
func (d *device) searched() bool {
	return d.inbox.box.searched.Load() && d.broadcast.box.searched.Load()
}

// beginPush claims the device for one push; endPush gives it back.
func (d *device) beginPush(now time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pushing || d.gone || now < d.retryAt {
		return false
	}
	d.pushing = true
	return true
}

func (d *device) endPush() {
	d.mu.Lock()
	d.pushing = false
	d.mu.Unlock()
}

// failed makes the client be left alone for a while, longer each time.
func (d *device) failed(now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retryAt = now + min(maxBackoff, minBackoff<<min(d.failures, 10))
	d.failures++
}

func (d *device) succeeded() {
	d.mu.Lock()
	d.failures, d.retryAt = 0, 0
	d.mu.Unlock()
}

// returned takes what the store knows of a device that was away, and forgets what its absence has made doubtful.
func (d *device) returned(c chat.Cursor) {
	d.inbox.raise(c.Inbox)
	d.broadcast.raise(c.Broadcast)
	d.succeeded()
}

// forget ends a device that has not polled for idle, unless it still has something to do here.
func (d *device) forget(now, idle time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pushing || d.dirty || now-time.Duration(d.polled.Load()) < idle {
		return false
	}
	d.gone = true
	return true
}

// unseen says that the store has not heard of the device for long.
func (d *device) unseen(now time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.gone && now-d.seen > seenInterval
}

func (d *device) cursor() chat.Cursor {
	return chat.Cursor{
		Device:    chat.Device{User: d.key.user, ID: d.key.id()},
		Inbox:     d.inbox.at(),
		Broadcast: d.broadcast.at(),
		Seen:      time.Now(),
	}
}
