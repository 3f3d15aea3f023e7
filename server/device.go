package server

import (
	"fmt"
	"net/netip"
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

// device is one version 1 client that polls here. Its state in the store is its cursor; all else can be found out anew.
// There may be a million of them, so each field counts.
type device struct {
	bookmark
	key    deviceKey
	next   *device      // with the same hash of its key; guarded by its stripe
	polled atomic.Int64 // the last poll, as Server.clock
	port   uint16       // the reading of listen_port that is settled, 0 while none is; guarded by ports.mu

	// Guarded by the bookmark's lock.
	pushing  bool          // one push at a time, whichever proxy relayed the poll
	gone     bool          // forgotten here: the next poll opens it again
	failures int32         // rounds that ended without a receipt, in a row
	retryAt  time.Duration // no dial before; as Server.clock
}

func newDevice(key deviceKey, shard chat.ShardNumber) *device {
	d := &device{key: key}
	d.of, d.shard = d, shard
	return d
}

func (d *device) owner() chat.UserID  { return d.key.user }
func (d *device) name() chat.DeviceID { return d.key.id() }

// outdated needs nothing: version 1 has no logins, and no stream's device has a name like these.
func (d *device) outdated() {}

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

// away says that the device has not polled here for so long that another server may serve it.
func (d *device) away(now time.Duration) bool {
	return now-time.Duration(d.polled.Load()) > deviceStale
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
func (d *device) returned(c chat.Cursor, now time.Duration) {
	d.begins(c, now)
	d.succeeded()
}

// forget ends a device that has not polled for idle, unless it still has something to do here. It does so once.
func (d *device) forget(now, idle time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone || d.pushing || d.dirty || now-time.Duration(d.polled.Load()) < idle {
		return false
	}
	d.gone = true
	return true
}
